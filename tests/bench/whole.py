#!/usr/bin/env python3
"""How long quantizing a whole checkpoint takes here and in peers, everything included: from start to exit of a process.

    python tests/bench/whole.py [--device cuda] [--shape llama-3.1-8b] [--layers 8] [--peers llm-compressor] [--check]

The checkpoint is written to the RAM disk if there is room: random bf16 weights in a shape of speed_shapes.py, a small
vocabulary and random token ids. Everybody tunes it on the same windows with the same batch, iterations and scheme,
leaves lm_head alone and writes a folder of compressed-tensors. Each contestant is a process of its own; with
--alternations they take turns, every other time in reverse order:

- libautoround: `autoround quantize`.
- llm-compressor: oneshot with AutoRoundModifier; layers go to the GPU by themselves.
- auto-round: AutoRound(...).quantize_and_save in the format llm_compressor.
- the same with -eager behind the name: without torch.compile, which both use otherwise. Later turns find on disk what
  the first has compiled.

What the peers import is imported once before, so that nobody pays for reading it from disk the first time. A folder
counts when every linear layer of every decoder layer is in it, quantized. A contestant that fails is reported and left
out; the status is then 1. A peer that --timeout cuts off has taken at least that long, and counts as if it had ended. Progress goes to stderr. Needs torch, transformers, safetensors and the peers; no network.
"""
import argparse
import json
import os
import shutil
import statistics
import struct
import sys
import tempfile
from array import array
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import child
import speed_shapes
from schemes import integers, scheme
from speed import processor
from speed_shapes import SHAPES

OURS, LLM_COMPRESSOR, AUTO_ROUND, EAGER = "libautoround", "llm-compressor", "auto-round", "-eager"
PEERS = tuple(name + suffix for name in (LLM_COMPRESSOR, AUTO_ROUND) for suffix in ("", EAGER))
MODULES = {LLM_COMPRESSOR: "llmcompressor.modifiers.autoround", AUTO_ROUND: "auto_round.compressors.orchestrator"}
TARGET = 1.4  # how many times our time the fastest peer takes on a GPU, at least
SEED = 42  # llm-compressor takes no other
RAM_DISK = "/dev/shm"


@dataclass(frozen=True)
class Run:
    seconds: float  # wall clock of the process
    own_seconds: float  # by its own account: of ours without its start, of a peer's without imports and loading
    peak_bytes: int  # largest resident set
    account: dict  # what else it says


FIGURES = ("seconds", "own_seconds", "peak_bytes")  # of which there are medians


def main() -> int:
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="whole-", dir=place(arguments)) as folder:
        result = Bench(arguments, Path(folder)).result()
    print(table(result))
    missed = miss(result) if arguments.check else None
    if missed:
        print(f"target missed: {missed}")
    return 1 if missed or result["failures"] else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu",
                        help="cuda is the first that CUDA_VISIBLE_DEVICES shows")
    parser.add_argument("--shape", choices=SHAPES, default="llama-3.1-8b")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--samples", type=int, default=32, help="windows of tokens")
    parser.add_argument("--length", type=int, default=2048, help="tokens of a window")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--iters", type=int, default=200)
    parser.add_argument("--scheme", type=scheme, help="w4g64sym, w2g32asym, W8A8 ...; 4 bits in the shape's groups "
                        "without it, which are w4g128sym in most")
    parser.add_argument("--peers", type=peers, default=LLM_COMPRESSOR, help=f"comma separated, of {', '.join(PEERS)}")
    parser.add_argument("--alternations", type=int, default=1)
    parser.add_argument("--threads", type=int, help="2 is the default on a CPU; on a GPU it is not set")
    parser.add_argument("--autoround", type=Path, default=child.PROGRAM, help="the program")
    parser.add_argument("--folder", type=Path, help="where to put the checkpoint and what is written")
    parser.add_argument("--timeout", type=int, default=3600, help="seconds a contestant may take")
    parser.add_argument("--json", type=Path, help="all figures, written after each contestant")
    parser.add_argument("--check", action="store_true",
                        help=f"end with status 1 when the fastest peer takes less than {TARGET} times our time (GPU)")
    arguments = parser.parse_args()
    arguments.scheme = arguments.scheme or integers(4, SHAPES[arguments.shape].group)
    arguments.threads = arguments.threads or (2 if arguments.device == "cpu" else None)
    if not arguments.autoround.is_file():
        parser.error(f"{arguments.autoround} is not there: build the target autoround_cli, or name another --autoround")
    for folder in (arguments.folder, arguments.json and arguments.json.parent):
        if folder and not folder.is_dir():
            parser.error(f"{folder} is no folder")
    if arguments.check and (arguments.device == "cpu" or not arguments.peers):
        parser.error("--check compares with --peers on a GPU")
    return arguments


def peers(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if unknown := set(names) - set(PEERS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: peers are {', '.join(PEERS)}")
    return names


def place(arguments: argparse.Namespace) -> Path | None:
    """The RAM disk where it takes the checkpoint and a quantized one; None: where temporary files go."""
    if arguments.folder:
        return arguments.folder
    products = speed_shapes.products(SHAPES[arguments.shape], tokens=1)
    weights = arguments.layers * sum(product.layers * product.inputs * product.outputs for product in products)
    needed = 2 * 2 * weights  # bytes of bf16, twice
    fits = os.access(RAM_DISK, os.W_OK) and shutil.disk_usage(RAM_DISK).free > needed
    return Path(RAM_DISK) if fits else None


class Bench:
    """Runs contestants one after the other, each into a folder that is gone when it was counted."""

    def __init__(self, arguments: argparse.Namespace, folder: Path):
        self.arguments, self.folder = arguments, folder
        self.model, self.windows = folder / "model", folder / "windows.jsonl"

    def result(self) -> dict:
        job = self.arguments
        contestants = [OURS, *job.peers]
        result = {
            "title": title(job), "machine": processor(),
            "settings": {key: value for key, value in vars(job).items() if isinstance(value, (str, int, list))},
            "runs": {contestant: [] for contestant in contestants}, "failures": {}, "cut_off": {}, "median": {}}
        say(result["title"])
        result["machine"] = self.prepare() or result["machine"]
        for turn in range(job.alternations):
            for contestant in contestants[:: -1 if turn % 2 else 1]:
                if contestant not in result["failures"] | result["cut_off"]:
                    self.take_turn(turn, contestant, result)
        return result

    def prepare(self) -> str | None:
        """Writes the checkpoint and the windows. Meanwhile another process reads what a first start has to read, and
        says which GPU there is; it may fail, as whoever lacks something will say itself."""
        job = self.arguments
        with ThreadPoolExecutor() as pool:
            written = pool.submit(self.script, "speed_peers.py", "write", "--shape", job.shape, "--layers", job.layers,
                                  "--samples", job.samples, "--length", job.length, "--batch", job.batch,
                                  "--folder", self.model, "--device", job.device)
            modules = {MODULES[name.removesuffix(EAGER)] for name in job.peers}
            warmed = pool.submit(self.script, "peers.py", "warm-up", "--device", job.device, *sorted(modules))
            finished = written.result()
            try:
                machine = json.loads(child.last_line(warmed.result().stdout))["machine"]
            except child.ChildError as error:
                machine = None
                say(f"warm-up: {error}")
        ids = array("q", (self.model / "ids").read_bytes())
        (self.model / "ids").unlink()  # what is beside a model is copied with it
        with self.windows.open("w", encoding="utf-8") as file:
            for start in range(0, len(ids), job.length):
                file.write(json.dumps({"input_ids": ids[start : start + job.length].tolist()}) + "\n")
        say(f"checkpoint written to {self.model} in {finished.seconds:.1f} s")
        return machine

    def take_turn(self, turn: int, contestant: str, result: dict) -> None:
        """One that fails costs the others nothing."""
        say(f"{turn + 1}: {contestant} starts")
        try:
            run = self.run(contestant)
            result["runs"][contestant].append(asdict(run))
            outcome = (f"{run.seconds:.2f} s, {run.own_seconds:.2f} s by its own account, "
                       f"{run.peak_bytes / 1e6:.0f} MB; {json.dumps(run.account)}")
        except child.TimeoutReached as error:
            result["cut_off" if contestant != OURS else "failures"][contestant] = error.seconds
            outcome = str(error)
        except (child.ChildError, OSError, LookupError, ValueError) as error:  # an odd folder raises any of them
            result["failures"][contestant] = outcome = f"{type(error).__name__}: {error}"
        say(f"{turn + 1}: {contestant}: {outcome}")
        result["median"] = {
            name: {key: statistics.median(run[key] for run in runs) for key in FIGURES}
            for name, runs in result["runs"].items() if runs}
        if self.arguments.json:
            self.arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    def run(self, contestant: str) -> Run:
        with tempfile.TemporaryDirectory(dir=self.folder) as parent:
            output, report = Path(parent) / "quantized", Path(parent) / "report.json"
            if contestant == OURS:
                finished = self.child(self.our_command(output, report), self.arguments.timeout)
            else:
                switches = self.peer_switches(contestant, output)
                finished = self.script("peers.py", *switches, timeout=self.arguments.timeout)
            self.check(output)
            if contestant == OURS:
                said = json.loads(report.read_text(encoding="utf-8"))
                account = {**said["io"], "blocks": [block["seconds"] for block in said["blocks"]]}
                return Run(finished.seconds, said["seconds"], finished.peak_bytes, account)
            said = json.loads(child.last_line(finished.stdout))
            return Run(finished.seconds, said.pop("quantize_seconds"), finished.peak_bytes, said)

    def our_command(self, output: Path, report: Path) -> list:
        job = self.arguments
        return [job.autoround, "quantize", self.model, "--output", output, *job.scheme.own_switches(), "--calibration",
                self.windows, "--nsamples", job.samples, "--seqlen", job.length, "--batch-size", job.batch, "--iters",
                job.iters, "--seed", SEED, "--device", job.device, "--report", report.with_suffix(".html"), "--quiet",
                "--json", *self.threads()]

    def peer_switches(self, contestant: str, output: Path) -> list:
        job, name = self.arguments, contestant.removesuffix(EAGER)
        own = ["--seed", SEED, "--packed"] if name == AUTO_ROUND else []
        compiled = [] if contestant.endswith(EAGER) else ["--compiled"]
        return [name, "--model", self.model, "--windows", self.windows, "--output", output, "--batch", job.batch,
                "--iters", job.iters, "--device", job.device, *job.scheme.switches(), *own, *compiled, *self.threads()]

    def check(self, output: Path) -> None:
        """A run that did nothing, or not all, does not count."""
        products = speed_shapes.products(SHAPES[self.arguments.shape], tokens=1)
        wanted = self.arguments.layers * sum(product.layers for product in products)
        if (found := quantized_layers(output)) != wanted:
            raise child.ChildError(f"{output} holds {found} quantized linear layers, not {wanted}")

    def threads(self) -> list:
        return ["--threads", self.arguments.threads] if self.arguments.threads else []

    def script(self, name: str, *switches: object, timeout: int | None = None) -> child.Finished:
        return self.child([sys.executable, Path(__file__).with_name(name), *switches], timeout)

    def child(self, command: list, timeout: int | None) -> child.Finished:
        job = self.arguments
        return child.run(command, job.threads, cuda=job.device == "cuda", timeout=timeout)


def quantized_layers(output: Path) -> int:
    """Linear layers with scales of weights, in a folder that says that it is quantized and whose files are whole.
    auto-round puts a folder of its own into the one that it is given."""
    configs = list(output.rglob("config.json"))
    if len(configs) != 1:
        raise child.ChildError(f"{output} holds {len(configs)} checkpoints, not one")
    config = json.loads(configs[0].read_text(encoding="utf-8"))
    if config.get("quantization_config", {}).get("quant_method") != "compressed-tensors":
        raise child.ChildError(f"{configs[0]} is not of compressed-tensors")
    names = [name for path in configs[0].parent.glob("*.safetensors") for name in tensors(path)]
    return sum(name.endswith(".weight_scale") for name in names)


def tensors(path: Path) -> list[str]:
    """The names in a safetensors file, which has to be as long as it says."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    wanted = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if path.stat().st_size != wanted:
        raise child.ChildError(f"{path} has {path.stat().st_size} bytes, {wanted} by its header")
    return list(header)


def title(job: argparse.Namespace) -> str:
    threads = f", {job.threads} threads" if job.threads else ""
    return (f"{job.shape}, {job.layers} layers, {job.samples} windows of {job.length} tokens, batch {job.batch}, "
            f"{job.iters} iterations, {job.scheme.name}, {job.device}{threads}")


def table(result: dict) -> str:
    lines = [f"\n{result['title']}, {result['machine']}",
             f"{'':20s}  seconds   of ours   by its own account   peak MB"]
    ours = result["median"].get(OURS)
    for name, median in result["median"].items():
        ratio = f"{median['seconds'] / ours['seconds']:8.2f} x" if ours else f"{'':10s}"
        lines.append(f"{name:20s}{median['seconds']:9.2f}{ratio}{median['own_seconds']:21.2f}"
                     f"{median['peak_bytes'] / 1e6:10.0f}")
    for name, seconds in result["cut_off"].items():
        ratio = f"{seconds / ours['seconds']:8.2f} x" if ours else ""
        lines.append(f"{name:20s}{seconds:9.2f}{ratio} and more: cut off")
    return "\n".join([*lines, *(f"{name} failed" for name in result["failures"])])


def miss(result: dict) -> str | None:
    ours = result["median"].get(OURS)
    theirs = [median["seconds"] for name, median in result["median"].items() if name != OURS]
    theirs += result["cut_off"].values()
    if not ours or not theirs:
        return "nothing to compare"
    fastest = min(theirs) / ours["seconds"]
    return f"the fastest peer takes {fastest:.2f} times our time, {TARGET} wanted" if fastest < TARGET else None


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except child.ChildError as error:
        sys.exit(str(error))
