// coterie: customer segmentation from the command line. Data goes to stdout, talk to stderr; every exception of the
// library becomes one line and its exit code.
#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <system_error>

#include "host/error.hpp"
#include "io/atomic_output.hpp"
#include "tools/config.hpp"
#include "tools/options.hpp"
#include "tools/session.hpp"
#include "tools/suggest.hpp"
#include "tools/table.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {
namespace {

// A closed fd 0, 1 or 2 would be given to the next file opened, and messages would land in it.
void open_standard_streams() {
  for (int fd = open("/dev/null", O_RDWR); fd >= 0; fd = open("/dev/null", O_RDWR)) {
    if (fd > 2) {
      close(fd);
      break;
    }
  }
  // A reader that goes away and a file-size limit become failed writes, which end with exit code 7.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

const CLI::App& chosen_verb(const CLI::App& root) {
  const auto verbs = root.get_subcommands();
  return verbs.empty() ? root : *verbs.front();
}

// A mistyped option often breaks the parse elsewhere, so unknown words are looked at before CLI11's own message.
std::string parse_message(const CLI::App& root, const CLI::ParseError& error) {
  const CLI::App& verb = chosen_verb(root);
  for (const std::string& word : root.remaining(true)) {
    std::vector<std::string> known;
    if (word.starts_with("-")) {
      for (const CLI::App* app : {&verb, &root})
        for (const CLI::Option* option : app->get_options())
          if (!option->get_lnames().empty()) known.push_back("--" + option->get_lnames().front());
    } else if (&verb == &root) {
      for (const CLI::App* known_verb : root.get_subcommands({})) known.push_back(known_verb->get_name());
    } else {
      continue;
    }
    const std::string typed = word.substr(0, word.find('='));
    const std::string near = did_you_mean(typed, known);
    return fmt::format("{} {}.{}", word.starts_with("-") ? "unknown option" : "unknown verb", typed,
                       near.empty() ? fmt::format(" See {} --help.", &verb == &root ? "coterie" : "coterie " + verb.get_name()) : near);
  }
  return fmt::format("{}. See {} --help.", error.what(), &verb == &root ? "coterie" : "coterie " + verb.get_name());
}

// A word stands where the verb does, and is none.
bool has_unknown_verb(const CLI::App& root) {
  const std::vector<std::string> words = root.remaining(true);
  return root.get_subcommands().empty() &&
         std::any_of(words.begin(), words.end(), [](const std::string& word) { return !word.starts_with('-'); });
}

int fail(ExitCode code, std::string message) {
  if (!message.ends_with('.') && !message.ends_with('?')) message += '.';
  std::fprintf(stderr, "error: %s\n", printable(message).c_str());
  return static_cast<int>(code);
}

// oneTBB says in words only that it gets no thread.
bool is_lack(const std::exception& error) {
  const auto* system = dynamic_cast<const std::system_error*>(&error);
  for (const std::errc lack : {std::errc::resource_unavailable_try_again, std::errc::not_enough_memory})
    if (system != nullptr ? system->code() == lack : std::string_view(error.what()).ends_with(std::make_error_code(lack).message()))
      return true;
  return false;
}

// What the exception that is being handled means.
int fail_of_exception() {
  try {
    throw;
  } catch (const Error& error) {
    return fail(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return fail(ExitCode::resource, "out of memory. Nothing was written. Lower --memory, or free memory on this machine.");
  } catch (const std::exception& error) {
    if (!is_lack(error)) return fail(ExitCode::internal, std::string("a defect of coterie, please report it: ") + error.what());
    return fail(ExitCode::resource,
                "the system gives no more threads or memory. Nothing was written. Lower --threads and --memory, or raise "
                "the limits that `ulimit -a` shows.");
  }
}

// Where a thread of a library lets an exception escape. Several may do so at once: the first one speaks and ends the process.
void on_terminate() {
  static std::atomic_flag speaks;
  while (speaks.test_and_set()) pause();
  if (!std::current_exception()) std::abort();
  int code = static_cast<int>(ExitCode::resource);
  try {
    code = fail_of_exception();
  } catch (const std::bad_alloc&) {  // there is none for the words either
    std::fputs("error: out of memory. Nothing was written.\n", stderr);
  }
  io::remove_temporaries();
  _exit(code);
}

std::vector<Verb> add_verbs(CLI::App& root) {
  return {add_run(root),   add_inspect(root),    add_import(root), add_features(root), add_synth(root),  add_cluster(root),
          add_sweep(root), add_propensity(root), add_assign(root), add_profile(root),  add_export(root), add_devices(root)};
}

int run(int argc, char** argv) {
  CLI::App root("Find the customers who belong together: segments from behavioural features, on the CPU or a GPU.", "coterie");
  root.set_version_flag("--version", "coterie " COTERIE_VERSION);
  bool print_config = false;
  root.add_flag("--print-config", print_config, "Print the options of the verb as TOML for --config, and stop");
  add_config(root);
  root.require_subcommand(1);
  root.footer(
      "Exit codes: 0 ok, 1 internal, 2 arguments, 3 input file, 4 contents, 5 numeric, 6 resource, 7 output,\n"
      "8 device, 9 distributed, 10 policy, 130 and 143 stopped by a signal.");
  const std::vector<Verb> verbs = add_verbs(root);
  try {
    root.parse(argc, argv);
  } catch (const CLI::Success& help) {
    if (has_unknown_verb(root)) return fail(ExitCode::arguments, parse_message(root, help));
    return root.exit(help);
  } catch (const CLI::ParseError& error) {
    return fail(ExitCode::arguments, parse_message(root, error));
  }
  check_given(root, chosen_verb(root));
  if (print_config) {
    print(config_text(chosen_verb(root)));
    return 0;
  }
  for (const Verb& verb : verbs)
    if (verb.options->parsed()) verb.act();
  return 0;
}

// What the memory ledger counts as free again, the system shall have again: otherwise the C library, once it has seen buffers of that size
// come and go, keeps up to 32 MiB blocks in its heap.
void return_large_blocks() {
  constexpr int kLargeBlock = 4 << 20;
  mallopt(M_MMAP_THRESHOLD, kLargeBlock);
}

}  // namespace
}  // namespace coterie::tools

int main(int argc, char** argv) {
  using namespace coterie;
  tools::open_standard_streams();
  tools::return_large_blocks();
  std::set_terminate(tools::on_terminate);
  try {
    return tools::run(argc, argv);
  } catch (const std::exception&) {
    return tools::fail_of_exception();
  }
}
