#include "session/fingerprint.hpp"

#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "base/version.hpp"
#include "device/device.hpp"
#include "quant/rounding.hpp"
#include "session/run_types.hpp"

namespace autoround::session {
namespace {

// LibTorch's libraries choose their products by the processor, not by the instruction set alone.
std::string processor(at::Device device) {
  std::ostringstream text;
  text << std::ifstream("/proc/cpuinfo").rdbuf();
  const std::string cpu = processor_name(text.str());
  return device.is_cpu() ? cpu : device::kernels(device).name(device.index()) + "; " + cpu;
}

std::string weights_text(const checkpoint::Checkpoint& checkpoint) {
  std::string text;
  for (const checkpoint::ShardFile& shard : checkpoint.shards())
    text += quote(shard.name) + ": " + std::to_string(shard.size) + " bytes of " + std::to_string(shard.modified) +
            " ns, header " + shard.header_hash + "\n";
  return text;
}

std::string calibration_text(const calibration::SampleSet* data, std::size_t samples) {
  if (!data || samples == 0) return "none";
  const auto length = static_cast<std::size_t>(data->sequence_length());
  Hasher hasher;
  hasher.add(gsl::as_bytes(gsl::make_span(data->ids()).first(samples * length)));
  hasher.add(gsl::as_bytes(gsl::make_span(data->lengths()).first(samples)));
  return std::to_string(samples) + " x " + std::to_string(length) + " tokens, " + hasher.text();
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

Difference differing_line(const std::string& field, const std::string& then, const std::string& now) {
  const std::vector<std::string> a = lines_of(then), b = lines_of(now);
  const auto [old_line, new_line] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return {field, old_line == a.end() ? "" : *old_line, new_line == b.end() ? "" : *new_line};
}

}  // namespace

std::string processor_name(const std::string& cpuinfo) {
  std::map<std::string, std::string> first;
  for (const std::string& line : lines_of(cpuinfo)) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    if (std::string value = trimmed(line.substr(colon + 1)); !value.empty())
      first.emplace(trimmed(line.substr(0, colon)), std::move(value));
  }
  if (const auto name = first.find("model name"); name != first.end()) return name->second;
  std::vector<std::string> parts;
  for (const char* key : {"CPU implementer", "CPU variant", "CPU part", "CPU revision"})
    if (const auto part = first.find(key); part != first.end()) parts.push_back(part->first + " " + part->second);
  return join(parts, ", ");
}

Fingerprint fingerprint(const Model& model, const recipe::Recipe& recipe, const calibration::SampleSet* data,
                        std::size_t samples, const Options& options, std::int64_t micro_batch) {
  return {
      {"library", version_string},
      {"libtorch", libtorch_version()},
      {"device", options.device},
      {"processor", processor(compute_device(options))},
      {"kernels", std::string(quant::kernel_name()) + ", " + at::get_cpu_capability()},
      {"compute_dtype", c10::toString(compute_type(options))},
      {"deterministic", is_deterministic(options) ? "yes" : "no"},
      {"threads", std::to_string(at::get_num_threads())},
      {"formats", format_names(options)},
      {"scales", c10::toString(scale_format(model.weight_type(), recipe, options).type)},
      {"micro_batch", std::to_string(micro_batch)},
      {"recipe", recipe.dump(recipe::Syntax::toml)},
      {"config.json", hash_of(model.checkpoint().config().json().dump())},
      {"weights", weights_text(model.checkpoint())},
      {"calibration", calibration_text(data, samples)},
  };
}

std::optional<Difference> first_difference(const Fingerprint& then, const Fingerprint& now) {
  for (const auto& [field, value] : now) {
    const auto old = std::find_if(then.begin(), then.end(), [&](const auto& entry) { return entry.first == field; });
    if (old == then.end()) return Difference{field, "", lines_of(value).empty() ? "" : lines_of(value).front()};
    if (old->second != value) return differing_line(field, old->second, value);
  }
  return std::nullopt;
}

}  // namespace autoround::session
