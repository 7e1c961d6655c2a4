"""The jobs of speed.py that need torch, each run as a process of its own: write a checkpoint (whole.py's too), tune it
with auto-round, or compute its matrix products alone. Each prints one JSON object as its last line.

    python speed_peers.py write    --shape NAME --folder DIR --batch N --length N --samples N --device D
                                   [--model DIR --text FILE] [--layers N]
    python speed_peers.py peer     (the same) --iters LOW HIGH (--bits N --group-size N | --preset NAME) [--compiled]
    python speed_peers.py products (the same) --iters LOW HIGH | --turns
"""
import argparse
import functools
import itertools
import json
import os
import statistics
import sys
import time
import timeit
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # read while the libraries are imported

import torch

import schemes
import speed_shapes
from speed_shapes import LAYERS, SHAPES


def main() -> None:
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if ":" in arguments.device:
        torch.cuda.set_device(arguments.device)
    print(json.dumps(arguments.job(arguments)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, job in (("write", speed_shapes.write), ("peer", tune), ("products", multiply)):
        command = commands.add_parser(name)
        command.set_defaults(job=job)
        command.add_argument("--shape", choices=SHAPES, required=True)
        command.add_argument("--folder", type=Path, required=True)
        command.add_argument("--batch", type=int, required=True)
        command.add_argument("--length", type=int, required=True)
        command.add_argument("--samples", type=int, required=True, help="windows of token ids")
        command.add_argument("--device", required=True)
        command.add_argument("--threads", type=int)
        command.add_argument("--iters", type=int, nargs=2)
        command.add_argument("--model", type=Path)
        command.add_argument("--text", type=Path)
        command.add_argument("--compiled", action="store_true")
        schemes.add_switches(command)
        if job is multiply:
            command.add_argument("--turns", action="store_true", help="on a CPU, one iteration for each byte of input")
        if job is speed_shapes.write:
            command.add_argument("--layers", type=int, default=LAYERS)
    return parser.parse_args()


def tune(arguments: argparse.Namespace) -> dict:
    """Seconds of an iteration of auto-round in the last layer: the slope between two counts of iterations. And `outside`,
    what that layer costs beside: from the last iteration of the one before to its own first, less one."""
    import auto_round
    import numpy
    from auto_round.algorithms.quantization.sign_round.quantizer import SignRoundQuantizer

    import peers

    low, high = arguments.iters
    marks, steps, step = {}, itertools.count(1), SignRoundQuantizer._step

    def stepped(self, *rest):  # the last that an iteration does
        step(self, *rest)
        done = next(steps)
        if done % high in (1, low, 0):
            if arguments.device != "cpu":
                torch.cuda.synchronize()
            marks[done] = time.perf_counter()

    SignRoundQuantizer._step = stepped
    ids = numpy.fromfile(arguments.folder / "ids", dtype=numpy.int64)
    ids = torch.from_numpy(ids).view(-1, arguments.batch, arguments.length)
    # Ids with a mask of None: blocks are then called as for a text (causal, no mask), while bare tensors make
    # auto-round build a mask, which rules out the fast attention.
    tuner = auto_round.AutoRound(
        peers.load_bf16(arguments.folder), **peers.auto_round_scheme(arguments), iters=high,
        nsamples=arguments.samples, tokenizer=speed_shapes.tokenizer(), seqlen=arguments.length,
        dataset=[{"input_ids": batch, "attention_mask": None} for batch in ids],
        batch_size=arguments.batch, device_map=arguments.device, enable_torch_compile=arguments.compiled)
    tuner.quantize()
    slopes = [(marks[first + high] - marks[first + low]) / (high - low) for first in range(0, LAYERS * high, high)]
    first = (LAYERS - 1) * high + 1  # of the last layer
    outside = marks[first] - marks[first - 1] - slopes[-1]
    return {"seconds": slopes[-1], "layers": slopes, "outside": outside, "version": auto_round.__version__,
            **peak(arguments.device)}


def multiply(arguments: argparse.Namespace) -> dict:
    """Seconds of all matrix products of one iteration of one layer, results in memory that LibTorch gives: the median, or
    in turns each."""
    wanted = speed_shapes.products(SHAPES[arguments.shape], arguments.batch * arguments.length)
    random = functools.partial(torch.randn, device=arguments.device, dtype=torch.bfloat16)
    operands = [(random(*p.experts, p.rows, p.inputs), random(*p.experts, p.outputs, p.inputs),
                 random(*p.experts, p.rows, p.outputs), p.input_gradient) for p in wanted]

    def iteration():
        for x, w, dy, needed in operands:
            torch.matmul(x, w.mT)
            torch.matmul(dy.mT, x)
            if needed:
                torch.matmul(dy, w)

    if arguments.turns:
        while sys.stdin.buffer.read(1):
            print(timeit.timeit(iteration, number=1), flush=True)
        return {}
    if arguments.device == "cpu":
        return {"seconds": statistics.median(timeit.repeat(iteration, number=1, repeat=max(10, arguments.iters[0])))}
    seconds = statistics.median(replay(iteration, max(10, arguments.iters[1] - arguments.iters[0])))
    return {"seconds": seconds, "machine": torch.cuda.get_device_name(), **peak(arguments.device)}


def replay(iteration, count: int) -> list[float]:
    """Seconds of each of so many replays of a CUDA graph."""
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(3):
            iteration()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        iteration()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 4)]
    for event in events:
        event.record()
        graph.replay()
    torch.cuda.synchronize()
    return [a.elapsed_time(b) / 1e3 for a, b in zip(events[3:], events[4:])]  # the first three are warm-up


def peak(device: str) -> dict:
    """The most that PyTorch's allocator held of a device; of the CPU the kernel counts."""
    return {} if device == "cpu" else {"peak": torch.cuda.max_memory_allocated()}


if __name__ == "__main__":
    main()
