# Puts the files of suites/*/ into chaski_lab, so that the program alone has them. A folder added to suites/ is seen by
# the next build.
file(GLOB suite_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/suites/*/suite.yaml
  ${PROJECT_SOURCE_DIR}/suites/*/items.jsonl ${PROJECT_SOURCE_DIR}/suites/*/rubric.yaml
  ${PROJECT_SOURCE_DIR}/suites/rubric.yaml)
set(embedded_suites ${CMAKE_BINARY_DIR}/generated/embedded_suites.cpp)
add_custom_command(OUTPUT ${embedded_suites}
  COMMAND ${CMAKE_COMMAND} -DSUITES=${PROJECT_SOURCE_DIR}/suites -DOUT=${embedded_suites}
    -P ${PROJECT_SOURCE_DIR}/cmake/embed_suites.cmake
  DEPENDS ${suite_files} ${PROJECT_SOURCE_DIR}/cmake/embed_suites.cmake
  COMMENT "Embedding suites/" VERBATIM)
set_source_files_properties(${embedded_suites} PROPERTIES COMPILE_OPTIONS -Wno-overlength-strings)
target_sources(chaski_lab PRIVATE ${embedded_suites})
