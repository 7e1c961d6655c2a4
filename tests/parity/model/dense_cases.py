"""Tiny configurations of the families that are not llama's relatives, for logits_parity.py: name, what makes the
configuration, what differs from the sizes of the llamas there. `...` leaves a size out."""

from transformers import (Cohere2Config, CohereConfig, Gemma2Config, Gemma3Config, Gemma3TextConfig, GemmaConfig, Glm4Config,
                          GPTNeoXConfig, Mistral3Config, MistralConfig, Olmo2Config, OPTConfig, PixtralVisionConfig,
                          SiglipVisionConfig, Starcoder2Config)

VISION = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4)
OPT = dict(ffn_dim=88, intermediate_size=..., num_key_value_heads=...)
NEOX = dict(num_key_value_heads=...)
GLM = dict(pad_token_id=0)


def gemma3_with_images(**text):
    return Gemma3Config(text_config=Gemma3TextConfig(**text), vision_config=SiglipVisionConfig(**VISION), mm_tokens_per_image=4,
                        image_token_index=100, tie_word_embeddings=text.get("tie_word_embeddings", True))


def mistral3_with_images(**text):
    return Mistral3Config(text_config=MistralConfig(**text), vision_config=PixtralVisionConfig(**VISION), image_token_index=100,
                          tie_word_embeddings=text.get("tie_word_embeddings", False))


def rope(rope_type, theta=10000.0, **parameters):
    return {"rope_type": rope_type, "rope_theta": theta, **parameters}


def scaled(rope_type):
    return {"linear": rope("linear", factor=4.0), "dynamic": rope("dynamic", factor=3.0),
            "yarn": rope("yarn", factor=4.0, original_max_position_embeddings=32),
            "llama3": rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                           original_max_position_embeddings=32)}[rope_type]


CASES = [
    ("gemma", GemmaConfig, dict(head_dim=16)),
    ("gemma untied, wide heads, v4", GemmaConfig, dict(head_dim=32, num_attention_heads=3, num_key_value_heads=1,
                                                       tie_word_embeddings=False, attention_bias=True, hidden_size=48)),
    ("gemma linear", GemmaConfig, dict(head_dim=16, hidden_act="gelu", rope_parameters=scaled("linear"))),
    ("gemma2", Gemma2Config, dict(head_dim=16, sliding_window=7, query_pre_attn_scalar=24, num_hidden_layers=3)),
    ("gemma2 narrow limits, v4", Gemma2Config, dict(head_dim=24, sliding_window=11, attn_logit_softcapping=1.5,
                                                    final_logit_softcapping=2.0, tie_word_embeddings=False)),
    ("gemma2 without limits", Gemma2Config, dict(head_dim=16, attn_logit_softcapping=None, final_logit_softcapping=None,
                                                 attention_bias=True, num_attention_heads=5, num_key_value_heads=1,
                                                 hidden_size=40, layer_types=["full_attention", "sliding_attention"],
                                                 sliding_window=5)),
    ("gemma3", Gemma3TextConfig, dict(head_dim=16, sliding_window=9, num_hidden_layers=7)),
    ("gemma3 linear, limits, v4", Gemma3TextConfig, dict(
        head_dim=32, sliding_window=6, num_hidden_layers=3, sliding_window_pattern=2, attn_logit_softcapping=3.0,
        final_logit_softcapping=4.0, rope_parameters={"full_attention": rope("linear", 1e6, factor=8.0),
                                                      "sliding_attention": rope("default")})),
    ("gemma3 layer types, untied", Gemma3TextConfig, dict(
        head_dim=16, sliding_window=1, layer_types=["full_attention", "sliding_attention"], tie_word_embeddings=False,
        attention_bias=True, query_pre_attn_scalar=10, num_key_value_heads=4,
        rope_parameters={"full_attention": rope("yarn", 5e5, factor=4.0, original_max_position_embeddings=32),
                         "sliding_attention": rope("default", 500.0)})),
    ("gemma3 with images", gemma3_with_images, dict(head_dim=16, sliding_window=9)),
    ("gemma3 with images, other names, v4", gemma3_with_images, dict(head_dim=16, sliding_window=9, num_hidden_layers=6)),
    ("olmo2", Olmo2Config, {}),
    ("olmo2 odd heads, biases, v4", Olmo2Config, dict(num_attention_heads=3, num_key_value_heads=1, hidden_size=48,
                                                      attention_bias=True, tie_word_embeddings=True)),
    ("olmo2 yarn", Olmo2Config, dict(num_key_value_heads=4, rms_norm_eps=1e-3, rope_parameters=scaled("yarn"))),
    ("starcoder2", Starcoder2Config, {}),
    ("starcoder2 window, untied, v4", Starcoder2Config, dict(sliding_window=7, tie_word_embeddings=False, norm_epsilon=1e-3,
                                                             num_attention_heads=3, num_key_value_heads=3, hidden_size=48)),
    ("starcoder2 without biases", Starcoder2Config, dict(use_bias=False, hidden_act="gelu", rope_parameters=scaled("llama3"))),
    ("gpt_neox", GPTNeoXConfig, dict(**NEOX)),
    ("gpt_neox in a row, v4", GPTNeoXConfig, dict(use_parallel_residual=False, num_attention_heads=2, hidden_act="gelu_new",
                                                  rope_parameters=rope("default", 2000.0, partial_rotary_factor=0.5), **NEOX)),
    ("gpt_neox all rotated, no bias, tied", GPTNeoXConfig, dict(
        attention_bias=False, tie_word_embeddings=True, num_attention_heads=3, hidden_size=48, layer_norm_eps=1e-3,
        rope_parameters=rope("linear", partial_rotary_factor=1.0, factor=2.0), **NEOX)),
    ("gpt_neox other names, dynamic", GPTNeoXConfig, dict(
        max_position_embeddings=16, rope_parameters=rope("dynamic", partial_rotary_factor=0.25, factor=2.0), **NEOX)),
    ("opt", OPTConfig, dict(**OPT)),
    ("opt, other names", OPTConfig, dict(num_hidden_layers=1, **OPT)),
    ("opt untied, odd heads", OPTConfig, dict(num_attention_heads=3, hidden_size=45, activation_function="gelu",
                                              tie_word_embeddings=False, **OPT)),
    ("opt projected, norm after", OPTConfig, dict(word_embed_proj_dim=40, do_layer_norm_before=False, **OPT)),
    ("opt projected to more, no final norm", OPTConfig, dict(word_embed_proj_dim=80, _remove_final_layer_norm=True, **OPT)),
    ("opt without biases and norm weights", OPTConfig, dict(enable_bias=False, layer_norm_elementwise_affine=False, **OPT)),
    ("opt norm after, no norm weights", OPTConfig, dict(do_layer_norm_before=False, layer_norm_elementwise_affine=False, **OPT)),
    ("glm4", Glm4Config, dict(head_dim=16, **GLM)),
    ("glm4 no bias, tied, v4", Glm4Config, dict(head_dim=24, attention_bias=False, tie_word_embeddings=True,
                                                num_attention_heads=3, num_key_value_heads=1, hidden_size=48, **GLM)),
    ("glm4 yarn, all rotated", Glm4Config, dict(
        head_dim=16, rope_parameters={**scaled("yarn"), "partial_rotary_factor": 1.0}, **GLM)),
    ("cohere", CohereConfig, {}),
    ("cohere q/k norms, untied, v4", CohereConfig, dict(use_qk_norm=True, tie_word_embeddings=False, logit_scale=0.3,
                                                        num_attention_heads=6, num_key_value_heads=3, hidden_size=48)),
    ("cohere biases, dynamic", CohereConfig, dict(attention_bias=True, max_position_embeddings=16, layer_norm_eps=1e-3,
                                                  num_key_value_heads=4, rope_parameters=scaled("dynamic"))),
    ("cohere2", Cohere2Config, dict(sliding_window=7, num_hidden_layers=5)),
    ("cohere2 layer types, v4", Cohere2Config, dict(sliding_window=3, attention_bias=True, tie_word_embeddings=False,
                                                    layer_types=["full_attention", "sliding_attention"])),
    ("mistral3", mistral3_with_images, dict(sliding_window=None)),
    ("mistral3 window, tied, other names, v4", mistral3_with_images, dict(sliding_window=7, head_dim=32, tie_word_embeddings=True)),
]
