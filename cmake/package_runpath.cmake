# Run by CPack on what it is about to pack: our libraries look for LibTorch in the places that hold on every machine.
file(GLOB_RECURSE libraries "${CPACK_TEMPORARY_DIRECTORY}/libautoround.so.*" "${CPACK_TEMPORARY_DIRECTORY}/libautoround_cuda.so")
foreach(library IN LISTS libraries)
  if(NOT IS_SYMLINK "${library}")
    file(RPATH_SET FILE "${library}" NEW_RPATH "${CPACK_AUTOROUND_RUNPATH}")
  endif()
endforeach()
