"""Runs that are killed, damaged or changed before they are resumed: the bytes are those of a run without a break, or there is an error.

usage: resume_test.py AUTOROUND WRITE_TOY KILLED_RUN SOURCE_DIR

AUTOROUND_KILLS=N kills N runs at random times (default 8) and strace kills at N system calls (default 8), spread over the run; 0: at all.
"""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

AUTOROUND, WRITE_TOY, KILLED_RUN, SOURCE = sys.argv[1:5]
KILLS = int(os.environ.get("AUTOROUND_KILLS", "8"))
LAYERS = 3
WRITING_CALLS = "pwrite64,write,fallocate,ftruncate,fsync,fdatasync,mkdir,rename,unlink,unlinkat,rmdir"


def run(*command: object, **more: object) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, **more)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Killed(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.work = Path(tempfile.mkdtemp(prefix="autoround-resume-"))
        cls.model = cls.work / "model"
        subprocess.run([WRITE_TOY, str(cls.model), "96", str(LAYERS)], check=True)
        shutil.copy(f"{SOURCE}/tests/support/tiny_tokenizer/tokenizer.json", cls.model)
        cls.data = cls.work / "ids.jsonl"
        cls.data.write_text("".join(json.dumps({"input_ids": [(7 * i + 3 * k) % 64 for k in range(16)]}) + "\n" for i in range(8)))
        cls.references: dict[tuple[str, ...], dict[str, bytes]] = {}

    @classmethod
    def tearDownClass(cls) -> None:
        shutil.rmtree(cls.work)

    def setUp(self) -> None:
        self.place = Path(tempfile.mkdtemp(dir=self.work))
        self.out = self.place / "out"

    # The command line: 3 blocks of 3 iterations, 17 events.

    def command(self, output: Path, *more: str) -> list[str]:
        return [AUTOROUND, "quantize", str(self.model), "--output", str(output), "--scheme", "W4A16", "--group-size", "32",
                "--calibration", str(self.data), "--seqlen", "16", "--iters", "3", *more]

    def resume(self, *more: str) -> subprocess.CompletedProcess:
        return run(*self.command(self.out, "--resume", *more))

    def reference(self, *more: str) -> dict[str, bytes]:
        if more not in self.references:
            output = self.work / f"reference{len(self.references)}"
            done = run(*self.command(output, *more))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.references[more] = contents(output)
        return self.references[more]

    def start_and_kill(self, event: str, block: int, *more: str) -> Path:
        """Kills a run when it tells of the event, or soon after. Gives the folder it left."""
        process = subprocess.Popen(self.command(self.out, "--json", *more), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in process.stdout:
            told = json.loads(line)
            if (told["event"], told.get("block")) == (event, block):
                break
        process.kill()
        process.communicate()
        return self.left()

    def left(self) -> Path:
        folders = list(self.place.glob(".out.incomplete-??????"))
        self.assertEqual(len(folders), 1)
        return folders[0]

    def finish_and_compare(self, *more: str) -> subprocess.CompletedProcess:
        done = self.resume(*more)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(contents(self.out), self.reference(*more))
        self.assertEqual([path.name for path in self.place.iterdir()], ["out"])  # no folder, no lock
        return done

    # Where a run can be killed.

    def at_every_event(self, symmetric: int) -> None:
        whole = self.place / "whole"
        done = run(KILLED_RUN, self.model, whole, symmetric, 0)
        self.assertEqual(done.returncode, 0, done.stderr)
        events = int(done.stdout)
        self.assertEqual(events, 2 + LAYERS * 5)
        for event in range(1, events + 1):
            with self.subTest(event=event):
                self.assertEqual(run(KILLED_RUN, self.model, self.out, symmetric, event).returncode, -signal.SIGKILL)
                self.assertFalse(self.out.exists())
                done = run(KILLED_RUN, self.model, self.out, symmetric, 0)
                self.assertEqual(done.returncode, 0, done.stderr)
                # A block that tells of its end is on its way to the journal, and there when the next one begins.
                found = re.search(r"going on after (\d+) finished blocks", done.stderr)
                finished = int(found[1]) if found else 0
                self.assertIn(finished, range(max(0, event - 2) // 5, (event - 1) // 5 + 1), done.stderr)
                self.assertEqual(int(done.stdout), events - 3 * finished)  # no iterations of finished blocks
                self.assertEqual(contents(self.out), contents(whole))
                shutil.rmtree(self.out)
        self.assertEqual([path.name for path in self.place.iterdir()], ["whole"])

    def test_at_every_event(self) -> None:
        self.at_every_event(symmetric=1)

    def test_at_every_event_with_zero_points(self) -> None:
        self.at_every_event(symmetric=0)

    def test_at_random_times_again_and_again(self) -> None:
        self.reference()
        clock = random.Random(1)
        started = time.monotonic()
        run(*self.command(self.place / "timed"))
        longest = time.monotonic() - started
        shutil.rmtree(self.place / "timed")
        for kill in range(KILLS or 200):
            with self.subTest(kill=kill):
                process = subprocess.Popen(self.command(self.out, "--resume", "--quiet"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(clock.uniform(0.3, 1.0) * longest)
                process.kill()
                process.wait()
                if not self.out.exists() and kill % 3:  # two of three are killed again
                    continue
                if not self.out.exists():
                    self.assertEqual(self.resume().returncode, 0)
                self.assertEqual(contents(self.out), self.reference())
                shutil.rmtree(self.out)

    @unittest.skipUnless(shutil.which("strace"), "no strace on this machine")
    def test_at_system_calls_that_write(self) -> None:
        self.reference()
        listed = run("strace", "-f", "-o", self.place / "calls", "-e", f"trace={WRITING_CALLS}", *self.command(self.place / "traced"))
        if listed.returncode != 0:
            self.skipTest("strace cannot trace here: " + listed.stderr.strip())
        shutil.rmtree(self.place / "traced")
        calls = sum(1 for line in (self.place / "calls").read_text().splitlines() if re.search(r"^\d+ +\w+\(", line))
        (self.place / "calls").unlink()
        self.assertGreater(calls, 50)
        per_call = {name: 0 for name in WRITING_CALLS.split(",")}
        step = max(1, calls // KILLS) if KILLS else 1
        for name in per_call:  # strace counts each call for itself
            for when in range(1, calls, step):
                killed = run("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={when}",
                             *self.command(self.out, "--resume", "--quiet"))
                if killed.returncode == 0:
                    shutil.rmtree(self.out)
                    break  # there are not so many
                per_call[name] += 1
                with self.subTest(call=name, when=when):
                    if not self.out.exists():
                        self.assertEqual(self.resume().returncode, 0)
                    self.assertEqual(contents(self.out), self.reference())
                    shutil.rmtree(self.out)
                    for lock in self.place.iterdir():
                        lock.unlink()  # of a run that was killed after its folder was complete
        self.assertGreater(sum(per_call.values()), 8, per_call)

    def test_a_gguf_file(self) -> None:
        self.model = shutil.copytree(self.model, self.work / "wordless")
        (self.model / "tokenizer.json").unlink()  # it has more tokens than the model has embeddings
        self.start_and_kill("block_begin", 2, "--format", "gguf")
        self.assertIn("going on after 2 finished blocks", self.finish_and_compare("--format", "gguf").stderr)
        self.assertEqual(sorted(contents(self.out)), ["recipe.yaml", "wordless-Q4_0.gguf"])

    # What may have happened to what it left.

    def test_a_torn_journal(self) -> None:
        for cut, finished in ((1, 1), (200, 1), (None, 1)):  # None: a byte in the middle of the last line
            with self.subTest(cut=cut):
                journal = self.start_and_kill("block_begin", 2) / ".autoround.journal"
                text = journal.read_bytes()
                lines = text.splitlines(keepends=True)
                self.assertEqual(len(lines), 3)  # what the run is, and two blocks
                at = len(text) - len(lines[2]) // 2
                journal.write_bytes(text[:-cut] if cut else text[:at] + bytes([text[at] ^ 1]) + text[at + 1:])
                done = self.finish_and_compare()
                self.assertIn(f"going on after {finished} finished blocks", done.stderr)
                shutil.rmtree(self.out)

    def test_a_journal_without_a_first_line_is_none(self) -> None:
        journal = self.start_and_kill("block_begin", 2) / ".autoround.journal"
        journal.write_bytes(b"x" + journal.read_bytes()[1:])
        self.assertNotIn("going on", self.finish_and_compare().stderr)

    def test_flipped_bytes_are_seen_and_tuned_again(self) -> None:
        for block, finished in ((1, 1), (0, 0)):
            with self.subTest(block=block):
                shard = self.start_and_kill("block_begin", 2) / "model.safetensors"
                data = bytearray(shard.read_bytes())
                length = int.from_bytes(data[:8], "little")
                name = f"model.layers.{block}.mlp.up_proj.weight_packed"
                begin, end = json.loads(data[8:8 + length])[name]["data_offsets"]
                data[8 + length + (begin + end) // 2] ^= 16
                shard.write_bytes(data)
                done = self.finish_and_compare()
                self.assertRegex(done.stderr, rf"warning: .*model\.safetensors, offset {8 + length + begin}: the \d+ bytes of {name} are not "
                                              rf"those that were written; model\.layers\.{block} and the blocks after it are tuned again")
                self.assertEqual("going on after 1 finished blocks" in done.stderr, finished == 1)
                shutil.rmtree(self.out)

    def test_shards_that_were_cut_or_lost(self) -> None:
        for what in ("cut", "longer", "lost", "header"):
            with self.subTest(what):
                shard = self.start_and_kill("block_begin", 2) / "model.safetensors"
                data = shard.read_bytes()
                if what == "lost":
                    shard.unlink()
                else:
                    shard.write_bytes({"cut": data[:len(data) // 2], "longer": data + b"x" * 5000, "header": b"?" * 300 + data[300:]}[what])
                self.finish_and_compare()
                shutil.rmtree(self.out)

    def test_foreign_files_do_not_reach_the_output(self) -> None:
        left = self.start_and_kill("block_begin", 2)
        for stale in ("model-00001-of-00002.safetensors", "model.safetensors.index.json", "config.json", "recipe.yaml", "folder/file"):
            (left / stale).parent.mkdir(exist_ok=True)
            (left / stale).write_text("stale")
        self.assertIn("going on after 2 finished blocks", self.finish_and_compare().stderr)

    # What may have changed meanwhile.

    def test_another_run_is_refused_and_loses_nothing(self) -> None:
        left = self.start_and_kill("block_begin", 2)
        before = contents(left)
        other = self.work / "other.jsonl"
        other.write_text(self.data.read_text().replace("[0, 3,", "[1, 3,"))
        changes = {
            "recipe": (["--iters", "4"], "`iters = 3`, this run's is `iters = 4`"),
            "recipe ": (["--seed", "7"], "`seed = 42`, this run's is `seed = 7`"),
            "threads": (["--threads", "1"], "this run's is `1`"),
            "calibration": (["--calibration", str(other)], "8 x 16 tokens"),
        }
        for field, (arguments, words) in changes.items():
            with self.subTest(field):
                command = self.command(self.out, "--resume")
                if arguments[0] in command:
                    command[command.index(arguments[0]) + 1] = arguments[1]
                else:
                    command += arguments
                done = run(*command)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("cannot be resumed: its " + field.strip(), done.stderr)
                self.assertIn(words, done.stderr)
                self.assertEqual(contents(left), before)
        weights = self.model / "model.safetensors"
        times = weights.stat()
        os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
        done = self.resume()
        os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.assertEqual(done.returncode, 1)
        self.assertIn("its weights is", done.stderr)
        self.assertEqual(contents(left), before)
        self.assertIn("going on after 2 finished blocks", self.finish_and_compare().stderr)

    def test_without_resume_what_was_left_is_removed_and_said(self) -> None:
        left = self.start_and_kill("block_begin", 2)
        done = run(*self.command(self.out))
        self.assertEqual(done.returncode, 0)
        self.assertIn(f"warning: {left}: removed", done.stderr)
        self.assertEqual(contents(self.out), self.reference())
        self.assertEqual([path.name for path in self.place.iterdir()], ["out"])

    def test_a_run_that_is_alive_is_left_alone(self) -> None:
        process = subprocess.Popen(self.command(self.out, "--json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        for more in ((), ("--resume",)):
            done = run(*self.command(self.out, *more))
            self.assertEqual(done.returncode, 1)
            self.assertIn("another run", done.stderr)
        process.send_signal(signal.SIGCONT)
        process.communicate()
        self.assertEqual(process.returncode, 0)
        self.assertEqual(contents(self.out), self.reference())

    # Runs that end by themselves.

    def test_interrupted_with_resume(self) -> None:
        endless = ("--set", "iters=100000")
        process = subprocess.Popen(self.command(self.out, "--resume", "--json", *endless), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)  # in the first block: nothing worth keeping
        process.communicate()
        self.assertEqual(process.returncode, 3)
        self.assertEqual(list(self.place.iterdir()), [])

        process = subprocess.Popen(self.command(self.out, "--resume", "--json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in process.stdout:
            if json.loads(line)["event"] == "block_end":
                process.send_signal(signal.SIGINT)
                break
        process.communicate()
        if process.returncode == 3:  # else it was faster than the signal
            self.assertTrue(self.left().is_dir())
            self.assertEqual([path.name for path in self.place.iterdir()], [self.left().name])
            self.assertIn("going on after", self.finish_and_compare().stderr)

    def test_the_report_is_complete(self) -> None:
        reports = {}
        for name, kill in (("whole", False), ("resumed", True)):
            if kill:
                shutil.rmtree(self.out)
                self.start_and_kill("block_begin", 2)
            self.assertEqual(self.resume("--report", str(self.place / f"{name}.html")).returncode, 0)
            reports[name] = json.loads((self.place / f"{name}.json").read_text())
        self.assertEqual((reports["whole"].pop("resumed_blocks"), reports["resumed"].pop("resumed_blocks")), (0, 2))
        for report in reports.values():
            for key in ("seconds", "io", "peak_memory_bytes", "memory"):
                del report[key]
            for block in report["blocks"]:
                self.assertGreater(block.pop("seconds"), 0)
        self.assertEqual(reports["resumed"], reports["whole"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
