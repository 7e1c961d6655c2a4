#include "host.hpp"

TEST_CASE("version: number, text and ABI agree", "[capi]") {
  const uint32_t number = autoround_version_number();
  const std::string text =
      std::to_string(number / 10000) + "." + std::to_string(number / 100 % 100) + "." + std::to_string(number % 100);
  CHECK(text == autoround_version_string());
  CHECK(autoround_abi_version() == 0);
  CHECK(std::string(autoround_build_info()).find(text) != std::string::npos);
}

TEST_CASE("features: every listed scheme and format is one, nothing else is", "[capi]") {
  REQUIRE(autoround_scheme_count() > 20);
  for (size_t i = 0; i < autoround_scheme_count(); ++i)
    CHECK(autoround_has_feature((std::string("scheme.") + autoround_scheme_name(i)).c_str()) == 1);
  REQUIRE(autoround_format_count() >= 1);
  for (size_t i = 0; i < autoround_format_count(); ++i)
    CHECK(autoround_has_feature((std::string("format.") + autoround_format_name(i)).c_str()) == 1);
  CHECK(autoround_has_feature("recipe.yaml") == 1);
  CHECK(autoround_has_feature("scheme.W4A17") == 0);
  CHECK(autoround_has_feature("") == 0);
  CHECK(autoround_has_feature(nullptr) == 0);
  CHECK(std::string(autoround_scheme_name(autoround_scheme_count())) == "");
  CHECK(std::string(autoround_format_name(SIZE_MAX)) == "");
}
