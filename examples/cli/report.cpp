#include "report.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

namespace cli {
namespace {

namespace fs = std::filesystem;

bool is_inside(const fs::path& path, const fs::path& folder) {
  std::error_code unknown;  // a path that cannot be looked up is none inside
  const fs::path way = fs::weakly_canonical(path, unknown).lexically_relative(fs::weakly_canonical(folder, unknown));
  return !unknown && !way.empty() && *way.begin() != "..";
}

std::string cannot_write(const fs::path& path) {
  return "cannot write the report to " + path.string() + ": " + std::strerror(errno);
}

void write_file(const fs::path& path, const char* text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw ApiError(AUTOROUND_ERROR_IO, cannot_write(path));
}

}  // namespace

Report::Report(const std::string& path, const std::string& output) : html_(path) {
  if (!html_.has_filename())
    throw ApiError(AUTOROUND_ERROR_INVALID_ARGUMENT, path + " is a folder; --report wants a file");
  // Another dot is part of the name: of "v0.1" nothing is cut off.
  if (html_.extension() == ".html" || html_.extension() == ".json") html_.replace_extension();
  json_ = html_;
  html_ += ".html";
  json_ += ".json";
  if (is_inside(html_, output)) return;
  for (const fs::path& file : {html_, json_}) {
    std::error_code unknown;
    const bool there = fs::exists(file, unknown);
    if (!std::ofstream(file, std::ios::binary | std::ios::app)) {
      const std::string message = cannot_write(file);
      for (const fs::path& made : made_) fs::remove(made, unknown);
      throw ApiError(AUTOROUND_ERROR_INVALID_ARGUMENT, message);
    }
    if (!there) made_.push_back(file);
  }
}

Report::~Report() {
  std::error_code ignored;
  for (const fs::path& file : made_) fs::remove(file, ignored);
}

void Report::write(const Result& result) {
  const auto html = make<Text>(autoround_result_report_html, result.get());
  const auto json = make<Text>(autoround_result_report, result.get());
  made_.clear();
  write_file(html_, html.get());
  write_file(json_, json.get());
}

}  // namespace cli
