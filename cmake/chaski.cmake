# Compiler options that every target shares, and chaski_library(NAME DEPS…): the static library of src/NAME.

add_library(chaski_options INTERFACE)
target_include_directories(chaski_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_compile_options(chaski_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
  -fno-omit-frame-pointer -fstack-protector-strong)
if(CHASKI_WERROR)
  target_compile_options(chaski_options INTERFACE -Werror)
endif()
# Results must not depend on whether the compiler fuses a multiply and an add: kernels ask for FMA by name.
target_compile_options(chaski_options INTERFACE -ffp-contract=off)
target_compile_definitions(chaski_options INTERFACE $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>)
if(CHASKI_SANITIZE)
  target_compile_options(chaski_options INTERFACE -fsanitize=${CHASKI_SANITIZE} -fno-sanitize-recover=all)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CHASKI_SANITIZE MATCHES "address")
    # Where a function reads and writes a lot, checks are calls: written out, they take the kernels three times
    # as long to compile.
    target_compile_options(chaski_options INTERFACE --param=asan-instrumentation-with-call-threshold=200)
  endif()
  target_link_options(chaski_options INTERFACE -fsanitize=${CHASKI_SANITIZE})
endif()

function(chaski_library name)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  if(sources)
    add_library(chaski_${name} STATIC ${sources})
    target_link_libraries(chaski_${name} PUBLIC chaski_options ${ARGN})
  else()
    add_library(chaski_${name} INTERFACE)
    target_link_libraries(chaski_${name} INTERFACE chaski_options ${ARGN})
  endif()
endfunction()

# The row codecs are compiled once per instruction set; their results do not depend on it.
set(codec_options $<$<NOT:$<CONFIG:Debug>>:-O3>)
set(codec_avx512_options -mavx512f -mavx512bw -mavx512vl -mavx512dq)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12's own AVX-512 headers read "undefined" vectors.
  list(APPEND codec_avx512_options -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/tensor/codecs_scalar.cpp PROPERTIES COMPILE_OPTIONS "${codec_options}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/tensor/codecs_avx2.cpp PROPERTIES COMPILE_OPTIONS
    "${codec_options};-mavx2")
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/tensor/codecs_avx512.cpp PROPERTIES COMPILE_OPTIONS
    "${codec_options};-mavx2;${codec_avx512_options}")
endif()
