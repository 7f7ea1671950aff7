// Compiled without ThreadSanitizer, like collectives.cpp: it could not tell the reads of tensor cores from those of the thread.
#include "cuda/instructions/warpgroup_mma.hpp"
#include "cuda/emulated/emulator.hpp"

#include "cuda/half_bits.hpp"

namespace coterie::emulated {
namespace {

constexpr int kInner = 16;

// 16 columns of a row of core matrices.
void read_row(const std::byte* operand, int row, float (&values)[kInner]) {
  const std::byte* const core = operand + row / 8 * kCoreRowsBytes + row % 8 * 16;
  for (int column = 0; column < kInner; ++column) {
    std::uint16_t bits;
    std::memcpy(&bits, core + column / 8 * (kCoreRowsBytes / 2) + column % 8 * 2, sizeof bits);
    values[column] = from_half_bits(bits);
  }
}

void multiply(const PendingProduct& product) {
  const Thread& thread = Scheduler::running().thread();
  const int group = static_cast<int>(thread.lane) / 4, member = static_cast<int>(thread.lane) % 4;
  float a[2][kInner], b[kInner];
  for (int i = 0; i < 2; ++i) read_row(product.a, static_cast<int>(thread.warp) % 4 * 16 + group + 8 * i, a[i]);
  for (int j = 0; j < kWarpgroupColumns / 4; ++j) {
    read_row(product.b, j / 2 * 8 + 2 * member + j % 2, b);
    for (int i = 0; i < 2; ++i) {
      float& sum = product.sums[j / 2][2 * i + j % 2];
      for (int inner = 0; inner < kInner; ++inner) sum += a[i][inner] * b[inner];
    }
  }
}

}  // namespace

void multiply_fp16(float (&d)[16][4], const ProductOperand& a, const ProductOperand& b) {
  if ((reinterpret_cast<std::uintptr_t>(a.first) | reinterpret_cast<std::uintptr_t>(b.first)) % 16 != 0)
    throw EmulationError("wgmma with a misaligned operand");
  const UntouchedMemory bookkeeping;
  Scheduler::running().thread().open_products.push_back({d, a.first, b.first});
}

void commit_products() {
  const UntouchedMemory bookkeeping;
  Thread& thread = Scheduler::running().thread();
  thread.product_groups.push_back(std::move(thread.open_products));
  thread.open_products.clear();
}

void finish_products(std::size_t groups_left) {
  auto& groups = Scheduler::running().thread().product_groups;
  while (groups.size() > groups_left) {
    for (const PendingProduct& product : groups.front()) multiply(product);
    const UntouchedMemory bookkeeping;
    groups.erase(groups.begin());
  }
  Scheduler::running().meet(kAllLanes, "wgmma.wait_group", nullptr, nullptr,
                            true);  // .sync.aligned: what one lane says next, all have done
}

}  // namespace coterie::emulated
