/* Tunes one linear layer of a program that has model code of its own, no checkpoint on disk: layer [ITERATIONS]
 *
 *     cc layer.c $(pkg-config --cflags --libs autoround) -Wl,-rpath,"$(pkg-config --variable=libdir autoround)" -o layer
 *
 * The run path is for a library outside the system's folders; LD_LIBRARY_PATH when the program starts does as well.
 */
#include <autoround/autoround.h>
#include <stdio.h>
#include <stdlib.h>

enum { OUT = 64, IN = 256, HIDDEN = 16, SAMPLES = 32, TOKENS = 8 };
static float weight[OUT][IN], mixing[HIDDEN][IN], inputs[SAMPLES * TOKENS][IN];

static float uniform(void) { /* in [-1, 1) */
  static uint32_t state = 1;
  state = state * 1664525u + 1013904223u;
  return (float)(state >> 8) / 8388608.0f - 1.0f;
}

/* Stands for the host's model: a weight, and inputs whose columns depend on one another, as those of a real layer do. */
static void run_the_model(void) {
  for (int o = 0; o < OUT; ++o)
    for (int i = 0; i < IN; ++i) weight[o][i] = 0.05f * uniform();
  for (int k = 0; k < HIDDEN; ++k)
    for (int i = 0; i < IN; ++i) mixing[k][i] = uniform();
  for (int row = 0; row < SAMPLES * TOKENS; ++row) {
    for (int i = 0; i < IN; ++i) inputs[row][i] = 0.1f * uniform();
    for (int k = 0; k < HIDDEN; ++k) {
      const float hidden = uniform();
      for (int i = 0; i < IN; ++i) inputs[row][i] += hidden * mixing[k][i];
    }
  }
}

static autoround_status run(int64_t iters, autoround_error **error) {
  const int64_t weight_sizes[] = {OUT, IN}, input_sizes[] = {SAMPLES, TOKENS, IN};
  autoround_tensor *w = NULL, *x = NULL, *codes = NULL, *scales = NULL;
  autoround_layer *layer = NULL;
  autoround_recipe *recipe = NULL;
  autoround_options *options = NULL;
  autoround_result *result = NULL;
  autoround_status status;
  run_the_model();

  /* Memory that is in a DLPack capsule already need not be copied: autoround_tensor_from_dlpack. */
  (void)((status = autoround_tensor_new("F32", weight_sizes, 2, weight, sizeof weight, &w, error)) ||
         (status = autoround_tensor_new("F32", input_sizes, 3, inputs, sizeof inputs, &x, error)) ||
         (status = autoround_layer_new(NULL, "mlp.up_proj", w, NULL, &layer, error)) ||
         (status = autoround_layer_add_inputs(layer, x, NULL, error)) || /* may be called many times, once a text */
         (status = autoround_recipe_new(&recipe, error)) ||
         (status = autoround_recipe_set_string(recipe, "scheme", "W4A16", error)) ||
         (status = autoround_recipe_set_int(recipe, "iters", iters, error)) ||
         (status = autoround_options_new(&options, error)) ||
         (status = autoround_options_set_compute_dtype(options, "fp32", error)) ||
         (status = autoround_layer_tune(layer, recipe, options, &result, error)) ||
         (status = autoround_result_layer_tensor(result, 0, "qweight", &codes, error)) ||
         (status = autoround_result_layer_tensor(result, 0, "scales", &scales, error)));
  if (status == AUTOROUND_OK) {
    printf("%s: loss %.6f rounded, %.6f tuned\n", autoround_result_layer_name(result, 0),
           autoround_result_block_loss_before(result, 0), autoround_result_block_loss_after(result, 0));
    printf("%zu bytes of codes, %zu scales of type %s\n", autoround_tensor_byte_size(codes),
           (size_t)(autoround_tensor_size(scales, 0) * autoround_tensor_size(scales, 1)), autoround_tensor_dtype(scales));
  }

  autoround_tensor_free(scales); /* in any order */
  autoround_tensor_free(codes);
  autoround_result_free(result);
  autoround_options_free(options);
  autoround_recipe_free(recipe);
  autoround_layer_free(layer);
  autoround_tensor_free(x);
  autoround_tensor_free(w);
  return status;
}

int main(int argc, char **argv) {
  autoround_error *error = NULL;
  int64_t iters = 200;
  char *rest = NULL;
  if (argc > 1) iters = strtoll(argv[1], &rest, 10);
  if (rest && (rest == argv[1] || *rest)) {
    fprintf(stderr, "usage: %s [ITERATIONS]\n", argv[0]);
    return 2;
  }
  if (run(iters, &error) == AUTOROUND_OK) return 0;
  fprintf(stderr, "%s: %s\n", autoround_error_subject(error), autoround_error_message(error));
  autoround_error_free(error);
  return 1;
}
