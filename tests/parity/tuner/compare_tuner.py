"""Tunes the first layer of a real model, or the first two together, with auto-round and with tuner/ on the same samples, and compares
the losses.

usage: compare_tuner.py TUNER_TOOL MODEL_DIR TEXT_FILE LAYERS    exit status: 0 alike, 1 different, 77 something is missing

Both start from the same seed, so both must see the same minibatches: losses of single iterations are comparable at the
start. Later ones drift apart with the order of additions inside matrix products: their mean and minimum are compared.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

try:
    import numpy
    import torch
    import transformers
    from auto_round import AutoRound
    from auto_round.algorithms.quantization.sign_round.quantizer import SignRoundQuantizer
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

SAMPLES, LENGTH, ITERS = 16, 128, 20
RATE = 1 / 200  # as in a run of 200 iterations: with 1/20 the first steps overshoot, and that is chaotic


def main():
    tool, model, text, layers = sys.argv[1:]
    model = os.environ.get("AUTOROUND_TEST_MODEL", model)
    if not os.path.isdir(model):
        print(f"skipped: no {model}")
        sys.exit(77)
    if not os.path.isfile(text):
        print(f"skipped: no {text}")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        ids, theirs = auto_round(model, windows(model, text), folder, int(layers))
        ids.numpy().tofile(folder / "ids")
        # auto-round leaves the last token of each sample out of the loss. Attention is causal: to us it is padding.
        command = [tool, model, folder / "ids", SAMPLES, LENGTH, LENGTH - 1, ITERS, RATE, layers]
        done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True)
        ours = json.loads(done.stdout)
    sys.exit(compare(ours["losses"], theirs))


def windows(model, text):
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    text = pathlib.Path(text).read_text(encoding="utf-8")
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    while len(ids) < (SAMPLES + 1) * LENGTH:
        ids += ids
    # Twice the window, so that a text that tokenizes shorter on its own is not dropped.
    return [tokenizer.decode(ids[i : i + 2 * LENGTH]).strip() for i in range(0, SAMPLES * LENGTH, LENGTH)]


def auto_round(model, texts, folder, layers):
    """Token ids in auto-round's order, and the mean squared error on real tokens of each of its iterations."""
    losses, samples = [], []
    original_loss, original_block = SignRoundQuantizer._get_loss, SignRoundQuantizer.quantize_block

    def get_loss(self, output, reference, indices, loss, device="cpu", valid_token_mask=None, **rest):
        value = original_loss(self, output, reference, indices, loss, device, valid_token_mask, **rest)
        valid = sum(int(valid_token_mask[i].sum()) for i in indices)
        losses.append(value.item() * output.numel() / (valid * output.shape[-1]))
        return value

    def quantize_block(self, *args, **kwargs):
        samples.append(kwargs.get("input_ids"))
        return original_block(self, *args, **kwargs)

    SignRoundQuantizer._get_loss, SignRoundQuantizer.quantize_block = get_loss, quantize_block
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    compressor = AutoRound(
        transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16, num_hidden_layers=layers),
        scheme="W4A16", group_size=64, tokenizer=transformers.AutoTokenizer.from_pretrained(model),
        dataset=str(folder / "texts.json"), iters=ITERS, lr=RATE, nsamples=SAMPLES, seqlen=LENGTH, batch_size=8,
        device_map="cpu", enable_torch_compile=False)
    compressor.nblocks = layers  # given as an argument it does not reach the compressor
    compressor.quantize()
    ids = torch.cat(samples[0]).long()
    assert ids.shape == (SAMPLES, LENGTH) and (ids[:, -1] == -100).all() and (ids[:, :-1] >= 0).all(), "unexpected mask"
    return ids.clamp_min(0), losses


def compare(ours, theirs):
    failures = 0

    def check(name, a, b, tolerance):
        nonlocal failures
        difference = abs(a - b) / b
        failures += difference > tolerance
        print(f"{name}: {a:.6g}, auto-round {b:.6g}, {100 * difference:.2f} % apart (allowed {100 * tolerance:g} %)")

    if len(ours) != len(theirs):
        print(f"{len(ours)} iterations, auto-round {len(theirs)}")
        return 1
    check("first iteration", ours[0], theirs[0], 0.01)
    check("second iteration", ours[1], theirs[1], 0.01)
    check("mean", statistics.mean(ours), statistics.mean(theirs), 0.02)
    check("last ten", statistics.mean(ours[-10:]), statistics.mean(theirs[-10:]), 0.01)
    check("best", min(ours), min(theirs), 0.02)
    return int(failures > 0)


if __name__ == "__main__":
    main()
