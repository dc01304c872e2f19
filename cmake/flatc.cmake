# wherry_flatc(LAYER [REFLECT] file.fbs …): the layer's FlatBuffers schemas as headers "LAYER/<file>_generated.h", made at build time.
# REFLECT adds tables of field names and types, so that a table can be written by name.
find_program(FLATC flatc REQUIRED)

function(wherry_flatc layer)
  cmake_parse_arguments(ARG "REFLECT" "" "" ${ARGN})
  set(folder ${CMAKE_BINARY_DIR}/generated/${layer})
  foreach(schema ${ARG_UNPARSED_ARGUMENTS})
    get_filename_component(stem ${schema} NAME_WE)
    set(header ${folder}/${layer}/${stem}_generated.h)
    add_custom_command(
      OUTPUT ${header}
      COMMAND ${FLATC} --cpp --scoped-enums $<$<BOOL:${ARG_REFLECT}>:--reflect-names> -o ${folder}/${layer} ${CMAKE_SOURCE_DIR}/src/${layer}/${schema}
      DEPENDS ${CMAKE_SOURCE_DIR}/src/${layer}/${schema}
      VERBATIM COMMAND_EXPAND_LISTS)
    list(APPEND headers ${header})
  endforeach()
  target_sources(wherry_${layer} PUBLIC FILE_SET generated TYPE HEADERS BASE_DIRS ${folder} FILES ${headers})
  target_include_directories(wherry_${layer} SYSTEM PUBLIC ${folder})
endfunction()
