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


def run(*arguments: str | bytes) -> subprocess.CompletedProcess:
    return subprocess.run([AUTOROUND, *arguments], capture_output=True, text=True, errors="replace", timeout=120)


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
        self.assertEqual(len(done.stdout.splitlines()), 1)
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
            "iterations below 0": ((*self.job("x"), "--iters", "-5"), 2),
            "samples below 0": ((*self.job("x"), "--nsamples", "-3"), 2),
            "no sample a step": ((*self.job("x"), "--batch-size", "0"), 2),
            "batch below 0": ((*self.job("x"), "--batch-size", "-2"), 2),
            "length below 0": (("inspect", str(self.model), "--scheme", "W4A16", "--seqlen", "-1"), 2),
            "group of none": (("inspect", str(self.model), "--scheme", "W4A16", "--group-size", "0"), 2),
            "memory below 0": ((*self.job("x"), "--memory-limit", "-5"), 2),
            "memory below 0 of a unit": ((*self.job("x"), "--memory-limit", "-1.5GB"), 2),
            "memory that is no size": ((*self.job("x"), "--memory-limit", "1.5.2GB"), 2),
            "seed below 0": ((*self.job("x"), "--seed", "-1"), 2),
            "text that is a folder": (("perplexity", str(self.model), "--text", str(self.work)), 2),
            "report in no folder": ((*self.job("x"), "--report", str(self.work / "none" / "r.html")), 2),
            "report that is a folder": ((*self.job("x"), "--report", f"{self.work}/"), 2),
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
                    self.assertNotRegex(done.stderr, r"\d{30}")
        self.assertFalse((self.work / "x").exists())

    def test_memory_limits_have_units_and_fractions(self) -> None:
        for text, limit in {"1.5GB": 1_500_000_000, "0.5 GiB": 1 << 29, "123456789": 123_456_789, "2kb": 2000, "0": 0}.items():
            done = run(*self.job("limit", "--dry-run", "--json", "--memory-limit", text))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout)["memory"]["limit_bytes"], limit)

    def test_reports_have_two_names_and_are_tried_before_the_run(self) -> None:
        folder = self.work / "reports"
        folder.mkdir()
        quick = ("--iters", "0", "--quiet")
        for name, stem in {"r1": "r1", "r2.json": "r2", "v0.1": "v0.1", "a.html.d.html": "a.html.d"}.items():
            done = run(*self.job(f"report-{stem}", *quick, "--report", str(folder / name)))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("<html", (folder / f"{stem}.html").read_text())
            self.assertIn("blocks", json.loads((folder / f"{stem}.json").read_text()))
        self.assertEqual(len(list(folder.iterdir())), 8)
        inside = run(*self.job("report-inside", *quick, "--report", str(self.work / "report-inside/run.html")))
        self.assertEqual(inside.returncode, 0, inside.stderr)
        self.assertTrue((self.work / "report-inside/run.json").exists())

        # A run that is refused neither empties the report of the last one nor leaves files of its own.
        before = (folder / "r1.html").read_bytes()
        for name in ("r1", "new"):
            self.assertEqual(run(*self.job("report-r1", *quick, "--report", str(folder / name))).returncode, 2)
        self.assertEqual((folder / "r1.html").read_bytes(), before)
        self.assertEqual(list(folder.glob("new*")), [])
        (folder / "half.json").mkdir()
        done = run(*self.job("half", *quick, "--report", str(folder / "half.html")))
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("half.json", done.stderr)
        self.assertFalse((folder / "half.html").exists() or (self.work / "half").exists())

    def test_paths_need_not_be_utf8(self) -> None:
        output = os.fsencode(self.work) + b"/caf\xe9"
        job = self.job("x", "--iters", "1", "--json")
        done = run(*job[:3], output, *job[4:])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(os.path.exists(output + b"/model.safetensors"))
        self.assertTrue(json.loads(done.stdout.splitlines()[-1])["output"].endswith("caf\ufffd"))

    def test_output_that_cannot_be_written_is_an_error(self) -> None:
        for arguments in (("schemes",), ("--help",), ("inspect", str(self.model)), self.job("full", "--iters", "0", "--json")):
            with open("/dev/full", "w") as full:
                done = subprocess.run([AUTOROUND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn("stdout", done.stderr)

    def test_lists_take_one_value_each_time(self) -> None:
        model, output = str(self.model), str(self.work / "lists")
        done = run("quantize", "--output", output, "--format", "auto_gptq,auto_round", "--set", "weights.group_size=32", "--set", "iters=0",
                   "--ignore", "lm_head,model.layers.0.mlp.down_proj", model, "--quiet")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(os.listdir(output)), ["auto_gptq", "auto_round"])
        for option in (("--format", "fake"), ("--set", "weights.group_size=32"), ("--ignore", "lm_head")):
            done = run("quantize", "--output", output + "2", "--dry-run", "--group-size", "32", "--iters", "0", *option, model)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_targets_restrict(self) -> None:
        def layers(*options: str) -> set[str]:
            done = run("inspect", str(self.model), "--set", "weights.group_size=32", *options, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            return {layer["name"] for layer in json.loads(done.stdout)["layers"] if "scheme" in layer}

        down, o = ({f"model.layers.{i}.{name}_proj" for i in range(2)} for name in ("mlp.down", "self_attn.o"))
        self.assertEqual(layers("--set", "targets=re:.*down_proj"), down)
        self.assertEqual(layers("--set", "targets=re:.*down_proj", "--set", "targets=re:.*o_proj"), down | o)
        recipe = self.work / "linear.toml"
        recipe.write_text('[quantize_stage.modifiers.AutoRoundModifier]\nscheme = "W4A16"\ntargets = ["Linear"]\n')
        self.assertEqual(layers("--recipe", str(recipe), "--set", "targets=re:.*o_proj"), o)
        everything = layers()
        self.assertNotIn("lm_head", everything)
        # As with --ignore, what is named stands for the default; a further one adds to it.
        self.assertEqual(layers("--set", "ignore=re:.*o_proj", "--set", "ignore=re:.*down_proj"),
                         everything - o - down | {"lm_head"})

    def test_inspect_says_what_happens_to_each_layer(self) -> None:
        self.assertIn("LlamaDecoderLayer", run("inspect", str(self.model)).stdout)
        described = run("inspect", str(self.model), "--json").stdout
        self.assertEqual(len(described.splitlines()), 1)
        modules = {module["name"]: module for module in json.loads(described)["modules"]}
        self.assertEqual(modules["lm_head"], {"class": "Linear", "name": "lm_head", "shape": [64, 64]})
        for option in (("--group-size", "32"), ("--set", "weights.group_size=32"), ("--asym", "--group-size", "32")):
            done = run("inspect", str(self.model), *option)  # any of a recipe's options
            self.assertIn("predicted:", done.stdout, done.stderr)
        self.assertEqual(run("inspect", str(self.model), "--iters", "-5").returncode, 2)
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
                self.assertEqual(json.loads(run("recipe", "check", str(recipe), "--json").stdout), {"recipe": str(recipe), "ok": True})
        converted = self.work / "converted.toml"
        converted.write_text(run("recipe", "convert", f"{SOURCE}/examples/recipes/w4a16.yaml", "--to", "toml").stdout)
        there = run("recipe", "convert", str(converted), "--to", "yaml").stdout
        self.assertEqual(there, run("recipe", "convert", f"{SOURCE}/examples/recipes/w4a16.yaml", "--to", "yaml").stdout)

    def test_lists(self) -> None:
        for command, name in {"schemes": "W4A16_ASYM", "formats": "compressed-tensors"}.items():
            names = run(command).stdout.split()
            self.assertIn(name, names)
            self.assertEqual(json.loads(run(command, "--json").stdout), names)
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
