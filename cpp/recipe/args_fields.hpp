// The fields of QuantizationArgs as recipes name them. Reading a text, writing one and the keys "weights.*" walk this
// table.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "recipe/scheme.hpp"
#include "recipe/value.hpp"

namespace autoround::recipe {

struct ArgsField {
  std::string name;
  std::string help;
  /// Sets the field alone; which fields fit together is validate()'s matter. `key` is the subject of errors.
  /// @throws Error invalid_argument
  std::function<void(QuantizationArgs&, const Value&, const std::string& key)> set;
  std::function<std::optional<Value>(const QuantizationArgs&)> get;  // nullopt when unset
};

const std::vector<ArgsField>& args_fields();
const ArgsField& args_field(std::string_view name);  // of a name that exists

/// "float16", "torch.float16" and "fp16" all give "float16". @throws Error invalid_argument, subject = `key`
std::string parse_dtype(const Value& value, const std::string& key);

}  // namespace autoround::recipe
