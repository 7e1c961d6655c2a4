// The table of bad inputs: one row for each way in which a file, a recipe or a sample can be wrong, with what must come
// of it. Numbers are those of the project's list of bad inputs; rows of one number are its sub-cases. Not here:
//   46, hostile GGUF files: the library reads no GGUF;
//   68, a file of 100 GB: calibration files are streamed, which is a matter of memory, not of outcome;
//   the strict halves of 2, 19 and 21 and the skipping of bad lines of 65: no call of the header turns them on.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "capi/bad_input/scene.hpp"

namespace bad_input {

struct Row {
  int number;
  std::string name;
  std::function<void(Scene&)> spoil;
  std::function<void(Scene&)> call;
  autoround_status status;         // AUTOROUND_OK: the input is accepted
  std::vector<std::string> words;  // each in the error's subject, line or message; of an accepted row: in the log
  double seconds;                  // of processor time, at most
  long mebibytes;                  // that the peak of memory may grow by
};

inline Row row(int number, std::string name, std::function<void(Scene&)> spoil, std::function<void(Scene&)> call,
               autoround_status status, std::vector<std::string> words, double seconds = 5.0, long mebibytes = 256) {
  return {number, std::move(name), std::move(spoil), std::move(call), status, std::move(words), seconds, mebibytes};
}

inline constexpr int last_row = 67;
inline constexpr int gguf_row = 46;

std::vector<Row> config_rows();       // 1 to 15
std::vector<Row> index_rows();        // 16 to 25
std::vector<Row> safetensors_rows();  // 26 to 41, the format
std::vector<Row> weights_rows();      // 42 to 45, what the tensors hold
std::vector<Row> tokenizer_rows();    // 47 to 53
std::vector<Row> recipe_rows();       // 54 to 61
std::vector<Row> calibration_rows();  // 62 to 67

}  // namespace bad_input
