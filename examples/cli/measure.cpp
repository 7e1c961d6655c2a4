// autoround perplexity, autoround inspect
#include <cmath>
#include <cstdio>

#include "commands.hpp"
#include "json_line.hpp"
#include "progress.hpp"

namespace cli {
namespace {

struct PerplexityArguments {
  std::string model, text, tokenizer, dtype = "fp32";
  long long seqlen = 512, windows = 16;
};

void perplexity(const PerplexityArguments& arguments, const Common& common) {
  const Context context = make_context(common);
  const auto model = make<Model>(autoround_model_open, context.get(), arguments.model.c_str(),
                                 static_cast<const autoround_options*>(nullptr));
  auto data = make<Calibration>(autoround_calibration_new, context.get(), static_cast<int64_t>(arguments.seqlen));
  add_file(data, arguments.text, static_cast<size_t>(arguments.windows), /*drop_last=*/true, arguments.model,
           arguments.tokenizer);
  auto options = make<Options>(autoround_options_new);
  call(autoround_options_set_compute_dtype, options.get(), arguments.dtype.c_str());
  call(autoround_options_set_cancel, options.get(), interruptible());

  double value = 0.0;
  call(autoround_model_perplexity, model.get(), data.get(), options.get(), &value);
  const auto tokens =
      autoround_calibration_token_count(data.get()) -
      static_cast<int64_t>(autoround_calibration_sample_count(data.get()));  // all but the first of a window
  if (common.json) {
    print_line({{"perplexity", value}, {"nll", std::log(value)}, {"tokens", tokens}});
  } else {
    std::printf("perplexity %.4f, nll %.6f, tokens %lld\n", value, std::log(value), static_cast<long long>(tokens));
  }
}

struct InspectArguments {
  std::string model;
  RecipeArguments recipe;
};

void print_modules(const Model& model) {
  std::printf("%s: %lld parameters, %.1f MB, %zu blocks\n", autoround_model_architecture(model.get()),
              static_cast<long long>(autoround_model_parameter_count(model.get())),
              static_cast<double>(autoround_model_byte_size(model.get())) / 1e6,
              autoround_model_block_count(model.get()));
  for (std::size_t i = 0; i < autoround_model_module_count(model.get()); ++i) {
    const long long rows = autoround_model_module_size(model.get(), i, 0),
                    columns = autoround_model_module_size(model.get(), i, 1);
    std::printf("%-20s %s", autoround_model_module_class(model.get(), i), autoround_model_module_name(model.get(), i));
    if (columns > 0) std::printf("  [%lld, %lld]", rows, columns);
    std::printf("\n");
  }
}

void print_modules_json(const Model& model) {
  auto modules = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < autoround_model_module_count(model.get()); ++i) {
    const int64_t rows = autoround_model_module_size(model.get(), i, 0),
                  columns = autoround_model_module_size(model.get(), i, 1);
    modules.push_back({{"class", autoround_model_module_class(model.get(), i)},
                       {"name", autoround_model_module_name(model.get(), i)}});
    if (columns > 0) modules.back()["shape"] = {rows, columns};
  }
  print_line({{"architecture", autoround_model_architecture(model.get())},
              {"parameters", autoround_model_parameter_count(model.get())},
              {"bytes", autoround_model_byte_size(model.get())},
              {"blocks", autoround_model_block_count(model.get())},
              {"modules", modules}});
}

void inspect(const InspectArguments& arguments, const Common& common) {
  const Context context = make_context(common);
  const auto model = make<Model>(autoround_model_open, context.get(), arguments.model.c_str(),
                                 static_cast<const autoround_options*>(nullptr));
  if (!arguments.recipe.given()) return common.json ? print_modules_json(model) : print_modules(model);
  const Recipe recipe = arguments.recipe.build();
  const auto plan =
      make<Text>(autoround_model_plan, model.get(), recipe.get(), static_cast<const autoround_calibration*>(nullptr),
                 static_cast<const autoround_options*>(nullptr));
  print_plan(plan.get(), common, /*with_layers=*/true);
}

}  // namespace

void print_plan(const std::string& json, const Common& common, bool with_layers) {
  const auto plan = nlohmann::ordered_json::parse(json);
  if (common.json) return print_line(plan);
  if (with_layers)
    for (const auto& layer : plan["layers"])
      std::printf("%-48s %-14s %s\n", layer["name"].get<std::string>().c_str(), layer["shape"].dump().c_str(),
                  layer.contains("scheme") ? layer["scheme"].get<std::string>().c_str()
                                           : ("- " + layer["reason"].get<std::string>()).c_str());
  std::printf("%s, %.1f MB -> %.1f MB on disk (%s); predicted: %.0f MB of memory, %.0f s\n",
              plan["architecture"].get<std::string>().c_str(), plan["bytes"].get<double>() / 1e6,
              plan["disk_bytes"].get<double>() / 1e6, plan["format"].get<std::string>().c_str(),
              plan["memory_bytes"].get<double>() / 1e6, plan["seconds"].get<double>());
  const auto& memory = plan["memory"];
  if (memory["limit_bytes"].get<double>() == 0) return;
  std::printf("limit of %.0f MB: streams in %s, passes of %lld samples\n", memory["limit_bytes"].get<double>() / 1e6,
              memory["streams"].get<std::string>().c_str(), memory["micro_batch"].get<long long>());
  if (memory["smallest_limit_bytes"] > memory["limit_bytes"])
    std::printf("the run would be refused: the smallest limit that it can keep is %.0f MB\n",
                memory["smallest_limit_bytes"].get<double>() / 1e6);
}

void add_perplexity(CLI::App& app, const Common& common) {
  auto arguments = std::make_shared<PerplexityArguments>();
  CLI::App* command = app.add_subcommand(
      "perplexity", "perplexity of a folder, full precision or quantized by this program in any format but gguf");
  command->add_option("MODEL_DIR", arguments->model)->required();
  command->add_option("--text", arguments->text, "plain text (cut into windows) or .jsonl")->required();
  command->add_option("--tokenizer", arguments->tokenizer, "tokenizer.json; default: the model's");
  command->add_option("--seqlen", arguments->seqlen, "tokens of a window")
      ->capture_default_str()
      ->check(CLI::Range(2, 131072));
  command->add_option("--windows", arguments->windows, "windows to measure; 0: all")
      ->capture_default_str()
      ->check(kNotNegative);
  command->add_option("--dtype", arguments->dtype, "fp32 or bf16")->capture_default_str();
  command->callback([arguments, &common] { perplexity(*arguments, common); });
}

void add_inspect(CLI::App& app, const Common& common) {
  auto arguments = std::make_shared<InspectArguments>();
  CLI::App* command = app.add_subcommand("inspect", "modules of a model, and what a recipe would do to each");
  command->add_option("MODEL_DIR", arguments->model)->required();
  arguments->recipe.add_to(*command);
  command->callback([arguments, &common] { inspect(*arguments, common); });
}

}  // namespace cli
