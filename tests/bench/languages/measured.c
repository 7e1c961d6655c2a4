/* measured MODEL_DIR IDS: for each line "OUTPUT ITERATIONS" of standard input one quantization with every usual event heard; a line
 * "SECONDS EVENTS" of each, from opening the checkpoint to letting go of the result. Its twins in the other languages do the same. */
#define _POSIX_C_SOURCE 200809L
#include <autoround/autoround.h>
#include <stdio.h>
#include <time.h>

struct heard {
  long events;
  double fractions, losses;
};

static int32_t hear(void *user_data, const autoround_event *event) {
  struct heard *heard = user_data;
  heard->events += autoround_event_name(event)[0] != 0;
  heard->fractions += autoround_event_fraction(event);
  heard->losses += autoround_event_loss(event);
  return 0;
}

static autoround_status quantize(const char *model_dir, const char *ids, const char *output, long iters, struct heard *heard, autoround_error **error) {
  autoround_model *model = NULL;
  autoround_recipe *recipe = NULL;
  autoround_calibration *data = NULL;
  autoround_options *options = NULL;
  autoround_result *result = NULL;
  const int32_t usual = AUTOROUND_EVENT_PROGRESS | AUTOROUND_EVENT_BLOCK_BEGIN | AUTOROUND_EVENT_ITERATION | AUTOROUND_EVENT_BLOCK_END;
  autoround_status status;
  (void)((status = autoround_model_open(NULL, model_dir, NULL, &model, error)) ||
         (status = autoround_recipe_new(&recipe, error)) ||
         (status = autoround_recipe_set_string(recipe, "scheme", "W4A16", error)) ||
         (status = autoround_recipe_set_int(recipe, "weights.group_size", 64, error)) ||
         (status = autoround_recipe_append(recipe, "ignore", "lm_head", error)) ||
         (status = autoround_recipe_set_int(recipe, "iters", iters, error)) ||
         (status = autoround_calibration_new(NULL, 256, &data, error)) ||
         (status = autoround_calibration_add_jsonl(data, ids, "input_ids", 0, NULL, error)) ||
         (status = autoround_options_new(&options, error)) ||
         (status = autoround_options_set_output(options, output, "compressed-tensors", error)) ||
         (status = autoround_options_set_callback(options, usual, hear, heard, NULL, error)) ||
         (status = autoround_oneshot(model, recipe, data, options, &result, error)));
  autoround_result_free(result);
  autoround_options_free(options);
  autoround_calibration_free(data);
  autoround_recipe_free(recipe);
  autoround_model_free(model);
  return status;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int argc, char **argv) {
  char output[4096];
  long iters;
  if (argc != 3) return 2;
  while (scanf("%4095s %ld", output, &iters) == 2) {
    struct heard heard = {0, 0, 0};
    autoround_error *error = NULL;
    const double start = now();
    if (quantize(argv[1], argv[2], output, iters, &heard, &error)) {
      fprintf(stderr, "%s: %s\n", autoround_error_subject(error), autoround_error_message(error));
      return 1;
    }
    printf("%.6f %ld\n", now() - start, heard.events);
    fflush(stdout);
  }
  return 0;
}
