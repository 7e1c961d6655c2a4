"""The jobs of quality.py and whole.py that need torch, each run as a process of its own: cut texts into token windows,
quantize with auto-round or llm-compressor, judge a folder. Each prints one JSON object as its last line.

    python peers.py windows        --model DIR --text FILE --length N --count N --output FILE.jsonl
    python peers.py auto-round     --model DIR --windows FILE.jsonl --output DIR (--bits N --group-size N | --preset NAME) ...
    python peers.py llm-compressor (the same)
    python peers.py warm-up        --device D [MODULE ...]
    python peers.py judge          --model DIR --windows FILE.jsonl [--inputs PRESET]
"""
import argparse
import importlib
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # read while the libraries are imported

import torch
import transformers

import schemes


def main() -> None:
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    transformers.logging.set_verbosity_error()
    print(json.dumps(arguments.job(arguments)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def command(name: str, job: Callable[[argparse.Namespace], dict]) -> argparse.ArgumentParser:
        added = commands.add_parser(name)
        added.set_defaults(job=job)
        added.add_argument("--model", type=Path, required=True)
        added.add_argument("--threads", type=int, help="as many as torch likes without it")
        return added

    cut = command("windows", cut_windows)
    cut.add_argument("--text", type=Path, required=True)
    cut.add_argument("--length", type=int, required=True)
    cut.add_argument("--count", type=int, required=True)
    cut.add_argument("--output", type=Path, required=True)
    for name, job in (("auto-round", quantize_with_auto_round), ("llm-compressor", quantize_with_llm_compressor)):
        quantize = command(name, job)
        quantize.add_argument("--windows", type=Path, required=True)
        quantize.add_argument("--output", type=Path, required=True)
        schemes.add_switches(quantize)
        quantize.add_argument("--iters", type=int, required=True)
        quantize.add_argument("--batch", type=int, required=True)
        quantize.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
        quantize.add_argument("--compiled", action="store_true", help="with torch.compile")
        if job is quantize_with_auto_round:
            quantize.add_argument("--seed", type=int, required=True)
            quantize.add_argument("--packed", action="store_true", help="leave a compressed-tensors folder")
    warmed = commands.add_parser("warm-up")
    warmed.set_defaults(job=warm_up, threads=None)
    warmed.add_argument("--device", choices=("cpu", "cuda"), required=True)
    warmed.add_argument("modules", nargs="*")
    judged = command("judge", judge)
    judged.add_argument("--windows", type=Path, required=True)
    judged.add_argument("--inputs", help="preset whose dynamic input quantization is simulated")
    return parser.parse_args()


def cut_windows(arguments: argparse.Namespace) -> dict:
    """One {"input_ids": [...]} a line."""
    with arguments.output.open("w", encoding="utf-8") as file:
        for window in token_windows(arguments.model, arguments.text, arguments.length, arguments.count):
            file.write(json.dumps({"input_ids": window}) + "\n")
    return {"windows": arguments.count, "length": arguments.length}


def token_windows(model: Path, text: Path, length: int, count: int) -> list[list[int]]:
    """Consecutive windows of a text that is tokenized once, without special tokens."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    words = text.read_bytes().decode("utf-8")  # line ends as they are
    ids = tokenizer(words, add_special_tokens=False, verbose=False)["input_ids"]
    if len(ids) < count * length:
        raise SystemExit(f"{text}: {len(ids)} tokens found, {count * length} wanted")
    return [ids[start : start + length] for start in range(0, count * length, length)]


def read_windows(path: Path) -> torch.Tensor:
    """[windows, length]"""
    with path.open(encoding="utf-8") as file:
        return torch.tensor([json.loads(line)["input_ids"] for line in file])


def load_bf16(folder: Path) -> transformers.PreTrainedModel:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)


# What auto-round calls the presets of compressed-tensors.
AUTO_ROUND_PRESETS = {
    "W8A8": {"scheme": "INT8_W8A8"},
    "FP8_DYNAMIC": {"scheme": "FP8_STATIC", "group_size": -1, "act_dynamic": True, "act_group_size": -1},
    "NVFP4A16": {"scheme": "NVFP4", "act_bits": 16},
    "MXFP4A16": {"scheme": "MXFP4", "act_bits": 16},
    "MXFP8A16": {"scheme": "MXFP8", "act_bits": 16},
}


def auto_round_scheme(arguments: argparse.Namespace) -> dict:
    if arguments.preset:
        return AUTO_ROUND_PRESETS.get(arguments.preset, {"scheme": arguments.preset})
    return {"scheme": f"W{arguments.bits}A16", "group_size": arguments.group_size, "sym": not arguments.asymmetric}


def unwrap(model: torch.nn.Module) -> None:
    """auto-round wraps layers whose inputs are quantized; their weights are those of the layer inside."""
    for name, module in list(model.named_modules()):
        if hasattr(module, "orig_layer"):
            model.set_submodule(name, module.orig_layer)


def quantize_with_auto_round(arguments: argparse.Namespace) -> dict:
    """Leaves a plain bf16 checkpoint with the quantized and dequantized weights, or what it packs itself."""
    import auto_round

    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    windows = read_windows(arguments.windows)
    # A dataset that is no name is iterated over as it is: one tensor of token ids a batch. Beside a bare one auto-round
    # makes a mask, which rules out the fast attention of a GPU; data by name is without one.
    batches = list(windows.split(arguments.batch))
    if arguments.device != "cpu":
        batches = [{"input_ids": batch, "attention_mask": None} for batch in batches]
    tuner = auto_round.AutoRound(
        load_bf16(arguments.model), tokenizer=tokenizer, **auto_round_scheme(arguments), iters=arguments.iters,
        nsamples=windows.shape[0], seqlen=windows.shape[1], batch_size=arguments.batch, dataset=batches,
        seed=arguments.seed, device_map=arguments.device, enable_torch_compile=arguments.compiled)
    start = time.perf_counter()
    if arguments.packed:
        tuner.quantize_and_save(str(arguments.output), format="llm_compressor")
        seconds = time.perf_counter() - start
    else:
        model, _ = tuner.quantize()
        seconds = time.perf_counter() - start
        unwrap(model)
        model.save_pretrained(arguments.output)
    return {"quantize_seconds": seconds, "version": auto_round.__version__, **device_peak(arguments.device)}


def quantize_with_llm_compressor(arguments: argparse.Namespace) -> dict:
    """Leaves a compressed-tensors folder. The modifier takes no seed: it is auto-round's default, 42. Nor does it take a
    device: the model is loaded for the CPU, and layers are brought to the accelerator that torch finds, or stay."""
    import llmcompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from datasets import Dataset
    from llmcompressor.modifiers.autoround import AutoRoundModifier
    from llmcompressor.utils.dev import get_main_device

    if get_main_device().type != arguments.device:
        raise SystemExit(f"llm-compressor would compute on {get_main_device()}, not on {arguments.device}")
    windows = read_windows(arguments.windows)
    if arguments.preset:
        scheme = {"scheme": arguments.preset}
    else:
        by_row = arguments.group_size == -1
        grouping = {"strategy": "channel"} if by_row else {"strategy": "group", "group_size": arguments.group_size}
        weights = QuantizationArgs(num_bits=arguments.bits, type="int", symmetric=not arguments.asymmetric, **grouping)
        scheme = {"config_groups": {"group_0": QuantizationScheme(targets=["Linear"], weights=weights)}}
    modifier = AutoRoundModifier(
        **scheme, ignore=["lm_head"],
        iters=arguments.iters, batch_size=arguments.batch, enable_torch_compile=arguments.compiled)
    dataset = Dataset.from_dict({"input_ids": windows.tolist(), "attention_mask": torch.ones_like(windows).tolist()})
    model = load_bf16(arguments.model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    start = time.perf_counter()
    llmcompressor.oneshot(
        model=model, tokenizer=tokenizer, recipe=[modifier], dataset=dataset, max_seq_length=windows.shape[1],
        num_calibration_samples=windows.shape[0], shuffle_calibration_samples=False, output_dir=str(arguments.output))
    seconds = time.perf_counter() - start
    return {"quantize_seconds": seconds, "version": llmcompressor.__version__, **device_peak(arguments.device)}


def device_peak(device: str) -> dict:
    """The most that PyTorch's allocator held of a GPU."""
    return {} if device == "cpu" else {"device_peak_bytes": torch.cuda.max_memory_allocated()}


def warm_up(arguments: argparse.Namespace) -> dict:
    """Reads, and compiles to bytecode, what whoever comes first on a machine would be measured with."""
    for name in ["torch._inductor.compile_fx", *arguments.modules]:
        importlib.import_module(name)
    ones = torch.ones(64, 64, dtype=torch.bfloat16, device=arguments.device)
    (ones @ ones).sum().item()
    return {"machine": torch.cuda.get_device_name() if arguments.device == "cuda" else None}


def judge(arguments: argparse.Namespace) -> dict:
    """Perplexity in fp32: each token of a window but its first is predicted from those before it."""
    model = load_in_fp32(arguments.model)
    if arguments.inputs:
        round_inputs(model, arguments.inputs)
    windows = read_windows(arguments.windows)
    total = 0.0
    with torch.no_grad():
        for window in windows:
            logits = model(window[None]).logits[0, :-1]
            total += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
    tokens = windows.shape[0] * (windows.shape[1] - 1)
    return {"perplexity": math.exp(total / tokens), "tokens": tokens}


def round_inputs(model: torch.nn.Module, preset: str) -> None:
    """The inputs of all quantized layers as compressed-tensors rounds them at run time, whoever quantized the weights."""
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from compressed_tensors.quantization.quant_scheme import preset_name_to_scheme
    from compressed_tensors.quantization.utils import compute_dynamic_scales_and_zp

    args = preset_name_to_scheme(preset, ["Linear"]).input_activations
    if args is None:
        return
    if args.dynamic is not True:
        raise SystemExit(f"{preset}: static input scales belong to a folder; only dynamic ones are simulated")

    def hook(layer: torch.nn.Module, inputs: tuple) -> tuple:
        scale, zero = compute_dynamic_scales_and_zp(inputs[0], args, layer)
        return (fake_quantize(inputs[0], scale, zero, args),) + inputs[1:]

    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            layer.register_forward_pre_hook(hook)


def load_in_fp32(folder: Path) -> transformers.PreTrainedModel:
    """The bf16 weights that transformers finds in the folder, dequantized where need be, in a plain fp32 model."""
    config = transformers.AutoConfig.from_pretrained(folder)
    chosen = {}
    if getattr(config, "quantization_config", None) is not None:
        # Unpacked while loading: some versions cannot load packed weights with zero points the default way.
        chosen["quantization_config"] = transformers.CompressedTensorsConfig(dequantize=True)
        del config.quantization_config
    found, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, output_loading_info=True, **chosen)
    problems = {kind: keys for kind, keys in info.items() if keys}
    if problems:
        raise SystemExit(f"{folder}: {problems}")
    weights = found.state_dict()
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict({name: weights[name].float() for name in model.state_dict()})
    return model.eval()


if __name__ == "__main__":
    main()
