# coterie_flags: how every target of the project is compiled.
add_library(coterie_flags INTERFACE)
# No contraction: bits are defined operation by operation, and fma is written where it is meant.
# No math errno, no trapping math: sqrt and comparisons vectorise; neither changes a result.
target_compile_options(coterie_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-missing-field-initializers -Wpedantic -Wshadow -Werror -Wno-unknown-pragmas -ffp-contract=off -fno-math-errno -fno-trapping-math>
  $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false --Werror=all-warnings -Xcompiler=-Wall,-Wextra,-ffp-contract=off>)
target_include_directories(coterie_flags INTERFACE ${PROJECT_SOURCE_DIR})

if(COTERIE_SANITIZE)
  string(REGEX REPLACE "([^,]+)" "-fsanitize=\\1" COTERIE_SANITIZE_CUDA "${COTERIE_SANITIZE}")  # nvcc splits -Xcompiler at commas
  target_compile_options(coterie_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${COTERIE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer>
    $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${COTERIE_SANITIZE_CUDA} -Xcompiler=-fno-omit-frame-pointer>)
  target_link_options(coterie_flags INTERFACE -fsanitize=${COTERIE_SANITIZE})
endif()
