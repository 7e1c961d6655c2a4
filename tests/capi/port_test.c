/* The contract from plain C99: open, quantize, read the result, read an error, leak nothing. */
#include <autoround/autoround.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/toy_checkpoint.h"

#define REQUIRE(condition)                                                     \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #condition); \
      return 1;                                                                \
    }                                                                          \
  } while (0)

static int32_t count(void *user_data, const autoround_event *event) {
  (void)event;
  ++*(int *)user_data;
  return 0;
}

int main(void) {
  char directory[] = "/tmp/autoround-port-XXXXXX", path[4096], command[4200];
  toy_shape shape = toy_default();
  autoround_error *error = NULL;
  autoround_model *model = NULL;
  autoround_recipe *recipe = NULL;
  autoround_calibration *data = NULL;
  autoround_options *options = NULL;
  autoround_result *result = NULL;
  autoround_tensor *tensor = NULL;
  const int64_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8};
  int events = 0, sample;

  REQUIRE(mkdtemp(directory) != NULL);
  snprintf(path, sizeof path, "%s/model", directory);
  REQUIRE(toy_checkpoint_write(path, &shape) == 0);
  REQUIRE(autoround_model_open(NULL, path, NULL, &model, &error) == AUTOROUND_OK);
  REQUIRE(strcmp(autoround_model_architecture(model), "LlamaForCausalLM") == 0);
  REQUIRE(autoround_model_block_count(model) == 2);

  REQUIRE(autoround_recipe_new(&recipe, &error) == AUTOROUND_OK);
  REQUIRE(autoround_recipe_set_string(recipe, "scheme", "W4A16", &error) == AUTOROUND_OK);
  REQUIRE(autoround_recipe_set_int(recipe, "weights.group_size", 32, &error) == AUTOROUND_OK);
  REQUIRE(autoround_recipe_append(recipe, "ignore", "lm_head", &error) == AUTOROUND_OK);
  REQUIRE(autoround_recipe_set_int(recipe, "iters", 2, &error) == AUTOROUND_OK);
  REQUIRE(error == NULL);
  REQUIRE(autoround_recipe_set_int(recipe, "itres", 2, &error) == AUTOROUND_ERROR_INVALID_ARGUMENT);
  REQUIRE(strcmp(autoround_error_subject(error), "itres") == 0);
  autoround_error_free(error);
  error = NULL;

  REQUIRE(autoround_calibration_new(NULL, 8, &data, &error) == AUTOROUND_OK);
  for (sample = 0; sample < 4; ++sample) REQUIRE(autoround_calibration_add_tokens(data, ids, 8, &error) == AUTOROUND_OK);
  REQUIRE(autoround_options_new(&options, &error) == AUTOROUND_OK);
  REQUIRE(autoround_options_set_callback(options, AUTOROUND_EVENT_ITERATION, count, &events, NULL, &error) == AUTOROUND_OK);
  REQUIRE(autoround_oneshot(model, recipe, data, options, &result, &error) == AUTOROUND_OK);
  REQUIRE(events == 4);
  REQUIRE(autoround_result_layer_tensor(result, 0, "qweight", &tensor, &error) == AUTOROUND_OK);
  REQUIRE(strcmp(autoround_tensor_dtype(tensor), "U8") == 0);

  autoround_tensor_free(tensor);
  autoround_options_free(options);
  autoround_result_free(result);
  autoround_model_free(model);
  autoround_calibration_free(data);
  autoround_recipe_free(recipe);
  REQUIRE(autoround_live_handles(NULL) == 0);
  snprintf(command, sizeof command, "rm -r '%s'", directory);
  return system(command);
}
