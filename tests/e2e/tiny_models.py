"""What the loader tests share: tiny random checkpoints of transformers, their export by this library, and a loaded model's
tensors under the names that its checkpoint has for them."""

import copy
import json
import re
import subprocess

import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, LlamaConfig

GROUP = 64
TWO_NAMES = ("gemma3", "mistral3")  # transformers calls their modules otherwise than it stores them
STACKED = ("gpt_oss",)  # their experts are one tensor, which transformers does not take quantized


def auto_class(config):
    return AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM


def name_in_transformers(name):
    """Of a tensor that is stored under the name that older versions gave it, as transformers still writes it."""
    return re.sub("^language_model[.]model", "model.language_model", name)


def logits_of(model, ids):
    with torch.no_grad():
        return model(ids).logits.float()


def apart(name, stack):
    """Weights and biases of experts that are one tensor (STACKED), as linears have them, by name: views of it."""
    experts, _, last = name.rpartition(".")
    projection, kind = (last.removesuffix("_bias"), "bias") if last.endswith("_bias") else (last, "weight")
    columns = {"gate_proj": stack[..., 0::2], "up_proj": stack[..., 1::2]} if projection == "gate_up_proj" else {projection: stack}
    for part, values in columns.items():
        for index, expert in enumerate(values):
            yield f"{experts}.{index}.{part}.{kind}", expert.t() if kind == "weight" else expert


def stored_state(model):
    """The model's tensors under the names that checkpoints have for them: transformers keeps all experts in one tensor."""
    state = {}
    mixtral = model.config.model_type == "mixtral"
    gate, up, down = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
    for name, tensor in model.state_dict().items():
        experts, _, last = name.rpartition(".")
        if mixtral:
            experts = experts.replace(".mlp", ".block_sparse_moe")
        if model.config.model_type in STACKED and experts.endswith(".experts"):
            state |= dict(apart(name, tensor))
        if model.config.model_type in STACKED or not experts.endswith(".experts"):
            state[f"{experts}.{last}"] = tensor
            continue
        for index, expert in enumerate(tensor):
            parts = zip((gate, up), expert.chunk(2)) if last == "gate_up_proj" else [(down, expert)]
            state |= {f"{experts}.{index}.{part}.weight": weight for part, weight in parts}
    return state


def make_model(folder, tied, config_class=LlamaConfig, dtype=torch.bfloat16, **options):
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 256, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 128, "max_position_embeddings": 64, "tie_word_embeddings": tied, "initializer_range": 0.1, **options}
    given = {key: value for key, value in sizes.items() if value is not ...}
    config = config_class(**copy.deepcopy(given))  # which writes into dictionaries that it is given
    model = auto_class(config).from_config(config, dtype=dtype)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.02)  # transformers starts with none
    model.save_pretrained(folder)


def weights(bits, symmetric, strategy):
    arguments = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": strategy}
    return arguments | ({"group_size": GROUP} if strategy == "group" else {})


def group(targets, *scheme):
    return {"targets": targets, "weights": weights(*scheme)}


W4 = {"config_groups": {"all": group(["Linear"], 4, True, "group")}, "ignore": ["lm_head"]}


def export(tool, name_of_format, model, output, recipes):
    """Rounds a model to nearest into output/NAME for each recipe. recipes: name -> keys of the modifier"""
    output.mkdir()
    files = []
    for name, keys in recipes.items():
        files.append(output / f"{name}.yaml")  # JSON is YAML
        files[-1].write_text(json.dumps({"AutoRoundModifier": {"iters": 0, **keys}}))
    subprocess.run([tool, name_of_format, model, output, *files], check=True)
