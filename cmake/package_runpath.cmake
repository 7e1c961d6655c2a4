# Run by CPack on what it is about to pack: libautoround.so looks for LibTorch in the places that hold on every machine.
file(GLOB_RECURSE libraries "${CPACK_TEMPORARY_DIRECTORY}/libautoround.so.*")
foreach(library IN LISTS libraries)
  if(NOT IS_SYMLINK "${library}")
    file(RPATH_SET FILE "${library}" NEW_RPATH "${CPACK_AUTOROUND_RUNPATH}")
  endif()
endforeach()
