"""Programs that do the same thing over and over, in turns of half a second or so.

Where a processor is shared, its speed changes by the second: two programs that run one after the other, a quarter of a
minute each, may differ by more than what they do. In turns they have the slow seconds and the fast ones in common.

Each program is given --marks FILE and writes, at the end of each iteration, the seconds of the system's monotonic clock
to it, a line each. It is stopped (SIGSTOP) outside its turns and killed at the end.
"""
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import child

TURN_SECONDS = 0.5  # at least
TURN_ITERATIONS = 4  # likewise
WARM_UP = 4  # iterations before the first turn


@dataclass(frozen=True)
class Taken:
    seconds: float  # of an iteration, mean of all that lie in a turn as a whole
    peak_bytes: int  # largest resident set


def take_turns(commands: Sequence[Sequence[object]], threads: int | None, rounds: int, timeout: float) -> list[Taken]:
    """Raises ChildError when a program ends by itself, or has not got under way after `timeout` seconds."""
    with tempfile.TemporaryDirectory(prefix="turns-") as folder:
        players: list[Player] = []
        try:
            for number, command in enumerate(commands):
                players.append(Player(command, threads, Path(folder) / str(number)))
                players[-1].warm_up(timeout)
            for _ in range(rounds):
                for player in players:
                    player.take_turn()
        finally:
            for player in players:
                player.end()
        return [player.taken() for player in players]


class Player:
    def __init__(self, command: Sequence[object], threads: int | None, marks: Path):
        self.words = [*map(str, command), "--marks", str(marks)]
        self.file, self.turns = marks, []
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL, stderr=self.errors,
                                        env=child.environment(threads))
        self.peak_bytes = 0

    def marks(self) -> list[float]:
        """Those of whole lines."""
        text = self.file.read_text() if self.file.exists() else ""
        return [float(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def warm_up(self, timeout: float) -> None:
        """Until it iterates; then stops it."""
        deadline = time.monotonic() + timeout
        while len(self.marks()) <= WARM_UP:
            if time.monotonic() > deadline:
                raise child.ChildError(f"{' '.join(self.words)}: no iterations in {timeout:.0f} s")
            self.check()
            time.sleep(0.05)
        self.process.send_signal(signal.SIGSTOP)
        before, after = self.marks()[-2:]
        self.turn_seconds = max(TURN_SECONDS, TURN_ITERATIONS * (after - before))

    def check(self) -> None:
        if self.process.poll() is not None:
            raise child.ChildError(f"{' '.join(self.words)}: exit status {self.process.returncode}\n"
                                   f"{child.tail(self.errors)}")

    def take_turn(self) -> None:
        start = time.monotonic()
        self.process.send_signal(signal.SIGCONT)
        time.sleep(self.turn_seconds)
        self.process.send_signal(signal.SIGSTOP)
        self.turns.append((start, time.monotonic()))
        self.check()

    def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            _, _, usage = os.wait4(self.process.pid, 0)
            self.process.returncode = -signal.SIGKILL
            self.peak_bytes = usage.ru_maxrss * 1024
        self.errors.close()

    def taken(self) -> Taken:
        marks = self.marks()
        whole = [after - before for before, after in zip(marks, marks[1:])
                 if any(start <= before and after <= end for start, end in self.turns)]
        if not whole:
            raise child.ChildError(f"{' '.join(self.words)}: no iteration within a turn of {self.turn_seconds:.1f} s")
        return Taken(sum(whole) / len(whole), self.peak_bytes)
