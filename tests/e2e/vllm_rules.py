"""What vLLM asks of a compressed-tensors folder, written down from its loader (compressed_tensors.py and its schemes, version 0.33):
which scheme each of its layers gets, which parameters the layer then has, and that the folder holds exactly those.

vLLM itself cannot be installed beside the torch of these tests. It does not notice a parameter that is missing, so a folder
that it loads may still be wrong: here that is an error.
"""

import json
import re

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
SHARDS = {shard: fused for fused, shards in FUSED.items() for shard in shards}


class Refused(Exception):
    """vLLM says that it has no scheme for a layer."""


def matches(name, target):
    return re.match(target[3:], name) is not None if target.startswith("re:") else target == name


def is_ignored(shards, ignore):
    found = {any(matches(shard, target) for target in ignore) for shard in shards}
    assert len(found) == 1, f"different schemes for the shards {shards}"
    return found.pop()


def find_group(name, shards, is_head, groups):
    """By the layer's own name, by its class, by the names of all of its shards: the first that finds one."""
    targets = {target: group for group in groups for target in group["targets"]}
    for target, group in targets.items():
        if matches(name, target):
            return group
    for target, group in targets.items():
        class_name = "parallellmhead" if is_head else "parallellinear"
        if not target.startswith("re:") and target.lower() in class_name:
            return group
    found = [next((group for target, group in targets.items() if matches(shard, target)), None) for shard in shards]
    return found[0] if all(found) else None


def is_for_hopper(weights, inputs):
    """4-bit weights with 8-bit inputs, integers or FP8, that vLLM multiplies as FP8 (CompressedTensorsW4A8Fp8)."""
    by_group = weights["num_bits"] == 4 and weights["strategy"] == "group" and weights["group_size"] == 128
    by_token = inputs["num_bits"] == 8 and inputs["strategy"] == "token" and inputs["dynamic"] is True
    return by_group and by_token and weights["symmetric"] and inputs["symmetric"]


def parameters(group):
    """Names of the parameters that a layer of this group has, beside its bias."""
    weights, inputs, format_name = group["weights"], group["input_activations"], group["format"]
    grouping, bits = weights["strategy"], weights["num_bits"]
    if format_name == "pack-quantized":
        if inputs and not is_for_hopper(weights, inputs):
            raise Refused(f"{bits} bits by {grouping} with {inputs['num_bits']}-bit inputs, packed")
        if not 2 <= bits <= 8 or grouping not in ("group", "channel"):
            raise Refused(f"{bits} bits by {grouping}")
        return {"weight_packed", "weight_scale", "weight_shape"} | (set() if weights["symmetric"] else {"weight_zero_point"})
    if format_name == "int-quantized":
        dynamic = inputs["dynamic"] is True and inputs["strategy"] == "token" and inputs["num_bits"] == 8
        # Of 4 bits in bytes too there is a scheme, for CPUs (CompressedTensorsW4A8Int): on Hopper the packed one comes first.
        rows = bits == 8 and grouping in ("channel", "tensor") and inputs["type"] == "int"
        if not weights["symmetric"] or not dynamic or not rows:
            raise Refused(f"{bits} bits by {grouping} with {inputs['num_bits']}-bit inputs")
        return {"weight", "weight_scale"}
    if format_name in ("float-quantized", "naive-quantized"):
        static = inputs is not None and not inputs["dynamic"]
        return {"weight", "weight_scale"} | ({"input_scale"} if static else set())
    if format_name == "nvfp4-pack-quantized":
        return {"weight_packed", "weight_scale", "weight_global_scale"} | ({"input_global_scale"} if inputs else set())
    if format_name == "mxfp4-pack-quantized":
        if inputs and inputs["num_bits"] != 4:
            raise Refused("MXFP4 with other inputs")
        return {"weight_packed", "weight_scale"}
    raise Refused(f"format {format_name}")


def shapes(group, rows, columns):
    """Of the codes and of their scales."""
    weights, bits, size = group["weights"], group["weights"]["num_bits"], group["weights"]["group_size"]
    scales = {"tensor": (1,), "channel": (rows, 1), "block": (-(-rows // 128), -(-columns // 128))}
    of_groups = (rows, columns // size) if size and size > 0 else (rows, 1)
    units = {"pack-quantized": -(-columns * bits // 32), "nvfp4-pack-quantized": columns // 2, "mxfp4-pack-quantized": columns // 2}
    return (rows, units.get(group["format"], columns)), scales.get(weights["strategy"], of_groups)


def linears_of(config):
    """-> layer as vLLM names it: the checkpoint's linears that it is made of, by name, with rows and columns."""
    plain = json.loads(json.dumps(config))
    plain.pop("quantization_config")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(plain.pop("model_type"), **plain))
    layers = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            head, _, own = name.rpartition(".")
            fused = SHARDS.get(own)
            layers.setdefault(f"{head}.{fused}" if fused else name, {})[name] = tuple(module.weight.shape)
    return layers


def stored_parameters(folder):
    """-> module: shapes of its tensors by their own name"""
    stored = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():
                module, _, parameter = name.rpartition(".")
                stored.setdefault(module, {})[parameter] = tuple(tensors.get_slice(name).get_shape())
    return stored


def check(folder):
    """Raises Refused where vLLM has no scheme, AssertionError where the folder is not what vLLM would look for."""
    config = json.loads((folder / "config.json").read_text())
    quantization = config["quantization_config"]
    assert quantization["quant_method"] == "compressed-tensors" and not quantization["sparsity_config"]
    groups = list(quantization["config_groups"].values())
    assert all(group["weights"] and group["format"] for group in groups)
    ignore = quantization["ignore"]
    stored = stored_parameters(folder)
    names = {name for shards in linears_of(config).values() for name in shards}
    assert all(target.startswith("re:") or target in names or target in stored for target in ignore), "a class in ignore"
    for layer, shards in linears_of(config).items():
        is_head = layer == "lm_head"
        if is_head and "lm_head" not in stored:
            continue  # tied, or in full precision under another name
        group = None if is_ignored(shards, ignore) else find_group(layer, shards, is_head, groups)
        wanted = {"weight"} if group is None else parameters(group)
        for shard in shards:
            found = stored[shard].keys() - {"bias"}
            assert found == wanted, f"{folder.name}: {shard} has {sorted(found)}, vLLM looks for {sorted(wanted)}"
            if group is not None:
                codes = stored[shard].get("weight_packed", stored[shard].get("weight"))
                found = codes, stored[shard]["weight_scale"]
                wanted_shapes = shapes(group, *shards[shard])
                assert found == wanted_shapes, f"{folder.name}: {shard} has {found}, vLLM wants {wanted_shapes}"
