# SPDX-License-Identifier: LGPL-2.1-or-later
# Compiler settings, the layout of the build tree (the same as of an installation, so that programs find their
# library and plugins relative to themselves in both), and the functions that declare plugins and tests.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_CLANG_TIDY)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
set(DISKTOOL_PLUGIN_DIR lib/disktool/plugins)
set(DISKTOOL_ENGINE_DIR lib/disktool/engines)
set(DISKTOOL_LIBEXEC_DIR libexec/disktool)

add_compile_definitions(_FILE_OFFSET_BITS=64 _GNU_SOURCE)
add_compile_options(-Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  -Wcast-align -Wconversion -Wno-sign-conversion)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wno-restrict) # misfires on std::string in GCC 12 at -O3 (GCC bug 105651)
endif()
# What sanitizers and gdb need to name files and lines; -g also describes types and variables, which takes a tenth of the time and
# a fifth of the object files. -DCMAKE_CXX_FLAGS_DEBUG=-ggdb gives them back.
if(DISKTOOL_SANITIZE AND CMAKE_CXX_FLAGS_DEBUG STREQUAL "-g")
  set(CMAKE_CXX_FLAGS_DEBUG "-g1")
endif()
if(DISKTOOL_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(DISKTOOL_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
endif()

if(DISKTOOL_SANITIZE OR DISKTOOL_FUZZ)
  add_library(disktool-sanitizer-options OBJECT ${CMAKE_CURRENT_LIST_DIR}/sanitizer_options.cpp)
  target_compile_options(disktool-sanitizer-options PRIVATE -fno-sanitize=all) # some programs have no sanitizer
  link_libraries("$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:$<TARGET_OBJECTS:disktool-sanitizer-options>>")
endif()

# disktool_plugin(NAME [LIBRARIES lib...]): every *.cpp of the folder becomes two targets: the static library
# plugin-NAME-code, which the plugin's own tests link, and the module lib/disktool/plugins/NAME/NAME.so with
# its plugin.yaml beside it. The file plugin.cpp holds the registration macro and goes into the module alone.
function(disktool_plugin name)
  cmake_parse_arguments(P "" "" "LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/plugin.cpp)
  add_library(plugin-${name}-code STATIC ${sources})
  target_include_directories(plugin-${name}-code PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(plugin-${name}-code PUBLIC disktool ${P_LIBRARIES})
  if(NOT DISKTOOL_FUZZ)
    add_library(plugin-${name} MODULE plugin.cpp)
    target_link_libraries(plugin-${name} PRIVATE plugin-${name}-code)
    set_target_properties(plugin-${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name}
      CXX_VISIBILITY_PRESET hidden INSTALL_RPATH "$ORIGIN/../../.."
      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/${DISKTOOL_PLUGIN_DIR}/${name})
    configure_file(plugin.yaml ${CMAKE_BINARY_DIR}/${DISKTOOL_PLUGIN_DIR}/${name}/plugin.yaml COPYONLY)
    install(TARGETS plugin-${name} DESTINATION ${DISKTOOL_PLUGIN_DIR}/${name})
    install(FILES plugin.yaml DESTINATION ${DISKTOOL_PLUGIN_DIR}/${name})
  endif()
  file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/*_test.cpp)
  if(DISKTOOL_TESTS AND DISKTOOL_UNIT_TESTS AND NOT DISKTOOL_FUZZ AND tests)
    disktool_test(${name}-test ${tests})
    target_link_libraries(${name}-test PRIVATE plugin-${name}-code)
  endif()
endfunction()

# disktool_test(NAME file...): one GoogleTest program, one ctest entry a test case.
function(disktool_test name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE disktool disktool-test-support GTest::gmock GTest::gtest GTest::gtest_main)
  if(DISKTOOL_SANITIZE)
    # Of the tests' own sources: these three look at each access to a member, which is a quarter of the time that a test takes to
    # compile. What is tested has them. AddressSanitizer tells of null, too.
    target_compile_options(${name} PRIVATE -fno-sanitize=vptr,null,alignment)
  endif()
  target_compile_definitions(${name} PRIVATE
    DISKTOOL_BUILD_DIR="${CMAKE_BINARY_DIR}" DISKTOOL_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests
    INSTALL_RPATH "$ORIGIN/../lib")
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 900)
endfunction()
