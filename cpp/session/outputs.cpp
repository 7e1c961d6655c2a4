#include "session/outputs.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/stopwatch.hpp"
#include "base/text.hpp"
#include "model/compute_threads.hpp"
#include "model/mapped_memory.hpp"

namespace autoround::session {
namespace {

[[noreturn]] void refuse(const std::string& folder, const Difference& difference) {
  const auto shown = [](const std::string& value) {
    return value.empty() ? std::string("nothing") : "`" + value + "`";
  };
  fail(Code::invalid_state, difference.field,
       "the unfinished run in " + folder + " cannot be resumed: its " + difference.field + " is " +
           shown(difference.then) + ", this run's is " + shown(difference.now) +
           "; make it the same again, or start over without resume");
}

/// By module, not by tensor: what is stored of a block is exactly the modules that the plan quantizes in its layers.
std::set<std::string> planned_modules(const exporter::ExportPlan& plan, std::size_t block) {
  std::set<std::string> names;
  for (const recipe::ModuleInfo& module : plan.modules)
    if (module.block >= 0 && module.block / plan.recipe.nblocks == static_cast<std::int64_t>(block) &&
        (plan.formats.count(module.name) != 0 || plan.caches.count(module.name) != 0))
      names.insert(module.name);
  return names;
}

/// "" when a block is stored whole, else what is wrong. All of it is read, which may take long. @throws Error cancelled
std::string damage(const exporter::ExportPlan& plan, const exporter::Exporter& exporter, const FinishedBlock& block,
                   std::size_t index, const CancelToken& cancel) {
  std::set<std::string> names;
  for (const FinishedModule& module : block.modules) {
    cancel.throw_if_requested();
    if (!names.insert(module.name).second) return module.name + " is in the journal twice";
    if (std::string text = exporter.damage(module.name, module.tensors); !text.empty()) return text;
  }
  return names == planned_modules(plan, index) ? "" : "the modules in the journal are not those that are quantized";
}

}  // namespace

Outputs::Outputs(const std::vector<Options::Output>& outputs, const exporter::ExportPlan& plan) {
  for (const Options::Output& output : outputs) {
    if (is_inside(output.directory, plan.checkpoint.directory()))
      fail(Code::invalid_argument, output.directory,
           "output directory " + output.directory + " is the model's own directory or lies inside it");
    for (const Target& other : targets_)
      if (is_inside(output.directory, other.directory) || is_inside(other.directory, output.directory))
        fail(Code::invalid_argument, output.directory, "two outputs share the directory " + output.directory);
    Target target{.directory = output.directory, .exporter = exporter::make_exporter(output.format)};
    target.exporter->check(plan);
    target.disk_bytes = target.exporter->disk_bytes(plan);
    disk_bytes_ += target.disk_bytes;
    targets_.push_back(std::move(target));
  }
  for (const Target& target : targets_) check_disk(target.directory);
}

/// Of the outputs that lie on the disk of `directory`, together.
void Outputs::check_disk(const std::string& directory) const {
  const std::uint64_t disk = disk_of(directory);
  std::uint64_t needed = 0, available = free_disk_bytes(directory);
  for (const Target& target : targets_) {
    if (disk_of(target.directory) != disk) continue;
    needed += target.disk_bytes;
    available += unfinished_bytes(target.directory);
  }
  if (needed > available)
    fail(Code::io, directory,
         concat({"the outputs on the disk of ", directory, " need ", format_bytes(needed), ", it has ",
                 format_bytes(available), " free"}));
}

void Outputs::begin(const exporter::ExportPlan& plan, const Fingerprint& fingerprint, bool resume, const Logger& log,
                    const CancelToken& cancel) {
  const Stopwatch copying;
  plan_ = &plan;
  resume_ = resume;
  open_staging(fingerprint, resume, log);
  for (Target& target : targets_) {
    cancel.throw_if_requested();
    target.exporter->begin(plan, target.staging->path());
    std::vector<std::string> files = target.exporter->files();
    files.emplace_back(Journal::file_name);
    target.staging->remove_others(files);
  }
  kept_ = undamaged_blocks(plan, log, cancel);
  for (Target& target : targets_) {
    target.staging->keep(kept_ > 0);
    if (kept_ == 0) {
      target.journal->begin(fingerprint);
      continue;
    }
    target.journal->cut(kept_);
    for (const FinishedBlock& block : target.journal->blocks())
      for (const FinishedModule& module : block.modules) target.exporter->keep(module.name);
    log.info(target.staging->path() + ": going on after " + std::to_string(kept_) + " finished blocks");
  }
  seconds_ += copying.seconds();
}

void Outputs::open_staging(const Fingerprint& fingerprint, bool resume, const Logger& log) {
  for (Target& target : targets_) {
    target.staging =
        std::make_unique<StagingDirectory>(target.directory, resume ? Unfinished::take_over : Unfinished::remove, log);
    target.journal = std::make_unique<Journal>(target.staging->path());
    if (target.journal->blocks().empty()) {
      target.staging->keep(false);
    } else if (const auto difference = first_difference(target.journal->fingerprint(), fingerprint)) {
      refuse(target.staging->path(), *difference);
    }
  }
}

std::size_t Outputs::undamaged_blocks(const exporter::ExportPlan& plan, const Logger& log,
                                      const CancelToken& cancel) const {
  std::size_t count = targets_.empty() ? 0 : targets_.front().journal->blocks().size();
  for (const Target& target : targets_) {
    const auto& blocks = target.journal->blocks();
    count = std::min(count, blocks.size());
    for (std::size_t block = 0; block < count; ++block) {
      const std::string text = damage(plan, *target.exporter, blocks[block], block, cancel);
      if (text.empty()) continue;
      log.warn(join_path(target.staging->path(), text) + "; " + blocks[block].stats.name +
               " and the blocks after it are tuned again");
      count = block;
    }
  }
  return count;
}

std::optional<Outputs::KeptBlock> Outputs::kept(std::size_t block) const {
  if (block >= kept_) return std::nullopt;
  const Target& target = targets_.front();  // every output holds the same weights
  const FinishedBlock& finished = target.journal->blocks().at(block);
  KeptBlock kept{finished.stats, {}};
  for (const FinishedModule& module : finished.modules)
    if (plan_->formats.count(module.name) != 0) kept.weights.push_back(target.exporter->read(module.name));
  return kept;
}

void Outputs::write(quant::QuantizedWeight weight) {
  in_background([weight = std::move(weight)](Target& target) {
    target.written.push_back({weight.name, target.exporter->write(weight)});
  });
}

void Outputs::write_cache(const quant::CacheScales& cache) {
  in_background(
      [cache](Target& target) { target.written.push_back({cache.attention, target.exporter->write_cache(cache)}); });
}

void Outputs::finish_block(const BlockStats& stats) {
  in_background([this, stats](Target& target) {
    target.exporter->sync();
    target.journal->append({stats, std::exchange(target.written, {})});
    if (resume_) target.staging->keep(true);
  });
}

/// Runs `step` on every target, on the writer's thread.
void Outputs::in_background(std::function<void(Target&)> step) {
  if (empty()) return;
  writer_.run([this, step = std::move(step), kept = model::KeptMemory::of_this_thread()] {
    const model::KeptMemory::Scope memory(kept);  // what is packed counts with what is tuned
    const model::ThreadCount alone(1);            // the other threads are those of the block that is tuned meanwhile
    const at::NoGradGuard no_grad;
    for (Target& target : targets_) step(target);
  });
}

void Outputs::settle() {
  const Stopwatch waiting;
  writer_.wait();
  seconds_ += waiting.seconds();
}

void Outputs::finish() {
  settle();
  for (Target& target : targets_) target.exporter->finish();
  for (Target& target : targets_) {
    target.staging->commit();
    target.staging.reset();  // and its lock with it
    target.journal.reset();
  }
}

void Outputs::log_kept(const Logger& log) {
  try {
    settle();
  } catch (const std::exception&) {  // what ended the run was already thrown, or this is its cause
  }
  for (const Target& target : targets_)
    if (target.staging && target.staging->keeps())
      log.info(target.staging->path() + ": kept with " + std::to_string(target.journal->blocks().size()) +
               " finished blocks, for a run with resume");
}

}  // namespace autoround::session
