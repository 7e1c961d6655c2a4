# Libraries of the engine beside LibTorch. Header-only ones come from the distribution's packages or, on a machine
# without them, from -DAUTOROUND_HEADERS_DIR=<folder with gsl/ toml++/ spdlog/ fmt/ nlohmann/ xxhash.h yaml-cpp/ pcre2.h CLI/>, whose
# lib/ then holds libyaml-cpp and libpcre2-8 where the system has none.
add_library(AutoRound_headers INTERFACE)
add_library(AutoRound::headers ALIAS AutoRound_headers)
if(AUTOROUND_HEADERS_DIR)
  target_include_directories(AutoRound_headers SYSTEM INTERFACE "${AUTOROUND_HEADERS_DIR}")
else()
  foreach(_probe gsl/gsl toml++/toml.h spdlog/spdlog.h nlohmann/json.hpp xxhash.h yaml-cpp/yaml.h pcre2.h)
    string(MAKE_C_IDENTIFIER "AUTOROUND_HAS_${_probe}" _var)
    find_path(${_var} NAMES ${_probe})
    mark_as_advanced(${_var})
    if(NOT ${_var})
      message(FATAL_ERROR "header ${_probe} not found: run scripts/bootstrap.sh or pass -DAUTOROUND_HEADERS_DIR")
    endif()
  endforeach()
endif()

find_library(AUTOROUND_YAML_CPP_LIBRARY NAMES yaml-cpp HINTS "${AUTOROUND_HEADERS_DIR}/lib" REQUIRED)
find_library(AUTOROUND_PCRE2_LIBRARY NAMES pcre2-8 HINTS "${AUTOROUND_HEADERS_DIR}/lib" REQUIRED)
find_package(Threads REQUIRED)
