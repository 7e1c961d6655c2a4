"""Compares hidden states, logits and perplexity of the engine with those of transformers, and the names of modules.

Tiny random models of every family, rope type and option are saved in the spelling of transformers 4 or 5, read back
by transformers and by logits_tool, and compared: fp32 hidden states after every layer and logits to 1e-4, perplexity to
1e-4 relative. A real model, where
it is present, is compared to 1e-3. In bf16 the engine may be 1.5 times as far from fp32 as transformers' bf16 is.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from dense_cases import CASES as DENSE_CASES
from expert_cases import CASES as EXPERT_CASES
from spelling import OTHER_NAMES, call_longrope_yarn, rename_tensors, spell_as_v4
from tokenizers import Tokenizer
from transformers import (AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, GraniteConfig, LlamaConfig,
                          MistralConfig, Phi3Config, Qwen2Config, Qwen3Config, SmolLM3Config)

sys.path.append(str(Path(__file__).resolve().parent.parent.parent / "support"))
from support import Recorder

SIZES = dict(vocab_size=101, hidden_size=64, intermediate_size=88, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128)
WINDOWS, LENGTH = 2, 40
SEEDS = 3  # of each case's weights and tokens, which are stored in fp32, fp16 and bf16 in turn


def rope(rope_type, **parameters):
    return dict(rope_parameters={"rope_type": rope_type, "rope_theta": 10000.0, **parameters})


# name, configuration class, what differs from SIZES. "v4" in the name: config.json is spelled as transformers 4 did.
CASES = [
    ("llama", LlamaConfig, {}),
    ("llama v4", LlamaConfig, dict(rope_parameters={"rope_type": "default", "rope_theta": 500000.0})),
    ("llama tied", LlamaConfig, dict(tie_word_embeddings=True)),
    ("llama one key head of three", LlamaConfig, dict(hidden_size=48, num_attention_heads=3, num_key_value_heads=1)),
    ("llama without groups", LlamaConfig, dict(num_attention_heads=8, num_key_value_heads=8)),
    ("llama biases", LlamaConfig, dict(attention_bias=True, mlp_bias=True, num_hidden_layers=3)),
    ("llama wide heads", LlamaConfig, dict(head_dim=24)),
    ("llama narrow heads", LlamaConfig, dict(head_dim=6, num_key_value_heads=1)),
    ("llama gelu", LlamaConfig, dict(hidden_act="gelu")),
    ("llama tanh gelu", LlamaConfig, dict(hidden_act="gelu_pytorch_tanh")),
    ("llama gelu_new", LlamaConfig, dict(hidden_act="gelu_new")),
    ("llama relu", LlamaConfig, dict(hidden_act="relu")),
    ("llama eps", LlamaConfig, dict(rms_norm_eps=1e-2)),
    ("linear", LlamaConfig, rope("linear", factor=4.0)),
    ("linear v4", LlamaConfig, rope("linear", factor=2.5)),
    ("dynamic, short", LlamaConfig, rope("dynamic", factor=2.0)),
    ("dynamic, long", LlamaConfig, dict(max_position_embeddings=16, **rope("dynamic", factor=2.0))),
    ("dynamic, long, v4", LlamaConfig, dict(max_position_embeddings=24, **rope("dynamic", factor=3.0))),
    ("llama3", LlamaConfig, rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                 original_max_position_embeddings=32)),
    ("llama3 v4", LlamaConfig, rope("llama3", factor=4.0, low_freq_factor=2.0, high_freq_factor=8.0,
                                    original_max_position_embeddings=64)),
    ("yarn", LlamaConfig, rope("yarn", factor=4.0, original_max_position_embeddings=32)),
    ("yarn v4", LlamaConfig, rope("yarn", factor=8.0, original_max_position_embeddings=16)),
    ("yarn, not truncated", LlamaConfig, rope("yarn", factor=4.0, original_max_position_embeddings=32, truncate=False)),
    ("yarn mscale", LlamaConfig, rope("yarn", factor=4.0, original_max_position_embeddings=32, mscale=1.5,
                                      mscale_all_dim=0.8)),
    ("yarn betas and factor", LlamaConfig, rope("yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=16.0,
                                                beta_slow=2.0, attention_factor=1.3)),
    ("longrope, short", LlamaConfig, rope("longrope", factor=4.0, original_max_position_embeddings=64,
                                          short_factor=[1.0 + 0.1 * i for i in range(8)],
                                          long_factor=[2.0 + 0.5 * i for i in range(8)])),
    ("longrope, long", LlamaConfig, rope("longrope", original_max_position_embeddings=32,
                                         short_factor=[1.0 + 0.1 * i for i in range(8)],
                                         long_factor=[2.0 + 0.5 * i for i in range(8)])),
    ("mistral", MistralConfig, dict(sliding_window=None)),
    ("mistral window", MistralConfig, dict(sliding_window=7)),
    ("mistral window of one, wide heads", MistralConfig, dict(sliding_window=1, head_dim=32)),
    ("mistral yarn v4", MistralConfig, dict(sliding_window=16, **rope("yarn", factor=4.0,
                                                                      original_max_position_embeddings=32))),
    ("qwen2", Qwen2Config, {}),
    ("qwen2 window v4", Qwen2Config, dict(use_sliding_window=True, sliding_window=9, max_window_layers=1,
                                          num_hidden_layers=3)),
    ("qwen2 layer types", Qwen2Config, dict(use_sliding_window=True, sliding_window=5,
                                            layer_types=["sliding_attention", "full_attention"])),
    ("qwen2 tied, yarn v4", Qwen2Config, dict(tie_word_embeddings=True,
                                              **rope("yarn", factor=4.0, original_max_position_embeddings=32))),
    ("qwen3", Qwen3Config, dict(head_dim=32)),
    ("qwen3 v4", Qwen3Config, dict(head_dim=16, tie_word_embeddings=True)),
    ("qwen3 bias", Qwen3Config, dict(head_dim=24, attention_bias=True, num_attention_heads=5, num_key_value_heads=5)),
    ("granite", GraniteConfig, dict(embedding_multiplier=3.0, logits_scaling=2.5, residual_multiplier=0.4,
                                    attention_multiplier=0.1)),
    ("granite biases, tied, v4", GraniteConfig, dict(attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
                                                     residual_multiplier=1.3)),
    ("phi3", Phi3Config, dict(pad_token_id=0)),
    ("phi3 window, part of each head, v4", Phi3Config, dict(pad_token_id=0, sliding_window=7, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75})),
    ("phi3 longrope, part of each head", Phi3Config, dict(pad_token_id=0, original_max_position_embeddings=32, rope_parameters={
        "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "original_max_position_embeddings": 32,
        "short_factor": [1.0 + 0.1 * i for i in range(4)], "long_factor": [2.0 + 0.5 * i for i in range(4)]})),
    ("smollm3", SmolLM3Config, dict(num_hidden_layers=5, pad_token_id=0)),
    ("smollm3 untied, every other", SmolLM3Config, dict(num_hidden_layers=3, tie_word_embeddings=False, attention_bias=True,
                                                        no_rope_layers=[0, 1, 0], pad_token_id=0)),
    ("smollm3 window v4", SmolLM3Config, dict(num_hidden_layers=4, use_sliding_window=True, sliding_window=6, mlp_bias=True,
                                              no_rope_layer_interval=2, pad_token_id=0)),
    ("qwen3 window", Qwen3Config, dict(head_dim=16, use_sliding_window=True, sliding_window=6, max_window_layers=1)),
]
LATER_CASES = [  # at the end, as a case's place decides its random numbers
    ("phi3 longrope called yarn", Phi3Config, dict(pad_token_id=0, original_max_position_embeddings=32, rope_parameters={
        "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 32,
        "short_factor": [1.0 + 0.1 * i for i in range(8)], "long_factor": [2.0 + 0.5 * i for i in range(8)]})),
]


@dataclass
class Case:
    name: str
    folder: Path  # the model
    work: Path    # ids and what the tool writes


def auto_class(config):
    return AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM


def make_tiny(root, index, seed, name, config_class, options):
    folder = root / f"{index:03}-{seed}"
    torch.manual_seed(1000 * (seed + 1) + index)
    sizes = {key: value for key, value in {**SIZES, **options}.items() if value is not ...}
    config = config_class(**sizes)
    model = auto_class(config).from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            # Norms near one, biases that matter, attention far from uniform, logits of a few units.
            spread = 0.3 if parameter.dim() == 1 else 2.0 / math.sqrt(parameter.shape[-1])
            parameter.normal_(1.0 if "norm" in parameter_name else 0.0, spread)
        for buffer_name, buffer in model.named_buffers():
            if buffer_name.endswith("e_score_correction_bias"):
                buffer.uniform_(-0.3, 0.3)
    dtype = (torch.float32, torch.float16, torch.bfloat16)[(index + seed) % 3]
    model.to(dtype).save_pretrained(folder)
    if "v4" in name:
        spell_as_v4(folder / "config.json")
    if "called yarn" in name:
        call_longrope_yarn(folder / "config.json")
    if "other names" in name:
        rename_tensors(folder / "model.safetensors", OTHER_NAMES[config.model_type])
    write_ids(folder, np.random.default_rng((index, seed)).integers(0, SIZES["vocab_size"], (WINDOWS, LENGTH)))
    return Case(f"{name}, seed {seed}", folder, folder)


def write_ids(folder, ids):
    np.concatenate([np.array(ids.shape), ids.reshape(-1)]).astype(np.int64).tofile(folder / "ids.bin")


def read_ids(folder):
    data = np.fromfile(folder / "ids.bin", np.int64)
    return torch.from_numpy(data[2:].reshape(data[:2]))


def decoder_layers(model):
    return next(module for name, module in model.named_modules()
                if name.split(".")[-1] == "layers" and "vision" not in name)


def module_classes(named_modules, multimodal):
    """name -> class, of the language model. Dropout is none once a model is trained; experts, which checkpoints store one by
    one, are a single module in transformers, which also has a name of its own for the block around those of mixtral. The gate of
    a shared expert is a Linear there; here it has a class that no target means by accident."""
    return {name.replace(".block_sparse_moe", ".mlp"): "SharedExpertGate" if name.endswith("shared_expert_gate") else class_name
            for name, class_name in named_modules
            if class_name not in ("Dropout", "OPTModel") and not re.search(r"\.experts\.\d", name) and not
            (multimodal and re.fullmatch("|model|model.(vision_tower|multi_modal_projector).*", name))}


@dataclass
class Result:
    """What a model makes of a case: hidden states [layers, windows * length, hidden] and logits [windows * length, vocab]."""
    hidden: np.ndarray
    logits: np.ndarray
    nll: float
    modules: dict


def reference(case, dtype):
    """transformers' results."""
    config = AutoConfig.from_pretrained(case.folder)
    # The default attention leaves out what limits the scores.
    limits = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
    model = auto_class(config).from_pretrained(case.folder, dtype=dtype, **({"attn_implementation": "eager"} if limits else {}))
    ids = read_ids(case.work)
    states = []
    for layer in decoder_layers(model):
        layer.register_forward_hook(lambda _, __, output: states.append(output if torch.is_tensor(output) else output[0]))
    with torch.no_grad():
        logits = model.eval()(ids).logits.float()
    nll = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).double(), ids[:, 1:].flatten()).item()
    named = ((name, type(module).__name__) for name, module in model.named_modules())
    classes = module_classes(named, hasattr(config, "vision_config"))
    hidden = torch.stack([state.float().flatten(0, -2) for state in states]).numpy()
    return Result(hidden, logits.flatten(0, 1).numpy(), nll, classes)


def run_tool(tool, ops, dtype, cases):
    subprocess.run([tool, ops, dtype, *(str(path) for case in cases for path in (case.folder, case.work))], check=True)
    for case in cases:
        tokens = read_ids(case.work).numel()
        modules = [line.split(" ") for line in (case.work / "modules.txt").read_text().splitlines()]
        layers = sum(re.search(r"layers\.\d+$", name) is not None for name, _ in modules)
        hidden = np.fromfile(case.work / "hidden.bin", np.float32).reshape(layers, tokens, -1)
        logits = np.fromfile(case.work / "logits.bin", np.float32).reshape(tokens, -1)
        multimodal = "vision_config" in json.loads((case.folder / "config.json").read_text())
        yield Result(hidden, logits, np.fromfile(case.work / "nll.bin", np.float64)[0], module_classes(modules, multimodal))


class Report:
    def __init__(self):
        self.failures = 0
        self.worst = 0.0  # part of its limit

    def check(self, name, what, found, limit):
        good = found <= limit
        self.failures += not good
        self.worst = max(self.worst, found / limit)
        if not good or limit > 1e-4:
            print(f"{'ok' if good else 'FAILED'}: {name}: {what} {found:.2e}, limit {limit:.2e}")

    def check_names(self, name, found, wanted):
        """Both: name of a module -> class."""
        different = {f"{n}: {c}" for n, c in found.items()} ^ {f"{n}: {c}" for n, c in wanted.items()}
        if different:
            self.failures += 1
            print(f"FAILED: {name}: modules differ: {sorted(different)[:8]}")


def difference(found, wanted):
    """The largest; of values that are more than a few units, as a part of their root mean square."""
    return np.abs(found - wanted).max() / max(1.0, np.sqrt(np.square(wanted).mean()))


def compare_fp32(report, tool, cases, tolerance):
    expected = [reference(case, torch.float32) for case in cases]
    for ops in ("aten", "fused"):
        for case, wanted, found in zip(cases, expected, run_tool(tool, ops, "fp32", cases)):
            name = f"{case.name} ({ops})"
            report.check(name, "largest difference of a hidden state", difference(found.hidden, wanted.hidden), tolerance)
            report.check(name, "largest difference of a logit", difference(found.logits, wanted.logits), tolerance)
            report.check(name, "relative difference of the perplexity", abs(math.exp(found.nll - wanted.nll) - 1), 1e-4)
            report.check_names(name, found.modules, wanted.modules)
    return expected


def compare_bf16(report, tool, cases, expected):
    """bf16 rounds differently in every implementation: the yardstick is transformers' own distance from fp32."""
    def distance(found, wanted):
        return np.abs(found.logits - wanted.logits).mean()

    theirs = [distance(reference(case, torch.bfloat16), wanted) for case, wanted in zip(cases, expected)]
    for ops in ("aten", "fused"):
        for case, limit, wanted, found in zip(cases, theirs, expected, run_tool(tool, ops, "bf16", cases)):
            report.check(f"{case.name} (bf16, {ops})", "mean distance from fp32", distance(found, wanted), 1.5 * limit)


def real_case(root, model):
    text = " ".join(f"{n} bottles of beer on the wall, {n} bottles of beer." for n in range(99, 60, -1))
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    work = root / "real"
    work.mkdir()
    write_ids(work, np.array(tokenizer.encode(text, add_special_tokens=False).ids[:512]).reshape(2, 256))
    return Case("real model", model, work)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--model", required=True)
    arguments = parser.parse_args()
    real = Path(os.environ.get("AUTOROUND_TEST_MODEL", arguments.model))
    report, record = Report(), Recorder("logits_parity")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        cases, tiny, expected = CASES + DENSE_CASES + EXPERT_CASES + LATER_CASES, [], []
        for seed in range(SEEDS):
            tiny = [make_tiny(root, i, seed, *case) for i, case in enumerate(cases)]
            expected = compare_fp32(report, arguments.tool, tiny, 1e-4)
        print(f"{len(cases)} tiny models of {SEEDS} seeds compared, the worst at {report.worst:.0%} of its limit")
        for case in tiny if not report.failures else ():
            record("families", json.loads((case.folder / "config.json").read_text())["model_type"], "hidden states, logits")
        compare_bf16(report, arguments.tool, tiny[::4], expected[::4])
        if (real / "config.json").exists():
            case = real_case(root, real)
            expected = compare_fp32(report, arguments.tool, [case], 1e-3)
            compare_bf16(report, arguments.tool, [case], expected)
        else:
            print(f"skipped: no model in {real}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
