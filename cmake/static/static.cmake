# CHASKI_STATIC: programs that need nothing but libc, in a version that Ubuntu 22.04 has (tools/check_glibc.py).
# Libraries are looked for as archives; what Debian's archives lack is in this folder.
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
set(OPENSSL_USE_STATIC_LIBS TRUE)
set(yaml-cpp_DIR ${CMAKE_CURRENT_LIST_DIR})
# What libedit's shared library names itself.
find_library(TINFO_ARCHIVE tinfo REQUIRED)
find_library(BSD_ARCHIVE bsd REQUIRED)
set(CHASKI_EDIT_NEEDS ${TINFO_ARCHIVE} ${BSD_ARCHIVE})

# Takes the place of fmt::fmt, and defines what that does: so the objects are those of the ordinary build.
add_library(chaski_static STATIC ${CMAKE_CURRENT_LIST_DIR}/fmt.cpp ${CMAKE_CURRENT_LIST_DIR}/find_object.cpp
  ${CMAKE_CURRENT_LIST_DIR}/once.cpp)
target_compile_definitions(chaski_static PUBLIC FMT_SHARED)
# Without unused functions: among libstdc++'s is one that asks for glibc 2.36.
target_link_options(chaski_static INTERFACE -static-libstdc++ -static-libgcc -Wl,--gc-sections
  -Wl,--undefined=_dl_find_object -Wl,--undefined=pthread_once)
set(CHASKI_FMT chaski_static)
