# cmake -DSUITES=FOLDER -DOUT=FILE.cpp -P embed_suites.cmake: writes the suites and the rubric as C++ string literals,
# byte by byte in hex, so that no content can end a literal. A file that is not there is an empty text.
function(literal path out)
  set(bytes "")
  if(EXISTS ${path})
    file(READ ${path} bytes HEX)
  endif()
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" bytes "${bytes}")
  string(REGEX REPLACE "\n" "\"\n    \"" bytes "${bytes}")
  set(${out} "\"${bytes}\"sv" PARENT_SCOPE)
endfunction()

file(GLOB folders LIST_DIRECTORIES true ${SUITES}/*)
set(rows "")
foreach(folder ${folders})
  if(EXISTS ${folder}/suite.yaml AND EXISTS ${folder}/items.jsonl)
    get_filename_component(name ${folder} NAME)
    literal(${folder}/suite.yaml yaml)
    literal(${folder}/items.jsonl items)
    literal(${folder}/rubric.yaml rubric)
    string(APPEND rows "    {\"${name}\",\n    ${yaml},\n    ${items},\n    ${rubric}},\n")
  endif()
endforeach()
literal(${SUITES}/rubric.yaml rubric)
set(text "#include \"lab/embedded_suites.h\"\n\n#include <vector>\n\nnamespace chaski {\n\nusing namespace std::string_view_literals;\n
std::span<const EmbeddedSuite> embedded_suites() {
  static const std::vector<EmbeddedSuite> suites{\n${rows}  };\n  return suites;\n}\n
std::string_view embedded_rubric() {\n  return ${rubric};\n}\n\n}  // namespace chaski\n")
file(WRITE ${OUT}.new "${text}")
file(RENAME ${OUT}.new ${OUT})
