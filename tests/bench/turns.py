"""Programs that do the same thing over and over, in turns of half a second or so.

Where a processor is shared, its speed changes by the second: two programs that run one after the other, a quarter of a
minute each, may differ by more than what they do. In turns they have the slow seconds and the fast ones in common.

A program that takes turns (--turns) prints the seconds of an iteration, then waits for a byte on its standard input
before the next, and ends when there is none. While it waits nothing of it runs.
"""
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import child

TURN_SECONDS = 0.5  # at least
TURN_ITERATIONS = 4  # likewise
WARM_UP = 4  # iterations that do not count


@dataclass(frozen=True)
class Taken:
    seconds: float  # of an iteration, mean
    peak_bytes: int  # largest resident set


def take_turns(commands: Sequence[Sequence[object]], threads: int | None, rounds: int, timeout: float) -> list[Taken]:
    """Raises ChildError when a program ends by itself, or is silent for `timeout` seconds."""
    with ExitStack() as stack:
        players = [stack.enter_context(Player(command, threads, timeout)) for command in commands]
        for player in players:
            for _ in range(WARM_UP):
                player.iterate()
        for _ in range(rounds):
            for player in players:
                player.take_turn()
    return [player.taken() for player in players]


class Player:
    def __init__(self, command: Sequence[object], threads: int | None, timeout: float):
        self.words, self.timeout = [*map(str, command), "--turns"], timeout
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        env=child.environment(threads))
        self.seconds: list[float] = []
        self.unread = b""
        self.peak_bytes = 0

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.process.pid, signal.SIGKILL)  # not Popen's, which looks first whether it is there, and then it is nobody's
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.peak_bytes = usage.ru_maxrss * 1024
        for file in (self.process.stdin, self.process.stdout, self.errors):
            file.close()

    def iterate(self) -> float:
        try:
            os.write(self.process.stdin.fileno(), b".")
        except BrokenPipeError:
            pass  # it has ended: the answer says so
        return float(self.line())

    def line(self) -> str:
        deadline = time.monotonic() + self.timeout
        while b"\n" not in self.unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            read = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not read:
                what = "has ended" if ready else f"is silent for {self.timeout:.0f} s"
                raise child.ChildError(f"{' '.join(self.words)}: {what}\n{child.tail(self.errors)}")
            self.unread += read
        line, self.unread = self.unread.split(b"\n", 1)
        return line.decode()

    def take_turn(self) -> None:
        end, least = time.monotonic() + TURN_SECONDS, len(self.seconds) + TURN_ITERATIONS
        while time.monotonic() < end or len(self.seconds) < least:
            self.seconds.append(self.iterate())

    def taken(self) -> Taken:
        return Taken(sum(self.seconds) / len(self.seconds), child.checked_peak(self.peak_bytes))
