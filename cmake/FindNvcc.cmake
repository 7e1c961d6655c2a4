# Finds what compiles the CUDA plug-in: nvcc, and the CUDA runtime that LibTorch itself uses. Looked for in this order:
#
#   AUTOROUND_CUDA_DIR   a CUDA toolkit, or site-packages/nvidia/cu<major>: holds bin/nvcc and include/. Nothing else is tried then.
#   the PyPI packages nvidia-cuda-nvcc, nvidia-nvvm, nvidia-cuda-crt and nvidia-cuda-cccl in the environment that LibTorch is in
#   nvcc on PATH, /usr/local/cuda
#
# Defines Nvcc_EXECUTABLE, Nvcc_INCLUDE_DIR, Nvcc_CUDART_LIBRARY, Nvcc_VERSION. Call after find_package(LibTorch).
set(AUTOROUND_CUDA_DIR "$ENV{AUTOROUND_CUDA_DIR}" CACHE PATH "Folder of CUDA's compiler: holds bin/nvcc and include/")
set(_missing "no nvcc in AUTOROUND_CUDA_DIR, in LibTorch's Python environment, on PATH or in /usr/local/cuda")

# Two runtimes of CUDA in a process do not share what they know: ours is LibTorch's, and nvcc of the same major version.
set(_cudart "")
if(TARGET LibTorch::c10_cuda)
  file(STRINGS "${LibTorch_C10_CUDA_LIBRARY}" _names REGEX "^libcudart[-.0-9a-f]*\\.so\\.[0-9]")
  list(GET _names 0 _cudart)
  string(REGEX MATCH "\\.so\\.([0-9]+)" _unused "${_cudart}")
  set(_wanted "${CMAKE_MATCH_1}")
endif()
set(_packages "${LibTorch_LIBRARY_DIR}/../../nvidia/cu${_wanted}")

if(AUTOROUND_CUDA_DIR)
  find_program(Nvcc_EXECUTABLE nvcc PATHS "${AUTOROUND_CUDA_DIR}/bin" NO_DEFAULT_PATH)
else()
  find_program(Nvcc_EXECUTABLE nvcc HINTS "${_packages}/bin" PATHS /usr/local/cuda/bin)
endif()
if(Nvcc_EXECUTABLE)
  file(REAL_PATH "${Nvcc_EXECUTABLE}" _nvcc)
  cmake_path(GET _nvcc PARENT_PATH _root)
  cmake_path(GET _root PARENT_PATH _root)
  execute_process(COMMAND "${Nvcc_EXECUTABLE}" --version OUTPUT_VARIABLE _text ERROR_QUIET)
  string(REGEX MATCH "V([0-9]+\\.[0-9]+\\.[0-9]+)" _unused "${_text}")
  set(Nvcc_VERSION "${CMAKE_MATCH_1}")
  set(_libraries "${_root}/lib64" "${_root}/lib" "${_root}/targets/${CMAKE_SYSTEM_PROCESSOR}-linux/lib")
  find_path(Nvcc_INCLUDE_DIR NAMES cuda_runtime_api.h
    HINTS "${_root}/include" "${_root}/targets/${CMAKE_SYSTEM_PROCESSOR}-linux/include")
  if(_cudart)
    find_file(Nvcc_CUDART_LIBRARY NAMES "${_cudart}"
      HINTS "${LibTorch_LIBRARY_DIR}" "${_packages}/lib" ${_libraries} NO_DEFAULT_PATH)
  endif()
  if(NOT _cudart)
    set(_missing "this LibTorch has no CUDA libraries (libc10_cuda.so)")
  elseif(NOT Nvcc_VERSION MATCHES "^${_wanted}\\.")
    set(_missing "${Nvcc_EXECUTABLE} is CUDA ${Nvcc_VERSION}, LibTorch needs CUDA ${_wanted}")
    set(Nvcc_VERSION "")
  elseif(NOT Nvcc_INCLUDE_DIR)
    set(_missing "no cuda_runtime_api.h in ${_root}/include")
  elseif(NOT Nvcc_CUDART_LIBRARY)
    set(_missing "no ${_cudart} beside LibTorch, in ${_packages}/lib or in ${_root}")
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Nvcc
  REQUIRED_VARS Nvcc_EXECUTABLE Nvcc_VERSION Nvcc_INCLUDE_DIR Nvcc_CUDART_LIBRARY
  REASON_FAILURE_MESSAGE "${_missing}")
set(Nvcc_MISSING "${_missing}")
mark_as_advanced(Nvcc_EXECUTABLE Nvcc_INCLUDE_DIR Nvcc_CUDART_LIBRARY)
