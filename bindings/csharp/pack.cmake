# cmake -DSOURCE=bindings/csharp -DBUILD=<its build folder> -DPACKAGE=<file> -P pack.cmake
# A .nupkg is a zip in the Open Packaging Conventions: the content, its types, and a relation that names the .nuspec.
cmake_minimum_required(VERSION 3.25)
set(root "${BUILD}/package")
file(REMOVE_RECURSE "${root}/lib" "${root}/runtimes" "${root}/build" "${root}/_rels")
file(COPY "${BUILD}/lib" "${BUILD}/runtimes" DESTINATION "${root}")
file(COPY "${SOURCE}/AutoRound.targets" "${SOURCE}/AutoRound.dll.config" DESTINATION "${root}/build")
file(COPY "${SOURCE}/README.md" DESTINATION "${root}")
foreach(extension IN ITEMS rels nuspec dll xml so 0 targets config md)
  set(type "application/octet")
  if(extension STREQUAL "rels")
    set(type "application/vnd.openxmlformats-package.relationships+xml")
  endif()
  string(APPEND types "\n  <Default Extension=\"${extension}\" ContentType=\"${type}\"/>")
endforeach()
file(WRITE "${root}/[Content_Types].xml" "<?xml version=\"1.0\" encoding=\"utf-8\"?>
<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">${types}
</Types>
")
file(WRITE "${root}/_rels/.rels" "<?xml version=\"1.0\" encoding=\"utf-8\"?>
<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">
  <Relationship Type=\"http://schemas.microsoft.com/packaging/2010/07/manifest\" Target=\"/AutoRound.nuspec\" Id=\"manifest\"/>
</Relationships>
")
file(REMOVE "${PACKAGE}")
execute_process(COMMAND "${CMAKE_COMMAND}" -E tar cf "${PACKAGE}" --format=zip "[Content_Types].xml" _rels AutoRound.nuspec README.md lib runtimes build
  WORKING_DIRECTORY "${root}" COMMAND_ERROR_IS_FATAL ANY)
