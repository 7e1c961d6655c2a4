"""Loads `fake` folders, full-precision weights with the quantized values, with transformers as it loads the checkpoint itself.

  load_fake.py --tool EXPORT_TOOL

Of every family: transformers finds every key, each quantized weight is ours and each other one the checkpoint's, bit for
bit, and transformers in fp32 computes our logits.
"""

import argparse
import os
import pathlib
import sys
import tempfile

os.environ["TQDM_DISABLE"] = "1"  # read while the libraries are imported

import torch
from families import FAMILIES
from safetensors.torch import load_file
from tiny_models import STACKED, W4, auto_class, export, logits_of, make_model, name_in_transformers, stored_state
from transformers import AutoConfig, LlamaConfig
from transformers.utils import logging


def load(folder, dtype):
    of_config = auto_class(AutoConfig.from_pretrained(folder))
    model, info = of_config.from_pretrained(folder, dtype=dtype, attn_implementation="eager", output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        assert not info.get(problem), f"{folder}: {problem}: {info[problem]}"
    return model.eval()


def check(folder, expected, checkpoint):
    assert not hasattr(AutoConfig.from_pretrained(folder), "quantization_config"), f"{folder}: it says that it is quantized"
    ids, logits = expected.pop("ids"), expected.pop("logits")
    quantized = {name_in_transformers(name): weight for name, weight in expected.items()}
    state, original = stored_state(load(folder, torch.bfloat16)), stored_state(load(checkpoint, torch.bfloat16))
    assert set(state) == set(original) and set(quantized) <= set(state)
    for name, tensor in state.items():
        if any(name.endswith(f"experts.{stack}") for stack in ("gate_up_proj", "down_proj")):
            continue  # its parts are among the others
        wanted = quantized.get(name, original[name])
        assert torch.equal(tensor, wanted), f"{folder}: {name} differs from {'what was quantized' if name in quantized else 'the checkpoint'}"
    found = logits_of(load(folder, torch.float32), ids).reshape(logits.shape)
    distance = ((found - logits).abs().max() / logits.abs().max()).item()
    assert distance < 1e-5, f"{folder}: logits differ from ours by {distance:.2e} of the largest"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    count = 0
    with tempfile.TemporaryDirectory() as temporary:
        for name, (config_class, options) in {"llama": (LlamaConfig, {}), **FAMILIES}.items():
            model, output = pathlib.Path(temporary) / name, pathlib.Path(temporary) / f"{name}-output"
            make_model(model, False, config_class, **options)
            recipes = {"w4": W4}
            if name in STACKED:  # some parts of the tensor of all experts stay as they are
                recipes["some_experts"] = W4 | {"ignore": [*W4["ignore"], "re:.*experts.1.gate_proj", "re:.*experts.2.*", "re:.*0.*down_proj"]}
            export(arguments.tool, "fake", model, output, recipes)
            for recipe in recipes:
                check(output / recipe, load_file(output / f"{recipe}.expected" / "model.safetensors"), model)
                count += 1
    print(f"{count} folders accepted by transformers")


if __name__ == "__main__":
    sys.exit(main())
