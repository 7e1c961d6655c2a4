/* Quantizes a checkpoint folder: quantize MODEL_DIR CALIBRATION_FILE OUTPUT_DIR [ITERATIONS]
 *
 *     cc quantize.c $(pkg-config --cflags --libs autoround) -Wl,-rpath,"$(pkg-config --variable=libdir autoround)" -o quantize
 *
 * The run path is for a library outside the system's folders; LD_LIBRARY_PATH when the program starts does as well.
 */
#include <autoround/autoround.h>
#include <stdio.h>
#include <stdlib.h>

static int32_t show(void *user_data, const autoround_event *event) {
  (void)user_data;
  printf("%5.1f %%  %s  loss %.3g\n", 100 * autoround_event_fraction(event), autoround_event_name(event), autoround_event_loss(event));
  return 0; /* anything else stops the run */
}

static autoround_status run(const char *model_dir, const char *text, const char *output, int64_t iters, autoround_error **error) {
  autoround_model *model = NULL;
  autoround_recipe *recipe = NULL;
  autoround_calibration *data = NULL;
  autoround_options *options = NULL;
  autoround_result *result = NULL;
  autoround_status status;
  char tokenizer[4096];
  snprintf(tokenizer, sizeof tokenizer, "%s/tokenizer.json", model_dir);

  /* Every call that can fail gives a status; 0 is OK, so || stops at the first failure. */
  (void)((status = autoround_model_open(NULL, model_dir, NULL, &model, error)) ||
         (status = autoround_recipe_new(&recipe, error)) ||
         (status = autoround_recipe_set_string(recipe, "scheme", "W4A16", error)) ||
         (status = autoround_recipe_set_int(recipe, "weights.group_size", 64, error)) ||
         (status = autoround_recipe_append(recipe, "ignore", "lm_head", error)) ||
         (status = autoround_recipe_set_int(recipe, "iters", iters, error)) ||
         (status = autoround_calibration_new(NULL, 256, &data, error)) ||
         (status = autoround_calibration_set_tokenizer(data, tokenizer, error)) ||
         (status = autoround_calibration_add_file(data, text, 32, 0, NULL, error)) ||
         (status = autoround_options_new(&options, error)) ||
         (status = autoround_options_set_output(options, output, "compressed-tensors", error)) ||
         (status = autoround_options_set_callback(options, AUTOROUND_EVENT_BLOCK_END, show, NULL, NULL, error)) ||
         (status = autoround_oneshot(model, recipe, data, options, &result, error)));
  if (status == AUTOROUND_OK) printf("%zu blocks tuned, written to %s\n", autoround_result_block_count(result), output);

  autoround_result_free(result); /* in any order */
  autoround_options_free(options);
  autoround_calibration_free(data);
  autoround_recipe_free(recipe);
  autoround_model_free(model);
  return status;
}

int main(int argc, char **argv) {
  autoround_error *error = NULL;
  int64_t iters = 200;
  char *rest = NULL;
  if (argc > 4) iters = strtoll(argv[4], &rest, 10);
  if (argc < 4 || (rest && (rest == argv[4] || *rest))) {
    fprintf(stderr, "usage: %s MODEL_DIR CALIBRATION_FILE OUTPUT_DIR [ITERATIONS]\n", argv[0]);
    return 2;
  }
  if (run(argv[1], argv[2], argv[3], iters, &error) == AUTOROUND_OK) return 0;
  fprintf(stderr, "%s: %s\n", autoround_error_subject(error), autoround_error_message(error));
  autoround_error_free(error);
  return 1;
}
