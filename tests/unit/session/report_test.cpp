#include "session/report.hpp"

#include <filesystem>

#include "base/json.hpp"
#include "support/catch.hpp"
#include "toy.hpp"

using namespace autoround;

TEST_CASE("report: figures in, the same figures out, and names from a checkpoint cannot break the page", "[session]") {
  const test::ToyModel toy;
  session::Result result;
  result.blocks.push_back({"model.layers.0<script>", 0.5, 0.25, 17, 1.5, {0.5f, 0.375f, 0.25f}, false, 8, 3});
  result.layers.push_back({"a", "W4A16", "", {4, 8}, 4.5});
  result.layers.push_back({"b", "", "ignored by `lm_head`", {4, 8}, 0.0});
  result.warnings.push_back("careful & slow");
  result.io = {0.25, 0.5};
  const std::string json = session::report_json(*toy.model, {}, {}, nullptr, 0, result, 1234, Stopwatch());
  const Json report = parse_json(json, "report");
  CHECK(report["blocks"][0]["loss"] == 0.25);
  CHECK(report["blocks"][0]["losses"].size() == 3);
  CHECK(report["blocks"][0]["experts"] == 8);
  CHECK(report["blocks"][0]["idle_experts"] == 3);
  CHECK(report["bits_per_weight"] == 4.5);
  CHECK(report["layers"][1]["reason"] == "ignored by `lm_head`");
  CHECK(report["output_bytes"] == 1234);
  CHECK(report["io"] == Json{{"reading_seconds", 0.25}, {"writing_seconds", 0.5}});
  CHECK(report["peak_memory_bytes"].get<std::int64_t>() > 10'000'000);

  const std::string html = session::report_html(json);
  CHECK(html.find("<script") == std::string::npos);
  CHECK(html.find("model.layers.0&lt;script&gt;") != std::string::npos);
  CHECK(html.find("careful &amp; slow") != std::string::npos);
  CHECK(html.find("no token for 3 of 8 experts") != std::string::npos);
  CHECK(html.find("50 %") != std::string::npos);
  CHECK(html.find("<polyline") != std::string::npos);
}

TEST_CASE("report: the model's folder is named as the host named it", "[session]") {
  const test::ToyModel toy;
  namespace fs = std::filesystem;
  fs::create_directory_symlink(toy.folder / "model", toy.folder / "link");
  const auto model = session::Model::open(toy.folder / "link", Logger());
  const std::string json = session::report_json(*model, {}, {}, nullptr, 0, {}, 0, Stopwatch());
  CHECK(parse_json(json, "report")["model"]["directory"] == toy.folder / "link");
}

TEST_CASE("report: a run without data has dashes, not numbers", "[session]") {
  const test::ToyModel toy;
  session::Result result;
  result.blocks.push_back({"model.layers.0", NAN, NAN, -1, 0.0, {}, false});
  const std::string json = session::report_json(*toy.model, {}, {}, nullptr, 0, result, 0, Stopwatch());
  CHECK(parse_json(json, "report")["blocks"][0]["loss"].is_null());
  CHECK(session::report_html(json).find("<polyline") == std::string::npos);
}
