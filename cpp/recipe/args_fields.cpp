#include "recipe/args_fields.hpp"

#include <algorithm>
#include <charconv>
#include <gsl/gsl>

#include "base/error.hpp"
#include "base/text.hpp"

namespace autoround::recipe {
namespace {

constexpr std::int64_t kMaxBlockSide = 1 << 20;

std::optional<Value> text_or_unset(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional<Value>(text);
}

void set_type(QuantizationArgs& args, const Value& value, const std::string& key) {
  const std::string name = to_string(value, key);
  if (name == "int" || name == "INT") {
    args.type = NumberType::integer;
  } else if (name == "float" || name == "FLOAT") {
    args.type = NumberType::floating;
  } else {
    reject(value, key, "`int` or `float`");
  }
}

void set_group_size(QuantizationArgs& args, const Value& value, const std::string& key) {
  const auto* size = std::get_if<std::int64_t>(&value);
  if (!size || (*size != -1 && (*size < 8 || *size > 1024)))
    reject(value, key, "an integer from 8 to 1024, or -1 for one scale a row");
  args.group_size = *size;
}

/// "128x128"
void set_block_structure(QuantizationArgs& args, const Value& value, const std::string& key) {
  const std::string text = to_string(value, key);
  std::array<std::int64_t, 2> sides{};
  const char* const end = text.data() + text.size();
  const auto rows = std::from_chars(text.data(), end, sides[0]);
  const bool cross = rows.ec == std::errc{} && rows.ptr != end && (*rows.ptr == 'x' || *rows.ptr == 'X');
  const auto columns = cross ? std::from_chars(rows.ptr + 1, end, sides[1]) : rows;
  const auto in_range = [](std::int64_t side) { return 1 <= side && side <= kMaxBlockSide; };
  if (!cross || columns.ec != std::errc{} || columns.ptr != end || !std::all_of(sides.begin(), sides.end(), in_range)) {
    reject(value, key, "[rows, columns] or \"ROWSxCOLUMNS\", both positive");
  }
  args.block_structure = sides;
}

std::optional<Value> get_block_structure(const QuantizationArgs& args) {
  if (!args.block_structure) return std::nullopt;
  return std::to_string((*args.block_structure)[0]) + "x" + std::to_string((*args.block_structure)[1]);
}

void set_dynamic(QuantizationArgs& args, const Value& value, const std::string& key) {
  if (const auto* flag = std::get_if<bool>(&value)) {
    args.dynamic = *flag ? Dynamic::yes : Dynamic::no;
  } else if (value == Value(std::string("local"))) {
    args.dynamic = Dynamic::local;
  } else {
    reject(value, key, "true, false or \"local\"");
  }
}

std::optional<Value> get_dynamic(const QuantizationArgs& args) {
  if (args.dynamic == Dynamic::local) return std::string("local");
  return args.dynamic == Dynamic::yes;
}

void set_actorder(QuantizationArgs& args, const Value& value, const std::string& key) {
  if (value == Value(std::string("weight")) || value == Value(std::string("static"))) {
    args.actorder = std::get<std::string>(value);
  } else if (value == Value(false)) {
    args.actorder.clear();
  } else {
    reject(value, key,
           "`weight` or `static`: other activation orderings would need a g_idx tensor, which readers no longer take");
  }
}

using TextField = std::string QuantizationArgs::*;

ArgsField dtype_field(std::string name, std::string help, TextField field) {
  return {std::move(name), std::move(help),
          [field](QuantizationArgs& args, const Value& value, const std::string& key) {
            args.*field = "torch." + parse_dtype(value, key);
          },
          [field](const QuantizationArgs& args) { return text_or_unset(args.*field); }};
}

std::vector<ArgsField> make_fields() {
  std::vector<ArgsField> fields;
  fields.push_back({"num_bits", "bits a value, 2 to 8 for type int; 4, 6 or 8 for type float; default 8",
                    [](QuantizationArgs& args, const Value& value, const std::string& key) {
                      args.num_bits = gsl::narrow_cast<int>(to_integer(value, key, 2, 8));
                    },
                    [](const QuantizationArgs& args) { return Value(std::int64_t{args.num_bits}); }});
  fields.push_back({"type", "kind of number: int or float; default int", set_type, [](const QuantizationArgs& args) {
                      return Value(std::string(args.type == NumberType::integer ? "int" : "float"));
                    }});
  fields.push_back(
      {"symmetric", "true: no zero point is stored; default true",
       [](QuantizationArgs& args, const Value& value, const std::string& key) { args.symmetric = to_bool(value, key); },
       [](const QuantizationArgs& args) { return Value(args.symmetric); }});
  fields.push_back(
      {"strategy",
       "what shares a scale: tensor, channel, group, block, tensor_group, token or attn_head; default by group_size",
       [](QuantizationArgs& args, const Value& value, const std::string& key) {
         args.strategy = parse_strategy(to_string(value, key), key);
       },
       [](const QuantizationArgs& args) { return Value(std::string(strategy_name(args.strategy))); }});
  fields.push_back({"group_size",
                    "input columns that share a scale, 8 to 1024, or -1 for one scale a row; default none",
                    set_group_size, [](const QuantizationArgs& args) {
                      return args.group_size ? std::optional<Value>(*args.group_size) : std::nullopt;
                    }});
  fields.push_back({"block_structure",
                    "rows and columns that share a scale with strategy block, as \"128x128\"; default none",
                    set_block_structure, get_block_structure});
  fields.push_back({"dynamic", "scales found at run time: true, false or local (groups only); default false",
                    set_dynamic, get_dynamic});
  fields.push_back({"actorder", "weight or static; changes nothing in the output; default none", set_actorder,
                    [](const QuantizationArgs& args) { return text_or_unset(args.actorder); }});
  fields.push_back(dtype_field("scale_dtype", "dtype of stored scales, for example float8_e4m3fn; default by format",
                               &QuantizationArgs::scale_dtype));
  fields.push_back(
      dtype_field("zp_dtype", "dtype of stored zero points; default by num_bits", &QuantizationArgs::zp_dtype));
  fields.push_back({"observer", "informational: AutoRound finds the ranges of weights itself; default none",
                    [](QuantizationArgs& args, const Value& value, const std::string& key) {
                      args.observer = to_string(value, key);
                    },
                    [](const QuantizationArgs& args) { return text_or_unset(args.observer); }});
  fields.push_back({"super_group_size",
                    "groups whose scales are integers in units of one scale, as in the K types of GGUF: 8 or 16; "
                    "default none",
                    [](QuantizationArgs& args, const Value& value, const std::string& key) {
                      args.super_group_size = to_integer(value, key, 8, 16);
                    },
                    [](const QuantizationArgs& args) {
                      return args.super_group_size ? std::optional<Value>(*args.super_group_size) : std::nullopt;
                    }});
  fields.push_back({"super_bits", "bits of those integers: 4, 6 or 8; default none",
                    [](QuantizationArgs& args, const Value& value, const std::string& key) {
                      args.super_bits = gsl::narrow_cast<int>(to_integer(value, key, 4, 8));
                    },
                    [](const QuantizationArgs& args) {
                      return args.super_bits ? std::optional<Value>(std::int64_t{*args.super_bits}) : std::nullopt;
                    }});
  return fields;
}

}  // namespace

const std::vector<ArgsField>& args_fields() {
  static const std::vector<ArgsField> fields = make_fields();
  return fields;
}

const ArgsField& args_field(std::string_view name) {
  const auto& fields = args_fields();
  const auto found =
      std::find_if(fields.begin(), fields.end(), [&](const ArgsField& field) { return field.name == name; });
  Ensures(found != fields.end());
  return *found;
}

std::string parse_dtype(const Value& value, const std::string& key) {
  static const std::vector<std::string> names = {"float16", "bfloat16", "float32", "float8_e4m3fn", "float8_e5m2",
                                                 "int8",    "int16",    "int32",   "uint8"};
  std::string name = to_string(value, key);
  if (name.rfind("torch.", 0) == 0) name.erase(0, 6);
  if (name == "fp16") name = "float16";
  if (name == "bf16") name = "bfloat16";
  if (name == "fp32") name = "float32";
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    reject(value, key, "a dtype: one of " + join(names, ", ") + hint(name, names));
  }
  return name;
}

}  // namespace autoround::recipe
