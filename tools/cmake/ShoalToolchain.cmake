# Compiler flags of our own code, on one INTERFACE target, and ccache where it is there.
find_program(SHOAL_CCACHE ccache)
if(SHOAL_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${SHOAL_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${SHOAL_CCACHE})
endif()

add_library(shoal_options INTERFACE)
target_include_directories(shoal_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
target_compile_options(shoal_options INTERFACE -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(shoal_options INTERFACE -Wthread-safety)
endif()
if(SHOAL_SANITIZE)
  target_compile_options(shoal_options INTERFACE -fsanitize=${SHOAL_SANITIZE})
  target_link_options(shoal_options INTERFACE -fsanitize=${SHOAL_SANITIZE})
endif()
if(SHOAL_SANITIZE MATCHES "thread")
  # Protobuf's headers add fields to its classes when they see it, which Debian's library was built without.
  target_compile_options(shoal_options INTERFACE -U__SANITIZE_THREAD__ -DSHOAL_THREAD_SANITIZER)
endif()

# Warnings are errors in our code, not in what protoc generates.
add_library(shoal_warnings INTERFACE)
target_compile_options(shoal_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion -Werror)
if(SHOAL_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 takes the sanitizers' own branches for ways around an initialization.
  target_compile_options(shoal_warnings INTERFACE -Wno-maybe-uninitialized)
endif()
