// autoround quantize
#include <charconv>
#include <cmath>
#include <cstdio>

#include "commands.hpp"
#include "json_line.hpp"
#include "progress.hpp"
#include "report.hpp"

namespace cli {
namespace {

struct QuantizeArguments {
  std::string model, output, calibration, tokenizer, device = "cpu", report;
  std::vector<std::string> formats = {"compressed-tensors"};
  RecipeArguments recipe;
  std::optional<long long> seed, memory_limit;
  bool dry_run = false, resume = false, deterministic = false;
};

/// "8GB", "1.5 GiB" or "4096" in bytes. CLI::AsSizeValue knows the units, but takes no fractions and lets negative
/// numbers through.
std::string to_bytes(const std::string& text) {
  double count = 0.0;
  const char* end = text.data() + text.size();
  const auto number = std::from_chars(text.data(), end, count);
  std::string unit = "1" + std::string(number.ptr, end);
  try {
    CLI::AsSizeValue(/*kb_is_1000=*/true)(unit);
    const double bytes = std::ceil(count * std::stod(unit));
    if (number.ec == std::errc() && count >= 0 && bytes < 0x1p63) return std::to_string(static_cast<long long>(bytes));
  } catch (const CLI::ValidationError&) {  // of the unit: said below
  }
  throw CLI::ValidationError(text + " is no size: bytes are wanted, or a number with a unit, as 8GB or 1.5GiB");
}

/// The value of a recipe key as a number; 0 when it is unset.
long long recipe_number(const Recipe& recipe, const char* key) {
  const auto value = make<Text>(autoround_recipe_get, recipe.get(), key);
  return std::atoll(value.get());
}

Calibration load_calibration(const QuantizeArguments& arguments, const Context& context, const Recipe& recipe) {
  if (arguments.calibration.empty()) return nullptr;
  auto data = make<Calibration>(autoround_calibration_new, context.get(),
                                static_cast<int64_t>(recipe_number(recipe, "seqlen")));
  add_file(data, arguments.calibration, static_cast<size_t>(recipe_number(recipe, "nsamples")), /*drop_last=*/false,
           arguments.model, arguments.tokenizer);
  return data;
}

Options make_options(const QuantizeArguments& arguments) {
  auto options = make<Options>(autoround_options_new);
  call(autoround_options_set_device, options.get(), arguments.device.c_str());
  if (arguments.seed) call(autoround_options_set_seed, options.get(), static_cast<uint64_t>(*arguments.seed));
  if (arguments.deterministic) call(autoround_options_set_deterministic, options.get(), 1);
  if (arguments.memory_limit)
    call(autoround_options_set_memory_limit, options.get(), arguments.device.c_str(),
         static_cast<int64_t>(*arguments.memory_limit));
  for (const std::string& format : arguments.formats) {
    // Several formats: a folder each below the output.
    const std::string directory = arguments.formats.size() == 1 ? arguments.output : arguments.output + "/" + format;
    call(autoround_options_set_output, options.get(), directory.c_str(), format.c_str());
  }
  call(autoround_options_set_resume, options.get(), int32_t{arguments.resume});
  call(autoround_options_set_cancel, options.get(), interruptible());
  return options;
}

void print_result(const QuantizeArguments& arguments, const Result& result, bool json) {
  const auto text = make<Text>(autoround_result_report, result.get());
  const auto report = nlohmann::ordered_json::parse(text.get());
  if (json) {
    return print_line({{"event", "result"},
                       {"output", arguments.output},
                       {"output_bytes", report["output_bytes"]},
                       {"bits_per_weight", report["bits_per_weight"]},
                       {"seconds", report["seconds"]},
                       {"peak_memory_bytes", report["peak_memory_bytes"]}});
  }
  std::printf("%s: %zu blocks, %.2f bits a quantized weight, %.1f MB from %.1f MB, %.1f s, peak %.0f MB\n",
              arguments.output.c_str(), autoround_result_block_count(result.get()),
              report["bits_per_weight"].get<double>(), report["output_bytes"].get<double>() / 1e6,
              report["model"]["bytes"].get<double>() / 1e6, report["seconds"].get<double>(),
              report["peak_memory_bytes"].get<double>() / 1e6);
}

void quantize(const QuantizeArguments& arguments, const Common& common) {
  const Context context = make_context(common);
  const Recipe recipe = arguments.recipe.build();
  const auto model = make<Model>(autoround_model_open, context.get(), arguments.model.c_str(),
                                 static_cast<const autoround_options*>(nullptr));
  const Options options = make_options(arguments);
  const Calibration data = load_calibration(arguments, context, recipe);
  if (arguments.dry_run) {
    const auto plan = make<Text>(autoround_model_plan, model.get(), recipe.get(), data.get(), options.get());
    return print_plan(plan.get(), common, /*with_layers=*/false);
  }
  std::optional<Report> report;
  if (!arguments.report.empty()) report.emplace(arguments.report, arguments.output);
  Progress progress(Progress::style_for(common.json, common.quiet), autoround_model_block_count(model.get()));
  call(autoround_options_set_callback, options.get(),
       int32_t{AUTOROUND_EVENT_PROGRESS | AUTOROUND_EVENT_BLOCK_BEGIN | AUTOROUND_EVENT_ITERATION |
               AUTOROUND_EVENT_BLOCK_END},
       Progress::on_event, static_cast<void*>(&progress), static_cast<autoround_release_fn>(nullptr));
  const auto result = make<Result>(autoround_oneshot, model.get(), recipe.get(), data.get(), options.get());
  progress.clear();
  for (std::size_t i = 0; i < autoround_result_warning_count(result.get()); ++i)
    std::fprintf(stderr, "warning: %s\n", autoround_result_warning(result.get(), i));
  print_result(arguments, result, common.json);
  if (report) report->write(result);
}

}  // namespace

void add_quantize(CLI::App& app, const Common& common) {
  auto arguments = std::make_shared<QuantizeArguments>();
  CLI::App* command = app.add_subcommand("quantize", "quantize a checkpoint folder");
  command->add_option("MODEL_DIR", arguments->model, "Hugging Face folder: config.json, safetensors, tokenizer.json")
      ->required();
  command->add_option("--output", arguments->output, "folder to write; absent or empty")->required();
  command->add_option("--calibration", arguments->calibration,
                      ".jsonl or .json (text, messages or input_ids) or plain text; not needed with --iters 0");
  command->add_option("--tokenizer", arguments->tokenizer, "tokenizer.json; default: the model's");
  command->add_option("--format", arguments->formats, "output formats, comma separated")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  arguments->recipe.add_to(*command);
  command->add_option("--seed", arguments->seed, "overrides the recipe's")->check(kNotNegative);
  command->add_flag("--deterministic", arguments->deterministic,
                    "the same bytes each time on CUDA too, where attention is slower for it");
  command->add_option("--device", arguments->device, "cpu, or a CUDA device: cuda (the first), cuda:1, ...")
      ->capture_default_str();
  command
      ->add_option("--memory-limit", arguments->memory_limit,
                   "stay below so many bytes of memory, by streams in files and smaller passes; as 8GB or 1.5GiB")
      ->transform(to_bytes, "SIZE");
  command->add_option("--report", arguments->report,
                      "write the account of the run: FILE.html, and FILE.json beside it");
  command->add_flag("--resume", arguments->resume,
                    "go on after the blocks that a run to the same --output finished before it ended");
  command->add_flag("--dry-run", arguments->dry_run, "say what would be done and needed, and stop");
  command->callback([arguments, &common] { quantize(*arguments, common); });
}

}  // namespace cli
