"""Reads GGUF files with the gguf package, runs them in the real llama.cpp, and compares both with what was written.

  load_gguf.py --tool EXPORT_TOOL

A file is accepted when each tensor that gguf dequantizes is ours bit for bit, row order of q and k apart, when there is
no other tensor, and when llama.cpp, which multiplies with activations rounded to 8 bits, computes our logits up to that.
Models in fp32 of which the embeddings alone are quantized leave nothing of that rounding, so they show whether llama.cpp
is told all that a family needs.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ["TQDM_DISABLE"] = "1"  # read while the libraries are imported

import gguf
import numpy as np
import torch
from llama_cpp import LlamaCpp
from load_compressed_tensors import FAMILIES, Recorder, make_model, scheme_row
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import GraniteConfig, LlamaConfig, MistralConfig, Phi3Config, Qwen2Config, Qwen3Config, SmolLM3Config

ROUNDS_MINIMUM = ("Q4_1", "Q5_1")
PAIRED = ("llama", "granite", "smollm3")  # architectures whose rows of q and k are stored in another order

OF_TYPES, OF_MODELS = 0.1, 1e-5  # of the largest logit


def weights(bits, symmetric, group):
    arguments = {"num_bits": bits, "type": "int", "symmetric": symmetric}
    if group == 0:
        return arguments | {"strategy": "tensor"}
    return arguments | ({"strategy": "channel"} if group == -1 else {"strategy": "group", "group_size": group})


MXFP4 = {"num_bits": 4, "type": "float", "symmetric": True, "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8"}
NVFP4 = {"num_bits": 4, "type": "float", "symmetric": True, "strategy": "tensor_group", "group_size": 16,
         "scale_dtype": "torch.float8_e4m3fn"}

# name -> (arguments of the weights, type in the file)
TYPES = {
    "w4_sym_64": (weights(4, True, 64), "Q4_0"), "w4_sym_channel": (weights(4, True, -1), "Q4_0"),
    "w5_sym_32": (weights(5, True, 32), "Q5_0"), "w8_sym_128": (weights(8, True, 128), "Q8_0"),
    "w8_sym_tensor": (weights(8, True, 0), "Q8_0"), "w4_asym_32": (weights(4, False, 32), "Q4_1"),
    "w5_asym_64": (weights(5, False, 64), "Q5_1"), "w4_asym_256": (weights(4, False, 256), "Q4_K"),
    "w4_asym_channel": (weights(4, False, -1), "Q4_K"), "w5_asym_channel": (weights(5, False, -1), "Q5_K"),
    "w2_asym_256": (weights(2, False, 256), "Q2_K"), "w3_sym_channel": (weights(3, True, -1), "Q3_K"),
    "w6_sym_256": (weights(6, True, 256), "Q6_K"), "mxfp4": (MXFP4, "MXFP4"), "nvfp4": (NVFP4, "NVFP4"),
}

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0}
LONGROPE = {"rope_type": "longrope", "long_factor": [float(i + 2) for i in range(32)], "rope_theta": 10000.0,
            "short_factor": [1.0 + i / 16 for i in range(32)], "original_max_position_embeddings": 32}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32, "rope_theta": 10000.0}
# Families of which llama.cpp is told; others are refused.
KNOWN = ("granite", "mistral", "phi3", "qwen2", "qwen3", "smollm3")
# name -> (class, options)
MODELS = {
    "llama": (LlamaConfig, {}), "llama_tied": (LlamaConfig, {"tie_word_embeddings": True}),
    "llama_biased": (LlamaConfig, {"attention_bias": True, "mlp_bias": True, "head_dim": 32}),
    "llama_rope3": (LlamaConfig, {"rope_parameters": LLAMA3}),
    "llama_linear": (LlamaConfig, {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}}),
    "qwen2_yarn": (Qwen2Config, {"rope_parameters": YARN}),
    "llama_yarn": (LlamaConfig, {"rope_parameters": YARN | {"attention_factor": 1.5}}),
    "phi3_longrope": (Phi3Config, {"pad_token_id": 0, "rope_parameters": LONGROPE}),
    "phi3_partial": (Phi3Config, {"pad_token_id": 0, "rope_parameters": {"partial_rotary_factor": 0.5, "rope_theta": 10000.0}}),
    **{name: (config_class, {**options, "sliding_window": None} if name in ("mistral", "phi3") else options)
       for name, (config_class, options) in FAMILIES.items() if name in KNOWN},
}


def unpaired(weight, heads):
    return weight.reshape(heads, -1, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


class File:
    def __init__(self, folder):
        path, = folder.glob("*.gguf")
        assert {entry.name for entry in folder.iterdir()} == {path.name, "recipe.yaml"}, f"{folder}: other files"
        self.path, reader = path, gguf.GGUFReader(path)
        self.fields = {name: field.contents() for name, field in reader.fields.items()}
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.architecture = self.fields["general.architecture"]
        self.layers = self.fields[f"{self.architecture}.block_count"]
        known = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == self.architecture)
        self.names = gguf.get_tensor_name_map(known, self.layers)

    def take(self, name):
        """A tensor by its name in the checkpoint: its type, its values and their minima, rows in the checkpoint's order."""
        stored_name = self.names.get_name(name, try_suffixes=(".weight", ".bias"))
        tensor = self.tensors.pop(stored_name)
        kind, values = tensor.tensor_type.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        scale = self.tensors.pop(stored_name.removesuffix(".weight") + ".scale", None)
        if scale is not None:
            values = values * scale.data
        found = [values, minima(tensor.data, kind, values.shape)]
        for projection, key in (("q_proj", "head_count"), ("k_proj", "head_count_kv")):
            if projection in name and self.architecture in PAIRED:
                found = [unpaired(array, self.fields[f"{self.architecture}.attention.{key}"]) for array in found]
        return (kind, *(torch.from_numpy(np.array(array)) for array in found))


def minima(data, kind, shape):
    """What types with a minimum store for it, fp16, one each 32 values; others have none."""
    if kind not in ROUNDS_MINIMUM:
        return np.zeros(shape, np.float32)
    found = data.reshape(shape[0], shape[1] // 32, -1)[:, :, 2:4].copy().view(np.float16).astype(np.float32)
    return found.repeat(32, axis=2).reshape(shape)


def check(folder, model, types=None):
    """Gives how far the logits of llama.cpp are from ours, as a part of the largest."""
    file, expected = File(folder), load_file(folder.with_suffix(".expected") / "model.safetensors")
    ids, logits = expected.pop("ids"), expected.pop("logits").numpy()
    for name, weight in expected.items():
        kind, values, least = file.take(name)
        assert types is None or kind == types, f"{folder.name}: {name} is {kind}"
        if kind in ROUNDS_MINIMUM:
            assert ((values - weight).abs() <= least.abs() * 2**-11).all(), f"{folder.name}: {name} differs"
        elif kind == "NVFP4":  # our values are rounded to bf16, as compressed-tensors computes them
            assert torch.equal(values.bfloat16().float(), weight), f"{folder.name}: {name} differs"
        else:
            assert torch.equal(values, weight), f"{folder.name}: {name} differs"
    with safe_open(next(model.glob("*.safetensors")), "pt") as stored:
        for name in set(stored.keys()) - set(expected):
            _, values, _ = file.take(name)
            assert torch.equal(values, stored.get_tensor(name).float()), f"{folder.name}: {name} differs"
        if "output.weight" in file.tensors:  # of a tied model whose embeddings are quantized
            _, values, _ = file.take("lm_head.weight")
            assert torch.equal(values, stored.get_tensor("model.embed_tokens.weight").float()), f"{folder.name}: the head differs"
    assert all(name.startswith("rope_") for name in file.tensors), f"{folder.name}: tensors beyond {sorted(file.tensors)}"
    runner = LlamaCpp(file.path)
    found = np.concatenate([runner.logits(row.tolist()) for row in ids])
    runner.close()
    return np.abs(found - logits).max() / np.abs(logits).max()


def quantize(tool, model, output, recipes):
    """recipes: name -> (config groups, ignore)"""
    output.mkdir()
    files = []
    for name, (groups, ignore) in recipes.items():
        files.append(output / f"{name}.yaml")  # JSON is YAML
        files[-1].write_text(json.dumps({"AutoRoundModifier": {"iters": 0, "config_groups": groups, "ignore": ignore}}))
    subprocess.run([tool, "gguf", model, output, *files], check=True)


def check_types(tool, root):
    model, output = root / "types", root / "types-output"
    make_model(model, False, intermediate_size=512)
    recipes = {name: ({"all": {"targets": ["Linear"], "weights": arguments}}, []) for name, (arguments, _) in TYPES.items()}
    recipes["mixed"] = ({"mlp": {"targets": ["re:.*mlp.*"], "weights": weights(4, True, 32)},
                         "rest": {"targets": ["Linear"], "weights": weights(8, True, 64)}}, ["re:.*o_proj"])
    quantize(tool, model, output, recipes)
    distances = {name: check(output / name, model, TYPES.get(name, (None, None))[1])
                 for name in recipes}
    tied = root / "tied"
    make_model(tied, True)
    quantize(tool, tied, root / "tied-output", {"tied": ({"all": {"targets": ["Linear"], "weights": weights(4, True, 64)}}, ["lm_head"])})
    assert "output.weight" not in File(root / "tied-output" / "tied").tensors
    distances["tied"] = check(root / "tied-output" / "tied", tied, "Q4_0")
    names = {name: next((output / name).glob("*.gguf")).name for name in recipes}
    assert names["w4_sym_64"] == "types-Q4_0.gguf" and names["mixed"] == "types-Q4_0.gguf", names
    return distances


def check_models(tool, root):
    distances = {}
    embeddings = {"one": {"targets": ["model.embed_tokens"], "weights": weights(8, True, 32)}}
    for name, (config_class, options) in MODELS.items():
        model, output = root / name, root / f"{name}-output"
        make_model(model, options.get("tie_word_embeddings", False), config_class, dtype=torch.float32,
                   **{key: value for key, value in options.items() if key != "tie_word_embeddings"})
        quantize(tool, model, output, {name: (embeddings, [])})
        distances[name] = check(output / name, model)
    return distances


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        found = [(check_types(arguments.tool, root), OF_TYPES), (check_models(arguments.tool, root), OF_MODELS)]
    record, failed = Recorder("load_gguf"), []
    for distances, tolerance in found:
        for name, distance in distances.items():
            print(f"  {name:16} llama.cpp's logits differ by {distance:.1e} of the largest")
            if distance > tolerance:
                failed.append(name)
            elif name in FAMILIES:
                record("families", name, "GGUF in llama.cpp")
            elif name in TYPES:
                row = scheme_row(name) or f"{name.upper()}A16"
                record("schemes", row, "llama.cpp", TYPES[name][1])
    print(f"{sum(len(distances) for distances, _ in found)} files read by gguf and llama.cpp in {time.monotonic() - started:.0f} s")
    return f"further from our logits than expected: {failed}" if failed else 0


if __name__ == "__main__":
    sys.exit(main())
