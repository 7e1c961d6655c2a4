// Runs quant/ on arrays in files, for compare_quant.py. Each line of standard input is one case:
//
//   kernels                                            prints the names of the paths that run here
//   qdq <folder> <path> <bits> <sym|asym> <group> <scale dtype> <dtype> <out> <in> <rate> <minmax rate>
//   float <folder> <path> <number> <group> <block rows> <scale dtype> <dtype> <out> <in> <rate> <minmax rate>
//   search <folder> <path> <number> <bits> <group> <scale dtype> <dtype> <out> <in> <rate> <minmax rate>
//   super <folder> <path> <bits> <sym|asym> <group> <super group> <super bits> <dtype> <out> <in> <rate>
//   input <folder> <number> <bits> <sym|asym> <group> <dynamic|static> <dtype> <tokens> <width>
//   pack <folder> <bits> <rows> <columns> <dimension>
//
// qdq reads weight, value, min_scale, max_scale and gradient, and writes <path>.output (W'), .codes, .scales, .zeros,
// and after one step .value, .min, .max, .best_codes; float likewise without min_scale and zeros, and with .loaded
// (what dequantize gives) and .global. search reads weight, importance (may be missing), value, max_scale and gradient,
// and writes .searched, .nearest_codes and .nearest_scales before V and max_scale are read, then what qdq writes. super
// reads weight, importance (may be missing), value and gradient, and writes .scales, .scale_factors, .minima and
// .minimum_factors, .output (W'), .codes, .loaded (what dequantize gives), and after one step .value and .best_codes.
// input reads x and writes rounded, and scale or global. pack reads codes and writes packed and unpacked. Files are raw
// arrays.
#include <ATen/ATen.h>

#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include "quant/float_rounding.hpp"
#include "quant/fused_rounding.hpp"
#include "quant/input_quantizer.hpp"
#include "quant/packing.hpp"
#include "quant/plain_rounding.hpp"
#include "quant/scale_search.hpp"
#include "quant/super_rounding.hpp"

namespace {

using namespace autoround;

at::ScalarType dtype_named(const std::string& name) {
  if (name == "float16") return at::kHalf;
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float32") return at::kFloat;
  throw std::runtime_error("unknown dtype " + name);
}

at::Tensor read(const std::string& path, at::IntArrayRef shape, at::ScalarType dtype) {
  at::Tensor tensor = at::empty(shape, dtype);
  std::ifstream file(path, std::ios::binary);
  if (!file.read(static_cast<char*>(tensor.data_ptr()), static_cast<std::streamsize>(tensor.nbytes()))) {
    throw std::runtime_error("cannot read " + path);
  }
  return tensor;
}

void write(const std::string& path, const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(whole.data_ptr()), static_cast<std::streamsize>(whole.nbytes()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

void qdq(std::istringstream& line) {
  std::string folder, path, symmetry, scale_type, dtype;
  quant::WeightFormat format;
  std::int64_t out = 0, in = 0;
  quant::StepRates rates;
  line >> folder >> path >> format.bits >> symmetry >> format.group >> scale_type >> dtype >> out >> in >>
      rates.value >> rates.minmax;
  if (!line) throw std::runtime_error("malformed qdq line");
  format.symmetric = symmetry == "sym";
  format.scale_type = dtype_named(scale_type);

  const auto at = [&](const char* name) { return folder + "/" + name; };
  quant::RoundingState state =
      make_rounding_state(format, read(at("weight"), {out, in}, dtype_named(dtype)), true, true);
  state.value = read(at("value"), {out, in}, at::kFloat);
  state.min_scale = read(at("min_scale"), state.min_scale.sizes(), at::kFloat);
  state.max_scale = read(at("max_scale"), state.max_scale.sizes(), at::kFloat);
  const at::Tensor gradient = read(at("gradient"), {out, in}, dtype_named(dtype));
  at::Tensor output = at::empty_like(state.weight);

  quant::QuantizedWeight weight;
  if (path == "plain") {
    quant::plain::forward(state, output);
    weight = quant::plain::quantize(state);
    quant::plain::keep_best(state);
    quant::plain::update(state, gradient, rates);
  } else {
    const quant::Kernels* kernels = quant::find_kernels(path);
    if (!kernels) throw std::runtime_error("no kernels " + path);
    quant::fused::forward(state, output, *kernels);
    weight = quant::fused::quantize(state, *kernels);
    quant::fused::update(state, gradient, rates, true, *kernels);
  }
  const auto save = [&](const char* name, const at::Tensor& tensor) {
    write(folder + "/" + path + "." + name, tensor);
  };
  save("output", output);
  save("codes", weight.codes);
  save("scales", weight.scales);
  if (weight.zero_points.defined()) save("zeros", weight.zero_points);
  save("value", state.value);
  save("min", state.min_scale);
  save("max", state.max_scale);
  save("best_codes", state.best_codes);
}

quant::Number number_named(const std::string& name) {
  using quant::Number;
  for (const auto& [known, number] :
       {std::pair("int", Number::integer), std::pair("fp8", Number::fp8), std::pair("mxfp4", Number::mxfp4),
        std::pair("mxfp6", Number::mxfp6), std::pair("mxfp8", Number::mxfp8), std::pair("nvfp4", Number::nvfp4)})
    if (name == known) return number;
  throw std::runtime_error("unknown number " + name);
}

/// The dtype in which scales of a format are stored.
at::ScalarType stored_scales(quant::Number number, const std::string& otherwise) {
  if (quant::has_power_scales(number)) return at::kByte;
  return number == quant::Number::nvfp4 ? at::kFloat8_e4m3fn : dtype_named(otherwise);
}

void float_qdq(std::istringstream& line) {
  std::string folder, path, number, scale_type, dtype;
  quant::WeightFormat format;
  std::int64_t out = 0, in = 0;
  quant::StepRates rates;
  line >> folder >> path >> number >> format.group >> format.block_rows >> scale_type >> dtype >> out >> in >>
      rates.value >> rates.minmax;
  if (!line) throw std::runtime_error("malformed float line");
  format.number = number_named(number);
  format.bits = grid_of(format.number).bits;
  format.scale_type = stored_scales(format.number, scale_type);
  const quant::Kernels* kernels = quant::find_kernels(path);
  if (!kernels) throw std::runtime_error("no kernels " + path);

  const auto at = [&](const char* name) { return folder + "/" + name; };
  quant::RoundingState state =
      make_rounding_state(format, read(at("weight"), {out, in}, dtype_named(dtype)), true, true);
  state.value = read(at("value"), {out, in}, at::kFloat);
  state.max_scale = read(at("max_scale"), state.max_scale.sizes(), at::kFloat);
  const at::Tensor gradient = read(at("gradient"), {out, in}, dtype_named(dtype));
  at::Tensor output = at::empty_like(state.weight);
  quant::floats::forward(state, output, *kernels);
  const quant::QuantizedWeight weight = quant::floats::quantize(state, *kernels);
  quant::floats::Step step(state, rates, true, *kernels);
  step.rows(0, gradient);
  step.finish();

  const auto save = [&](const char* name, const at::Tensor& tensor) {
    write(folder + "/" + path + "." + name, tensor);
  };
  save("output", output);
  save("loaded", quant::dequantize(weight, state.weight.scalar_type()));
  save("codes", weight.codes);
  save("scales", weight.scales);
  if (weight.global_scale.defined()) save("global", weight.global_scale);
  save("value", state.value);
  save("max", state.max_scale);
  save("best_codes", state.best_codes);
}

void search(std::istringstream& line) {
  std::string folder, path, number, scale_type, dtype;
  quant::WeightFormat format;
  std::int64_t out = 0, in = 0;
  quant::StepRates rates;
  line >> folder >> path >> number >> format.bits >> format.group >> scale_type >> dtype >> out >> in >> rates.value >>
      rates.minmax;
  if (!line) throw std::runtime_error("malformed search line");
  format.number = number_named(number);
  format.scale_type = stored_scales(format.number, scale_type);
  const bool plain = path == "plain";
  const quant::Kernels* kernels = quant::find_kernels(plain ? "portable" : path);
  if (!kernels) throw std::runtime_error("no kernels " + path);

  const auto at = [&](const char* name) { return folder + "/" + name; };
  const auto save = [&](const char* name, const at::Tensor& tensor) {
    write(folder + "/" + path + "." + name, tensor);
  };
  const at::Tensor weight = read(at("weight"), {out, in}, dtype_named(dtype));
  quant::RoundingState nearest = make_rounding_state(format, weight, false, false);
  const bool weighed = std::ifstream(at("importance")).good();
  search_scales(nearest, weighed ? read(at("importance"), {in}, at::kFloat) : at::Tensor(), *kernels);
  save("searched", nearest.searched_scale);
  const quant::QuantizedWeight rounded = quantize(nearest, "");
  save("nearest_codes", rounded.codes);
  save("nearest_scales", rounded.scales);

  quant::RoundingState state = make_rounding_state(format, weight, true, true);
  state.searched_scale = nearest.searched_scale;
  state.value = read(at("value"), {out, in}, at::kFloat);
  state.max_scale = read(at("max_scale"), state.max_scale.sizes(), at::kFloat);
  const at::Tensor gradient = read(at("gradient"), {out, in}, dtype_named(dtype));
  at::Tensor output = at::empty_like(weight);
  if (is_float(format.number)) {
    quant::floats::forward(state, output, *kernels);
    quant::floats::Step step(state, rates, true, *kernels);
    step.rows(0, gradient);
    step.finish();
  } else if (plain) {
    quant::plain::forward(state, output);
    quant::plain::keep_best(state);
    quant::plain::update(state, gradient, rates);
  } else {
    quant::fused::forward(state, output, *kernels);
    quant::fused::update(state, gradient, rates, true, *kernels);
  }
  save("output", output);
  save("scales", state.best_scales);
  save("codes", state.best_codes);
  save("value", state.value);
  save("max", state.max_scale);
}

void super(std::istringstream& line) {
  std::string folder, path, symmetry, dtype;
  quant::WeightFormat format;
  std::int64_t out = 0, in = 0;
  quant::StepRates rates;
  line >> folder >> path >> format.bits >> symmetry >> format.group >> format.super_group >> format.super_bits >>
      dtype >> out >> in >> rates.value;
  if (!line) throw std::runtime_error("malformed super line");
  format.symmetric = symmetry == "sym";
  const quant::Kernels* kernels = quant::find_kernels(path);
  if (!kernels) throw std::runtime_error("no kernels " + path);

  const auto at = [&](const char* name) { return folder + "/" + name; };
  const auto save = [&](const char* name, const at::Tensor& tensor) {
    if (tensor.defined()) write(folder + "/" + path + "." + name, tensor);
  };
  quant::RoundingState state =
      make_rounding_state(format, read(at("weight"), {out, in}, dtype_named(dtype)), true, true);
  const bool weighed = std::ifstream(at("importance")).good();
  search_scales(state, weighed ? read(at("importance"), {in}, at::kFloat) : at::Tensor(), *kernels);
  state.value = read(at("value"), {out, in}, at::kFloat);
  at::Tensor output = at::empty_like(state.weight);
  quant::supers::forward(state, output, *kernels);
  const quant::QuantizedWeight weight = quant::supers::quantize(state, *kernels);
  const auto step = quant::supers::step(state, rates, true, *kernels);
  step->rows(0, read(at("gradient"), {out, in}, dtype_named(dtype)));
  step->finish();
  save("scales", weight.scales);
  save("scale_factors", weight.super.scale_factors);
  save("minima", weight.super.minima);
  save("minimum_factors", weight.super.minimum_factors);
  save("output", output);
  save("codes", weight.codes);
  save("loaded", quant::dequantize(weight, at::kFloat));
  save("value", state.value);
  save("best_codes", state.best_codes);
}

void input(std::istringstream& line) {
  std::string folder, number, symmetry, when, dtype;
  quant::InputFormat format;
  std::int64_t tokens = 0, width = 0;
  line >> folder >> number >> format.bits >> symmetry >> format.group >> when >> dtype >> tokens >> width;
  if (!line) throw std::runtime_error("malformed input line");
  format.number = number_named(number);
  format.symmetric = symmetry == "sym";
  format.is_static = when == "static";
  const at::Tensor x = read(folder + "/x", {tokens, width}, dtype_named(dtype));
  quant::InputQuantizer quantizer(format);
  quantizer.calibrate(quant::largest_magnitude(x));
  write(folder + "/rounded", quantizer(x));
  if (format.needs_scale()) write(folder + "/scale", quantizer.scales().scale);
  if (format.needs_global_scale()) write(folder + "/global", quantizer.scales().global_scale);
}

void pack(std::istringstream& line) {
  std::string folder;
  int bits = 0, dimension = 0;
  std::int64_t rows = 0, columns = 0;
  line >> folder >> bits >> rows >> columns >> dimension;
  if (!line) throw std::runtime_error("malformed pack line");
  const at::Tensor codes = read(folder + "/codes", {rows, columns}, at::kByte);
  const at::Tensor packed = dimension == 1 ? quant::pack_rows(codes, bits) : quant::pack_columns(codes, bits);
  write(folder + "/packed", packed);
  write(folder + "/unpacked",
        dimension == 1 ? quant::unpack_rows(packed, bits, columns) : quant::unpack_columns(packed, bits, rows));
}

}  // namespace

int main() {
  try {
    for (std::string text; std::getline(std::cin, text);) {
      std::istringstream line(text);
      std::string command;
      line >> command;
      if (command == "qdq") {
        qdq(line);
      } else if (command == "float") {
        float_qdq(line);
      } else if (command == "search") {
        search(line);
      } else if (command == "super") {
        super(line);
      } else if (command == "input") {
        input(line);
      } else if (command == "pack") {
        pack(line);
      } else if (command == "kernels") {
        std::cout << "plain";
        for (const char* name : {"portable", "avx2", "avx512"}) {
          if (quant::find_kernels(name)) std::cout << ' ' << name;
        }
        std::cout << '\n';
      } else {
        throw std::runtime_error("unknown command " + command);
      }
    }
  } catch (const std::exception& error) {
    std::cerr << "quant_tool: " << error.what() << '\n';
    return 1;
  }
}
