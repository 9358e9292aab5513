# cmake -DSUITES=FOLDER -DOUT=FILE.cpp -P embed_suites.cmake: writes the suites and the rubric as C++ string literals.
include(${CMAKE_CURRENT_LIST_DIR}/embed.cmake)

file(GLOB folders LIST_DIRECTORIES true ${SUITES}/*)
set(rows "")
foreach(folder ${folders})
  if(EXISTS ${folder}/suite.yaml AND EXISTS ${folder}/items.jsonl)
    get_filename_component(name ${folder} NAME)
    chaski_literal(yaml ${folder}/suite.yaml)
    chaski_literal(items ${folder}/items.jsonl)
    chaski_literal(rubric ${folder}/rubric.yaml)
    string(APPEND rows "    {\"${name}\",\n    ${yaml},\n    ${items},\n    ${rubric}},\n")
  endif()
endforeach()
chaski_literal(rubric ${SUITES}/rubric.yaml)
set(text "#include \"lab/embedded_suites.h\"\n\n#include <vector>\n\nnamespace chaski {\n\nusing namespace std::string_view_literals;\n
std::span<const EmbeddedSuite> embedded_suites() {
  static const std::vector<EmbeddedSuite> suites{\n${rows}  };\n  return suites;\n}\n
std::string_view embedded_rubric() {\n  return ${rubric};\n}\n\n}  // namespace chaski\n")
file(WRITE ${OUT}.new "${text}")
file(RENAME ${OUT}.new ${OUT})
