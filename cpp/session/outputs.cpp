#include "session/outputs.hpp"

#include "base/error.hpp"
#include "base/text.hpp"

namespace autoround::session {

Outputs::Outputs(const std::vector<Options::Output>& outputs, const exporter::ExportPlan& plan) {
  for (const Options::Output& output : outputs) {
    if (is_inside(output.directory, plan.checkpoint.directory()))
      fail(Code::invalid_argument, output.directory,
           "output directory " + output.directory + " is the model's own directory or lies inside it");
    for (const Target& other : targets_)
      if (is_inside(output.directory, other.directory) || is_inside(other.directory, output.directory))
        fail(Code::invalid_argument, output.directory, "two outputs share the directory " + output.directory);
    Target target{output.directory, exporter::make_exporter(output.format), nullptr};
    target.exporter->check(plan);
    const std::uint64_t needed = target.exporter->disk_bytes(plan);
    const std::uint64_t available = free_disk_bytes(output.directory);
    disk_bytes_ += needed;
    if (needed > available)
      fail(Code::io, output.directory,
           "the output needs " + format_bytes(needed) + ", the disk of " + output.directory + " has " +
               format_bytes(available) + " free");
    targets_.push_back(std::move(target));
  }
}

void Outputs::begin(const exporter::ExportPlan& plan) {
  for (Target& target : targets_) {
    target.staging = std::make_unique<StagingDirectory>(target.directory);
    target.exporter->begin(plan, target.staging->path());
  }
}

void Outputs::write(const quant::QuantizedWeight& weight) {
  for (Target& target : targets_) target.exporter->write(weight);
}

void Outputs::finish() {
  for (Target& target : targets_) target.exporter->finish();
  for (Target& target : targets_) target.staging->commit();
}

}  // namespace autoround::session
