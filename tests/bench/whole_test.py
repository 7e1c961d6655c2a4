"""whole.py on a tiny checkpoint: what it writes, what it does not count, and when the target counts as missed. The
times themselves mean nothing here.

usage: whole_test.py AUTOROUND
"""
import json
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import child
import whole

AUTOROUND = sys.argv[1]
SCRIPT = Path(__file__).with_name("whole.py")
PEER = "llm-compressor-eager"  # compiling takes a minute


def run(*switches: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, SCRIPT, "--shape", "tiny", "--layers", "2", "--samples", "4", "--length", "32", "--batch", "2",
         "--iters", "2", "--threads", "1", *switches], capture_output=True, text=True, timeout=240)


class Contest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        with tempfile.TemporaryDirectory(prefix="whole-test-") as folder:
            figures = Path(folder) / "whole.json"
            cls.done = run("--autoround", AUTOROUND, "--peers", PEER, "--folder", folder, "--json", figures)
            cls.json = json.loads(figures.read_text()) if figures.exists() else None
            cls.left = [path.name for path in Path(folder).iterdir()]

    def setUp(self) -> None:
        self.assertEqual(self.done.returncode, 0, self.done.stdout + self.done.stderr)

    def test_table(self) -> None:
        words = [line.split() for line in self.done.stdout.splitlines()]
        rows = {line[0]: line[1:] for line in words if line and line[0] in (whole.OURS, PEER)}
        self.assertEqual(tuple(rows), (whole.OURS, PEER))
        self.assertEqual(float(rows[whole.OURS][1]), 1)
        for seconds, _, sign, own, megabytes in rows.values():
            self.assertGreaterEqual(float(seconds), float(own))
            self.assertEqual(sign, "x")
            self.assertGreater(float(megabytes), 0)

    def test_json(self) -> None:
        self.assertEqual(self.json["failures"], {})
        self.assertIn("2 layers, 4 windows of 32 tokens, batch 2, 2 iterations, w4g32sym, cpu", self.json["title"])
        for name in (whole.OURS, PEER):
            self.assertEqual(len(self.json["runs"][name]), 1)
            self.assertGreater(self.json["median"][name]["own_seconds"], 0)
        self.assertEqual(len(self.json["runs"][whole.OURS][0]["account"]["blocks"]), 2)

    def test_progress(self) -> None:
        for line in (f"1: {whole.OURS} starts", f"1: {PEER} starts"):
            self.assertIn(line, self.done.stderr.splitlines())

    def test_nothing_is_left(self) -> None:
        self.assertEqual(self.left, ["whole.json"])


class Failure(unittest.TestCase):
    def test_of_a_contestant_that_does_nothing(self) -> None:
        with tempfile.TemporaryDirectory(prefix="whole-test-") as folder:
            idle = Path(folder) / "idle"
            idle.write_text(f"#!{sys.executable}\nb'x' * 100_000_000\n")
            idle.chmod(0o755)
            done = run("--autoround", idle, "--peers", "")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn(f"{whole.OURS} failed", done.stdout.splitlines())
        self.assertIn("holds 0 checkpoints", done.stderr)


    def test_of_a_peer_that_takes_too_long(self) -> None:
        done = run("--autoround", AUTOROUND, "--peers", PEER, "--timeout", "2")  # ours takes a fraction of a second
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        line = next(line for line in done.stdout.splitlines() if line.startswith(PEER))
        self.assertIn("and more: cut off", line)


class Folder(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="whole-test-")
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name) / "inner"
        self.folder.mkdir()

    def write(self, method: str, names: list[str], missing: int = 0) -> None:
        config = {"quantization_config": {"quant_method": method}}
        (self.folder / "config.json").write_text(json.dumps(config))
        header = json.dumps({"__metadata__": {}} | {
            name: {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i, name in enumerate(names)}).encode()
        data = struct.pack("<Q", len(header)) + header + bytes(len(names) - missing)
        (self.folder / "model.safetensors").write_bytes(data)

    def test_scales_are_counted(self) -> None:
        names = ["a.weight_packed", "a.weight_scale", "b.weight", "b.weight_scale", "c.weight"]
        self.write("compressed-tensors", names)
        self.assertEqual(whole.quantized_layers(self.folder), 2)
        self.assertEqual(whole.quantized_layers(self.folder.parent), 2)

    def test_what_does_not_count(self) -> None:
        with self.assertRaisesRegex(child.ChildError, "0 checkpoints"):
            whole.quantized_layers(self.folder / "absent")
        self.write("compressed-tensors", ["a.weight_scale"], missing=1)
        with self.assertRaisesRegex(child.ChildError, "bytes"):
            whole.quantized_layers(self.folder)
        self.write("gptq", ["a.weight_scale"])
        with self.assertRaisesRegex(child.ChildError, "not of compressed-tensors"):
            whole.quantized_layers(self.folder)


class Target(unittest.TestCase):
    def miss(self, cut_off: dict[str, float] | None = None, **seconds: float) -> str | None:
        median = {name.replace("_", "-"): {"seconds": taken} for name, taken in seconds.items()}
        return whole.miss({"median": median, "cut_off": cut_off or {}})

    def test_fastest_peer(self) -> None:
        self.assertIsNone(self.miss(libautoround=1.0, auto_round=1.5, llm_compressor=9.0))
        missed = self.miss(libautoround=1.0, auto_round=1.3, llm_compressor=9.0)
        self.assertIn("1.30 times our time, 1.4 wanted", missed)

    def test_peer_that_was_cut_off(self) -> None:
        self.assertIsNone(self.miss({"llm-compressor": 1.5}, libautoround=1.0))
        self.assertIn("1.20 times", self.miss({"llm-compressor": 1.2}, libautoround=1.0, auto_round=1.5))

    def test_nothing_to_compare(self) -> None:
        self.assertEqual(self.miss(libautoround=1.0), "nothing to compare")
        self.assertEqual(self.miss(auto_round=1.0), "nothing to compare")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
