/* killed_run MODEL OUTPUT SYMMETRIC KILL_AT: a run with resume that kills its own process at its KILL_AT-th event,
 * counted from 1; 0: at none. Prints the number of events that it lived to see. lm_head is quantized as well, so there
 * is work after the last block. */
#include <autoround/autoround.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct Events {
  long seen, kill_at;
};

static int32_t on_event(void *user_data, const autoround_event *event) {
  struct Events *events = user_data;
  (void)event;
  if (++events->seen == events->kill_at) raise(SIGKILL);
  return 0;
}

static void on_log(void *user_data, int32_t level, const char *text, size_t length) {
  (void)user_data, (void)level;
  fprintf(stderr, "%.*s\n", (int)length, text);
}

static int fail(const autoround_error *error) {
  fprintf(stderr, "%s: %s: %s\n", autoround_status_name(autoround_error_status(error)), autoround_error_subject(error),
          autoround_error_message(error));
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  autoround_context *context = NULL;
  autoround_model *model = NULL;
  autoround_recipe *recipe = NULL;
  autoround_calibration *data = NULL;
  autoround_options *options = NULL;
  autoround_error *error = NULL;
  struct Events events = {0, atol(argv[4])};
  const int32_t all =
      AUTOROUND_EVENT_PROGRESS | AUTOROUND_EVENT_BLOCK_BEGIN | AUTOROUND_EVENT_ITERATION | AUTOROUND_EVENT_BLOCK_END;

  if (autoround_context_new(&context, &error) ||
      autoround_context_set_log(context, AUTOROUND_LOG_INFO, on_log, NULL, NULL, &error) ||
      autoround_model_open(context, argv[1], NULL, &model, &error) || autoround_recipe_new(&recipe, &error) ||
      autoround_recipe_set_string(recipe, "scheme", "W4A16", &error) ||
      autoround_recipe_set_int(recipe, "weights.group_size", 32, &error) ||
      autoround_recipe_set_bool(recipe, "weights.symmetric", atoi(argv[3]), &error) ||
      autoround_recipe_set_int(recipe, "iters", 3, &error) ||
      autoround_recipe_set_int(recipe, "batch_size", 4, &error) ||
      autoround_calibration_new(context, 16, &data, &error))
    return fail(error);
  for (int64_t sample = 0; sample < 8; ++sample) {
    int64_t ids[16];
    for (int64_t i = 0; i < 16; ++i) ids[i] = (7 * sample + 3 * i * i + i) % 64;
    if (autoround_calibration_add_tokens(data, ids, (size_t)(16 - sample % 3), &error)) return fail(error);
  }
  if (autoround_options_new(&options, &error) ||
      autoround_options_set_output(options, argv[2], "compressed-tensors", &error) ||
      autoround_options_set_resume(options, 1, &error) ||
      autoround_options_set_callback(options, all, on_event, &events, NULL, &error) ||
      autoround_oneshot(model, recipe, data, options, NULL, &error))
    return fail(error);
  printf("%ld\n", events.seen);
  autoround_options_free(options);
  autoround_calibration_free(data);
  autoround_recipe_free(recipe);
  autoround_model_free(model);
  autoround_context_free(context);
  return 0;
}
