"""speed.py on a tiny layer: what it writes, and when a target counts as missed. The times themselves mean nothing here.

usage: speed_test.py BLOCK_BENCH
"""
import json
import math
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import child
import speed_parts
import speed_report
import turns

BLOCK_BENCH = sys.argv[1]
SPEED = Path(__file__).with_name("speed.py")
CONTESTANTS = ("libautoround", "neighbour", "eager", "products")


class Run(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        with tempfile.TemporaryDirectory(prefix="speed-test-") as folder:
            figures, picture = Path(folder) / "speed.json", Path(folder) / "speed.svg"
            cls.done = subprocess.run(
                [sys.executable, SPEED, "--bench", BLOCK_BENCH, "--shapes", "tiny", "--batch", "2", "--length", "32",
                 "--alternations", "1", "--threads", "1", "--peers", "eager", "--neighbour", "--json", figures, "--svg", picture],
                capture_output=True, text=True, timeout=240)
            cls.json = json.loads(figures.read_text()) if figures.exists() else None
            cls.svg = picture.read_text() if picture.exists() else None

    def setUp(self) -> None:
        self.assertEqual(self.done.returncode, 0, self.done.stdout + self.done.stderr)

    def test_table(self) -> None:
        words = [line.split() for line in self.done.stdout.splitlines()]
        rows = {line[0]: line[1:] for line in words if line and line[0] in CONTESTANTS}
        self.assertEqual(tuple(rows), CONTESTANTS)
        for milliseconds, ratio, sign, megabytes in rows.values():
            self.assertGreater(float(milliseconds), 0)
            self.assertGreater(float(ratio), 0)
            self.assertEqual(sign, "x")
            self.assertGreater(float(megabytes), 0)

    def test_json(self) -> None:
        (result,) = self.json
        self.assertEqual((result["shape"], result["size"], result["scheme"]), ("tiny", "2x32", "w4g32sym"))
        self.assertEqual(result["failures"], {})
        for name in CONTESTANTS:
            self.assertGreater(result["median"][name]["seconds"], 0)
            self.assertEqual(len(result["runs"][name]), 1)
        self.assertEqual(len(result["runs"]["eager"][0]["layers"]), 2)
        for name in ("libautoround", "eager"):
            self.assertTrue(math.isfinite(result["median"][name]["outside"]))
        self.assertGreater(result["median"]["products"]["ratio"], 0)  # in turns with libautoround

    def test_parts(self) -> None:
        parts = self.json[0]["parts"]
        self.assertLessEqual(parts.keys(), set(speed_parts.PARTS))
        for name in ("forward products", "attention", "norms", "activation", "rounding", "loss", "gather"):
            self.assertGreater(parts[name], 0, name)
        self.assertTrue({"backward products", "backward products and step"} & parts.keys())
        # They make up the iteration, unless clocks disagree about a thread that never waited.
        self.assertGreaterEqual(sum(parts.values()), 0.999 * self.json[0]["profile"]["wall"])

    def test_chart(self) -> None:
        root = ElementTree.fromstring(self.svg)
        texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        for label in ("tiny, 2 × 32 tokens, w4g32sym", "libautoround", "auto-round, eager", "products alone", "gather"):
            self.assertIn(label, texts)
        self.assertIn("prefers-color-scheme:dark", self.svg)


class Parts(unittest.TestCase):
    def test_products_apart_from_the_step_where_they_can_be_told(self) -> None:
        scopes = {"QuantLinearBackward": {"": 1.0, "aten::mm": 2.0}}
        self.assertEqual(speed_parts.seconds_by_part({"wall": 2.0, "scopes": scopes}, threads=2),
                         {"backward products": 1.0, "step": 0.5, "waiting": 0.5})
        scopes = {"QuantLinearBackward": {"": 3.0}, "weights and batch": {"": 1.0, "autoround::gather": 2.0}}
        self.assertEqual(speed_parts.seconds_by_part({"wall": 1.0, "scopes": scopes}, threads=1),
                         {"backward products and step": 3.0, "rounding": 1.0, "gather": 2.0})


class Turns(unittest.TestCase):
    def command(self, answer: str) -> list[str]:
        large = "memory = b'.' * (64 << 20)"  # or its peak could not be told from ours
        return [sys.executable, "-c", f"import sys, time\n{large}\nwhile sys.stdin.buffer.read(1):\n    {answer}"]

    def test_both_iterate_and_the_first_do_not_count(self) -> None:
        counted = "global n; n = globals().get('n', 0) + 1; print(9 if n <= 4 else {}, flush=True)"
        quick, slow = turns.take_turns([self.command(counted.format(answer)) for answer in ("0.25", "0.5")], 1, 2, 60)
        self.assertEqual((quick.seconds, slow.seconds), (0.25, 0.5))
        self.assertGreater(quick.peak_bytes, 64 << 20)

    def test_one_that_ends_is_an_error(self) -> None:
        with self.assertRaisesRegex(child.ChildError, "has ended(.|\n)*enough"):
            turns.take_turns([self.command("print(1, flush=True)"), self.command("sys.exit('enough')")], 1, 1, 60)

    def test_silence_is_an_error(self) -> None:
        with self.assertRaisesRegex(child.ChildError, "is silent for 1 s"):
            turns.take_turns([self.command("time.sleep(60)")], 1, 1, 1)


class Targets(unittest.TestCase):
    def result(self, seconds: dict[str, float], **changes) -> dict:
        return {
            "device": "cpu", "shape": "smollm2-135m", "size": "8x256", "threads": 2, "own_scheme": True,
            "scheme": "w4g64sym", "model": None, "iters": [20, 120], "failures": {},
            "runs": {"libautoround": [{"compute": "BFloat16"}]},
            "median": {name: {"seconds": time, "peak": 1.0} for name, time in seconds.items()}} | changes

    def test_missed(self) -> None:
        found = speed_report.misses(self.result({"libautoround": 1.0, "eager": 2.6, "compiled": 1.5, "products": 1.0}))
        self.assertEqual(len(found), 1)
        self.assertIn("compiled takes 1.50 times our time, 1.60 wanted", found[0])
        self.assertEqual(len(speed_report.misses(self.result({"libautoround": 1.0, "products": 0.9}))), 1)

    def test_turns_count(self) -> None:
        result = self.result({"libautoround": 1.0, "products": 0.9})
        result["median"]["products"]["ratio"] = 1.01  # in the same seconds, while ours has others in its own figure
        self.assertEqual(speed_report.misses(result), [])
        result["median"]["products"]["ratio"] = 0.99
        self.assertEqual(len(speed_report.misses(result)), 1)

    def test_outside_the_iterations(self) -> None:
        result = self.result({"libautoround": 1.0, "eager": 9.0})
        result["median"]["eager"]["outside"] = 1.0
        for seconds, count in ((0.19, 0), (0.21, 1)):
            result["median"]["libautoround"]["outside"] = seconds
            self.assertEqual(len(speed_report.misses(result)), count)
        self.assertIn("0.21 of what a layer costs eager outside its iterations", speed_report.misses(result)[0])
        self.assertIn("a layer outside its iterations: 0.21 s, 0.21 of eager's", speed_report.table(result))

    def test_neighbour(self) -> None:
        self.assertEqual(speed_report.misses(self.result({"libautoround": 1.0, "neighbour": 2.2})), [])
        (missed,) = speed_report.misses(self.result({"libautoround": 1.0, "neighbour": 2.4}))
        self.assertIn("neighbour takes 2.40 times our time, at most 2.30 wanted", missed)

    def test_not_of_other_conditions(self) -> None:
        slow = {"libautoround": 1.0, "eager": 1.0}
        self.assertEqual(len(speed_report.misses(self.result(slow))), 1)
        for change in ({"threads": 1}, {"own_scheme": False}, {"size": "8x128"}, {"device": "cuda"},
                       {"runs": {"libautoround": [{"compute": "Float"}]}}):
            self.assertEqual(speed_report.misses(self.result(slow, **change)), [], change)

    def test_memory_on_a_gpu(self) -> None:
        result = self.result({"libautoround": 1.0, "eager": 9.0}, device="cuda:1", shape="llama-3.1-8b", size="8x2048")
        self.assertIn("1.00 of the peers' least memory", speed_report.misses(result)[0])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
