/* The same run as quantize.c, one step of the lifecycle a call: stepwise MODEL_DIR CALIBRATION_FILE OUTPUT_DIR [ITERATIONS]
 *
 *     cc stepwise.c $(pkg-config --cflags --libs autoround) -Wl,-rpath,"$(pkg-config --variable=libdir autoround)" -o stepwise
 *
 * The run path is for a library outside the system's folders; LD_LIBRARY_PATH when the program starts does as well.
 *
 * A host takes the steps itself when it wants to look at the model between blocks, spread a run over its own scheduler, or stop
 * after a block. The bytes are those of autoround_oneshot.
 */
#include <autoround/autoround.h>
#include <stdio.h>
#include <stdlib.h>

/* Takes the error by its address: arguments are evaluated in any order, the call that sets it may come last. */
static void check(autoround_status status, autoround_error **error) {
  if (status >= AUTOROUND_OK) return;
  fprintf(stderr, "%s: %s\n", autoround_error_subject(*error), autoround_error_message(*error));
  autoround_error_free(*error);
  exit(1);
}

int main(int argc, char **argv) {
  autoround_error *error = NULL;
  autoround_model *model;
  autoround_recipe *recipe;
  autoround_calibration *data;
  autoround_options *options;
  autoround_session *session;
  autoround_result *result;
  autoround_status status;
  size_t block;
  char tokenizer[4096], *rest = NULL;
  int64_t iters = 200;
  if (argc > 4) iters = strtoll(argv[4], &rest, 10);
  if (argc < 4 || (rest && (rest == argv[4] || *rest))) {
    fprintf(stderr, "usage: %s MODEL_DIR CALIBRATION_FILE OUTPUT_DIR [ITERATIONS]\n", argv[0]);
    return 2;
  }
  snprintf(tokenizer, sizeof tokenizer, "%s/tokenizer.json", argv[1]);

  check(autoround_model_open(NULL, argv[1], NULL, &model, &error), &error);
  check(autoround_recipe_new(&recipe, &error), &error);
  check(autoround_recipe_set_string(recipe, "scheme", "W4A16", &error), &error);
  check(autoround_recipe_set_int(recipe, "weights.group_size", 64, &error), &error);
  check(autoround_recipe_append(recipe, "ignore", "lm_head", &error), &error);
  check(autoround_recipe_set_int(recipe, "iters", iters, &error), &error);
  check(autoround_calibration_new(NULL, 256, &data, &error), &error);
  check(autoround_calibration_set_tokenizer(data, tokenizer, &error), &error);
  check(autoround_calibration_add_file(data, argv[2], 32, 0, NULL, &error), &error);
  check(autoround_options_new(&options, &error), &error);
  check(autoround_options_set_output(options, argv[3], "compressed-tensors", &error), &error);
  check(autoround_session_new(model, recipe, data, options, &session, &error), &error);

  check(autoround_session_initialize(session, &error), &error); /* everything that can fail early fails here */
  check(autoround_session_start(session, &error), &error);
  while ((status = autoround_session_next_block(session, &block, &error)) == AUTOROUND_OK) {
    check(autoround_session_sequential_epoch_end(session, &error), &error);
    printf("%s tuned\n", autoround_model_block_name(model, block));
  }
  check(status, &error); /* AUTOROUND_DONE is not an error */
  check(autoround_session_end(session, &error), &error);
  check(autoround_session_finalize(session, &result, &error), &error);
  printf("%zu blocks tuned, written to %s\n", autoround_result_block_count(result), argv[3]);

  autoround_session_free(session);
  autoround_result_free(result);
  autoround_options_free(options);
  autoround_calibration_free(data);
  autoround_recipe_free(recipe);
  autoround_model_free(model);
  return 0;
}
