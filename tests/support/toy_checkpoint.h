/* Writes a llama checkpoint folder of any small size with pseudo-random bf16 weights: config.json and model.safetensors.
 * Plain C, so that programs that know nothing but the public header can use it. */
#ifndef AUTOROUND_TESTS_TOY_CHECKPOINT_H
#define AUTOROUND_TESTS_TOY_CHECKPOINT_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int layers, hidden, heads, kv_heads, intermediate, vocab; /* head_dim = hidden / heads */
  int tied;                                                 /* no lm_head tensor of its own */
  unsigned seed;
} toy_shape;

/* 2 layers, hidden 64, 4 heads over 2, intermediate 96, vocabulary 64, tied. */
toy_shape toy_default(void);

/* Makes `directory` and fills it. 0 on success. */
int toy_checkpoint_write(const char *directory, const toy_shape *shape);

#ifdef __cplusplus
}
#endif
#endif
