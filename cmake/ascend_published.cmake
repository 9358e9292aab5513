# Puts src/lab/ascend_published.csv into chaski_lab, so that every prediction can say how far off the model was.
include(cmake/embed.cmake)
set(ascend_published_file ${PROJECT_SOURCE_DIR}/src/lab/ascend_published.csv)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ascend_published_file})
chaski_literal(ascend_published ${ascend_published_file})
set(ascend_published_source ${CMAKE_BINARY_DIR}/generated/ascend_published.cpp)
file(CONFIGURE OUTPUT ${ascend_published_source} @ONLY CONTENT
"#include \"lab/ascend_published.h\"

namespace chaski {

using namespace std::string_view_literals;

std::string_view ascend_published_csv() {
  return @ascend_published@;
}

}  // namespace chaski
")
set_source_files_properties(${ascend_published_source} PROPERTIES COMPILE_OPTIONS -Wno-overlength-strings)
target_sources(chaski_lab PRIVATE ${ascend_published_source})
