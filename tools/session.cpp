#include "tools/session.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "cuda/cuda_backend.hpp"
#include "cuda/devices.hpp"
#include "host/error.hpp"
#include "io/atomic_output.hpp"
#include "tools/table.hpp"

namespace coterie::tools {

namespace {

std::atomic<Context*> running{nullptr};
std::atomic<bool> stopping{false};

extern "C" void on_stop_signal(int signal) {
  const int reported = signal == SIGINT ? SIGINT : SIGTERM;
  Context* context = running.load();
  if (context == nullptr || stopping.exchange(true)) {
    io::remove_temporaries();
    _exit(128 + reported);
  }
  context->cancel(reported);
}

// What is ignored stays ignored: `nohup` and a shell's `&` have asked for it.
void set_handler(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
}

Context::Options context_options(const ResourceOptions& options, ProgressLine& progress) {
  Context::Options result;
  result.threads = options.threads;
  result.memory_bytes = options.memory_bytes;
  result.seed = options.seed;
  result.progress = [&progress](const Progress& news) { progress.show(news); };
  return result;
}

}  // namespace

Session::Session(const ResourceOptions& options) : options_(options), context_(context_options(options, progress_)) {
  running.store(&context_);
  set_handler(on_stop_signal);
}

Session::~Session() {
  set_handler(SIG_DFL);
  running.store(nullptr);
}

Backend& Session::backend() {
  if (backend_ == nullptr) backend_ = make_backend();
  return *backend_;
}

std::unique_ptr<Backend> Session::make_backend() {
  if (options_.device == "cpu") return make_cpu_backend(context_);
  if (options_.device != "auto") return COTERIE_GPU::make_backend(context_, cuda_index(), options_.gpu_memory_bytes);
  const COTERIE_GPU::Devices devices = COTERIE_GPU::probe();
  if (!devices.usable.empty()) return COTERIE_GPU::make_backend(context_, devices.usable.front().index, options_.gpu_memory_bytes);
  const std::string line = fmt::format("Device: cpu ({}).", devices.reason);
  if (devices.gpu_present)
    warn(line);
  else
    say(line);
  return make_cpu_backend(context_);
}

int Session::cuda_index() const {
  if (options_.device == "cuda") {
    const COTERIE_GPU::Devices devices = COTERIE_GPU::probe();
    if (devices.usable.empty())
      throw DeviceError("--device cuda cannot be used: " + devices.reason + ". Nothing was read or written. Use --device cpu or auto.");
    return devices.usable.front().index;
  }
  if (!options_.device.starts_with("cuda:"))
    throw ArgumentError(fmt::format("--device {}: expected auto, cpu, cuda or cuda:I.", options_.device));
  return parse_number<std::int32_t>(std::string_view(options_.device).substr(5), "--device cuda:", 0, 1023);
}

void Session::say(const std::string& line) {
  progress_.clear();
  std::fprintf(stderr, "%s\n", printable(line).c_str());
}

void Session::warn(const std::string& line) {
  say("warning: " + line);
  warnings_.push_back(printable(line));
}

std::string json_line(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

void print(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!written) throw OutputError(fmt::format("stdout: {}. Files named with -o are complete.", std::strerror(errno)));
}

}  // namespace coterie::tools
