# Finds LibTorch in a torch wheel or a libtorch folder, without find_package(Torch): the CUDA wheel's own
# package config stops when no CUDA toolkit is installed, and this library needs only the CPU half of it.
# find_package(LibTorch 2.11) takes 2.11 of any patch and no other.
#
#   AUTOROUND_TORCH_DIR  folder that holds include/ and lib/ (site-packages/torch, or an unpacked libtorch).
#                        Default: the environment variable of that name, then <source>/.venv. No other folder is tried in place of
#                        one that is named.
#
# Defines LibTorch::c10, LibTorch::torch_cpu, LibTorch::gomp; LibTorch_LIBRARY_DIR; LibTorch_VERSION; and, where it has them,
# LibTorch::torch_cuda and LibTorch::c10_cuda.
set(AUTOROUND_TORCH_DIR "$ENV{AUTOROUND_TORCH_DIR}" CACHE PATH "Folder of LibTorch: holds include/ and lib/")
set(_candidates "${AUTOROUND_TORCH_DIR}")
if(NOT AUTOROUND_TORCH_DIR)
  file(GLOB _candidates "${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
endif()
set(_cached INCLUDE_DIR CPU_LIBRARY C10_LIBRARY GOMP_LIBRARY CUDA_LIBRARY C10_CUDA_LIBRARY)
if(NOT "${AUTOROUND_TORCH_DIR}" STREQUAL "${LibTorch_LOOKED_IN}")  # another folder is named than the last time
  foreach(_part IN LISTS _cached)
    unset(LibTorch_${_part} CACHE)
  endforeach()
endif()
set(LibTorch_LOOKED_IN "${AUTOROUND_TORCH_DIR}" CACHE INTERNAL "AUTOROUND_TORCH_DIR when LibTorch was last looked for")

find_path(LibTorch_INCLUDE_DIR NAMES ATen/ATen.h HINTS ${_candidates} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_library(LibTorch_CPU_LIBRARY NAMES torch_cpu HINTS ${_candidates} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY NAMES c10 HINTS ${_candidates} PATH_SUFFIXES lib NO_DEFAULT_PATH)
# The OpenMP runtime that LibTorch itself uses: linking a second one would give the process two thread pools.
find_file(LibTorch_GOMP_LIBRARY NAMES libgomp.so.1 HINTS ${_candidates} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_CUDA_LIBRARY NAMES torch_cuda HINTS ${_candidates} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_CUDA_LIBRARY NAMES c10_cuda HINTS ${_candidates} PATH_SUFFIXES lib NO_DEFAULT_PATH)

if(LibTorch_INCLUDE_DIR)
  set(_header "${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h")
  if(NOT EXISTS "${_header}")  # where old versions have it
    set(_header "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h")
  endif()
  file(READ "${_header}" _text)
  foreach(_part MAJOR MINOR PATCH)
    string(REGEX MATCH "TORCH_VERSION_${_part} ([0-9]+)" _unused "${_text}")
    set(_${_part} "${CMAKE_MATCH_1}")
  endforeach()
  set(LibTorch_VERSION "${_MAJOR}.${_MINOR}.${_PATCH}")
endif()

# The C++ interface changes from one minor version to the next: a later one is not the one that was asked for.
set(_wanted "${LibTorch_FIND_VERSION_MAJOR}.${LibTorch_FIND_VERSION_MINOR}")
if(LibTorch_VERSION AND LibTorch_FIND_VERSION AND NOT "${_MAJOR}.${_MINOR}" STREQUAL "${_wanted}")
  set(_found "LibTorch ${LibTorch_VERSION} in ${LibTorch_INCLUDE_DIR}")
  foreach(_part IN LISTS _cached)
    unset(LibTorch_${_part} CACHE)  # looked for again when the folder holds another version
  endforeach()
  message(FATAL_ERROR "found ${_found}, wanted ${_wanted}: run scripts/bootstrap.sh, or pass -DAUTOROUND_TORCH_DIR=<folder with include/ and lib/>")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_GOMP_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "run scripts/bootstrap.sh, or pass -DAUTOROUND_TORCH_DIR=<folder with include/ and lib/>")

if(LibTorch_FOUND AND NOT TARGET LibTorch::torch_cpu)
  get_filename_component(LibTorch_LIBRARY_DIR "${LibTorch_CPU_LIBRARY}" DIRECTORY)
  foreach(_part c10 torch_cpu gomp)
    add_library(LibTorch::${_part} SHARED IMPORTED)
  endforeach()
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION "${LibTorch_C10_LIBRARY}")
  set_target_properties(LibTorch::torch_cpu PROPERTIES IMPORTED_LOCATION "${LibTorch_CPU_LIBRARY}")
  set_target_properties(LibTorch::gomp PROPERTIES IMPORTED_LOCATION "${LibTorch_GOMP_LIBRARY}")
  target_include_directories(LibTorch::c10 SYSTEM INTERFACE
    "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_link_libraries(LibTorch::torch_cpu INTERFACE LibTorch::c10)
  if(LibTorch_CUDA_LIBRARY AND LibTorch_C10_CUDA_LIBRARY)
    add_library(LibTorch::torch_cuda SHARED IMPORTED)
    add_library(LibTorch::c10_cuda SHARED IMPORTED)
    set_target_properties(LibTorch::torch_cuda PROPERTIES IMPORTED_LOCATION "${LibTorch_CUDA_LIBRARY}")
    set_target_properties(LibTorch::c10_cuda PROPERTIES IMPORTED_LOCATION "${LibTorch_C10_CUDA_LIBRARY}")
    target_link_libraries(LibTorch::c10_cuda INTERFACE LibTorch::c10)
    target_link_libraries(LibTorch::torch_cuda INTERFACE LibTorch::torch_cpu LibTorch::c10_cuda)
  endif()
endif()
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_GOMP_LIBRARY LibTorch_CUDA_LIBRARY
  LibTorch_C10_CUDA_LIBRARY)
