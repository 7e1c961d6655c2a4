"""Reads GGUF files with the gguf package, runs them in the real llama.cpp, and compares both with what was written.

  load_gguf.py --tool EXPORT_TOOL

A file is accepted when each tensor that gguf dequantizes is ours bit for bit, row order of q and k apart, when there is
no other tensor, and when llama.cpp, which multiplies with activations rounded to 8 bits, computes our logits up to that.
Models in fp32 of which the embeddings alone are quantized leave nothing of that rounding, so they show whether llama.cpp
is told all that a family needs.
"""

import argparse
import os
import pathlib
import re
import sys
import tempfile
import time

os.environ["TQDM_DISABLE"] = "1"  # read while the libraries are imported

import gguf
import numpy as np
import torch
from families import FAMILIES
from llama_cpp import LlamaCpp
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_models import apart, export, make_model
from transformers import LlamaConfig, Phi3Config, Qwen2Config

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from support import Recorder, scheme_row

ROUNDS_MINIMUM = ("Q4_1", "Q5_1")
PAIRED = ("llama", "granite", "smollm3")  # architectures whose rows of q and k are stored in another order

# Of the largest logit. A token may go to another expert; GELU comes out of a table of fp16 values.
OF_TYPES, OF_REROUTED, OF_MODELS, OF_DEEP, OF_GELU, OF_HEADLESS = 0.1, 0.2, 1e-5, 1e-4, 3e-3, 0.01
DEEP = ("deepseek_v2_lite",)
REROUTED = ("qwen2_moe_experts",)
GELU = ("gpt_neox", "gpt_neox_sequential", "starcoder2")


def weights(bits, symmetric, group):
    arguments = {"num_bits": bits, "type": "int", "symmetric": symmetric}
    if group == 0:
        return arguments | {"strategy": "tensor"}
    return arguments | ({"strategy": "channel"} if group == -1 else {"strategy": "group", "group_size": group})


MXFP4 = {"num_bits": 4, "type": "float", "symmetric": True, "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8"}
NVFP4 = {"num_bits": 4, "type": "float", "symmetric": True, "strategy": "tensor_group", "group_size": 16,
         "scale_dtype": "torch.float8_e4m3fn"}

# name -> (arguments of the weights or a preset, type in the file)
TYPES = {
    "w4_sym_64": (weights(4, True, 64), "Q4_0"), "w4_sym_channel": (weights(4, True, -1), "Q4_0"),
    "w5_sym_32": (weights(5, True, 32), "Q5_0"), "w8_sym_128": (weights(8, True, 128), "Q8_0"),
    "w8_sym_tensor": (weights(8, True, 0), "Q8_0"), "w4_asym_32": (weights(4, False, 32), "Q4_1"),
    "w5_asym_64": (weights(5, False, 64), "Q5_1"), "w4_asym_256": (weights(4, False, 256), "Q4_K"),
    "w4_asym_channel": (weights(4, False, -1), "Q4_K"), "w5_asym_channel": (weights(5, False, -1), "Q5_K"),
    "w2_asym_256": (weights(2, False, 256), "Q2_K"), "w3_sym_channel": (weights(3, True, -1), "Q3_K"),
    "w6_sym_256": (weights(6, True, 256), "Q6_K"), "mxfp4": (MXFP4, "MXFP4"), "nvfp4": (NVFP4, "NVFP4"),
    "NVFP4": ("NVFP4", "NVFP4"),  # with inputs, whose scale llama.cpp reads and a CPU has no use for
    **{name: (name, name.removeprefix("GGUF:")) for name in ("GGUF:Q2_K", "GGUF:Q3_K", "GGUF:Q4_K", "GGUF:Q5_K", "GGUF:Q6_K")},
}

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0}
LONGROPE = {"rope_type": "longrope", "long_factor": [float(i + 2) for i in range(32)], "rope_theta": 10000.0,
            "short_factor": [1.0 + i / 16 for i in range(32)], "original_max_position_embeddings": 256}  # the least context that llama.cpp makes
LONGER = LONGROPE | {"original_max_position_embeddings": 16}  # than which the texts are longer
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32, "rope_theta": 10000.0}
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}
GEMMA3 = {"query_pre_attn_scalar": 32, "sliding_window_pattern": 6, "num_hidden_layers": 7}
# What llama.cpp takes for granted, or knows nothing of.
SETTLED = {
    "cohere": {"use_qk_norm": False},
    "gemma2": {"query_pre_attn_scalar": 32}, "gemma3": GEMMA3, "gemma3_text": GEMMA3,
    "mistral": {"sliding_window": None}, "phi3": {"sliding_window": None}, "starcoder2": {"sliding_window": None},
    "gpt_oss": {"rope_parameters": {"rope_type": "default", "rope_theta": 150000.0}}, "qwen2_moe": {"decoder_sparse_step": 1}, "qwen3_moe": {"norm_topk_prob": True},
}
ABSENT = ("opt",)
# name -> (class, options)
MODELS = {
    "llama": (LlamaConfig, {}), "llama_tied": (LlamaConfig, {"tie_word_embeddings": True}),
    "llama_biased": (LlamaConfig, {"attention_bias": True, "mlp_bias": True, "head_dim": 32}),
    "llama_rope3": (LlamaConfig, {"rope_parameters": LLAMA3}),
    "llama_linear": (LlamaConfig, {"rope_parameters": LINEAR}),
    "llama_longrope": (LlamaConfig, {"max_position_embeddings": 512, "rope_parameters": LONGROPE}),
    "llama_longer": (LlamaConfig, {"rope_parameters": LONGER}),
    "qwen2_yarn": (Qwen2Config, {"rope_parameters": YARN}),
    "llama_yarn": (LlamaConfig, {"rope_parameters": YARN | {"attention_factor": 1.5}}),
    "phi3_longrope": (Phi3Config, {"pad_token_id": 0, "original_max_position_embeddings": 16, "rope_parameters": LONGER}),
    "phi3_partial": (Phi3Config, {"pad_token_id": 0, "rope_parameters": {"partial_rotary_factor": 0.5, "rope_theta": 10000.0}}),
    **{name: (config_class, options | SETTLED.get(name, {})) for name, (config_class, options) in FAMILIES.items() if name not in ABSENT},
}
MODELS["granite_biased"] = (MODELS["granite"][0], MODELS["granite"][1] | {"attention_bias": True, "mlp_bias": True})
for name, base, options in (("deepseek_v2_lite", "deepseek_v2", {"q_lora_rank": None, "num_hidden_layers": 27}),
                            ("deepseek_v3_yarn", "deepseek_v3", {"rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 1.0}}),
                            ("deepseek_v3_mscale", "deepseek_v3", {"rope_parameters": YARN | {"mscale": 1.2, "mscale_all_dim": 0.707}}),
                            ("deepseek_v3_plain", "deepseek_v3", {"rope_parameters": YARN, "norm_topk_prob": False}),
                            ("deepseek_v2_linear", "deepseek_v2", {"rope_parameters": LINEAR}),
                            ("deepseek_v3_linear", "deepseek_v3", {"rope_parameters": LINEAR}),
                            ("granite_rope3", "granite", {"rope_parameters": LLAMA3}),
                            ("granite_longrope", "granite", {"rope_parameters": LONGER}),
                            ("mistral_rope3", "mistral", {"rope_parameters": LLAMA3}),
                            ("mixtral_rope3", "mixtral", {"rope_parameters": LLAMA3}),
                            ("gemma3_text_theta", "gemma3_text", {"rope_parameters": dict.fromkeys(
                                ("full_attention", "sliding_attention"), {"rope_type": "default", "rope_theta": 1e6})})):
    MODELS[name] = (MODELS[base][0], MODELS[base][1] | options)
MODELS["gpt_neox_sequential"] = (MODELS["gpt_neox"][0], MODELS["gpt_neox"][1] | {"use_parallel_residual": False})
HEADLESS = ("cohere", "cohere2", "gemma", "gemma2", "gemma3", "gemma3_text", "gemma3_text_theta")  # their embeddings cannot be quantized alone: a layer is
IMAGES = ("gemma3", "mistral3")  # of which the file holds the text part
EXPERTS = ("deepseek_v2", "deepseek_v3", "glm4_moe", "gpt_oss", "mixtral", "qwen2_moe", "qwen3_moe")


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
        self.names, self.taken = gguf.get_tensor_name_map(known, self.layers), set()

    def take(self, name):
        """A tensor by its name in the checkpoint: its type, its values and their minima, rows in the checkpoint's order."""
        expert = re.search(r"\.experts\.(\d+)\.", name)
        if expert:  # gguf knows the names of stacks
            name = name.replace(expert[0], ".experts.")
            name = re.sub(r"model\.(.*)\.block_sparse_moe\.experts", r"\1.feed_forward.experts", name)
        name = name.removeprefix("language_model.").replace("e_score_correction_bias", "e_score_correction.bias")
        stored_name = self.names.get_name(name, try_suffixes=(".weight", ".bias"))
        tensor, scale = self.tensors[stored_name], self.tensors.get(stored_name.removesuffix(".weight") + ".scale")
        self.taken |= {stored_name} | ({scale.name, scale.name.replace(".scale", ".input_scale")} if scale else set())
        kind, values = tensor.tensor_type.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if scale is not None:
            values = values * scale.data.reshape(-1, *[1] * (values.ndim - 1))
        found = [values, minima(tensor.data, kind, values.shape)]
        for projection, key in (("q_proj", "head_count"), ("k_proj", "head_count_kv")):
            if projection in name and self.architecture in PAIRED:
                found = [unpaired(array, self.fields[f"{self.architecture}.attention.{key}"]) for array in found]
        if "query_key_value" in name:
            heads = self.fields[f"{self.architecture}.attention.head_count"]
            found = [array.reshape(3, heads, -1, *array.shape[1:]).swapaxes(0, 1).reshape(array.shape) for array in found]
        if expert:
            found = [array[int(expert[1])] for array in found]
        return (kind, *(torch.from_numpy(np.array(array)) for array in found))

    def rest(self):
        return set(self.tensors) - self.taken


def named_parts(name, tensor):
    """A stored tensor by its name in a file, or for one that holds all experts, each of theirs."""
    if name.rpartition(".")[0].endswith(".experts"):
        yield from apart(name, tensor)
    else:
        yield name + (".weight" if name.endswith(".sinks") else ""), tensor


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
        plain = (part for name in stored.keys() for part in named_parts(name, stored.get_tensor(name))
                 if part[0] not in expected and not name.startswith(("vision_tower.", "multi_modal_projector.")))
        for name, tensor in plain:
            _, values, _ = file.take(name)
            wanted = tensor.float() + (1 if file.architecture.startswith("gemma") and name.endswith("norm.weight") else 0)
            assert torch.equal(values, wanted.reshape(values.shape)), f"{folder.name}: {name} differs"
        if "output.weight" in file.rest():  # of a tied model whose embeddings are quantized
            _, values, _ = file.take("lm_head.weight")
            assert torch.equal(values, stored.get_tensor("model.embed_tokens.weight").float()), f"{folder.name}: the head differs"
    assert all(name.startswith("rope_") for name in file.rest()), f"{folder.name}: tensors beyond {sorted(file.rest())}"
    runner = LlamaCpp(file.path)
    found = np.concatenate([runner.logits(row.tolist()) for row in ids])
    runner.close()
    return np.abs(found - logits).max() / np.abs(logits).max()


def quantize(tool, model, output, recipes):
    """recipes: name -> (config groups or a preset, ignore)"""
    export(tool, "gguf", model, output, {
        name: {"scheme" if isinstance(groups, str) else "config_groups": groups, "ignore": ignore} for name, (groups, ignore) in recipes.items()})


def check_types(tool, root):
    model, output = root / "types", root / "types-output"
    make_model(model, False, intermediate_size=512)
    recipes = {name: ({"all": {"targets": ["Linear"], "weights": arguments}} if isinstance(arguments, dict) else arguments, [])
               for name, (arguments, _) in TYPES.items()}
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


def check_models(tool, root, of_types):
    """Adds distances of models that compute with quantized weights to `of_types`."""
    distances = {}
    for name, (config_class, options) in MODELS.items():
        model, output = root / name, root / f"{name}-output"
        make_model(model, options.get("tie_word_embeddings", name in HEADLESS), config_class, dtype=torch.float32,
                   **{key: value for key, value in options.items() if key != "tie_word_embeddings"})
        embeddings = "gpt_neox.embed_in" if name.startswith("gpt_neox") else "model.embed_tokens"
        alone = "model.layers.0.self_attn.v_proj" if name in HEADLESS else embeddings
        if name in IMAGES:
            alone = f"language_model.{alone}"
        recipes = {name: ({"one": {"targets": [alone], "weights": weights(8, True, 32)}}, [])}
        if name in EXPERTS:
            recipes["experts"] = ({"all": {"targets": ["re:.*experts.*(proj|w[123])$"], "weights": weights(4, True, 32)}}, [])
        quantize(tool, model, output, recipes)
        distances[name] = check(output / name, model)
        if name in EXPERTS:
            of_types[f"{name}_experts"] = check(output / "experts", model, "Q4_0")
    return distances


def tolerance_of(name, of_types):
    if name in of_types:
        return OF_REROUTED if name in REROUTED else OF_TYPES
    return OF_HEADLESS if name in HEADLESS else OF_GELU if name in GELU else OF_DEEP if name in DEEP else OF_MODELS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        of_types = check_types(arguments.tool, root)
        of_models = check_models(arguments.tool, root, of_types)
    record, failed = Recorder("load_gguf"), []
    for name, distance in (of_types | of_models).items():
        print(f"  {name:20} llama.cpp's logits differ by {distance:.1e} of the largest")
        if distance > tolerance_of(name, of_types):
            failed.append(name)
        elif name in FAMILIES or name == "llama":
            record("families", name, "GGUF in llama.cpp")
        elif name in TYPES:
            row = f"{name.upper()}A16" if name in ("mxfp4", "nvfp4") else name if ":" in name else scheme_row(name)
            record("schemes", row, "llama.cpp", TYPES[name][1])
    print(f"{len(of_types | of_models)} files read by gguf and llama.cpp in {time.monotonic() - started:.0f} s")
    return f"further from our logits than expected: {failed}" if failed else 0


if __name__ == "__main__":
    sys.exit(main())
