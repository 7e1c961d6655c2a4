"""How other versions of transformers, and others, spell config.json and the names of tensors."""

import json

from safetensors.torch import load_file, save_file


def spell_as_v4(path):
    """Rewrites config.json as transformers 4 wrote it."""
    whole = json.loads(path.read_text())
    config = whole.get("text_config", whole)
    parameters = config.pop("rope_parameters")
    if "full_attention" in parameters:
        config["rope_local_base_freq"] = parameters["sliding_attention"]["rope_theta"]
        parameters = parameters["full_attention"]
    neox = config["model_type"] == "gpt_neox"
    config["rotary_emb_base" if neox else "rope_theta"] = parameters.pop("rope_theta")
    kind = parameters.pop("rope_type")
    if "partial_rotary_factor" in parameters:
        config["rotary_pct" if neox else "partial_rotary_factor"] = parameters.pop("partial_rotary_factor")
    # Gemma 3 never had the oldest spelling.
    config["rope_scaling"] = None if kind == "default" else {
        "rope_type" if "rope_local_base_freq" in config else "type": kind, **parameters}
    whole["torch_dtype"] = whole.pop("dtype")
    if config["model_type"] not in ("gemma2", "gemma3_text", "cohere2"):  # whose pattern was always in the configuration
        config.pop("layer_types", None)
    if config["model_type"] == "qwen3_moe":
        config["num_experts"] = config.pop("num_local_experts")
    path.write_text(json.dumps(whole, indent=2))


def call_longrope_yarn(path):
    """Rewrites a config.json of Phi 3 as its first ones were: longrope was called yarn. The original length, which here is
    beside its parameters no longer, is the family's own then."""
    config = json.loads(path.read_text())
    config["rope_parameters"]["rope_type"] = "yarn"
    del config["original_max_position_embeddings"]
    path.write_text(json.dumps(config, indent=2))


def rename_tensors(path, renamings):
    """Gives tensors the names that other versions and writers gave them, by how names begin."""
    def renamed(name):
        return next((new + name[len(old):] for old, new in renamings if name.startswith(old)), name)

    tensors = {renamed(name): tensor for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


OTHER_NAMES = {
    "gemma3": [("language_model.model.", "model.language_model."), ("language_model.lm_head.", "lm_head."),
               ("vision_tower.", "model.vision_tower."), ("multi_modal_projector.", "model.multi_modal_projector.")],
    "gpt_neox": [("lm_head.", "embed_out.")],
    "opt": [("model.decoder.", "decoder.")],
}
OTHER_NAMES["mistral3"] = OTHER_NAMES["gemma3"]
