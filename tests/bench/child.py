"""Runs a program to its end and says what it printed, how long it took and how much memory it had at most.

Linux counts the pages that a parent holds at the fork towards the peak of the child, so whoever measures with this
module must stay small: scripts that use it import no torch and leave heavy work to children.
"""
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path("build/release/examples/cli/autoround")  # the command line, where the release preset builds it


class ChildError(RuntimeError):
    """The program ended with another status than 0; the text holds its last words."""


class TimeoutReached(ChildError):
    """The program was ended because it took this long."""

    def __init__(self, text: str, seconds: float):
        super().__init__(text)
        self.seconds = seconds


@dataclass(frozen=True)
class Finished:
    stdout: str
    seconds: float  # wall clock, from start to exit
    peak_bytes: int  # largest resident set


def run(command: Sequence[str | int | Path], threads: int | None, *, cuda: bool = False,
        extra: Mapping[str, str] | None = None, timeout: float | None = None) -> Finished:
    """Runs the command offline, with that many threads (None: as many as it likes), `extra` in its environment, and
    unless `cuda` without a GPU. Raises ChildError when it fails, of them TimeoutReached after `timeout` seconds."""
    words = [str(word) for word in command]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        variables = {**environment(threads, cuda), **(extra or {})}
        process = subprocess.Popen(words, stdout=out, stderr=err, env=variables)
        watch = threading.Timer(timeout, process.kill) if timeout else None
        if watch:
            watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        if watch:
            watch.cancel()
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            text = f"{' '.join(words)}: exit status {process.returncode}"
            if timeout and seconds >= timeout:
                raise TimeoutReached(f"{text} after {seconds:.0f} s, the limit\n{tail(err)}", seconds)
            raise ChildError(f"{text}\n{tail(err)}")
        out.seek(0)
        return Finished(out.read(), seconds, checked_peak(usage.ru_maxrss * 1024))


@contextmanager
def busy_core() -> Iterator[None]:
    """Meanwhile another process keeps a core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def checked_peak(peak: int) -> int:
    """The peak of a child, which means something only when it is above our own."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if peak <= own:
        raise ChildError(f"a peak of {peak} bytes cannot be told from the {own} bytes of this process")
    return peak


def environment(threads: int | None, cuda: bool = False) -> dict[str, str]:
    variables = {
        **os.environ,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
    }
    if threads is not None:
        variables |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    if not cuda:
        variables["CUDA_VISIBLE_DEVICES"] = ""
    return variables


def tail(file, characters: int = 4000) -> str:
    file.seek(0)
    return file.read()[-characters:]


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    if not lines:
        raise ChildError("a program printed nothing where a result was expected")
    return lines[-1]
