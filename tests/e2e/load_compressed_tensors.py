"""Loads compressed-tensors folders with transformers and compressed-tensors and compares them with what was written.

  load_compressed_tensors.py --tool EXPORT_TOOL    tiny random llamas, every scheme; every other family, one scheme
  load_compressed_tensors.py FOLDER [EXPECTED]     one folder; EXPECTED as export_tool writes it

A folder is accepted when transformers finds every key and no other, when each dequantized weight equals ours bit for
bit, when the default path (packed until the first forward) computes the same logits as the dequantized one, and when
transformers in fp32 computes our logits from these weights.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import warnings

os.environ["TQDM_DISABLE"] = "1"  # read while the libraries are imported

import torch
from compressed_tensors import __version__ as compressed_tensors_version
from compressed_tensors.quantization.quant_scheme import PRESET_SCHEMES
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoConfig, CompressedTensorsConfig
from transformers import __version__ as transformers_version
from transformers.utils import logging

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import vllm_rules
from families import FAMILIES
from support import Recorder, scheme_row
from tiny_models import (STACKED, TWO_NAMES, W4, auto_class, export, group, logits_of, make_model, name_in_transformers, stored_state,
                         weights)

# Those of which the installed compressed-tensors knows the format.
PRESETS = sorted(name for name in PRESET_SCHEMES if name != "UNQUANTIZED" and not re.fullmatch("W[2-8]A16", name))
# Recipes below whose schemes vLLM does not run.
NOT_IN_VLLM = r"w8_a?sym_tensor|W[2-7]A4|W[2-7]A8|W4AFP8|MXFP4XFP8|MXFP6\w*|MXFP8\w*"
PACKED = "packed_"  # before a preset: integers with quantized inputs, as their recipe asks for, in pack-quantized


def load(folder, dequantize):
    chosen = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if dequantize else {}
    of_config = auto_class(AutoConfig.from_pretrained(folder))
    model, info = of_config.from_pretrained(folder, dtype=torch.bfloat16, output_loading_info=True, **chosen)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        assert not info.get(problem), f"{folder.name}: {problem}: {info[problem]}"
    return model.eval()


def in_fp32(folder, model):
    """The weights that the loader found, in a plain model without any quantization."""
    config = AutoConfig.from_pretrained(folder)
    del config.quantization_config
    # The default attention leaves out what limits the scores.
    limits = {"attn_implementation": "eager"} if getattr(config, "attn_logit_softcapping", None) is not None else {}
    plain = auto_class(config).from_config(config, dtype=torch.float32, **limits)
    found = model.state_dict()
    plain.load_state_dict({name: found[name].float() for name in plain.state_dict()})
    return plain.eval()


def rounds_inputs(folder):
    groups = json.loads((folder / "config.json").read_text())["quantization_config"]["config_groups"].values()
    return any(group["input_activations"] for group in groups)


def check_weights(folder, model, expected):
    state = stored_state(model)
    quantized = [name for name in expected if name.endswith(".weight")]
    for name in quantized:
        found = state[name_in_transformers(name)]
        assert found.dtype == expected[name].dtype, f"{folder.name}: {name} is {found.dtype}"
        assert torch.equal(found, expected[name]), f"{folder.name}: {name} differs from what was written"
    stored = {name[: -len("_scale")] for file in folder.glob("*.safetensors") for name in safe_open(file, "pt").keys()
              if name.endswith(".weight_scale")}
    assert stored == set(quantized), f"{folder.name}: quantized weights {stored ^ set(quantized)}"
    for name, tensor in state.items():
        assert not tensor.is_floating_point() or tensor.isfinite().all(), f"{folder.name}: {name} is not finite"


def check_vllm(folder):
    """Whether vLLM runs the folder. Refusals are those of schemes, not of folders."""
    if "vision_config" in json.loads((folder / "config.json").read_text()):
        return False  # vLLM has other names for the parts of these models
    try:
        vllm_rules.check(folder)
        refusal = None
    except vllm_rules.Refused as refused:
        refusal = str(refused)
    wanted = bool(re.fullmatch(NOT_IN_VLLM, folder.name))
    assert wanted == (refusal is not None), f"{folder.name}: vLLM's rules say {refusal or 'yes'}"
    return refusal is None


def check(folder, expected_folder=None, default_path=True):
    in_vllm = check_vllm(folder)
    model = load(folder, dequantize=True)
    if expected_folder is None:
        ids = torch.arange(48).reshape(2, 24)
    else:
        expected = load_file(expected_folder / "model.safetensors")
        ids, logits = expected.pop("ids"), expected.pop("logits")
        check_weights(folder, model, expected)
        found = logits_of(in_fp32(folder, model), ids).reshape(logits.shape)
        largest = 1e-5 * found.norm()
        if rounds_inputs(folder):
            # A last bit of an activation can move it to the next number that it is rounded to, and what follows with it:
            # ours and theirs are near each other measured by what rounding inputs does.
            rounded = logits_of(load(folder, dequantize=True).float(), ids).reshape(logits.shape)
            largest = 0.5 * (rounded - found).norm()
            found = rounded
        distance = (found - logits).norm()
        assert distance <= largest, f"{folder.name}: logits differ from ours by {distance / found.norm():.2e} of their norm"
    dequantized = logits_of(model, ids)
    assert dequantized.isfinite().all(), f"{folder.name}: logits are not finite"
    if default_path:
        assert torch.equal(dequantized, logits_of(load(folder, dequantize=False), ids)), (
            f"{folder.name}: the default path computes other logits"
        )
    return in_vllm


# Groups that are written as names: patterns that overlap, a class beside what readers fuse.
OVERLAPPING = {"mlp": group(["re:.*mlp.*"], 4, True, "group"), "down": group(["re:.*layers.1.mlp.down_proj"], 8, True, "group")}
ATTENTION = {"attention": group(["re:.*self_attn.*"], 8, True, "group"), "rest": group(["Linear"], 4, True, "group")}
EXPERTS = ("W8A16", "MXFP4A16", "FP8_DYNAMIC")  # what transformers reads of experts besides W4; it stacks and dequantizes them


def recipes():
    """name -> (tied model?, config groups, ignore, try the default path too?)"""
    cases = {}
    for bits in range(2, 9):
        for symmetric in (True, False):
            for strategy in ("group", "channel"):
                name = f"w{bits}_{'sym' if symmetric else 'asym'}_{strategy}"
                cases[name] = (False, {"all": group(["Linear"], bits, symmetric, strategy)}, ["lm_head"], strategy == "group")
    cases["w8_sym_tensor"] = (False, {"all": group(["Linear"], 8, True, "tensor")}, ["lm_head"], True)
    cases["w8_asym_tensor"] = (False, {"all": group(["Linear"], 8, False, "tensor")}, ["lm_head"], True)
    cases["layer_wise"] = (False, {
        "down": group(["re:.*layers.0.mlp.down_proj"], 8, True, "channel"),
        "one": group(["model.layers.1.mlp.down_proj"], 3, False, "group"),
        "rest": group(["Linear"], 4, False, "group"),
    }, ["lm_head", "re:.*o_proj"], True)
    cases["overlapping"] = (False, {
        "mlp": group(["re:.*mlp.*"], 4, True, "group"),
        "down": group(["model.layers.0.mlp.down_proj"], 8, True, "group"),
    }, [], True)
    cases["own_layers"] = (False, {"all": group(["Linear"], 4, True, "group")}, ["lm_head"], True)
    for preset in PRESETS:
        cases[preset] = (False, {preset: ["Linear"]}, ["lm_head"], True)
    for preset, kind in (("W4A8", "int"), ("W4AFP8", "float")):
        inputs = {"num_bits": 8, "type": kind, "strategy": "token", "dynamic": True}
        of_weights = weights(4, True, "group") | {"group_size": 128}
        packed = {"targets": ["Linear"], "weights": of_weights, "input_activations": inputs, "format": "pack-quantized"}
        cases[PACKED + preset] = (False, {"all": packed}, ["lm_head"], True)
    cases["pattern_of_all"] = (False, {"all": group(["re:.*"], 4, True, "group")}, ["lm_head"], True)
    cases["mixed_precision"] = (False, {"NVFP4": ["re:.*self_attn.*"], "FP8_DYNAMIC": ["Linear"]}, ["lm_head"], False)
    cases["patterns_of_fused"] = (False, {
        "attention": group(["re:.*self_attn.(q|k|v)_proj"], 8, True, "group"),
        "rest": group(["Linear"], 4, True, "group"),
    }, ["lm_head"], True)
    cases["tied"] = (True, {"all": group(["Linear"], 4, True, "group")}, ["lm_head"], True)
    cases["tied_head"] = (True, {
        "all": group(["Linear"], 4, True, "group"),
        "head": group(["lm_head"], 8, True, "channel"),
    }, [], True)
    return cases


# Schemes of single layers, by case.
LAYERS = {"own_layers": {
    "lm_head": {"scheme": "W8A16"},
    "re:.*layers.0.mlp.down_proj": {"scheme": {"weights": weights(3, False, "group")}},
    "model.layers.1.self_attn.o_proj": {"scheme": "UNQUANTIZED"},
}}


def note_scheme(record, name, in_vllm):
    row = scheme_row(name.removeprefix(PACKED))
    if row is None:
        return
    value = name[1] if name.startswith("w") else "yes"
    record("schemes", row, "transformers, compressed-tensors", value)
    if in_vllm:
        record("schemes", row, "vLLM's rules", "`pack-quantized`" if name.startswith(PACKED) else value)


def check_experts(tool, root):
    """Of schemes that round inputs the weights alone: transformers does not round those of experts."""
    model, output = root / "experts", root / "experts-output"
    config_class, options = FAMILIES["qwen3_moe"]
    make_model(model, False, config_class, **options | {"moe_intermediate_size": 128})
    of_names = {name: {"scheme": name} for name in EXPERTS} | {"attention_apart": {"config_groups": ATTENTION}}
    export(tool, "compressed-tensors", model, output, {name: recipe | {"ignore": ["lm_head"]} for name, recipe in of_names.items()})
    for name in of_names:
        if not rounds_inputs(output / name):
            check(output / name, output / f"{name}.expected")
            continue
        check_vllm(output / name)
        expected = load_file(output / f"{name}.expected" / "model.safetensors")
        check_weights(output / name, load(output / name, dequantize=True), {key: expected[key] for key in expected if key.endswith(".weight")})


def check_all(tool):
    record = Recorder(f"load_compressed_tensors-{compressed_tensors_version}")
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        cases = recipes()
        for tied in (False, True):
            model, output = root / f"model{tied}", root / f"output{tied}"
            make_model(model, tied)
            output.mkdir()
            files = []
            for name, (of_tied, groups, ignore, _) in cases.items():
                if of_tied == tied:
                    files.append(root / f"{name}.yaml")  # JSON is YAML
                    modifier = {"iters": 0, "config_groups": groups, "ignore": ignore, "layers": LAYERS.get(name, {})}
                    files[-1].write_text(json.dumps({"test_stage": {"modifiers": {"AutoRoundModifier": modifier}}}))
            subprocess.run([tool, "compressed-tensors", model, output, *files], check=True)
            for name, (of_tied, _, _, default_path) in cases.items():
                if of_tied == tied:
                    in_vllm = check(output / name, output / f"{name}.expected", default_path)
                    note_scheme(record, name, in_vllm)
        record("families", "llama", "compressed-tensors in transformers")
        check_experts(tool, root)
        for name, (config_class, options) in FAMILIES.items():
            output = root / f"{name}-output"
            make_model(root / name, False, config_class, **options)
            stacked = ["re:.*[.]experts[.].*"] if name in STACKED else []
            of_names = {"w4": W4 | {"ignore": W4["ignore"] + stacked}}
            if name in TWO_NAMES:
                of_names["overlapping"] = {"config_groups": OVERLAPPING, "ignore": ["lm_head"]}
            export(tool, "compressed-tensors", root / name, output, of_names)
            for recipe in of_names:
                check(output / recipe, output / f"{recipe}.expected")
            record("families", name, "compressed-tensors in transformers")
    return len(cases) + len(EXPERTS) + 1 + len(FAMILIES) + len(TWO_NAMES)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool")
    parser.add_argument("folder", nargs="?", type=pathlib.Path)
    parser.add_argument("expected", nargs="?", type=pathlib.Path)
    arguments = parser.parse_args()
    if bool(arguments.tool) == bool(arguments.folder):
        parser.error("give either --tool or a folder")
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", message="You passed `quantization_config`")
    started = time.monotonic()
    if arguments.tool:
        count = check_all(arguments.tool)
    else:
        check(arguments.folder, arguments.expected)
        count = 1
    print(f"{count} folders accepted by transformers {transformers_version} and compressed-tensors "
          f"{compressed_tensors_version} in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
