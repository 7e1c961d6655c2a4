// The account of a run that --report asks for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "handles.hpp"

namespace cli {

/// FILE.html and FILE.json, whichever of the two the user named.
class Report {
 public:
  /// Opens both files, so that a path that cannot be written is found before the run. Neither changes what was there
  /// nor makes files in `output`, which a run wants absent or empty: there they can only be opened after it.
  Report(const std::string& path, const std::string& output);
  /// Removes what the constructor made if nothing was written: the run did not end well.
  ~Report();
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  void write(const Result& result);

 private:
  std::filesystem::path html_, json_;
  std::vector<std::filesystem::path> made_;
};

}  // namespace cli
