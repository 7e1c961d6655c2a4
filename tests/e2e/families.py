"""Families of models besides llama, as the smallest models of transformers that have what sets them apart."""

from transformers import (Cohere2Config, CohereConfig, DeepseekV2Config, DeepseekV3Config, Gemma2Config, Gemma3Config,
                          Gemma3TextConfig, GemmaConfig, Glm4Config, Glm4MoeConfig, GPTNeoXConfig, GptOssConfig, GraniteConfig,
                          Mistral3Config, MistralConfig, MixtralConfig, Olmo2Config, OPTConfig, Phi3Config, PixtralVisionConfig,
                          Qwen2Config, Qwen2MoeConfig, Qwen3Config, Qwen3MoeConfig, SiglipVisionConfig, SmolLM3Config,
                          Starcoder2Config)

LATENT = {"num_key_value_heads": 4, "q_lora_rank": 128, "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32}

VISION = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4)


def gemma3_with_images(**text):
    return Gemma3Config(text_config=Gemma3TextConfig(**text), vision_config=SiglipVisionConfig(**VISION), mm_tokens_per_image=4,
                        image_token_index=127, tie_word_embeddings=text["tie_word_embeddings"])


def mistral3_with_images(**text):
    return Mistral3Config(text_config=MistralConfig(**text), vision_config=PixtralVisionConfig(**VISION), image_token_index=127,
                          tie_word_embeddings=text["tie_word_embeddings"])


# name -> (configuration, what make_model does not set); `...` leaves a size out.
FAMILIES = {
    "cohere": (CohereConfig, {"use_qk_norm": True}),
    "cohere2": (Cohere2Config, {"num_hidden_layers": 4, "sliding_window": 7}),
    "deepseek_v2": (DeepseekV2Config, {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64, **LATENT}),
    "deepseek_v3": (DeepseekV3Config, {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "n_group": 2,
                                       "topk_group": 1, "first_k_dense_replace": 1, **LATENT}),
    "gemma": (GemmaConfig, {"head_dim": 32}),
    "gemma2": (Gemma2Config, {"head_dim": 32, "sliding_window": 7}),
    "gemma3": (gemma3_with_images, {"head_dim": 32, "sliding_window": 7}),
    "gemma3_text": (Gemma3TextConfig, {"head_dim": 32, "sliding_window": 7, "sliding_window_pattern": 2}),
    "glm4": (Glm4Config, {"head_dim": 32, "pad_token_id": 0}),
    "glm4_moe": (Glm4MoeConfig, {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 128, "use_qk_norm": True}),
    "gpt_neox": (GPTNeoXConfig, {"num_key_value_heads": ...}),
    "gpt_oss": (GptOssConfig, {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 32, "sliding_window": 9}),
    "granite": (GraniteConfig, {"embedding_multiplier": 3.0, "residual_multiplier": 0.4, "logits_scaling": 2.0, "attention_multiplier": 0.1}),
    "mistral": (MistralConfig, {"sliding_window": 7}),
    "mistral3": (mistral3_with_images, {}),
    "mixtral": (MixtralConfig, {"num_local_experts": 3}),
    "olmo2": (Olmo2Config, {}),
    "opt": (OPTConfig, {"ffn_dim": 384, "word_embed_proj_dim": 128, "intermediate_size": ..., "num_key_value_heads": ...}),
    "phi3": (Phi3Config, {"pad_token_id": 0, "sliding_window": 9}),
    "qwen2": (Qwen2Config, {}),
    "qwen2_moe": (Qwen2MoeConfig, {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 128,
                                   "shared_expert_intermediate_size": 192, "decoder_sparse_step": 2}),
    "qwen3": (Qwen3Config, {"head_dim": 32}),
    "qwen3_moe": (Qwen3MoeConfig, {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "head_dim": 32}),
    "smollm3": (SmolLM3Config, {"num_hidden_layers": 4, "pad_token_id": 0}),
    "starcoder2": (Starcoder2Config, {"sliding_window": 7}),
}
