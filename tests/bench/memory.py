#!/usr/bin/env python3
"""Peak memory of `autoround quantize`: of a real model, and how it grows with the number of layers.

    python tests/bench/memory.py --model DIR --calibration FILE [--layers 10,30] [--check]

The real model is quantized as it is. Then checkpoints with random bf16 weights are made, all with the shapes of that
model but for the number of layers, and quantized on the same tokens: only one decoder layer is to be in memory at a
time, so three times the layers must cost next to nothing. Memory is the largest resident set of the process, as the
kernel counts it.
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path

import child

REAL_LIMIT = 700e6  # bytes, for SmolLM2-135M with the default job
GROWTH_LIMIT = 1.03  # deepest model over shallowest


def main() -> int:
    arguments = parse()
    if arguments.role == "make":
        make_checkpoint(arguments.model, arguments.output, arguments.layers[0])
        return 0
    with tempfile.TemporaryDirectory(prefix="memory-") as scratch:
        real = measure(arguments, arguments.model, Path(scratch))
        peaks = {layers: measure_depth(arguments, layers, Path(scratch)) for layers in arguments.layers}
    shallow, deep = min(peaks), max(peaks)
    growth = peaks[deep] / peaks[shallow]
    print(f"{arguments.model.name}: peak {real / 1e6:.1f} MB")
    for layers, peak in peaks.items():
        print(f"random weights, {layers} layers: peak {peak / 1e6:.1f} MB")
    print(f"{deep} layers take {growth:.4f} times the memory of {shallow}")
    return check(arguments.model.name, real, growth) if arguments.check else 0


def check(name: str, real: int, growth: float) -> int:
    missed = []
    if real > REAL_LIMIT:
        missed.append(f"{name} is to take at most {REAL_LIMIT / 1e6:.0f} MB")
    if growth > GROWTH_LIMIT:
        missed.append(f"the deepest model is to take at most {GROWTH_LIMIT} times the memory of the shallowest")
    for target in missed:
        print(f"target missed: {target}")
    return 1 if missed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a Llama-like checkpoint")
    parser.add_argument("--calibration", type=Path, help="UTF-8 text, or .jsonl")
    parser.add_argument("--layers", type=layer_counts, default="10,30", help="depths to compare, comma separated")
    parser.add_argument("--iters", type=int, default=5, help="memory does not depend on it")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--length", type=int, default=256, help="tokens of a sample")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--group-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--autoround", type=Path, default=child.PROGRAM, help="the program")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    parser.add_argument("--role", choices=("measure", "make"), default="measure", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role == "measure" and not arguments.calibration:
        parser.error("--calibration is needed")
    if arguments.role == "measure" and not arguments.autoround.is_file():
        parser.error(f"{arguments.autoround} is not there: build the target autoround_cli, or name another --autoround")
    return arguments


def layer_counts(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def measure_depth(arguments: argparse.Namespace, layers: int, scratch: Path) -> int:
    """Peak bytes with random weights and that many layers, made by a child: this process must stay small."""
    model = scratch / f"layers-{layers}"
    child.run([sys.executable, __file__, "--role", "make", "--model", arguments.model, "--layers", layers, "--output",
               model], arguments.threads)
    return measure(arguments, model, scratch)


def measure(arguments: argparse.Namespace, model: Path, scratch: Path) -> int:
    """Peak bytes of one run."""
    with tempfile.TemporaryDirectory(dir=scratch) as parent:
        finished = child.run([
            arguments.autoround, "quantize", model, "--output", Path(parent) / "quantized", "--scheme", "W4A16",
            "--group-size", arguments.group_size, "--calibration", arguments.calibration, "--tokenizer",
            arguments.model / "tokenizer.json", "--nsamples", arguments.samples, "--seqlen", arguments.length,
            "--batch-size", arguments.batch, "--iters", arguments.iters, "--threads", arguments.threads, "--quiet",
            "--json"], arguments.threads)
    said = json.loads(child.last_line(finished.stdout))["peak_memory_bytes"]
    print(f"{model.name}: {finished.peak_bytes / 1e6:.1f} MB, {finished.seconds:.1f} s; its own report says "
          f"{said / 1e6:.1f} MB", file=sys.stderr, flush=True)
    return finished.peak_bytes


def make_checkpoint(like: Path, output: Path, layers: int) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(like, num_hidden_layers=layers)
    transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(output)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except child.ChildError as error:
        sys.exit(str(error))
