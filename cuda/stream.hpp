// Streams and events that know how they are destroyed.
#pragma once

#include <utility>

#include "cuda/check.hpp"

namespace coterie::COTERIE_GPU {

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { (void)cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }
  void synchronize() const { check(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  ~Event() { (void)cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(const Stream& stream) { check(cudaEventRecord(event_, stream.get())); }
  void synchronize() const { check(cudaEventSynchronize(event_)); }
  void hold(const Stream& stream) const { check(cudaStreamWaitEvent(stream.get(), event_)); }  // its later work waits for this event

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace coterie::COTERIE_GPU
