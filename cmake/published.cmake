# Puts suites/published/*.json into chaski_report byte by byte, so that the program alone has them.
include(cmake/embed.cmake)
file(GLOB published_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/suites/published/*.json)
set(rows "")
foreach(path ${published_files})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  chaski_literal(text ${path})
  string(APPEND rows "      ${text},\n")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/published_figures.cpp @ONLY CONTENT
"#include \"report/published.h\"

namespace chaski {

using namespace std::string_view_literals;

std::span<const std::string_view> published_texts() {
  static constexpr std::string_view kTexts[] = {
@rows@  };
  return kTexts;
}

}  // namespace chaski
")
set_source_files_properties(${CMAKE_BINARY_DIR}/generated/published_figures.cpp PROPERTIES COMPILE_OPTIONS
  -Wno-overlength-strings)
target_sources(chaski_report PRIVATE ${CMAKE_BINARY_DIR}/generated/published_figures.cpp)
