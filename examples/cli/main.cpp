// autoround: quantize LLM checkpoints from the command line. Results go to stdout, the rest to stderr.
// Exit codes: 0 done, 2 bad input, 3 cancelled, 1 anything else.
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "commands.hpp"

namespace cli {
namespace {

autoround_cancel* const cancel = autoround_cancel_new();

extern "C" void on_interrupt(int) { autoround_cancel_request(cancel); }  // allowed in a signal handler

void print_log(void* user_data, int32_t level, const char* text, size_t) {
  const auto* common = static_cast<const Common*>(user_data);
  if (level < AUTOROUND_LOG_WARN && (common->quiet || common->json)) return;
  std::fprintf(stderr, "%s%s\n", level >= AUTOROUND_LOG_WARN ? "warning: " : "", text);
}

int exit_code(autoround_status status) {
  switch (status) {
    case AUTOROUND_ERROR_INVALID_ARGUMENT:
    case AUTOROUND_ERROR_NOT_FOUND:
    case AUTOROUND_ERROR_PARSE:
    case AUTOROUND_ERROR_UNSUPPORTED:
      return 2;
    case AUTOROUND_ERROR_CANCELLED:
      return 3;
    default:
      return 1;
  }
}

}  // namespace

autoround_cancel* interruptible() {
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESETHAND;  // a second Ctrl-C kills
  sigaction(SIGINT, &action, nullptr);
  return cancel;
}

Context make_context(const Common& common) {
  auto context = make<Context>(autoround_context_new);
  call(autoround_context_set_log, context.get(), static_cast<int32_t>(AUTOROUND_LOG_INFO), print_log,
       const_cast<void*>(static_cast<const void*>(&common)), static_cast<autoround_release_fn>(nullptr));
  if (common.threads > 0) call(autoround_context_set_threads, context.get(), static_cast<int32_t>(common.threads));
  return context;
}

void add_file(const Calibration& data, const std::string& file, size_t limit, bool drop_last, const std::string& model,
              const std::string& tokenizer) {
  if (std::filesystem::is_directory(file))
    throw ApiError(AUTOROUND_ERROR_INVALID_ARGUMENT, file + " is a folder; a file of samples is wanted");
  const std::string path = tokenizer.empty() ? model + "/tokenizer.json" : tokenizer;
  const bool without = tokenizer.empty() && !std::filesystem::exists(path);
  if (!without) call(autoround_calibration_set_tokenizer, data.get(), path.c_str());
  try {
    call(autoround_calibration_add_file, data.get(), file.c_str(), limit, int32_t{drop_last},
         static_cast<size_t*>(nullptr));
  } catch (const ApiError& error) {
    if (!without || error.status() != AUTOROUND_ERROR_INVALID_STATE) throw;
    throw ApiError(AUTOROUND_ERROR_NOT_FOUND, path + " is not there, and " + file + " holds text; see --tokenizer");
  }
}

int run(int argc, char** argv) {
  CLI::App app("Quantize LLM checkpoints with AutoRound.");
  app.require_subcommand(1);
  Common common;
  app.add_flag("--json", common.json, "a line of JSON on stdout for each event and the result; all but recipe convert");
  app.add_flag("--quiet", common.quiet, "print results only");
  app.add_option("--threads", common.threads, "threads to work with; default: all cores")->check(CLI::Range(1, 1024));
  app.fallthrough();  // the flags above may follow the command
  add_quantize(app, common);
  add_perplexity(app, common);
  add_inspect(app, common);
  add_recipe(app, common);
  add_lists(app, common);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const ApiError& error) {
    std::fprintf(stderr, "autoround: %s\n", error.what());
    return exit_code(error.status());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "autoround: %s\n", error.what());
    return 1;
  }
}

}  // namespace cli

int main(int argc, char** argv) {
  const int code = cli::run(argc, argv);
  // A full disk or a closed stdout shows when the buffer is written, if no line before failed already.
  const bool written = std::fflush(stdout) == 0 && !std::ferror(stdout);
  if (written || code != 0) return code;
  std::fprintf(stderr, "autoround: cannot write to stdout\n");
  return 1;
}
