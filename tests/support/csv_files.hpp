// CSV files of tests: text in, file out; and the message of an expected error.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

#include "host/context.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::testing {

inline std::unique_ptr<Context> context_with_threads(int threads) {
  Context::Options options;
  options.threads = threads;
  options.memory_bytes = std::int64_t{1} << 30;
  return std::make_unique<Context>(options);
}

inline std::filesystem::path write_text(const ScratchFolder& folder, const std::string& name, std::string_view text) {
  std::ofstream(folder / name, std::ios::binary) << text;
  return folder / name;
}

// What f threw as an E, or what went wrong with that.
template <class E, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another exception: ") + error.what();
  }
  return "nothing was thrown";
}

}  // namespace coterie::testing
