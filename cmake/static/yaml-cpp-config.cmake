# yaml-cpp's archive, which libyaml-cpp-dev has beside the shared library that its own configuration names.
find_path(YAML_CPP_HEADERS yaml-cpp/yaml.h REQUIRED)
find_library(YAML_CPP_ARCHIVE yaml-cpp REQUIRED)
if(NOT TARGET yaml-cpp)
  add_library(yaml-cpp STATIC IMPORTED)
  set_target_properties(yaml-cpp PROPERTIES IMPORTED_LOCATION ${YAML_CPP_ARCHIVE}
    INTERFACE_INCLUDE_DIRECTORIES ${YAML_CPP_HEADERS})
endif()
