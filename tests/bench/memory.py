#!/usr/bin/env python3
"""Peak memory of `autoround quantize`: of a real model, how it grows with the number of layers, and how well it is predicted.

    python tests/bench/memory.py --model DIR --calibration FILE [--layers 8,80] [--check]

The real model is quantized as it is. Then checkpoints with random bf16 weights are made: some with the shapes of that
model but for the number of layers, quantized on the same tokens: only one decoder layer is to be in memory at a time, so
ten times the layers must cost next to nothing. And some with the shapes of other models, each quantized without a limit
and below one, so that the library's prediction can be held against what it took. Memory is the largest resident set of
the process, as the kernel counts it.
"""
import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import child

REAL_LIMIT = 500e6  # bytes, for SmolLM2-135M with the default job
GROWTH_LIMIT = 1.03  # deepest model over shallowest
PREDICTION_ERROR = 0.10  # of what was measured
KEPT_BELOW = 1 + PREDICTION_ERROR  # of the prediction, the limit that the library takes to be sure
START_NOISE = 10_000_000  # session::start_noise: bytes by which what processes hold when they start differs


@dataclass(frozen=True)
class Job:
    samples: int
    length: int
    batch: int


@dataclass(frozen=True)
class Shape:
    """Another model's: transformers' configuration class and its arguments. Two layers; the vocabulary is the real model's,
    whose tokenizer is used."""

    config: str
    arguments: dict
    job: Job


SHAPES = {
    "like Qwen3-0.6B": Shape("Qwen3Config", {
        "hidden_size": 1024, "intermediate_size": 3072, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128},
        Job(16, 256, 8)),
    "like Llama-3.2-1B": Shape("LlamaConfig", {
        "hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64},
        Job(4, 256, 4)),
    "mixture of 16 experts": Shape("Qwen3MoeConfig", {
        "hidden_size": 512, "intermediate_size": 1024, "moe_intermediate_size": 256, "num_experts": 16,
        "num_experts_per_tok": 4, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64,
        "decoder_sparse_step": 1, "mlp_only_layers": []}, Job(32, 256, 8)),
    "longer sequences": Shape("LlamaConfig", {
        "hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3,
        "max_position_embeddings": 8192}, Job(16, 2048, 4)),
}


@dataclass(frozen=True)
class Run:
    peak: int
    memory: dict  # what the report says of it: predicted_bytes, limit_bytes, smallest_limit_bytes, streams, micro_batch

    def line(self, name: str) -> str:
        predicted, streams = self.memory["predicted_bytes"], self.memory["streams"]
        return (f"{name:24} streams in {streams:6}, passes of {self.memory['micro_batch']}: predicted {predicted / 1e6:7.1f} MB, "
                f"measured {self.peak / 1e6:7.1f} MB, ratio {predicted / self.peak:.3f}")

    def keeps_limit(self) -> bool:
        return self.memory["limit_bytes"] == 0 or self.peak <= self.memory["limit_bytes"]

    def is_predicted(self) -> bool:
        return abs(self.memory["predicted_bytes"] - self.peak) <= PREDICTION_ERROR * self.peak


def main() -> int:
    arguments = parse()
    if arguments.role == "make":
        make_checkpoint(arguments.model, arguments.output, arguments.layers[0], arguments.shape)
        return 0
    job = Job(arguments.samples, arguments.length, arguments.batch)
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        scratch = Path(name)
        real = with_and_without_limit(arguments, arguments.model, job, scratch)
        peaks = {layers: measure_depth(arguments, layers, job, scratch) for layers in arguments.layers}
        runs = {arguments.model.name: real, **{shape: measure_shape(arguments, shape, scratch) for shape in SHAPES}}
    growth = peaks[max(peaks)] / peaks[min(peaks)]
    print(f"{arguments.model.name}: peak {real[0].peak / 1e6:.1f} MB")
    for layers, peak in peaks.items():
        print(f"random weights, {layers} layers: peak {peak / 1e6:.1f} MB")
    print(f"{max(peaks)} layers take {growth:.4f} times the memory of {min(peaks)}")
    for shape, measured in runs.items():
        for run in measured:
            print(run.line(shape))
    return check(arguments.model.name, real[0].peak, growth, runs) if arguments.check else 0


def check(name: str, real: int, growth: float, runs: dict[str, list[Run]]) -> int:
    missed = []
    if real > REAL_LIMIT:
        missed.append(f"{name} is to take at most {REAL_LIMIT / 1e6:.0f} MB")
    if growth > GROWTH_LIMIT:
        missed.append(f"the deepest model is to take at most {GROWTH_LIMIT} times the memory of the shallowest")
    for shape, measured in runs.items():
        if not all(run.is_predicted() for run in measured):
            missed.append(f"{shape}: the prediction is to be within {100 * PREDICTION_ERROR:.0f} % of what is measured")
        if not all(run.keeps_limit() for run in measured):
            missed.append(f"{shape}: a limit is to be kept")
    for target in missed:
        print(f"target missed: {target}")
    return 1 if missed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a Llama-like checkpoint")
    parser.add_argument("--calibration", type=Path, help="UTF-8 text, or .jsonl")
    parser.add_argument("--layers", type=layer_counts, default="8,80", help="depths to compare, comma separated")
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
    parser.add_argument("--shape", choices=SHAPES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role == "measure" and not arguments.calibration:
        parser.error("--calibration is needed")
    if arguments.role == "measure" and not arguments.autoround.is_file():
        parser.error(f"{arguments.autoround} is not there: build the target autoround_cli, or name another --autoround")
    return arguments


def layer_counts(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def measure_depth(arguments: argparse.Namespace, layers: int, job: Job, scratch: Path) -> int:
    """Peak bytes of the real model's shapes with random weights and that many layers."""
    model = make_in_child(arguments, scratch / f"layers-{layers}", "--layers", layers)
    return measure(arguments, model, job, scratch).peak


def measure_shape(arguments: argparse.Namespace, shape: str, scratch: Path) -> list[Run]:
    model = make_in_child(arguments, scratch / shape.replace(" ", "-"), "--layers", 2, "--shape", shape)
    return with_and_without_limit(arguments, model, SHAPES[shape].job, scratch)


def with_and_without_limit(arguments: argparse.Namespace, model: Path, job: Job, scratch: Path) -> list[Run]:
    """As asked; a little below what that is sure to keep; and at the smallest limit that a host is told."""
    free = measure(arguments, model, job, scratch)
    asked, least = free.memory["predicted_bytes"], free.memory["smallest_limit_bytes"]
    limits = {max(int(KEPT_BELOW * asked) - START_NOISE, least), least}
    return [free, *(measure(arguments, model, job, scratch, limit) for limit in sorted(limits, reverse=True))]


def make_in_child(arguments: argparse.Namespace, output: Path, *words: object) -> Path:
    """This process must stay small."""
    child.run([sys.executable, __file__, "--role", "make", "--model", arguments.model, "--output", output, *words],
              arguments.threads)
    return output


def measure(arguments: argparse.Namespace, model: Path, job: Job, scratch: Path, limit: int = 0) -> Run:
    with tempfile.TemporaryDirectory(dir=scratch) as parent:
        report = Path(parent) / "report.json"
        finished = child.run([
            arguments.autoround, "quantize", model, "--output", Path(parent) / "quantized", "--scheme", "W4A16",
            "--group-size", arguments.group_size, "--calibration", arguments.calibration, "--tokenizer",
            arguments.model / "tokenizer.json", "--nsamples", job.samples, "--seqlen", job.length,
            "--batch-size", job.batch, "--iters", arguments.iters, "--threads", arguments.threads, "--quiet",
            "--report", report.with_suffix(".html"), *(("--memory-limit", limit) if limit else ())], arguments.threads)
        said = json.loads(report.read_text())
    print(f"{model.name}: {finished.peak_bytes / 1e6:.1f} MB, {finished.seconds:.1f} s; its own report says "
          f"{said['peak_memory_bytes'] / 1e6:.1f} MB, {said['memory']}", file=sys.stderr, flush=True)
    return Run(finished.peak_bytes, said["memory"])


def make_checkpoint(like: Path, output: Path, layers: int, shape: str | None) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(like, num_hidden_layers=layers)
    if shape:
        config = getattr(transformers, SHAPES[shape].config)(
            **SHAPES[shape].arguments, num_hidden_layers=layers, vocab_size=config.vocab_size, tie_word_embeddings=True)
    transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(output)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except child.ChildError as error:
        sys.exit(str(error))
