# How every target of this project is compiled, in one place.
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  message(FATAL_ERROR "GCC is needed: kernels use its vector extensions, of which other compilers lack some. "
    "${CMAKE_CXX_COMPILER} is ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}; name another with -DCMAKE_CXX_COMPILER")
elseif(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
  message(WARNING "GCC 12 is the oldest that this is tested with; ${CMAKE_CXX_COMPILER} is ${CMAKE_CXX_COMPILER_VERSION}")
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # The sloppiness is what ccache's manual asks for with precompiled headers.
  set(_ccache ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${_ccache})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${_ccache})
endif()

# Most code runs once in a run and is compiled for size; what is worth speed says so with autoround_hot_sources().
set(AUTOROUND_SIZE_OPTIONS $<$<CONFIG:Release>:-Os>)

add_library(autoround_compile INTERFACE)
target_compile_options(autoround_compile INTERFACE
  -ffunction-sections -fdata-sections # the linker drops those that nobody uses
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers
  $<$<BOOL:${CCACHE_PROGRAM}>:-fpch-preprocess>
  $<$<BOOL:${AUTOROUND_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(autoround_compile INTERFACE -Wno-restrict)  # false positives on std::string, GCC bug 105651
endif()
if(AUTOROUND_SANITIZE)
  target_compile_options(autoround_compile INTERFACE
    -fsanitize=${AUTOROUND_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    -Wno-maybe-uninitialized)  # which GCC itself says is unreliable with sanitizers
  add_link_options(-fsanitize=${AUTOROUND_SANITIZE})
  # Frames for use-after-return are not aligned for 64-byte registers: GCC bug 110027.
  set(AUTOROUND_AVX512_OPTIONS --param=asan-use-after-return=0)
endif()

# The one precompiled header: ATen costs seconds in each file without it.
function(autoround_use_torch target)
  if(NOT TARGET autoround_torch_pch)
    file(WRITE "${PROJECT_BINARY_DIR}/torch_pch.cpp" "// Carries the precompiled header.\n")
    add_library(autoround_torch_pch OBJECT "${PROJECT_BINARY_DIR}/torch_pch.cpp")
    target_link_libraries(autoround_torch_pch PRIVATE autoround_compile LibTorch::torch_cpu)
    target_compile_options(autoround_torch_pch PRIVATE ${AUTOROUND_SIZE_OPTIONS})
    target_precompile_headers(autoround_torch_pch PRIVATE "${PROJECT_SOURCE_DIR}/cmake/torch_pch.hpp")
  endif()
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "STATIC_LIBRARY")
    target_link_libraries(${target} PUBLIC LibTorch::torch_cpu)
  else()
    target_link_libraries(${target} PRIVATE LibTorch::torch_cpu)  # nothing of LibTorch may show in the installed package
  endif()
  target_precompile_headers(${target} REUSE_FROM autoround_torch_pch)
  target_compile_options(${target} PRIVATE ${AUTOROUND_SIZE_OPTIONS}) # as the header is
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    # The header is compiled as code of a library is; with a program's -fPIE the compiler would refuse it.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
endfunction()

# Files with loops over elements: compiled for speed and with OpenMP, without which at::parallel_for is serial, and so without the
# precompiled header, which has neither. For the folder that calls this.
function(autoround_hot_sources)
  set_source_files_properties(${ARGN} PROPERTIES
    COMPILE_OPTIONS "-fopenmp;$<$<CONFIG:Release>:-O3>" SKIP_PRECOMPILE_HEADERS ON)
endfunction()

# Files that share loops among threads whose bodies are elsewhere: with OpenMP and for size. For the folder that calls this.
function(autoround_sharing_sources)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "-fopenmp" SKIP_PRECOMPILE_HEADERS ON)
endfunction()

# autoround_component(<folder> SOURCES a.cpp ... [TORCH] [LINK lib...])
# One folder of cpp/ is one static library, autoround_<folder>, that names the folders it uses in LINK.
# Registries are plain tables, never static initialisers, so nothing is lost when the archive is linked.
function(autoround_component name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LINK" ${ARGN})
  set(target autoround_${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}/cpp" "${PROJECT_BINARY_DIR}/generated")
  target_link_libraries(${target} PRIVATE autoround_compile PUBLIC AutoRound::headers ${ARG_LINK})
  if(ARG_TORCH)
    autoround_use_torch(${target})
  else()
    target_compile_options(${target} PRIVATE ${AUTOROUND_SIZE_OPTIONS})
  endif()
endfunction()
