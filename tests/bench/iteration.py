#!/usr/bin/env python3
"""How long one tuning iteration takes here, in auto-round, and in the matrix products that neither can avoid.

    python tests/bench/iteration.py --model DIR --text FILE --bench build/release/tests/bench/block_bench

Tunes the first layers of the model (int4, symmetric, group 64) on windows of the text with both programs, the same
thread count and the same shapes, and takes the slope between two iteration counts: start-up and per-block work cancel
out. The programs take turns within one run, because two runs on a shared machine are not comparable. auto-round runs
eagerly, as released. The third number is a loop of torch.mm calls over the shapes of one layer: forward, gradient of
the weights, and gradient of the inputs where one is needed (not for q, k and v, whose input is data).
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile


def main():
    arguments = parse()
    if arguments.role == "peer":
        return run_peer(arguments)
    if arguments.role == "products":
        return run_products(arguments)
    with tempfile.TemporaryDirectory() as folder:
        prepare(arguments, folder)
        compare(arguments, folder)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a Llama-like checkpoint")
    parser.add_argument("--text", help="UTF-8 text to calibrate on")
    parser.add_argument("--bench", default="build/release/tests/bench/block_bench", help="the program block_bench")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--length", type=int, default=256, help="tokens of a sample")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--iters", type=int, nargs=2, default=(20, 100), help="the two iteration counts")
    parser.add_argument("--alternations", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="end with status 1 when a target is missed")
    parser.add_argument("--role", choices=("compare", "peer", "products"), default="compare", help=argparse.SUPPRESS)
    parser.add_argument("--windows", help=argparse.SUPPRESS)
    return parser.parse_args()


def prepare(arguments, folder):
    """The same windows of the text for both: token ids for us, text for auto-round, which tokenizes itself."""
    import numpy
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    with open(arguments.text, encoding="utf-8") as file:
        ids = tokenizer(file.read(), add_special_tokens=False, verbose=False)["input_ids"]
    count = arguments.samples * arguments.length
    if len(ids) < count:
        sys.exit(f"{arguments.text}: {len(ids)} tokens, {count} wanted")
    numpy.array(ids[:count], dtype=numpy.int64).tofile(os.path.join(folder, "ids"))
    # Twice the window, so that a text that tokenizes shorter on its own is not dropped.
    starts = range(0, count, arguments.length)
    windows = [tokenizer.decode((ids[i:] + ids[:i])[: 2 * arguments.length]).strip() for i in starts]
    with open(os.path.join(folder, "windows.json"), "w", encoding="utf-8") as file:
        json.dump(windows, file)


def compare(arguments, folder):
    low, high = arguments.iters
    slopes = {"libautoround": [], "auto-round": [], "products": []}

    def measure(name, program):
        seconds = [program(low), program(high)]
        slopes[name].append((seconds[1] - seconds[0]) / ((high - low) * arguments.layers))

    for turn in range(arguments.alternations):
        measure("libautoround", lambda iters: ours(arguments, folder, iters))
        measure("auto-round", lambda iters: itself(arguments, folder, "peer", iters))
        slopes["products"].append(itself(arguments, folder, "products", high))
        latest = ", ".join(f"{name} {1e3 * times[-1]:.1f} ms" for name, times in slopes.items())
        print(f"alternation {turn + 1}: {latest}", flush=True)

    median = {name: statistics.median(times) for name, times in slopes.items()}
    for name, seconds in median.items():
        print(f"{name:14s} {1e3 * seconds:8.1f} ms/iteration")
    speedup, products = median["auto-round"] / median["libautoround"], median["libautoround"] / median["products"]
    print(f"libautoround is {speedup:.2f} times as fast as auto-round (target: 2.0)")
    print(f"libautoround takes {products:.2f} times the matrix products (target: 1.2 at most)")
    if arguments.check and (speedup < 2.0 or products > 1.2):
        sys.exit(1)


def environment(arguments):
    return {**os.environ, "OMP_NUM_THREADS": str(arguments.threads), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}


def last_line(command, arguments):
    done = subprocess.run(command, env=environment(arguments), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(arguments, folder, iters):
    command = [arguments.bench, "--model", arguments.model, "--ids", os.path.join(folder, "ids"), "--iters", str(iters)]
    for key in ("samples", "length", "batch", "layers", "threads"):
        command += [f"--{key}", str(getattr(arguments, key))]
    return last_line(command, arguments)["seconds"]


def itself(arguments, folder, role, iters):
    command = [sys.executable, os.path.abspath(__file__), "--role", role, "--model", arguments.model,
               "--windows", os.path.join(folder, "windows.json"), "--iters", str(iters), str(iters)]
    for key in ("samples", "length", "batch", "layers", "threads"):
        command += [f"--{key}", str(getattr(arguments, key))]
    return last_line(command, arguments)["seconds"]


def run_peer(arguments):
    """auto-round on a model cut to the layers that are tuned; times quantize() as a whole."""
    import time

    import torch
    import transformers
    from auto_round import AutoRound

    torch.set_num_threads(arguments.threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        arguments.model, dtype=torch.bfloat16, num_hidden_layers=arguments.layers)
    tuner = AutoRound(
        model, scheme="W4A16", group_size=64, tokenizer=tokenizer, dataset=arguments.windows, iters=arguments.iters[0],
        nsamples=arguments.samples, seqlen=arguments.length, batch_size=arguments.batch, device_map="cpu",
        enable_torch_compile=False)
    start = time.perf_counter()
    tuner.quantize()
    print(json.dumps({"seconds": time.perf_counter() - start}))


def run_products(arguments):
    """Median time of all matrix products of one iteration of one layer."""
    import time

    import torch
    import transformers

    torch.set_num_threads(arguments.threads)
    config = transformers.AutoConfig.from_pretrained(arguments.model)
    hidden, inner = config.hidden_size, config.intermediate_size
    width = getattr(config, "head_dim", None) or hidden // config.num_attention_heads
    queries, keys = config.num_attention_heads * width, config.num_key_value_heads * width
    # outputs, inputs, whether the input needs a gradient
    linears = [(queries, hidden, False), (keys, hidden, False), (keys, hidden, False), (hidden, queries, True),
               (inner, hidden, True), (inner, hidden, True), (hidden, inner, True)]
    tokens = arguments.batch * arguments.length

    def random(rows, columns):
        return torch.randn(rows, columns).bfloat16()

    operands = [(random(tokens, i), random(o, i), random(tokens, o), needed) for o, i, needed in linears]
    times = []
    for _ in range(max(arguments.iters[0], 10)):
        start = time.perf_counter()
        for x, w, dy, needed in operands:
            torch.mm(x, w.t())
            torch.mm(dy.t(), x)
            if needed:
                torch.mm(dy, w)
        times.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(times)}))


if __name__ == "__main__":
    main()
