# The project's target functions.
include(GoogleTest)

# Sets the project's warnings on our own target. Private, so that users of a library choose their own.
# THAW_WERROR (a preset sets it) turns them into errors.
option(THAW_WERROR "warnings are errors" OFF)
function(thaw_set_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -Wno-sign-conversion)
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    target_compile_options(${target} PRIVATE -Wthread-safety)
  endif()
  if(THAW_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
      # What these say follows from the optimiser's guesses: GCC 14 is wrong about vectors that GCC 12 understands. They
      # stay visible, and stop nobody's build.
      target_compile_options(${target} PRIVATE -Wno-error=array-bounds -Wno-error=stringop-overflow
        -Wno-error=stringop-overread -Wno-error=maybe-uninitialized -Wno-error=null-dereference
        -Wno-error=free-nonheap-object -Wno-error=dangling-reference)
    endif()
  endif()
endfunction()

# THAW_TSAN (the preset tsan sets it) tells ThreadSanitizer about the mutexes of an Abseil that was not built with it:
# see cmake/tsan/absl_mutex.cc, which then belongs to every executable.
option(THAW_TSAN "the executables run under ThreadSanitizer" OFF)
function(thaw_add_tsan_mutexes target)
  if(THAW_TSAN)
    target_sources(${target} PRIVATE "${PROJECT_SOURCE_DIR}/cmake/tsan/absl_mutex.cc")
    target_link_libraries(${target} PRIVATE absl::synchronization absl::time ${CMAKE_DL_LIBS})
  endif()
endfunction()

# thaw_library(NAME name SRCS a.cc … [DEPS target …])
#
# Makes the static library `thaw_<name>` with the alias `thaw::<name>`; headers are included from the
# repository's root.
function(thaw_library)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  add_library(thaw_${ARG_NAME} STATIC ${ARG_SRCS})
  add_library(thaw::${ARG_NAME} ALIAS thaw_${ARG_NAME})
  target_include_directories(thaw_${ARG_NAME} PUBLIC "${PROJECT_SOURCE_DIR}")
  target_link_libraries(thaw_${ARG_NAME} PUBLIC ${ARG_DEPS})
  thaw_set_warnings(thaw_${ARG_NAME})
endfunction()

# thaw_executable(NAME file-name SRCS … DEPS …)
function(thaw_executable)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_include_directories(${ARG_NAME} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS})
  thaw_set_warnings(${ARG_NAME})
  thaw_add_tsan_mutexes(${ARG_NAME})
endfunction()

# thaw_test(NAME name SRCS … DEPS … [LABELS unit|contract|component|host|system …] [TIMEOUT seconds]
#           [SERIAL] [ENVIRONMENT NAME=VALUE …])
#
# A GoogleTest binary `<name>`; each of its cases is one ctest entry, except in SERIAL ones (host and
# system tests share a Docker Engine and costly fixtures), whose binary is one entry that runs alone; skipped where all
# of its cases were (tests/support/serial_main.cc).
function(thaw_test)
  cmake_parse_arguments(ARG "SERIAL" "NAME;TIMEOUT" "SRCS;DEPS;LABELS;ENVIRONMENT" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_include_directories(${ARG_NAME} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock)
  if(ARG_SERIAL)
    target_sources(${ARG_NAME} PRIVATE "${PROJECT_SOURCE_DIR}/tests/support/serial_main.cc")
  else()
    target_link_libraries(${ARG_NAME} PRIVATE GTest::gtest_main)
  endif()
  thaw_set_warnings(${ARG_NAME})
  target_compile_options(${ARG_NAME} PRIVATE -Wno-conversion)
  thaw_add_tsan_mutexes(${ARG_NAME})
  if(ARG_SERIAL)
    add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
    set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} RUN_SERIAL TRUE
      SKIP_RETURN_CODE 77)
    if(ARG_ENVIRONMENT)
      set_tests_properties(${ARG_NAME} PROPERTIES ENVIRONMENT "${ARG_ENVIRONMENT}")
    endif()
  else()
    gtest_discover_tests(${ARG_NAME} TEST_PREFIX "${ARG_NAME}/"
      PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} DISCOVERY_TIMEOUT 60)
  endif()
endfunction()

# thaw_proto(NAME name PROTOS a.proto … [GRPC] [DEPS …])
#
# Generates C++ for .proto files of proto/ into the library `thaw_<name>`. Generated code gets no warnings.
function(thaw_proto)
  cmake_parse_arguments(ARG "GRPC" "NAME" "PROTOS;DEPS" ${ARGN})
  set(root "${PROJECT_SOURCE_DIR}/proto")
  set(out "${PROJECT_BINARY_DIR}/generated")
  file(MAKE_DIRECTORY "${out}")
  set(sources)
  foreach(proto IN LISTS ARG_PROTOS)
    string(REGEX REPLACE "\\.proto$" "" base "${proto}")
    set(outputs "${out}/${base}.pb.cc" "${out}/${base}.pb.h")
    set(command protobuf::protoc "-I${root}" "--cpp_out=${out}")
    if(ARG_GRPC)
      list(APPEND outputs "${out}/${base}.grpc.pb.cc" "${out}/${base}.grpc.pb.h")
      list(APPEND command "--grpc_out=${out}" "--plugin=protoc-gen-grpc=${THAW_GRPC_CPP_PLUGIN}")
    endif()
    add_custom_command(OUTPUT ${outputs} COMMAND ${command} "${root}/${proto}"
      DEPENDS "${root}/${proto}" COMMENT "protoc ${proto}" VERBATIM)
    list(APPEND sources ${outputs})
  endforeach()
  add_library(thaw_${ARG_NAME} STATIC ${sources})
  add_library(thaw::${ARG_NAME} ALIAS thaw_${ARG_NAME})
  target_include_directories(thaw_${ARG_NAME} SYSTEM PUBLIC "${out}")
  target_link_libraries(thaw_${ARG_NAME} PUBLIC protobuf::libprotobuf ${ARG_DEPS})
  if(ARG_GRPC)
    target_link_libraries(thaw_${ARG_NAME} PUBLIC gRPC::grpc++)
  endif()
endfunction()
