#!/usr/bin/env python3
"""How long one tuning iteration takes on a CUDA device here, in auto-round, and in the matrix products alone.

    python tests/bench/cuda.py --bench PROGRAM [--shapes llama-3.1-8b,moe-64] [--batch 8] [--length 2048] [--check]

Each shape is a checkpoint of two decoder layers with random bf16 weights and a small vocabulary, written to the RAM disk
if there is one. All tune its layers on the same random token ids (int4, symmetric), two batches of them. Each contestant
is a process of its own; they take turns, every other time in reverse order:

- libautoround: block_bench at the higher iteration count, the median interval between iterations.
- eager, compiled: auto-round 0.15.1 with enable_torch_compile off and on. One process tunes two layers with the higher
  count. In the second layer it reads the clock, the device idle, after the lower and after the higher count of iterations:
  the slope between the two, without the start of another process. Compiling, first allocations and the fixed costs of a layer fall
  outside. The ids go in as {"input_ids", "attention_mask": None}: the blocks are then called as for a text (causal, no
  mask), while bare tensors make auto-round build a mask, which rules out the fast attention.
- products: the matrix products of one layer in a CUDA graph, median of its replays: forward, gradient of the weights,
  and gradient of the inputs where one is needed (not for q, k and v). Experts get equally many tokens, in one batched
  product. Attention is not counted.

The memory is the most that PyTorch's allocator held at a time. A contestant that fails is reported and left out; the
status is then 1. Needs torch, transformers, safetensors and auto-round; no network.
"""
import argparse
import functools
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import timeit

# Small shapes get more iterations: theirs are short beside the jitter of a start.
SHAPES = {
    "smollm2-135m": {"hidden": 576, "inner": 1536, "heads": 9, "keys": 3, "width": 64, "group": 64, "iters": (20, 120)},
    "qwen3-0.6b": {"family": "Qwen3", "hidden": 1024, "inner": 3072, "heads": 16, "keys": 8, "width": 128,
                   "iters": (20, 120)},
    "llama-3.2-1b": {"hidden": 2048, "inner": 8192, "heads": 32, "keys": 8, "width": 64, "iters": (10, 60)},
    "llama-3.1-8b": {"hidden": 4096, "inner": 14336, "heads": 32, "keys": 8, "width": 128, "iters": (5, 45)},
    # Qwen3-30B-A3B with half its experts
    "moe-64": {"family": "Qwen3Moe", "hidden": 2048, "inner": 768, "heads": 32, "keys": 4, "width": 128, "experts": 64,
               "top": 8, "iters": (4, 24)},
    # To try the script itself
    "tiny": {"hidden": 64, "inner": 128, "heads": 4, "keys": 2, "width": 16, "group": 32, "iters": (2, 6)},
    "tiny-moe": {"family": "Qwen3Moe", "hidden": 64, "inner": 32, "heads": 4, "keys": 2, "width": 16, "experts": 4,
                 "top": 2, "group": 32, "iters": (2, 6)},
}
LAYERS = 2
VOCABULARY = 1024
TIMEOUT = 400  # seconds a contestant may take
# Shape, batch and length, contestant: at least how many times our time it takes.
TARGETS = {
    ("llama-3.1-8b", "8x2048", "eager"): 1.3,
    ("llama-3.1-8b", "8x2048", "compiled"): 1.15,
    ("llama-3.1-8b", "8x2048", "products"): 1 / 1.2,
    ("llama-3.1-8b", "4x512", "eager"): 2.5,
    ("qwen3-0.6b", "8x2048", "eager"): 3.0,
    ("moe-64", "8x2048", "eager"): 5.0,
}


def main():
    arguments = parse()
    if arguments.role:
        print(json.dumps({"write": write, "peer": run_peer, "products": run_products}[arguments.role](arguments)))
        return
    report, missed = [], []
    for shape in arguments.shapes.split(","):
        report.append(compare(arguments, shape))
        missed += summarize(report[-1])
        if arguments.json:
            with open(arguments.json, "w", encoding="utf-8") as file:
                json.dump(report, file, indent=2)
    for line in missed:
        print(f"missed: {line}")
    if any(result["failures"] for result in report) or (arguments.check and missed):
        sys.exit(1)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/release/tests/bench/block_bench", help="block_bench; '' leaves it out")
    parser.add_argument("--shapes", default=",".join(list(SHAPES)[:5]), help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=2048, help="tokens of a sample")
    parser.add_argument("--iters", type=int, nargs=2, metavar=("LOW", "HIGH"), help="instead of the shape's own")
    parser.add_argument("--alternations", type=int, default=3)
    parser.add_argument("--peers", help="eager,compiled is the default, eager that of experts, which compile for long; "
                        "'' leaves auto-round out")
    parser.add_argument("--device", default="cuda", help="cpu tries the script out; its figures mean nothing")
    parser.add_argument("--json", metavar="FILE", help="all times, written after each shape")
    parser.add_argument("--check", action="store_true", help="end with status 1 when a target is missed")
    parser.add_argument("--role", choices=("write", "peer", "products"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not set(arguments.shapes.split(",")) <= set(SHAPES):
        parser.error(f"--shapes takes {', '.join(SHAPES)}")
    if not set((arguments.peers or "").split(",")) <= {"", "eager", "compiled"}:
        parser.error("--peers takes eager and compiled")
    return arguments


def iterations(arguments, shape):
    return arguments.iters or list(SHAPES[shape]["iters"])


def compare(arguments, shape):
    peers = ("eager" if "experts" in SHAPES[shape] else "eager,compiled") if arguments.peers is None else arguments.peers
    contestants = {"libautoround": ours} if arguments.bench else {}
    for peer in filter(None, peers.split(",")):
        contestants[peer] = functools.partial(child, "--role=peer", f"--peers={peer}")
    contestants["products"] = functools.partial(child, "--role=products")
    size = f"{arguments.batch}x{arguments.length}"
    result = {"shape": shape, "size": size, "group": SHAPES[shape].get("group", 128), "bits": 4,
              "iters": iterations(arguments, shape), "runs": {name: [] for name in contestants}, "failures": {}}
    print(f"== {shape}, {size}, int4 of group {result['group']}, iterations {result['iters']}", flush=True)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        child("--role=write", arguments=arguments, shape=shape, folder=folder)
        for turn in range(arguments.alternations):
            for name in list(contestants)[:: -1 if turn % 2 else 1]:
                if name in result["failures"]:
                    continue
                start = time.perf_counter()
                try:
                    run = contestants[name](arguments=arguments, shape=shape, folder=folder)
                    result["runs"][name].append(run)
                    outcome = f"{1e3 * run['seconds']:.2f} ms/iteration"
                except RuntimeError as error:
                    result["failures"][name] = outcome = str(error)
                print(f"{turn + 1}: {name} {outcome}, {time.perf_counter() - start:.0f} s in all", flush=True)
    return result


def summarize(result):
    """Prints the medians; returns the targets that were missed."""
    shape, size = result["shape"], result["size"]
    median = {name: {key: statistics.median(run[key] for run in runs) for key in ("seconds", "peak")}
              for name, runs in result["runs"].items() if runs}
    result["median"] = median
    missed, mine = [], median.get("libautoround")
    for name, found in median.items():
        line = f"{name:14s} {1e3 * found['seconds']:9.2f} ms/iteration {found['peak'] / 2**30:8.2f} GiB"
        if mine and found is not mine:
            ratio, target = found["seconds"] / mine["seconds"], TARGETS.get((shape, size, name))
            line += f"   {ratio:.2f} times ours"
            if target:
                line += f" (target: {target:.2f})"
                if ratio < target:
                    missed.append(f"{shape} {size}: {name} takes {ratio:.2f} times our time, {target:.2f} wanted")
        print(line)
    peaks = [median[name]["peak"] for name in ("eager", "compiled") if name in median]
    if mine and peaks and min(peaks):
        share = mine["peak"] / min(peaks)
        print(f"memory: {share:.2f} of the peers' least")
        if (shape, size) == ("llama-3.1-8b", "8x2048") and share > 0.5:
            missed.append(f"{shape} {size}: {share:.2f} of the peers' least memory, 0.5 wanted")
    return missed


def ours(arguments, shape, folder):
    """The median interval between iterations of both layers."""
    found = last_line([
        arguments.bench, "--device", arguments.device, "--model", folder, "--ids", os.path.join(folder, "ids"),
        "--samples", 2 * arguments.batch, "--length", arguments.length, "--batch", arguments.batch, "--layers", LAYERS,
        "--iters", iterations(arguments, shape)[1], "--bits", 4, "--group-size", SHAPES[shape].get("group", 128)])
    return {"seconds": found["iteration"], "peak": found["device_peak_bytes"], "last": found}


def child(*switches, arguments, shape, folder):
    command = [sys.executable, os.path.abspath(__file__), *switches, "--folder", folder, "--shapes", shape]
    for key in ("batch", "length", "device"):
        command += [f"--{key}", getattr(arguments, key)]
    return last_line([*command, "--iters", *iterations(arguments, shape)])


def last_line(command):
    command = [str(word) for word in command]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{' '.join(command)}: {error}") from error
    if done.returncode != 0 or not done.stdout.strip():
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def write(arguments):
    """The checkpoint, and the token ids as int64."""
    import torch
    import transformers

    shape = SHAPES[arguments.shapes]
    sizes = {"hidden_size": shape["hidden"], "intermediate_size": shape["inner"], "num_attention_heads": shape["heads"],
             "num_key_value_heads": shape["keys"], "head_dim": shape["width"], "num_hidden_layers": LAYERS,
             "vocab_size": VOCABULARY, "max_position_embeddings": max(2048, arguments.length),
             "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
    if "experts" in shape:
        sizes |= {"num_experts": shape["experts"], "num_experts_per_tok": shape["top"],
                  "moe_intermediate_size": shape["inner"], "norm_topk_prob": True}
    config = getattr(transformers, shape.get("family", "Llama") + "Config")(**sizes)
    torch.manual_seed(0)
    with torch.device(arguments.device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(arguments.folder)
    ids = torch.randint(0, VOCABULARY, (2 * arguments.batch, arguments.length))
    ids.numpy().tofile(os.path.join(arguments.folder, "ids"))
    return {}


def run_peer(arguments):
    """Seconds of an iteration of auto-round in the last layer."""
    import numpy
    import tokenizers
    import torch
    import transformers
    from auto_round import AutoRound
    from auto_round.algorithms.quantization.sign_round.quantizer import SignRoundQuantizer

    low, high = arguments.iters
    marks, steps, step = {}, itertools.count(1), SignRoundQuantizer._step

    def stepped(self, *rest):  # the last that an iteration does
        step(self, *rest)
        done = next(steps)
        if done % high in (low, 0):
            if arguments.device != "cpu":
                torch.cuda.synchronize()
            marks[done] = time.perf_counter()

    SignRoundQuantizer._step = stepped
    # auto-round wants a tokenizer with a model in memory; with ids as data it is never called.
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    ids = numpy.fromfile(os.path.join(arguments.folder, "ids"), dtype=numpy.int64)
    ids = torch.from_numpy(ids).view(2, arguments.batch, arguments.length)
    tuner = AutoRound(
        transformers.AutoModelForCausalLM.from_pretrained(arguments.folder, dtype=torch.bfloat16), scheme="W4A16",
        group_size=SHAPES[arguments.shapes].get("group", 128), iters=high, nsamples=2 * arguments.batch,
        tokenizer=transformers.PreTrainedTokenizerFast(tokenizer_object=words), seqlen=arguments.length,
        dataset=[{"input_ids": batch, "attention_mask": None} for batch in ids], batch_size=arguments.batch,
        device_map=arguments.device, enable_torch_compile=arguments.peers == "compiled")
    tuner.quantize()
    slopes = [(marks[first + high] - marks[first + low]) / (high - low) for first in range(0, LAYERS * high, high)]
    peak = 0 if arguments.device == "cpu" else torch.cuda.max_memory_allocated()
    return {"seconds": slopes[-1], "layers": slopes, "peak": peak}


def run_products(arguments):
    """Median seconds of all matrix products of one iteration of one layer."""
    import torch

    shape = SHAPES[arguments.shapes]
    hidden, inner, experts = shape["hidden"], shape["inner"], shape.get("experts")
    queries, keys = shape["heads"] * shape["width"], shape["keys"] * shape["width"]
    tokens = arguments.batch * arguments.length
    rows, many = (tokens * shape["top"] // experts, (experts,)) if experts else (tokens, ())
    # how many products at once, rows, outputs, inputs, whether the input needs a gradient
    linears = [((), tokens, queries, hidden, False), ((), tokens, keys, hidden, False), ((), tokens, keys, hidden, False),
               ((), tokens, hidden, queries, True), (many, rows, inner, hidden, True), (many, rows, inner, hidden, True),
               (many, rows, hidden, inner, True)]
    random = functools.partial(torch.randn, device=arguments.device, dtype=torch.bfloat16)
    operands = [(random(*n, r, i), random(*n, o, i), random(*n, r, o), needed) for n, r, o, i, needed in linears]

    def iteration():
        for x, w, dy, needed in operands:
            torch.matmul(x, w.mT)
            torch.matmul(dy.mT, x)
            if needed:
                torch.matmul(dy, w)

    if arguments.device == "cpu":
        times = timeit.repeat(iteration, number=1, repeat=10)
        return {"seconds": statistics.median(times), "peak": 0}
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(3):
            iteration()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        iteration()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(max(10, arguments.iters[1] - arguments.iters[0]) + 4)]
    for event in events:
        event.record()
        graph.replay()
    torch.cuda.synchronize()
    times = [a.elapsed_time(b) / 1e3 for a, b in zip(events[3:], events[4:])]  # the first three are warm-up
    return {"seconds": statistics.median(times), "peak": torch.cuda.max_memory_allocated(),
            "device": torch.cuda.get_device_name()}


if __name__ == "__main__":
    main()
