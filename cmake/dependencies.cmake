# Finds what Thaw is built with. Everything is a Debian package (12 or 13); deploy/lib/packages.sh has
# the list that the scripts install.

# ccache and mold make a rebuild quick; neither is needed.
find_program(THAW_CCACHE ccache)
if(THAW_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${THAW_CCACHE}")
endif()
find_program(THAW_MOLD mold)
if(THAW_MOLD AND NOT THAW_NO_MOLD)
  add_link_options("-fuse-ld=mold")
endif()

find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Boost 1.74 REQUIRED)

pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(sqlite3 REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(yaml_cpp REQUIRED IMPORTED_TARGET yaml-cpp)

find_program(THAW_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

if(THAW_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()
