# shoal_library(NAME SOURCES ... DEPS ...)   one static library per folder
# shoal_program(NAME SOURCES ... DEPS ...)   a thin main
# shoal_test(NAME SOURCES ... DEPS ...)      one GoogleTest program per part of the tree, one ctest entry per test
include(GoogleTest)

function(shoal_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC shoal_options ${ARG_DEPS} PRIVATE shoal_warnings)
endfunction()

function(shoal_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE shoal_options shoal_warnings ${ARG_DEPS})
  if(TARGET mimalloc)
    # It takes the place of malloc by being linked; nothing names it.
    target_link_options(${name} PRIVATE "LINKER:--push-state,--no-as-needed" $<TARGET_FILE:mimalloc> "LINKER:--pop-state")
  endif()
endfunction()

function(shoal_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE shoal_options shoal_warnings ${ARG_DEPS} GTest::gtest GTest::gmock
                                        GTest::gtest_main)
  gtest_discover_tests(${name} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 300)
endfunction()
