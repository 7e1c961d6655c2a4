"""Loads folders of auto-round's, GPTQ's and AWQ's formats with the code that others wrote and compares them with what was written.

  load_auto_round.py --tool EXPORT_TOOL

- auto_round, of every family too: transformers with auto-round's layers finds every key, each layer computes with our dequantized weight bit for
  bit, and this library's logits of the folder are those of transformers in fp32 on these weights.
- auto_awq and auto_round:auto_awq: auto-round's own unpacking gives our weights bit for bit (its AWQ layers need a GPU).
- auto_gptq: the tensors are those of auto_round:auto_gptq, which the first check loads, with g_idx.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

os.environ["TQDM_DISABLE"] = "1"  # read while the libraries are imported
os.environ["AR_LOG_LEVEL"] = "ERROR"

import torch
from auto_round import __version__ as auto_round_version
from auto_round.export.export_to_awq.utils import dequantize_gemm
from families import FAMILIES
from safetensors.torch import load_file
from tiny_models import TWO_NAMES, W4, auto_class, export, group, logits_of, make_model, name_in_transformers, stored_state
from transformers import AutoConfig
from transformers.utils import logging

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from support import Recorder, scheme_row

# auto-round gives experts of these other names than their checkpoints and vLLM have, so its loader takes only what it wrote itself.
ELSEWHERE = ("mixtral",)
LATENT = {"qk_rope_head_dim": 32}  # features of all layers are multiples of 32
MIXED = {
    "down": group(["re:.*layers.1.mlp.down_proj"], 8, True, "group"),
    "rest": group(["Linear"], 4, True, "group"),
}
WHOLE = ["lm_head", "re:.*layers.0.self_attn.o_proj"]


def cases():
    """format -> name -> (config groups, ignore)"""
    uniform = {f"w{bits}_{'sym' if symmetric else 'asym'}_{strategy}": ({"all": group(["Linear"], bits, symmetric, strategy)}, ["lm_head"])
               for bits in (2, 3, 4, 8) for symmetric in (True, False) for strategy in ("group", "channel")}
    mixed = {"mixed": (MIXED, WHOLE)}
    symmetric = {name: case for name, case in uniform.items() if "_sym_" in name}
    awq = {name: case for name, case in uniform.items() if name.startswith("w4_")}
    head = {"head": ({"all": group(["Linear"], 4, True, "group")}, [])}
    return {"auto_round": uniform | mixed | head, "auto_round:auto_gptq": symmetric | mixed, "auto_gptq": symmetric | mixed,
            "auto_round:auto_awq": awq, "auto_awq": awq}


def weight_of(layer, columns):
    """What a quantized layer multiplies with: each product of the identity is one weight, so nothing is rounded."""
    bias, layer.bias = layer.bias, None
    with torch.no_grad():
        weight = layer(torch.eye(columns, dtype=torch.float16)).t()
    layer.bias = bias
    return weight


def check_loaded(folder, expected):
    of_config = auto_class(AutoConfig.from_pretrained(folder))
    model, info = of_config.from_pretrained(folder, dtype=torch.float16, output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        assert not info.get(problem), f"{folder.name}: {problem}: {info[problem]}"
    layers = {name: module for name, module in model.named_modules() if hasattr(module, "qweight")}
    quantized = {name_in_transformers(name).removesuffix(".weight"): name for name in expected if name.endswith(".weight")}
    assert set(layers) == set(quantized), f"{folder.name}: quantized layers {set(layers) ^ set(quantized)}"
    for name, layer in layers.items():
        weight = expected[quantized[name]]
        assert torch.equal(weight_of(layer, weight.shape[1]), weight), f"{folder.name}: {name} computes with other weights"


def check_awq(folder, expected):
    stored, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())["quantization_config"]
    for name, weight in expected.items():
        if not name.endswith(".weight"):
            continue
        layer = name.removesuffix(".weight")
        size = config["group_size"] if config["group_size"] > 0 else weight.shape[1]
        found = dequantize_gemm(stored[layer + ".qweight"], stored[layer + ".qzeros"], stored[layer + ".scales"], 4, size)
        assert torch.equal(found.t(), weight), f"{folder.name}: {layer} unpacks to other weights"


def check_gptq(folder, twin):
    stored, other = load_file(folder / "model.safetensors"), load_file(twin / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    extra = {name: tensor for name, tensor in stored.items() if name not in other}
    assert not set(other) - set(stored) and all(torch.equal(stored[name], other[name]) for name in other), f"{folder.name}: other tensors"
    for name, tensor in extra.items():
        columns = tensor.numel()
        size = columns // stored[name.replace("g_idx", "scales")].shape[0]
        assert name.endswith(".g_idx") and torch.equal(tensor, (torch.arange(columns) // size).int()), f"{folder.name}: {name}"
    assert len(extra) == sum(name.endswith(".qweight") for name in stored) and config["quant_method"] == "gptq"


def check_logits(folder, expected, plain_model):
    """This library's logits of the folder against transformers on the weights that were written."""
    of_config = auto_class(AutoConfig.from_pretrained(plain_model))
    plain = of_config.from_pretrained(plain_model, dtype=torch.float32, attn_implementation="eager")
    state = stored_state(plain)
    for name, tensor in expected.items():
        if name.endswith(".weight"):
            state[name_in_transformers(name)].copy_(tensor.float())
    found = logits_of(plain.eval(), expected["ids"]).reshape(expected["logits"].shape)
    distance = ((found - expected["logits"]).abs().max() / expected["logits"].abs().max()).item()
    assert distance < 1e-5, f"{folder.name}: logits differ from ours by {distance:.2e} of the largest"


def check_families(tool, root, record):
    count = 0
    for name, (config_class, options) in FAMILIES.items():
        if name in ELSEWHERE:
            continue
        model, output = root / name, root / f"{name}-output"
        make_model(model, False, config_class, **options | (LATENT if "qk_rope_head_dim" in options else {}))
        recipes = {"w4": W4} | ({"mixed": {"config_groups": MIXED, "ignore": WHOLE}} if name in TWO_NAMES else {})
        export(tool, "auto_round", model, output, recipes)
        for recipe in recipes:
            expected = load_file(output / f"{recipe}.expected" / "model.safetensors")
            check_loaded(output / recipe, expected)
            check_logits(output / recipe, expected, model)
            count += 1
        record("families", name, "auto_round in transformers")
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    record = Recorder("load_auto_round")
    count = 0
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        model = root / "model"
        make_model(model, tied=False)
        for name_of_format, of_format in cases().items():
            output = root / name_of_format.replace(":", "-")
            recipes = {name: {"config_groups": groups, "ignore": ignore} for name, (groups, ignore) in of_format.items()}
            export(arguments.tool, name_of_format, model, output, recipes)
            for name in of_format:
                folder = output / name
                expected = load_file(output / f"{name}.expected" / "model.safetensors")
                if "awq" in name_of_format:
                    check_awq(folder, expected)
                elif name_of_format == "auto_gptq":
                    check_gptq(folder, root / "auto_round-auto_gptq" / name)
                elif json.loads((folder / "config.json").read_text())["quantization_config"]["packing_format"].endswith("awq"):
                    check_awq(folder, expected)
                else:
                    check_loaded(folder, expected)
                    record("families", "llama", "auto_round in transformers")
                check_logits(folder, expected, model)
                if scheme_row(name):
                    record("schemes", scheme_row(name), "AWQ" if "awq" in name_of_format else "auto-round, GPTQ", name[1])
                count += 1
        count += check_families(arguments.tool, root, record)
    print(f"{count} folders accepted by auto-round {auto_round_version}")


if __name__ == "__main__":
    sys.exit(main())
