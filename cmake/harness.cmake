# Puts the Python of src/lab/harness/ into chaski_lab, so that the program alone has it.
include(cmake/embed.cmake)
set(harness ${PROJECT_SOURCE_DIR}/src/lab/harness)
foreach(script values worker judge escapes)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${harness}/${script}.py)
endforeach()
chaski_literal(worker ${harness}/values.py ${harness}/worker.py)
chaski_literal(judge ${harness}/values.py ${harness}/judge.py)
chaski_literal(escapes ${harness}/escapes.py)
set(code_harness ${CMAKE_BINARY_DIR}/generated/code_harness.cpp)
file(CONFIGURE OUTPUT ${code_harness} @ONLY CONTENT
"#include \"lab/code_harness.h\"

namespace chaski {

using namespace std::string_view_literals;

std::string_view worker_script() {
  return @worker@;
}

std::string_view judge_script() {
  return @judge@;
}

std::string_view escape_attempts() {
  return @escapes@;
}

}  // namespace chaski
")
set_source_files_properties(${code_harness} PROPERTIES COMPILE_OPTIONS -Wno-overlength-strings)
target_sources(chaski_lab PRIVATE ${code_harness})
include(cmake/ascend_published.cmake)
