#!/usr/bin/env python3
"""Perplexity, time and memory of this library beside its peers, on one model, in one run.

    python tests/bench/quality.py --model DIR --calibration FILE --text FILE [--schemes w4g64sym,w4g32asym,w8rowsym,W8A8,NVFP4A16]

Everybody quantizes the same bf16 checkpoint with the same windows of calibration tokens, batch, iterations and threads,
on the CPU, and leaves lm_head alone. Everybody is a process of its own, timed from start to exit: imports, loading and
writing included. One judge measures all results: transformers in fp32. Needs auto-round and llmcompressor.
"""
import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import child
from schemes import Scheme, schemes

FULL, NEAREST, OURS, AUTO_ROUND, LLM_COMPRESSOR = (
    "full precision", "round to nearest", "libautoround", "auto-round", "llm-compressor")
TOLERANCE = 1.01  # our perplexity over that of the better peer, at most


@dataclass(frozen=True)
class Run:
    contestant: str
    scheme: str | None  # None: not quantized
    seed: int | None  # None: does not depend on it
    perplexity: float  # by transformers
    own_perplexity: float | None  # by `autoround perplexity`, for what this library wrote
    seconds: float | None
    quantize_seconds: float | None  # without imports and, in peers, without loading
    peak_bytes: int | None
    version: str | None


def main() -> int:
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="quality-") as scratch:
        runs, failures = run_all(Bench(arguments, Path(scratch)))
    for scheme in arguments.schemes:
        print(table(scheme, runs, arguments), flush=True)
    if arguments.output:
        write_json(arguments, runs, failures)
    missed = [scheme for scheme in arguments.schemes if not reached(scheme, runs)] if arguments.check else []
    for scheme in missed:
        print(f"{scheme.name}: target missed: our perplexity is to be at most {TOLERANCE} times that of the better peer")
    return 1 if missed or failures else 0


def run_all(bench: "Bench") -> tuple[list[Run], list[str]]:
    """A contestant that fails costs the others nothing: hours may have gone into them."""
    runs, failures = [], []
    for job in bench.jobs():
        try:
            runs.append(bench.run(*job))
            print(progress(runs[-1]), file=sys.stderr, flush=True)
        except child.ChildError as error:
            failures.append(f"{job[0]}: {error}")
            print(failures[-1], file=sys.stderr, flush=True)
    return runs, failures


def write_json(arguments: argparse.Namespace, runs: list[Run], failures: list[str]) -> None:
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(arguments).items()}
    settings["schemes"] = [scheme.name for scheme in arguments.schemes]
    document = {"settings": settings, "runs": [asdict(run) for run in runs], "failures": failures}
    arguments.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder with tokenizer.json")
    parser.add_argument("--calibration", type=Path, required=True, help="UTF-8 text to calibrate on")
    parser.add_argument("--text", type=Path, required=True, help="UTF-8 text to measure perplexity on")
    parser.add_argument("--schemes", type=schemes, default="w4g64sym", help="comma separated, e.g. w4g64sym,w4g32asym")
    parser.add_argument("--seeds", type=integers, default="42", help="comma separated")
    parser.add_argument("--peers", type=peers, default=f"{AUTO_ROUND},{LLM_COMPRESSOR}", help="comma separated")
    parser.add_argument("--iters", type=int, default=200)
    parser.add_argument("--samples", type=int, default=32, help="calibration windows")
    parser.add_argument("--length", type=int, default=256, help="tokens of a calibration window")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--text-windows", type=int, default=16)
    parser.add_argument("--text-length", type=int, default=512, help="tokens of a window of --text")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--autoround", type=Path, default=child.PROGRAM, help="the program")
    parser.add_argument("--output", type=Path, help="JSON file with every figure")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    arguments = parser.parse_args()
    if not arguments.autoround.is_file():
        parser.error(f"{arguments.autoround} is not there: build the target autoround_cli, or name another --autoround")
    if arguments.check and not arguments.peers:
        parser.error("--check compares with --peers")
    return arguments


def integers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def peers(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = set(names) - {AUTO_ROUND, LLM_COMPRESSOR}
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: peers are {AUTO_ROUND} and {LLM_COMPRESSOR}")
    return names


class Bench:
    """Runs contestants one after the other, each in a folder that is gone when it was judged."""

    def __init__(self, arguments: argparse.Namespace, scratch: Path):
        self.arguments, self.scratch = arguments, scratch
        self.calibration = self.cut(arguments.calibration, arguments.length, arguments.samples)
        self.judged = self.cut(arguments.text, arguments.text_length, arguments.text_windows)

    def jobs(self) -> Iterator[tuple[str, Scheme | None, int | None]]:
        yield FULL, None, None
        for scheme in self.arguments.schemes:
            yield NEAREST, scheme, None
            for seed in self.arguments.seeds:
                yield OURS, scheme, seed
                if AUTO_ROUND in self.arguments.peers:
                    yield AUTO_ROUND, scheme, seed
            if LLM_COMPRESSOR in self.arguments.peers:
                yield LLM_COMPRESSOR, scheme, None

    def run(self, contestant: str, scheme: Scheme | None, seed: int | None) -> Run:
        name = scheme.name if scheme else None
        if scheme is None:
            model = self.arguments.model
            return Run(contestant, name, seed, self.judge(model, None), self.own_perplexity(model), None, None, None, None)
        with tempfile.TemporaryDirectory(dir=self.scratch) as parent:
            output = Path(parent) / "model"
            ours = contestant in (NEAREST, OURS)
            command = self.our_command if ours else self.peer_command
            finished = child.run(command(contestant, scheme, seed, output), self.arguments.threads)
            said = json.loads(child.last_line(finished.stdout))
            return Run(contestant, name, seed, self.judge(output, scheme), self.own_perplexity(output) if ours else None,
                       finished.seconds, said["seconds"] if ours else said["quantize_seconds"], finished.peak_bytes,
                       said.get("version"))

    def our_command(self, contestant: str, scheme: Scheme, seed: int | None, output: Path) -> list[str | int | Path]:
        job = self.arguments
        command = [job.autoround, "quantize", job.model, "--output", output, *scheme.own_switches(),
                   "--threads", job.threads, "--quiet", "--json"]
        if contestant == NEAREST:
            return command + ["--iters", 0]
        return command + ["--calibration", self.calibration, "--nsamples", job.samples, "--seqlen", job.length,
                          "--batch-size", job.batch, "--iters", job.iters, "--seed", seed]

    def peer_command(self, contestant: str, scheme: Scheme, seed: int | None, output: Path) -> list[str | int | Path]:
        job = self.arguments
        command = self.job(contestant, job.model) + [
            "--windows", self.calibration, "--output", output, "--batch", job.batch, "--iters", job.iters]
        command += scheme.switches()
        return command if seed is None else command + ["--seed", seed]

    def cut(self, text: Path, length: int, count: int) -> Path:
        windows = self.scratch / f"{length}x{count}-{text.stem}.jsonl"
        child.run(self.job("windows", self.arguments.model) + [
            "--text", text, "--length", length, "--count", count, "--output", windows], self.arguments.threads)
        return windows

    def judge(self, folder: Path, scheme: Scheme | None) -> float:
        inputs = ["--inputs", scheme.preset] if scheme and scheme.preset else []
        finished = child.run(self.job("judge", folder) + ["--windows", self.judged] + inputs, self.arguments.threads)
        return json.loads(child.last_line(finished.stdout))["perplexity"]

    def own_perplexity(self, folder: Path) -> float:
        """By this library, which cuts the text itself: agreement with the judge covers the tokenizer too."""
        job = self.arguments
        finished = child.run([
            job.autoround, "perplexity", folder, "--text", job.text, "--seqlen", job.text_length, "--windows",
            job.text_windows, "--threads", job.threads, "--json"], job.threads)
        return json.loads(child.last_line(finished.stdout))["perplexity"]

    def job(self, name: str, model: Path) -> list[str | int | Path]:
        script = Path(__file__).with_name("peers.py")
        return [sys.executable, script, name, "--model", model, "--threads", self.arguments.threads]


def mean(runs: list[Run], key: str) -> float | None:
    values = [value for value in (getattr(run, key) for run in runs) if value is not None]
    return statistics.fmean(values) if values else None


def of(scheme: Scheme, contestant: str, runs: list[Run]) -> list[Run]:
    return [run for run in runs if run.contestant == contestant and run.scheme in (None, scheme.name)]


def reached(scheme: Scheme, runs: list[Run]) -> bool:
    """A peer that cannot do the scheme sets no target."""
    ours = mean(of(scheme, OURS, runs), "perplexity")
    peers = [mean(of(scheme, peer, runs), "perplexity") for peer in (AUTO_ROUND, LLM_COMPRESSOR)]
    theirs = [perplexity for perplexity in peers if perplexity is not None]
    return ours is not None and bool(theirs) and ours <= TOLERANCE * min(theirs)


def progress(run: Run) -> str:
    seed = "" if run.seed is None else f" seed {run.seed}"
    return f"{run.scheme or ''} {run.contestant}{seed}: perplexity {run.perplexity:.3f}".strip()


def table(scheme: Scheme, runs: list[Run], arguments: argparse.Namespace) -> str:
    """One line a contestant, means over the seeds; ratios are to auto-round."""
    base = of(scheme, AUTO_ROUND, runs)

    def cell(value: float | None, width: int, digits: int) -> str:
        return f"{value:{width}.{digits}f}" if value is not None else f"{'-':>{width}}"

    def line(contestant: str, found: list[Run]) -> str:
        def ratio(key: str) -> float | None:
            value, theirs = mean(found, key), mean(base, key)
            return value / theirs if value is not None and theirs is not None else None

        peak = mean(found, "peak_bytes")
        return (f"{contestant:17s}" + cell(mean(found, "perplexity"), 11, 3) + cell(ratio("perplexity"), 8, 4)
                + cell(mean(found, "own_perplexity"), 11, 3) + cell(mean(found, "seconds"), 10, 1)
                + cell(ratio("seconds"), 8, 3) + cell(peak / 1e6 if peak else None, 9, 0))

    title = (f"\n{scheme.name}: {arguments.samples} windows of {arguments.length} tokens, batch {arguments.batch}, "
             f"{arguments.iters} iterations, {arguments.threads} threads, seeds {', '.join(map(str, arguments.seeds))}")
    header = f"{'':17s} perplexity   ratio     by us   seconds   ratio  peak MB"
    contestants = (FULL, NEAREST, OURS, AUTO_ROUND, LLM_COMPRESSOR)
    lines = [line(contestant, found) for contestant in contestants if (found := of(scheme, contestant, runs))]
    return "\n".join([title, header, *lines])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except child.ChildError as error:
        sys.exit(str(error))
