"""The `autoround` command as a shell sees it.

usage: cli_test.py AUTOROUND WRITE_TOY SOURCE_DIR
"""
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

AUTOROUND, WRITE_TOY, SOURCE = sys.argv[1:4]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([AUTOROUND, *arguments], capture_output=True, text=True, timeout=120)


class Command(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.work = Path(tempfile.mkdtemp(prefix="autoround-cli-"))
        cls.model = cls.work / "model"
        subprocess.run([WRITE_TOY, str(cls.model)], check=True)
        shutil.copy(f"{SOURCE}/tests/support/tiny_tokenizer/tokenizer.json", cls.model)
        cls.data = cls.work / "ids.jsonl"
        cls.data.write_text("".join(json.dumps({"input_ids": [(7 * i + 3 * k) % 64 for k in range(16)]}) + "\n" for i in range(8)))

    @classmethod
    def tearDownClass(cls) -> None:
        shutil.rmtree(cls.work)

    def job(self, name: str, *more: str) -> list[str]:
        return ["quantize", str(self.model), "--output", str(self.work / name), "--scheme", "W4A16", "--group-size", "32",
                "--calibration", str(self.data), "--seqlen", "16", *more]

    def test_quantize_then_measure(self) -> None:
        done = run(*self.job("plain", "--iters", "3", "--report", str(self.work / "run.html")))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 1)                       # the result, nothing else
        self.assertIn("model.layers.1: loss", done.stderr)                       # lines where there is no terminal
        self.assertTrue((self.work / "plain/model.safetensors").exists())
        self.assertIn("<svg", (self.work / "run.html").read_text())
        self.assertEqual(len(json.loads((self.work / "run.json").read_text())["blocks"]), 2)

        text = run("perplexity", str(self.work / "plain"), "--text", str(self.data), "--seqlen", "16", "--json")
        self.assertEqual(text.returncode, 0, text.stderr)
        measured = json.loads(text.stdout)
        self.assertEqual(set(measured), {"perplexity", "nll", "tokens"})
        self.assertEqual(measured["tokens"], 8 * 15)

    def test_token_ids_need_no_tokenizer_and_text_does(self) -> None:
        bare = self.work / "bare"
        shutil.copytree(self.model, bare, ignore=shutil.ignore_patterns("tokenizer*"))
        done = run("perplexity", str(bare), "--text", str(self.data), "--seqlen", "16")
        self.assertEqual(done.returncode, 0, done.stderr)
        text = self.work / "text.txt"
        text.write_text("some words " * 40)
        done = run("perplexity", str(bare), "--text", str(text), "--seqlen", "16")
        self.assertEqual(done.returncode, 2)
        self.assertIn("tokenizer", done.stderr)

    def test_json_is_one_object_a_line(self) -> None:
        done = run(*self.job("json", "--iters", "2", "--json"))
        self.assertEqual(done.returncode, 0, done.stderr)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([e["event"] for e in events].count("iteration"), 4)
        self.assertEqual(events[-1]["event"], "result")
        self.assertEqual(events[-1]["output"], str(self.work / "json"))

    def test_quiet_prints_the_result_only(self) -> None:
        done = run(*self.job("quiet", "--iters", "1", "--quiet"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_dry_run_writes_nothing(self) -> None:
        done = run(*self.job("dry", "--dry-run", "--json"))
        self.assertEqual(done.returncode, 0, done.stderr)
        plan = json.loads(done.stdout)
        self.assertGreater(plan["memory_bytes"], 0)
        self.assertGreater(plan["disk_bytes"], 0)
        self.assertFalse((self.work / "dry").exists())

    def test_exit_codes(self) -> None:
        cases = {
            "no command": ((), 2),
            "unknown flag": (("quantize", "--no-such-flag"), 2),
            "no model": (("inspect", "/no/such/model"), 2),
            "unknown scheme": (("quantize", str(self.model), "--output", str(self.work / "x"), "--scheme", "W4A17"), 2),
            "unknown key": ((*self.job("x"), "--set", "itres=3"), 2),
            "key out of range": ((*self.job("x"), "--iters", "200000"), 2),
            "unknown preset": ((*self.job("x"), "--preset", "lite"), 2),
            "recipe that is none": (("recipe", "check", str(self.data)), 2),
            "help": (("--help",), 0),
            "version": (("version",), 0),
        }
        for name, (arguments, wanted) in cases.items():
            with self.subTest(name):
                done = run(*arguments)
                self.assertEqual(done.returncode, wanted, done.stdout + done.stderr)
                if wanted == 2:
                    self.assertNotEqual(done.stderr, "")
        self.assertFalse((self.work / "x").exists())

    def test_inspect_says_what_happens_to_each_layer(self) -> None:
        self.assertIn("LlamaDecoderLayer", run("inspect", str(self.model)).stdout)
        done = run("inspect", str(self.model), "--scheme", "W4A16", "--group-size", "32")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"model\.layers\.1\.mlp\.down_proj\s+\[64,96\]\s+int4 group 32")
        self.assertRegex(done.stdout, r"lm_head\s+\[64,64\]\s+- ignored")
        self.assertIn("predicted:", done.stdout)

    def test_presets_yield_to_what_is_given(self) -> None:
        done = run(*self.job("preset", "--iters", "2", "--preset", "light"))
        self.assertEqual(done.returncode, 0, done.stderr)
        recipe = (self.work / "preset/recipe.yaml").read_text()
        for line in ("preset: light", "iters: 2", "lr: 0.005", "nsamples: 128"):
            self.assertRegex(recipe, rf"(?m)^ *{line}$")

    def test_searched_scales(self) -> None:
        # A recipe that SignRoundV2 cannot honour is refused before anything is written.
        done = run(*self.job("v2", "--asym", "--iters", "2", "--set", "enable_alg_ext=true"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("enable_alg_ext", done.stderr)
        self.assertIn("asym", done.stderr)
        self.assertFalse((self.work / "v2").exists())

        def losses(name: str, *options: str) -> tuple[float, float]:
            report = self.work / f"{name}-report.html"
            done = run(*self.job(name, "--set", "weights.num_bits=2", "--report", str(report), *options))
            self.assertEqual(done.returncode, 0, done.stderr)
            blocks = json.loads(report.with_suffix(".json").read_text())["blocks"]
            return sum(block["rtn_loss"] for block in blocks), sum(block["loss"] for block in blocks)

        nearest, kept = losses("nearest", "--iters", "0", "--set", "disable_opt_rtn=true")
        self.assertEqual(nearest, kept)
        self.assertLess(losses("searched", "--iters", "0")[1], nearest)
        self.assertLess(losses("tuned", "--iters", "5", "--set", "enable_alg_ext=true")[1], nearest)

    def test_layers_have_schemes_of_their_own(self) -> None:
        own = ("--set", "layers.lm_head.weights.num_bits=8", "--set", "layers.re:.*0[.]mlp[.]down_proj.weights.num_bits=8",
               "--set", "layers.model.layers.1.self_attn.o_proj.scheme=UNQUANTIZED")
        done = run("inspect", str(self.model), "--scheme", "W4A16", "--group-size", "32", *own)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"lm_head\s+\[64,64\]\s+int8 group 32")
        self.assertRegex(done.stdout, r"layers\.1\.self_attn\.o_proj\s+\[64,64\]\s+- left alone by group")
        self.assertRegex(done.stdout, r"layers\.0\.mlp\.down_proj\s+\[64,96\]\s+int8 group 32")
        self.assertRegex(done.stdout, r"layers\.1\.mlp\.down_proj\s+\[64,96\]\s+int4 group 32")
        done = run(*self.job("layers", "--iters", "1", *own))
        self.assertEqual(done.returncode, 0, done.stderr)
        config = json.loads((self.work / "layers/config.json").read_text())
        groups = config["quantization_config"]["config_groups"].values()
        bits = {target: group["weights"]["num_bits"] for group in groups for target in group["targets"]}
        self.assertEqual((bits["lm_head"], bits["re:.*0[.]mlp[.]down_proj"]), (8, 8), bits)
        self.assertIn("model.layers.1.self_attn.o_proj", config["quantization_config"]["ignore"])
        self.assertNotIn("lm_head", config["quantization_config"]["ignore"])
        again = run("quantize", str(self.model), "--output", str(self.work / "layers2"), "--recipe", str(self.work / "layers/recipe.yaml"),
                    "--calibration", str(self.data))
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual((self.work / "layers2/model.safetensors").read_bytes(), (self.work / "layers/model.safetensors").read_bytes())
        self.assertEqual(run("inspect", str(self.model), "--scheme", "W4A16", "--set", "layers.lm_haed.scheme=W8A16").returncode, 2)

    def test_recipes(self) -> None:
        for recipe in sorted(Path(f"{SOURCE}/examples/recipes").iterdir()):
            with self.subTest(recipe.name):
                self.assertEqual(run("recipe", "check", str(recipe)).returncode, 0)
        converted = self.work / "converted.toml"
        converted.write_text(run("recipe", "convert", f"{SOURCE}/examples/recipes/w4a16.yaml", "--to", "toml").stdout)
        there = run("recipe", "convert", str(converted), "--to", "yaml").stdout
        self.assertEqual(there, run("recipe", "convert", f"{SOURCE}/examples/recipes/w4a16.yaml", "--to", "yaml").stdout)

    def test_lists(self) -> None:
        self.assertIn("W4A16_ASYM", run("schemes").stdout.split())
        self.assertIn("compressed-tensors", run("formats").stdout.split())
        self.assertIn("libtorch", json.loads(run("version", "--json").stdout))

    def test_interrupt_is_polite(self) -> None:
        process = subprocess.Popen([AUTOROUND, *self.job("interrupted", "--iters", "100000", "--json")],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in process.stdout:
            if json.loads(line)["event"] == "iteration":
                break
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 3, errors)
        self.assertLess(time.monotonic() - started, 10)
        self.assertIn("cancelled", errors)
        self.assertFalse((self.work / "interrupted").exists())
        self.assertEqual([p.name for p in self.work.iterdir() if p.name.startswith(".")], [])

    def test_a_terminal_gets_a_bar(self) -> None:
        leader, follower = pty.openpty()
        process = subprocess.Popen([AUTOROUND, *self.job("bar", "--iters", "3")], stdout=subprocess.DEVNULL, stderr=follower)
        os.close(follower)
        seen = b""
        while True:
            try:
                chunk = os.read(leader, 4096)
            except OSError:  # the other side is closed
                break
            if not chunk:
                break
            seen += chunk
        os.close(leader)
        self.assertEqual(process.wait(timeout=60), 0)
        for part in (b"\r", b"[", b"block 2/2", b"iteration", b"loss", b"ETA", b"peak"):
            self.assertIn(part, seen)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
