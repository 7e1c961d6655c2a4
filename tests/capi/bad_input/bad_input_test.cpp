// Drives the table of bad inputs: every row through the public header, from a fresh set of good files.
#include <sys/resource.h>

#include <ctime>
#include <set>

#include "capi/bad_input/rows.hpp"

namespace bad_input {
namespace {

/// Every path below the row's folder: what a call left behind shows as a difference.
std::set<std::string> paths(const Scene& scene) {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(scene.folder.path()))
    found.insert(entry.path().string());
  return found;
}

size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

long peak_mebibytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
constexpr bool limits_apply = false;  // a sanitizer takes time and memory of its own, and users get optimised code
#else
constexpr bool limits_apply = true;
#endif

/// Processor time of all threads: other work on the machine does not count.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

struct Outcome {
  autoround_status status = AUTOROUND_OK;
  std::string said;
};

Outcome outcome_of(const Row& row, Scene& scene) {
  try {
    row.call(scene);
    return {AUTOROUND_OK, scene.log};
  } catch (const Failed& failed) {
    return {failed.status, failed.said};
  }
}

std::string missing(const std::vector<std::string>& words, const std::string& text) {
  std::string all;
  for (const std::string& word : words)
    if (text.find(word) == std::string::npos) all += "[" + word + "]";
  return all;
}

void check(const Row& row) {
  Scene scene;
  row.spoil(scene);
  const auto files = paths(scene);
  const size_t descriptors = open_descriptors();
  const long peak = peak_mebibytes();
  const double begin = cpu_seconds();

  const Outcome outcome = outcome_of(row, scene);

  const double seconds = cpu_seconds() - begin;
  INFO("row " << row.number << ", " << row.name << ": " << autoround_status_name(outcome.status) << ", "
              << outcome.said);
  if (limits_apply) {
    CHECK(seconds <= row.seconds);
    CHECK(peak_mebibytes() - peak <= row.mebibytes);
  }
  CHECK(outcome.status == row.status);
  CHECK(missing(row.words, outcome.said) == "");
  if (row.status != AUTOROUND_OK) CHECK(paths(scene) == files);
  CHECK(open_descriptors() == descriptors);
  CHECK(autoround_live_handles(nullptr) == 0);
}

void check_all(const std::vector<Row>& rows) {
  for (const Row& row : rows) check(row);
}

}  // namespace

TEST_CASE("bad input: the files are good before they are spoiled", "[bad_input]") {
  for (void (*call)(Scene&) : {open_model, load_recipe, validate_recipe, load_tokenizer, read_data, quantize})
    check(row(0, "good", [](Scene&) {}, call, AUTOROUND_OK, {}));
}

TEST_CASE("bad input: config.json", "[bad_input]") { check_all(config_rows()); }
TEST_CASE("bad input: the index of shards", "[bad_input]") { check_all(index_rows()); }
TEST_CASE("bad input: safetensors", "[bad_input]") { check_all(safetensors_rows()); }
TEST_CASE("bad input: weights", "[bad_input]") { check_all(weights_rows()); }
TEST_CASE("bad input: tokenizer and chat template", "[bad_input]") { check_all(tokenizer_rows()); }
TEST_CASE("bad input: recipes", "[bad_input]") { check_all(recipe_rows()); }
TEST_CASE("bad input: calibration files", "[bad_input]") { check_all(calibration_rows()); }

TEST_CASE("bad input: the table has no gap", "[bad_input]") {
  std::set<int> numbers;
  for (const auto& part : {config_rows(), index_rows(), safetensors_rows(), weights_rows(), tokenizer_rows(),
                           recipe_rows(), calibration_rows()})
    for (const Row& row : part) numbers.insert(row.number);
  for (int number = 1; number <= last_row; ++number) {
    INFO("row " << number);
    CHECK(numbers.count(number) == (number == gguf_row ? 0 : 1));
  }
}

}  // namespace bad_input
