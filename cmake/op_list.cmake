# Writes all_ops.cpp: every src/ops/<name>.cpp without a header of its name defines `OpList <name>()`.
# Dropping a file into the folder is all it takes to add operators; a misnamed function fails at link, naming the file's.
file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/ops/*.cpp)
set(declarations "")
set(calls "")
foreach(file ${files})
  get_filename_component(stem ${file} NAME_WE)
  if(NOT EXISTS ${CMAKE_SOURCE_DIR}/src/ops/${stem}.h)
    string(APPEND declarations "OpList ${stem}();\n")
    string(APPEND calls "    table.add(${stem}());\n")
  endif()
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/all_ops.cpp @ONLY CONTENT
"// Written by cmake/op_list.cmake from the files in src/ops/.
#include \"ops/all_ops.h\"
#include \"ops/compositions.h\"

namespace wherry {
namespace ops {
@declarations@}

const OpTable& all_ops() {
  static const OpTable built_in = [] {
    OpTable table;
    using namespace ops;
@calls@    table.compose(compositions());
    return table;
  }();
  return built_in;
}

}  // namespace wherry
")
target_sources(wherry_ops PRIVATE ${CMAKE_BINARY_DIR}/all_ops.cpp)
