#include "cuda/emulated/runtime.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <new>
#include <utility>

#include "cuda/emulated/emulator.hpp"

namespace coterie::emulated {

struct EmulatedStream {
  std::deque<std::function<void()>> work;
  std::uint64_t finished = 0;
  std::uint64_t enqueued = 0;

  void add(std::function<void()> task) {
    work.push_back(std::move(task));
    ++enqueued;
  }
  void run_until(std::uint64_t count);
};

struct EmulatedEvent {
  EmulatedStream* stream = nullptr;  // nullptr: nothing recorded
  std::uint64_t count = 0;           // of the stream's tasks that come before
};

namespace {

constexpr int kMaxThreadsPerBlock = 1024;
constexpr int kMultiprocessors = 2;  // small, so that persistent kernels give every block several tiles

struct State {
  Emulator emulator;
  cudaError_t last_error = cudaSuccess;
  std::map<std::uintptr_t, std::size_t> device_memory;  // address -> bytes
  std::map<std::uintptr_t, std::size_t> pinned_memory;
  std::map<EmulatedStream*, std::unique_ptr<EmulatedStream>> streams;
  std::map<const void*, int> dynamic_shared_limit;
};

State& state() {
  static thread_local State instance;  // a host thread is a process with a device of its own
  return instance;
}

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) state().last_error = error;
  return error;
}

// Whether an error that stays has occurred.
bool is_lost() { return emulator().sticky && emulator().failing_call > 0 && emulator().calls >= emulator().failing_call; }

void run_streams() {
  for (auto& [stream, owner] : state().streams) stream->run_until(stream->enqueued);
}

// Counts a call, and fails it when a test asked for that. The device goes on with what it had before a call that fails alone, and with
// nothing once it is lost: so no copy is left over of memory that the error takes with it.
cudaError_t enter_call() {
  Emulator& device = emulator();
  ++device.calls;
  const bool fails = device.calls == device.failing_call;
  if (fails && !is_lost()) run_streams();
  return remember(fails || is_lost() ? device.failing_error : cudaSuccess);
}

// What a call that frees something answers: it fails with the device, but never by itself.
cudaError_t leave_call() { return is_lost() ? emulator().failing_error : cudaSuccess; }

bool contains(const std::map<std::uintptr_t, std::size_t>& memory, const void* address, std::size_t bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(address);
  auto next = memory.upper_bound(begin);
  if (next == memory.begin()) return false;
  --next;
  return begin + bytes <= next->first + next->second;
}

cudaError_t allocate(std::map<std::uintptr_t, std::size_t>& memory, void** address, std::size_t bytes) {
  ++emulator().allocations;
  constexpr std::size_t kAlignment = 256;  // as cudaMalloc
  void* p = ::operator new (std::max<std::size_t>(bytes, 1), std::align_val_t{kAlignment});
  std::memset(p, static_cast<int>(kPoison), bytes);
  memory.emplace(reinterpret_cast<std::uintptr_t>(p), bytes);
  *address = p;
  return cudaSuccess;
}

std::size_t release(std::map<std::uintptr_t, std::size_t>& memory, void* address) {
  const auto found = memory.find(reinterpret_cast<std::uintptr_t>(address));
  const std::size_t bytes = found->second;
  memory.erase(found);
  ::operator delete (address, std::align_val_t{256});
  return bytes;
}

void wait_for(EmulatedStream* stream, std::uint64_t count) {  // by the host
  ++emulator().waits;
  stream->run_until(count);
}

void run_everything() {
  ++emulator().waits;
  run_streams();
}

bool known(EmulatedStream* stream) { return state().streams.contains(stream); }

bool copy_is_sound(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const bool to_device = contains(state().device_memory, to, bytes);
  const bool from_device = contains(state().device_memory, from, bytes);
  return to_device == (kind != cudaMemcpyDeviceToHost) && from_device == (kind != cudaMemcpyHostToDevice);
}

}  // namespace

Emulator& emulator() { return state().emulator; }

void Emulator::fail_call(std::int64_t nth, cudaError_t error, bool stays) {
  failing_call = calls + nth;
  failing_error = error;
  sticky = stays;
}

void EmulatedStream::run_until(std::uint64_t count) {
  while (finished < count) {
    const std::function<void()> task = std::move(work.front());
    work.pop_front();
    ++finished;
    if (!is_lost()) task();
  }
}

FreshEmulator::FreshEmulator() { *this->operator->() = Emulator{}; }

FreshEmulator::~FreshEmulator() {
  const std::size_t used = emulator().memory_used;
  emulator() = Emulator{};
  emulator().memory_used = used;
  state().last_error = cudaSuccess;
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
  }
  return "cudaErrorUnknown";
}

const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "reported by the emulated device"; }

cudaError_t cudaGetLastError() {
  const cudaError_t error = std::exchange(state().last_error, cudaSuccess);
  return is_lost() ? emulator().failing_error : error;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = emulator().driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (emulator().device_count_error != cudaSuccess) return remember(emulator().device_count_error);
  *count = emulator().device_count;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= emulator().device_count) return remember(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "emulated device");
  properties->major = emulator().compute_major;
  properties->minor = emulator().compute_minor;
  properties->multiProcessorCount = kMultiprocessors;
  properties->l2CacheSize = 1 << 20;
  properties->totalGlobalMem = emulator().memory_bytes;
  properties->sharedMemPerBlockOptin = SharedMemory::kBlockBytes;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  return device >= 0 && device < emulator().device_count ? cudaSuccess : remember(cudaErrorInvalidDevice);
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  *total = emulator().memory_bytes;
  *free = *total - std::min(*total, emulator().memory_used);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** address, std::size_t bytes) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  if (emulator().memory_used + bytes > emulator().memory_bytes) return remember(cudaErrorMemoryAllocation);
  emulator().memory_used += bytes;
  emulator().most_memory_used = std::max(emulator().most_memory_used, emulator().memory_used);
  return allocate(state().device_memory, address, bytes);
}

cudaError_t cudaFree(void* address) {
  if (address == nullptr) return cudaSuccess;
  if (!state().device_memory.contains(reinterpret_cast<std::uintptr_t>(address))) return remember(cudaErrorInvalidValue);
  run_everything();
  emulator().memory_used -= release(state().device_memory, address);
  return leave_call();
}

cudaError_t cudaHostAlloc(void** address, std::size_t bytes, unsigned) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  return allocate(state().pinned_memory, address, bytes);
}

cudaError_t cudaFreeHost(void* address) {
  if (address == nullptr) return cudaSuccess;
  if (!state().pinned_memory.contains(reinterpret_cast<std::uintptr_t>(address))) return remember(cudaErrorInvalidValue);
  run_everything();
  release(state().pinned_memory, address);
  return leave_call();
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  if (!known(stream)) return remember(cudaErrorInvalidResourceHandle);
  if (!copy_is_sound(to, from, bytes, kind)) return remember(cudaErrorInvalidValue);
  if (kind == cudaMemcpyHostToDevice) emulator().copied_to_device += static_cast<std::int64_t>(bytes);
  ++emulator().operations;
  stream->add([=] { std::memcpy(to, from, bytes); });
  const void* host = kind == cudaMemcpyHostToDevice ? from : to;
  const bool pageable = kind != cudaMemcpyDeviceToDevice && !contains(state().pinned_memory, host, bytes);
  // For pageable memory the real one may wait and may not: what comes from there costs a wait here and still leaves late.
  if (pageable && kind == cudaMemcpyDeviceToHost)
    wait_for(stream, stream->enqueued);
  else
    emulator().waits += pageable;
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  if (!known(stream)) return remember(cudaErrorInvalidResourceHandle);
  if (!contains(state().device_memory, to, bytes)) return remember(cudaErrorInvalidValue);
  ++emulator().operations;
  stream->add([=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  auto owner = std::make_unique<EmulatedStream>();
  *stream = owner.get();
  state().streams.emplace(*stream, std::move(owner));
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!known(stream)) return remember(cudaErrorInvalidResourceHandle);
  stream->run_until(stream->enqueued);
  state().streams.erase(stream);
  return leave_call();
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  if (!known(stream)) return remember(cudaErrorInvalidResourceHandle);
  wait_for(stream, stream->enqueued);
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  if (!known(stream)) return remember(cudaErrorInvalidResourceHandle);
  stream->add([recorded = *event] {
    if (known(recorded.stream)) recorded.stream->run_until(recorded.count);
  });
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  run_everything();
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  *event = new EmulatedEvent;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return leave_call();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  if (!known(stream)) return remember(cudaErrorInvalidResourceHandle);
  *event = {stream, stream->enqueued};
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  if (known(event->stream)) wait_for(event->stream, event->count);
  return cudaSuccess;
}

cudaError_t set_dynamic_shared_limit(const void* kernel, int bytes) {
  if (const cudaError_t error = enter_call(); error != cudaSuccess) return error;
  if (bytes < 0 || static_cast<std::size_t>(bytes) > SharedMemory::kBlockBytes) return remember(cudaErrorInvalidValue);
  state().dynamic_shared_limit[kernel] = bytes;
  return cudaSuccess;
}

cudaError_t count_active_blocks(int* blocks, int threads, std::size_t shared_bytes) {
  constexpr int kThreadsPerMultiprocessor = 2048;
  constexpr std::size_t kSystemBytes = 1024;  // of shared memory per block
  const auto by_memory = static_cast<int>((SharedMemory::kBlockBytes + kSystemBytes) / (shared_bytes + kSystemBytes));
  *blocks = std::min(kThreadsPerMultiprocessor / threads, by_memory);
  return cudaSuccess;
}

void enqueue_launch(const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream, std::function<void()> body) {
  if (enter_call() != cudaSuccess) return;
  const auto limit = state().dynamic_shared_limit.find(kernel);
  const std::size_t allowed =
      limit == state().dynamic_shared_limit.end() ? SharedMemory::kStaticBytes : static_cast<std::size_t>(limit->second);
  const bool sound =
      known(stream) && grid.count() > 0 && block.count() > 0 && block.count() <= kMaxThreadsPerBlock && shared_bytes <= allowed;
  if (!sound) {
    remember(cudaErrorInvalidConfiguration);
    return;
  }
  ++emulator().operations;
  stream->add([=, body = std::move(body)]() mutable {
    Scheduler::get().run([](void* task) { (*static_cast<std::function<void()>*>(task))(); }, &body, grid, block, shared_bytes);
  });
}

}  // namespace coterie::emulated
