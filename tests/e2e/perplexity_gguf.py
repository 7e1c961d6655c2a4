"""A real model in the real llama.cpp: its GGUF file is read there, cut into the same tokens, and predicts a text as well as ours.

  perplexity_gguf.py --autoround AUTOROUND --model MODEL [--text FILE]

One run writes compressed-tensors and GGUF. Every weight of the one is that of the other bit for bit, and llama.cpp's perplexity of
the GGUF file is within 1 % of this library's of the compressed-tensors folder.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
from llama_cpp import LlamaCpp
from load_gguf import File
from safetensors import safe_open
from transformers import AutoTokenizer

WINDOWS, LENGTH = 8, 256
TEXTS = ["", "Hello world!", " leading", "tabs\tand\n\nlines  \n", "12345.67 £€ naïve 日本語 🚀", "don't I'LL we've",
         "<|im_start|>user\nHi<|im_end|>\n"]


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_weights(folder, file):
    """-> how many are quantized"""
    with safe_open(next(folder.glob("*.safetensors")), "pt") as stored:
        names = [name.removesuffix("_packed") for name in stored.keys() if name.endswith(".weight_packed")]
        for name in names:
            shape = stored.get_tensor(name + "_shape").tolist()
            codes = unpack_from_int32(stored.get_tensor(name + "_packed"), 4, torch.Size(shape)).float()
            scales = stored.get_tensor(name + "_scale").float()
            weight = codes * scales.repeat_interleave(shape[1] // scales.shape[1], 1)
            kind, values, _ = file.take(name)
            assert kind == "Q4_0" and torch.equal(values, weight), f"{name} differs"
    return len(names)


def perplexity(runner, windows):
    total, count = 0.0, 0
    for window in windows:
        logits = torch.from_numpy(runner.logits(window)).double()
        total += torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(window[1:]), reduction="sum").item()
        count += len(window) - 1
    return float(np.exp(total / count))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--autoround", required=True)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--text", default="/usr/share/common-licenses/GPL-3")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        output = pathlib.Path(temporary) / "output"
        run(arguments.autoround, "quantize", arguments.model, "--output", output, "--scheme", "W4A16", "--group-size", 32, "--iters", 0,
            "--format", "compressed-tensors,gguf", "--set", "scale_dtype=float16", "--quiet")
        ours = json.loads(run(arguments.autoround, "perplexity", output / "compressed-tensors", "--text", arguments.text, "--seqlen", LENGTH,
                              "--windows", WINDOWS, "--json"))["perplexity"]
        file = File(output / "gguf")
        assert file.path.name == f"{arguments.model.name}-Q4_0.gguf", file.path.name
        count = check_weights(output / "compressed-tensors", file)
        runner, tokenizer = LlamaCpp(file.path), AutoTokenizer.from_pretrained(arguments.model)
        text = pathlib.Path(arguments.text).read_text()
        for case in [*TEXTS, text]:
            found, wanted = runner.tokens(case), tokenizer(case, add_special_tokens=False)["input_ids"]
            assert found == wanted, f"llama.cpp cuts {case[:40]!r} into other tokens"
        ids = runner.tokens(text)
        theirs = perplexity(runner, [ids[i * LENGTH:(i + 1) * LENGTH] for i in range(WINDOWS)])
        runner.close()
    assert file.fields["tokenizer.chat_template"] == tokenizer.chat_template
    ratio = theirs / ours
    print(f"{count} weights are the same; perplexity {theirs:.4f} in llama.cpp, {ours:.4f} in this library, ratio {ratio:.4f}, "
          f"in {time.monotonic() - started:.0f} s")
    return 0 if abs(ratio - 1) < 0.01 else "the perplexities are further apart than 1 %"


if __name__ == "__main__":
    sys.exit(main())
