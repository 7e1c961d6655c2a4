"""speed.py on a tiny layer: what it writes, and when a target counts as missed. The times themselves mean nothing here.

usage: speed_test.py BLOCK_BENCH
"""
import json
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
    PROGRAM = """
import sys, time
with open(sys.argv[2], "w") as marks:
    while True:
        {}
        print(time.monotonic(), file=marks, flush=True)
"""

    def command(self, body: str) -> list[str]:
        return [sys.executable, "-c", self.PROGRAM.format(body)]

    def test_only_what_lies_in_a_turn_counts(self) -> None:
        quick, slow = turns.take_turns([self.command("time.sleep(0.01)"), self.command("time.sleep(0.04)")], 1, 3, 60)
        self.assertGreaterEqual(quick.seconds, 0.01)
        self.assertGreaterEqual(slow.seconds, 0.04)
        self.assertLess(quick.seconds, 0.3)  # a pause between turns is longer
        self.assertGreater(quick.peak_bytes, 0)

    def test_one_that_ends_is_an_error(self) -> None:
        with self.assertRaisesRegex(child.ChildError, "exit status 3"):
            turns.take_turns([self.command("sys.exit(3)")], 1, 1, 60)

    def test_one_that_never_begins_is_an_error(self) -> None:
        with self.assertRaisesRegex(child.ChildError, "no iterations"):
            turns.take_turns([self.command("time.sleep(60)")], 1, 1, 1)


class Targets(unittest.TestCase):
    def result(self, seconds: dict[str, float], **changes) -> dict:
        return {
            "device": "cpu", "shape": "smollm2-135m", "size": "8x256", "threads": 2, "own_scheme": True,
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
