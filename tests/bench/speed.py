#!/usr/bin/env python3
"""How long one tuning iteration of a decoder layer takes here, in auto-round, and in the matrix products alone.

    python tests/bench/speed.py [--device cuda] [--shapes smollm2-135m,llama-3.2-1b] [--batch 8] [--length 256]
    python tests/bench/speed.py --shapes smollm2-135m --model DIR --text FILE

Each shape is a checkpoint of two decoder layers, written to the RAM disk if there is one: random bf16 weights and a
small vocabulary, or the first layers of --model. All tune them on the same token ids, --batches of them: random ones, or
those of --text. Each contestant is a process of its own; they take turns, every other time in reverse order:

- libautoround: block_bench. On a CPU the slope in the second layer, between the ends of two iterations; on a GPU, where
  the host runs ahead, the median interval between iterations.
- eager, compiled: auto-round with enable_torch_compile off and on. It reads the clock, the device idle, in its second
  layer after the lower and after the higher count of iterations: the slope between the two. Compiling, first
  allocations and the fixed costs of a layer fall outside.
- on a CPU also what a layer costs outside its iterations: from the last one of the first layer to the first of the
  second, less one.
- eager-malloc: eager with glibc told to keep large blocks instead of giving them back (CPU).
- neighbour: libautoround, while another process keeps one core busy (CPU, with --neighbour).
- products: the matrix products of one layer: forward, gradient of the weights, and gradient of the inputs where one is
  needed (not for q, k and v). Experts get equally many tokens, in one batched product. Attention is not counted.
  On a GPU the median of replays of a CUDA graph; on a CPU the mean of a loop, in turns of half a second with
  libautoround's iterations, as the two differ less than a shared processor does within a minute: their ratio is of
  these turns.

Memory is the largest resident set of the process, on a GPU the most that PyTorch's allocator held at a time. On a CPU
one more run of libautoround, profiled, says what an iteration consists of. A contestant that fails is reported and left
out; the status is then 1. Needs torch, transformers, safetensors and auto-round; no network.
"""
import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import child
import speed_chart
import turns
from schemes import Scheme, integers, scheme
from speed_parts import seconds_by_part
from speed_report import (COMPILED, EAGER, MALLOC, MOST, NEIGHBOUR, OURS, PEERS, PRODUCTS, kind, misses, table, targets,
                          title)
from speed_shapes import LAYERS, SHAPES

BLOCK_BENCH = "build/release/tests/bench/block_bench"  # where the release preset builds it
TUNABLES = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296"}


@dataclass(frozen=True)
class Defaults:
    shapes: str
    length: int
    threads: int | None  # None: not set
    peers: tuple[str, ...]
    timeout: int  # seconds a contestant may take


ROUNDS = 12  # turns of each in an alternation, libautoround's and those of the products

DEFAULTS = {
    "cpu": Defaults("smollm2-135m", 256, 2, PEERS, 3600),
    "cuda": Defaults("smollm2-135m,qwen3-0.6b,llama-3.2-1b,llama-3.1-8b,moe-64", 2048, None, (EAGER, COMPILED), 400),
}


def main() -> int:
    arguments = parse()
    results, missed, checked = [], [], False
    for shape in arguments.shapes:
        results.append(Comparison(arguments, shape).result())
        print(table(results[-1]), flush=True)
        missed += misses(results[-1])
        checked = checked or bool(targets(results[-1]) or targets(results[-1], MOST))
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        if arguments.svg:
            arguments.svg.write_text(speed_chart.chart(results), encoding="utf-8")
    for line in missed:
        print(f"target missed: {line}")
    if arguments.check and not checked:
        missed.append("nothing")
        print("there is no target for what was measured")
    return 1 if any(result["failures"] for result in results) or (arguments.check and missed) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1")
    parser.add_argument("--shapes", help=f"comma separated, of {', '.join(SHAPES)}")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, help="tokens of a sample; 256 is the default on a CPU, 2048 on a GPU")
    parser.add_argument("--batches", type=int, default=2, help="of samples to tune on")
    parser.add_argument("--scheme", type=scheme, help="w4g64sym, w2g32asym, MXFP4 ... instead of the shape's own")
    parser.add_argument("--iters", type=int, nargs=2, metavar=("LOW", "HIGH"), help="instead of the shape's own")
    parser.add_argument("--alternations", type=int, default=3)
    parser.add_argument("--threads", type=int, help="2 is the default on a CPU; on a GPU it is not set")
    parser.add_argument("--peers", help=f"comma separated, of {', '.join(PEERS)}; '' leaves auto-round out. The default: "
                        "all that the device has, compiled only without experts, whose loop compiles for minutes")
    parser.add_argument("--neighbour", action="store_true", help="libautoround once more, beside a busy process (CPU)")
    parser.add_argument("--model", type=Path, help="a checkpoint of the one shape, instead of random weights")
    parser.add_argument("--text", type=Path, help="UTF-8 text to tune on with --model, instead of random ids")
    parser.add_argument("--bench", default=BLOCK_BENCH, help="the program block_bench; '' leaves it out")
    parser.add_argument("--json", type=Path, help="all figures, written after each shape")
    parser.add_argument("--svg", type=Path, help="a chart, written after each shape")
    parser.add_argument("--check", action="store_true", help="end with status 1 when a target is missed")
    arguments = parser.parse_args()
    if not re.fullmatch(r"cpu|cuda(:\d+)?", arguments.device):
        parser.error("--device takes cpu, cuda or cuda:1")
    default = DEFAULTS[kind(arguments.device)]
    arguments.shapes = (arguments.shapes or default.shapes).split(",")
    arguments.length = arguments.length or default.length
    arguments.threads = arguments.threads or default.threads
    if not set(arguments.shapes) <= set(SHAPES):
        parser.error(f"--shapes takes {', '.join(SHAPES)}")
    allowed = [name for name in PEERS if name in default.peers]
    if arguments.peers is not None:
        arguments.peers = [name for name in arguments.peers.split(",") if name]
        if not set(arguments.peers) <= set(allowed):
            parser.error(f"--peers takes {', '.join(allowed)} on {arguments.device}")
    if arguments.neighbour and (arguments.device != "cpu" or not arguments.bench):
        parser.error("--neighbour is a contest of --bench on the CPU")
    if arguments.model and len(arguments.shapes) > 1:
        parser.error("--model is of one shape: name it with --shapes")
    if arguments.text and not arguments.model:
        parser.error("--text needs --model, which has the tokenizer")
    if arguments.bench and not Path(arguments.bench).is_file():
        parser.error(f"{arguments.bench} is not there: build the target block_bench, or name another --bench")
    if arguments.batches < 1:
        parser.error("--batches is 1 at least")
    if arguments.iters and not 0 < arguments.iters[0] < arguments.iters[1]:
        parser.error("--iters takes two counts, the lower one first")
    return arguments


class Comparison:
    """All contestants on one shape."""

    def __init__(self, arguments: argparse.Namespace, name: str):
        self.arguments, self.name, self.shape = arguments, name, SHAPES[name]
        self.device, self.default = arguments.device, DEFAULTS[kind(arguments.device)]
        self.iters = list(arguments.iters or self.shape.iterations(arguments.device))
        self.own_scheme = integers(4, self.shape.group_size(arguments.device))
        self.scheme: Scheme = arguments.scheme or self.own_scheme

    def result(self) -> dict:
        contestants = [OURS] if self.arguments.bench else []
        contestants += [NEIGHBOUR] if self.arguments.neighbour else []
        contestants += [*self.peers(), PRODUCTS]
        result = {
            "device": self.device, "shape": self.name, "size": self.size(),
            "batches": self.arguments.batches, "scheme": self.scheme.name,
            "own_scheme": self.scheme == self.own_scheme, "iters": self.iters,
            "threads": self.arguments.threads, "model": self.arguments.model and self.arguments.model.name,
            "runs": {contestant: [] for contestant in contestants}, "failures": {}}
        print(f"== {title(result)}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
            self.folder = Path(folder)
            source = {"--model": self.arguments.model, "--text": self.arguments.text}
            self.job("write", *[word for key, path in source.items() if path for word in (key, path)])
            for turn in range(self.arguments.alternations):
                for contestant in contestants[:: -1 if turn % 2 else 1]:
                    if contestant not in result["failures"]:
                        self.take_turn(turn, contestant, result)
            if self.device == "cpu" and result["runs"].get(OURS):
                result["profile"] = self.profile()
                result["parts"] = seconds_by_part(result["profile"], self.arguments.threads)
        every = [run for runs in result["runs"].values() for run in runs]
        result["machine"] = next((run["machine"] for run in every if "machine" in run), processor())
        result["version"] = next((run["version"] for run in every if "version" in run), None)
        result["median"] = {
            contestant: {key: statistics.median(run[key] for run in runs)
                         for key in ("seconds", "peak", "ratio", "outside") if key in runs[0]}
            for contestant, runs in result["runs"].items() if runs}
        return result

    def size(self) -> str:
        return f"{self.arguments.batch}x{self.arguments.length}"

    def peers(self) -> list[str]:
        if self.arguments.peers is not None:
            return self.arguments.peers
        return [peer for peer in self.default.peers if peer != COMPILED or not self.shape.experts]

    def take_turn(self, turn: int, contestant: str, result: dict) -> None:
        """One that fails costs the others nothing."""
        try:
            run = self.run(contestant)
            result["runs"][contestant].append(run)
            outcome = f"{1e3 * run['seconds']:.2f} ms/iteration, {run['process_seconds']:.0f} s in all"
        except child.ChildError as error:
            result["failures"][contestant] = outcome = str(error)
        print(f"{turn + 1}: {contestant} {outcome}", file=sys.stderr, flush=True)

    def run(self, contestant: str) -> dict:
        if contestant == OURS:
            return self.block_bench(self.iters)
        if contestant == NEIGHBOUR:
            with child.busy_core():
                return self.block_bench(self.iters)
        iters = ["--iters", *self.iters]
        if contestant == PRODUCTS:
            in_turns = self.device == "cpu" and self.arguments.bench
            return self.duel() if in_turns else self.job("products", *iters)
        compiled = ["--compiled"] if contestant == COMPILED else []
        extra = TUNABLES if contestant == MALLOC else None
        return self.job("peer", *iters, *self.scheme.switches(), *compiled, extra=extra)

    def duel(self) -> dict:
        """The products and libautoround in turns."""
        started = time.monotonic()
        commands = [self.job_command("products"), self.bench_command(self.iters)]
        products, ours = turns.take_turns(commands, self.arguments.threads, ROUNDS, self.default.timeout)
        return {"seconds": products.seconds, "peak": products.peak_bytes, "ratio": products.seconds / ours.seconds,
                "process_seconds": time.monotonic() - started}

    def bench_command(self, iters: list[int], *switches: str) -> list:
        low, high = iters
        return [self.arguments.bench, "--device", self.device, "--model", self.folder, "--ids", self.folder / "ids",
                *self.sizes(), "--layers", LAYERS, "--iters", high, "--low", low, *self.scheme.switches(),
                *self.threads(), *switches]

    def block_bench(self, iters: list[int], *switches: str, extra: dict[str, str] | None = None) -> dict:
        found = self.child(self.bench_command(iters, *switches), extra)
        if self.device == "cpu":
            return found | {"seconds": found["slope"]}
        return found | {"seconds": found["iteration"], "peak": found["device_peak_bytes"]}

    def profile(self) -> dict:
        """Of a run of its own: callbacks cost time. Threads that wait must not count as busy."""
        iters = [1, max(6, self.iters[0])]
        return self.block_bench(iters, "--profile", extra={"OMP_WAIT_POLICY": "passive"})["profile"]

    def job(self, name: str, *switches: object, extra: dict[str, str] | None = None) -> dict:
        return self.child(self.job_command(name, *switches), extra)

    def job_command(self, name: str, *switches: object) -> list:
        script = Path(__file__).with_name("speed_peers.py")
        return [sys.executable, script, name, "--shape", self.name, "--folder", self.folder, *self.sizes(),
                "--device", self.device, *self.threads(), *switches]

    def sizes(self) -> list:
        return ["--batch", self.arguments.batch, "--length", self.arguments.length, "--samples",
                self.arguments.batches * self.arguments.batch]

    def threads(self) -> list:
        return ["--threads", self.arguments.threads] if self.arguments.threads else []

    def child(self, command: list, extra: dict[str, str] | None) -> dict:
        finished = child.run(command, self.arguments.threads, cuda=self.device != "cpu", extra=extra,
                             timeout=self.default.timeout)
        said = json.loads(child.last_line(finished.stdout))
        return {"peak": finished.peak_bytes, **said, "process_seconds": finished.seconds}


def processor() -> str:
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1].strip() if found else "unknown"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except child.ChildError as error:
        sys.exit(str(error))
