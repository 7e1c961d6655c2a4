// The report as one HTML page without scripts or outside files: figures on top, a loss curve for each block (SVG), one
// table of blocks, one of layers, the recipe.
#include <algorithm>
#include <cmath>
#include <string>

#include "base/file.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "session/report.hpp"

namespace autoround::session {
namespace {

constexpr const char* style = R"css(
:root { color-scheme: light dark; --line: #2563eb; --muted: #6b7280; --rule: #d1d5db; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.sub, .muted { color: var(--muted); }
.facts { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1.5rem 0; }
.facts div b { display: block; font-size: 1.3rem; }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-size: .8rem; color: var(--muted); overflow-wrap: anywhere; }
svg { width: 100%; height: 70px; border-bottom: 1px solid var(--rule); }
table { border-collapse: collapse; width: 100%; font-size: .85rem; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--rule); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
pre { padding: 1rem; border: 1px solid var(--rule); overflow-x: auto; }
.warn { border-left: 4px solid #d97706; padding-left: .8rem; }
)css";

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

/// Four significant digits, or a dash for what was not measured.
std::string figure(const Json& value) {
  if (!value.is_number()) return "–";
  const double number = value.get<double>();
  if (number == 0.0) return "0";
  const double unit = std::pow(10.0, 3 - std::floor(std::log10(std::abs(number))));
  return format_number(std::round(number * unit) / unit);
}

std::string fact(const std::string& value, const std::string& label) {
  return "<div><b>" + escaped(value) + "</b><span class=muted>" + escaped(label) + "</span></div>";
}

/// Mini-batch losses on a log scale, from the first iteration on the left to the last on the right.
std::string curve(const Json& losses) {
  constexpr double width = 200.0, height = 70.0;
  double low = INFINITY, high = -INFINITY;
  for (const Json& loss : losses)
    if (loss.is_number() && loss.get<double>() > 0.0) {
      low = std::min(low, std::log(loss.get<double>()));
      high = std::max(high, std::log(loss.get<double>()));
    }
  std::string points;
  const double last = std::max<double>(static_cast<double>(losses.size()) - 1.0, 1.0);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    if (!losses[i].is_number() || losses[i].get<double>() <= 0.0) continue;
    const double x = width * static_cast<double>(i) / last;
    const double y =
        high > low ? 4.0 + (height - 8.0) * (high - std::log(losses[i].get<double>())) / (high - low) : height / 2;
    points += format_number(std::round(x * 10) / 10) + "," + format_number(std::round(y * 10) / 10) + " ";
  }
  return "<svg viewBox=\"0 0 200 70\" preserveAspectRatio=none role=img><polyline fill=none stroke=\"var(--line)\" "
         "stroke-width=1.5 vector-effect=non-scaling-stroke points=\"" +
         points + "\"/></svg>";
}

std::string gain(const Json& block) {
  if (!block["rtn_loss"].is_number() || !block["loss"].is_number() || block["rtn_loss"].get<double>() <= 0.0)
    return "–";
  const double percent = 100.0 * (1.0 - block["loss"].get<double>() / block["rtn_loss"].get<double>());
  return format_number(std::round(percent * 10) / 10) + " %";
}

/// What to know about the experts of a block; nothing where all got tokens.
std::string experts_note(const Json& block) {
  if (block.value("idle_experts", 0) == 0) return "";
  return " <span class=muted>no token for " + block["idle_experts"].dump() + " of " + block["experts"].dump() +
         " experts</span>";
}

std::string block_rows(const Json& blocks) {
  std::string out;
  for (const Json& block : blocks)
    out += "<tr><td>" + escaped(block["name"].get<std::string>()) + experts_note(block) + "<td class=n>" +
           figure(block["rtn_loss"]) + "<td class=n>" + figure(block["loss"]) + "<td class=n>" + gain(block) +
           "<td class=n>" + block["best_iteration"].dump() + "<td class=n>" + figure(block["seconds"]) + "</tr>";
  return out;
}

std::string layer_rows(const Json& layers) {
  std::string out;
  for (const Json& layer : layers) {
    const bool quantized = layer.contains("scheme");
    out += "<tr><td>" + escaped(layer["name"].get<std::string>()) + "<td>" + escaped(layer["shape"].dump()) + "<td>" +
           (quantized ? escaped(layer["scheme"].get<std::string>())
                      : "<span class=muted>" + escaped(layer["reason"].get<std::string>()) + "</span>") +
           "<td class=n>" + (quantized ? figure(layer["bits_per_weight"]) : "") + "</tr>";
  }
  return out;
}

}  // namespace

std::string report_html(const std::string& report_json) {
  const Json report = parse_json(report_json, "report", {std::size_t{1} << 30, 64});
  const Json& model = report["model"];
  const auto bytes = [](const Json& value) { return format_bytes(value.get<std::uint64_t>()); };

  std::string out =
      "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">"
      "<title>libautoround report</title><style>" +
      std::string(style) + "</style>";
  out += "<h1>" + escaped(file_name(model["directory"].get<std::string>())) + "</h1><p class=sub>" +
         escaped(model["architecture"].get<std::string>()) + ", quantized by AutoRound · libautoround " +
         escaped(report["libautoround"].get<std::string>()) + " · LibTorch " +
         escaped(report["libtorch"].get<std::string>()) + " · " + escaped(report["device"].get<std::string>()) + ", " +
         report["threads"].dump() + " threads</p>";

  out +=
      "<div class=facts>" + fact(bytes(model["bytes"]), "before") + fact(bytes(report["output_bytes"]), "after") +
      fact(figure(report["bits_per_weight"]), "bits a quantized weight") +
      fact(figure(report["seconds"]) + " s", "whole run") +
      fact(figure(report["io"]["reading_seconds"].get<double>() + report["io"]["writing_seconds"].get<double>()) + " s",
           "of them for files") +
      fact(bytes(report["peak_memory_bytes"]), "peak memory of the process") +
      fact(report["calibration"]["samples"].dump() + " × " + report["calibration"]["sequence_length"].dump(),
           "calibration windows × tokens") +
      "</div>";

  for (const Json& warning : report["warnings"]) out += "<p class=warn>" + escaped(warning.get<std::string>()) + "</p>";

  out +=
      "<h2>Loss of each block</h2><p class=muted>Mean squared error of a mini-batch against the full-precision output, "
      "log scale, by iteration.</p><div class=curves>";
  for (const Json& block : report["blocks"])
    if (!block["losses"].empty())
      out += "<figure>" + curve(block["losses"]) + "<figcaption>" + escaped(block["name"].get<std::string>()) + ": " +
             figure(block["rtn_loss"]) + " → " + figure(block["loss"]) + "</figcaption></figure>";
  out += "</div>";

  out +=
      "<h2>Blocks</h2><table><tr><th>block<th class=n>loss, rounded to nearest<th class=n>loss, tuned<th class=n>gain"
      "<th class=n>best iteration<th class=n>seconds</tr>" +
      block_rows(report["blocks"]) + "</table>";
  out += "<h2>Layers</h2><table><tr><th>layer<th>shape<th>scheme, or why not<th class=n>bits a weight</tr>" +
         layer_rows(report["layers"]) + "</table>";
  out += "<h2>Recipe</h2><pre>" + escaped(report["recipe"].get<std::string>()) + "</pre></html>\n";
  return out;
}

}  // namespace autoround::session
