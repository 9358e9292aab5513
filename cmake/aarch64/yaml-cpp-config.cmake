# yaml-cpp for the cross build: the headers of this machine's libyaml-cpp-dev, which know no architecture, with the
# shared library of libyaml-cpp0.7:arm64. That package's own -dev would take the place of this machine's.
find_path(YAML_CPP_HEADERS yaml-cpp/yaml.h REQUIRED)
find_library(YAML_CPP_ARM64 NAMES libyaml-cpp.so.0.7 REQUIRED)
if(NOT TARGET yaml-cpp)
  add_library(yaml-cpp SHARED IMPORTED)
  set_target_properties(yaml-cpp PROPERTIES IMPORTED_LOCATION ${YAML_CPP_ARM64}
    INTERFACE_INCLUDE_DIRECTORIES ${YAML_CPP_HEADERS})
endif()
