"""Tokenizers in the real llama.cpp: it cuts texts into the tokens that the tokenizers package does.

  tokenize_gguf.py --tool EXPORT_TOOL

One tokenizer for each pre-tokenizer that is known by name, and one in the manner of SentencePiece, all trained on a short text.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import gguf
from llama_cpp import LlamaCpp
from tiny_models import make_model
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

VOCABULARY = 900
TRAINING = "/usr/share/common-licenses/GPL-3"
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
REST_WITH_SLASH = REST.replace(r"[\r\n]*|", r"[\r\n/]*|")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
START = r"[^\r\n\p{L}\p{N}]?"
DEEPSEEK3 = (r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",  # as its file has it: ends of lines are no escapes
             r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^CN\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[CN]*|\s*[CN]+|\s+(?!\S)|\s+"""
             .replace("CN", "\r\n"))
WORDS = {  # tokenizer.ggml.pre -> (expression, or one for each step, whether words that are tokens are taken whole)
    "llama-bpe": (CONTRACTIONS + "|" + START + r"\p{L}+|\p{N}{1,3}" + REST, True),
    "dbrx": (CONTRACTIONS + "|" + START + r"\p{L}+|\p{N}{1,3}" + REST, False),
    "qwen2": (CONTRACTIONS + "|" + START + r"\p{L}+|\p{N}" + REST, False),
    "tekken": (f"{START}{UPPER}*{LOWER}+|{START}{UPPER}+{LOWER}*|" + r"\p{N}" + REST_WITH_SLASH, True),
    "gpt-4o": (f"{START}{UPPER}*{LOWER}+{CONTRACTIONS}?|{START}{UPPER}+{LOWER}*{CONTRACTIONS}?|" + r"\p{N}{1,3}" + REST_WITH_SLASH, False),
    "deepseek-v3": (DEEPSEEK3, False),
}
TEXTS = ["Hello, World!", "  two spaces", "trailing  \n\n  lines\n", "don't I'LL we've THEY'RE", "1 22 333 4444 55555 3.14159",
         "for (int i = 0; i < n; ++i) { a[i] += b[i]; }", "naïve café Привет мир 日本語 🚀", "a\tb\r\nc", "x<s>y <s>z", "CamelCaseWords http://a.b/c"]


def byte_level(name):
    tokenizer = Tokenizer(models.BPE(ignore_merges=WORDS[name][1] if name in WORDS else False))
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=name not in WORDS)
    if name in WORDS:
        steps = WORDS[name][0]
        first = [pre_tokenizers.Split(Regex(step), "isolated") for step in ((steps,) if isinstance(steps, str) else steps)]
    else:
        first = [pre_tokenizers.Digits(individual_digits=True)] if name == "smollm" else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*first, plain])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train([TRAINING], trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<s>"], show_progress=False,
                                                    initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def sentence_piece():
    bytes_of_all = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.train([TRAINING], trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<unk>", "<s>"], show_progress=False))
    # Training makes no tokens for bytes: they come in front, as in tokenizers that were converted.
    trained = json.loads(tokenizer.to_str())
    vocabulary = sorted(trained["model"]["vocab"], key=trained["model"]["vocab"].get)[2:VOCABULARY - 256]
    tokens = ["<unk>", "<s>", *bytes_of_all, *vocabulary]
    merges = [pair for pair in trained["model"]["merges"] if pair[0] + pair[1] in vocabulary]
    trained["model"].update(vocab={token: place for place, token in enumerate(tokens)}, merges=merges)
    return Tokenizer.from_str(json.dumps(trained))


def check(tool, root, name, tokenizer):
    model, output = root / "model", root / f"{name}-output"
    tokenizer.save(str(model / "tokenizer.json"))
    recipe = root / "embeddings.yaml"
    weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    recipe.write_text(json.dumps({"AutoRoundModifier": {
        "iters": 0, "config_groups": {"all": {"targets": ["model.embed_tokens"], "weights": weights}}}}))
    output.mkdir()
    subprocess.run([tool, "gguf", model, output, recipe], check=True)
    path, = (output / "embeddings").glob("*.gguf")
    fields = gguf.GGUFReader(path).fields
    pre = fields["tokenizer.ggml.pre"].contents()
    assert pre == {"sentence_piece": "default"}.get(name, name), f"{name}: the pre-tokenizer is called {pre}"
    runner = LlamaCpp(path)
    for text in [*TEXTS, pathlib.Path(TRAINING).read_text()]:
        found, wanted = runner.tokens(text), tokenizer.encode(text, add_special_tokens=False).ids
        assert found == wanted, f"{name}: {text[:40]!r} becomes {found[:40]}, not {wanted[:40]}"
    runner.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        make_model(root / "model", True, hidden_size=64, intermediate_size=64, num_hidden_layers=1, vocab_size=VOCABULARY)
        found = {name: byte_level(name) for name in ("gpt-2", "smollm", *WORDS)} | {"sentence_piece": sentence_piece()}
        for name, tokenizer in found.items():
            check(arguments.tool, root, name, tokenizer)
    print(f"{len(found)} tokenizers work the same in llama.cpp, in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
