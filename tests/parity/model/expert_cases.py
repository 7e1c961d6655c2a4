"""Tiny configurations of the families with experts, for logits_parity.py: name, configuration class, what differs from
the sizes of the llamas there."""

from transformers import (DeepseekV2Config, DeepseekV3Config, Glm4MoeConfig, GptOssConfig, MixtralConfig, Qwen2MoeConfig,
                          Qwen3MoeConfig)


def rope(rope_type, **parameters):
    return dict(rope_parameters={"rope_type": rope_type, "rope_theta": 10000.0, **parameters})


QWEN2_MOE = dict(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=24, shared_expert_intermediate_size=40)
QWEN3_MOE = dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=32, head_dim=16)
GLM4_MOE = dict(n_routed_experts=6, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=16)
LATENT = dict(n_routed_experts=6, num_experts_per_tok=2, moe_intermediate_size=24, num_key_value_heads=4, q_lora_rank=20,
              kv_lora_rank=16, qk_nope_head_dim=12, qk_rope_head_dim=8, v_head_dim=10)
DEEPSEEK_V3 = dict(LATENT, n_group=2, topk_group=1, first_k_dense_replace=1)
GPT_OSS = dict(num_local_experts=4, num_experts_per_tok=2, head_dim=16, sliding_window=7)

CASES = [
    ("mixtral", MixtralConfig, dict(num_local_experts=4)),
    ("mixtral one of three, window", MixtralConfig, dict(num_local_experts=3, num_experts_per_tok=1, sliding_window=7)),
    ("mixtral all of four, odd heads, v4", MixtralConfig, dict(num_local_experts=4, num_experts_per_tok=4, hidden_size=48,
                                                             num_attention_heads=3, num_key_value_heads=1)),
    ("mixtral more experts than tokens", MixtralConfig, dict(num_local_experts=200, num_experts_per_tok=3, intermediate_size=16)),
    ("qwen2_moe", Qwen2MoeConfig, QWEN2_MOE),
    ("qwen2_moe normalized, dense layers, v4", Qwen2MoeConfig, dict(QWEN2_MOE, norm_topk_prob=True, num_experts_per_tok=3,
                                                                  num_hidden_layers=4, decoder_sparse_step=2)),
    ("qwen2_moe window, without biases", Qwen2MoeConfig, dict(QWEN2_MOE, qkv_bias=False, num_hidden_layers=3, mlp_only_layers=[1],
        use_sliding_window=True, sliding_window=6, max_window_layers=2, num_experts_per_tok=1)),
    ("qwen2_moe window v4", Qwen2MoeConfig, dict(QWEN2_MOE, num_hidden_layers=3, use_sliding_window=True, sliding_window=5,
                                                 num_key_value_heads=4)),
    ("qwen3_moe", Qwen3MoeConfig, QWEN3_MOE),
    ("qwen3_moe normalized, one key head of five", Qwen3MoeConfig, dict(QWEN3_MOE, head_dim=24, num_attention_heads=5,
        num_key_value_heads=1, norm_topk_prob=True, num_experts_per_tok=4)),
    ("qwen3_moe dense layers, bias, window, v4", Qwen3MoeConfig, dict(QWEN3_MOE, num_hidden_layers=5, decoder_sparse_step=2,
        mlp_only_layers=[3], attention_bias=True, use_sliding_window=True, sliding_window=9)),
    ("glm4_moe", Glm4MoeConfig, GLM4_MOE),
    ("glm4_moe groups, q/k norm, bias, v4", Glm4MoeConfig, dict(GLM4_MOE, n_routed_experts=12, n_group=4, topk_group=2, use_qk_norm=True,
        attention_bias=True, num_experts_per_tok=3, routed_scaling_factor=1.7, n_shared_experts=2)),
    ("glm4_moe not normalized, all with experts", Glm4MoeConfig, dict(GLM4_MOE, norm_topk_prob=False, first_k_dense_replace=0,
        num_experts_per_tok=1, rope_parameters={"rope_type": "default", "rope_theta": 1e5, "partial_rotary_factor": 0.25})),
    ("glm4_moe three groups, four of nine", Glm4MoeConfig, dict(GLM4_MOE, n_routed_experts=9, n_group=3, topk_group=2,
        num_experts_per_tok=4, num_hidden_layers=4, first_k_dense_replace=2)),
    ("deepseek_v2", DeepseekV2Config, LATENT),
    ("deepseek_v2 groups, v4", DeepseekV2Config, dict(LATENT, topk_method="group_limited_greedy", n_group=3, topk_group=2,
        num_experts_per_tok=3, routed_scaling_factor=2.0, first_k_dense_replace=1)),
    ("deepseek_v2 queries without latents, biases", DeepseekV2Config, dict(LATENT, q_lora_rank=None, attention_bias=True, mlp_bias=True,
        n_shared_experts=1, num_attention_heads=2, num_key_value_heads=2, first_k_dense_replace=1)),
    ("deepseek_v2 yarn", DeepseekV2Config, dict(LATENT, v_head_dim=32, num_experts_per_tok=1,
        **rope("yarn", factor=4.0, original_max_position_embeddings=32, mscale=0.707, mscale_all_dim=0.707))),
    ("deepseek_v3", DeepseekV3Config, DEEPSEEK_V3),
    ("deepseek_v3 halves, one group, v4", DeepseekV3Config, dict(DEEPSEEK_V3, rope_interleave=False, n_group=1, topk_group=1,
        num_experts_per_tok=4, q_lora_rank=None, first_k_dense_replace=0)),
    ("deepseek_v3 not normalized, biases", DeepseekV3Config, dict(DEEPSEEK_V3, norm_topk_prob=False, attention_bias=True, n_shared_experts=2,
        n_group=3, topk_group=2, num_attention_heads=8, num_key_value_heads=8)),
    ("deepseek_v3 yarn v4", DeepseekV3Config, dict(DEEPSEEK_V3, num_hidden_layers=3,
        **rope("yarn", factor=40.0, original_max_position_embeddings=16, mscale=1.0, mscale_all_dim=1.0))),
    ("deepseek_v3 yarn, other mscales", DeepseekV3Config, dict(DEEPSEEK_V3, qk_nope_head_dim=24, v_head_dim=16,
        **rope("yarn", factor=4.0, original_max_position_embeddings=32, mscale=1.2, mscale_all_dim=0.6))),
    ("gpt_oss", GptOssConfig, GPT_OSS),
    ("gpt_oss four of five, one key head", GptOssConfig, dict(GPT_OSS, num_local_experts=5, num_experts_per_tok=4, num_attention_heads=3,
        num_key_value_heads=1, num_hidden_layers=3, hidden_size=48, intermediate_size=40)),
    ("gpt_oss without biases, v4", GptOssConfig, dict(GPT_OSS, num_experts_per_tok=1, attention_bias=False, num_hidden_layers=3,
        **rope("yarn", factor=8.0, original_max_position_embeddings=16, truncate=False))),
    ("gpt_oss layer types", GptOssConfig, dict(GPT_OSS, layer_types=["full_attention", "sliding_attention"],
                                               rope_parameters={"rope_type": "default", "rope_theta": 10000.0})),
]
