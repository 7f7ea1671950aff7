// Text of variable length, fetched from a file's global heap without the library: HDF5 1.10 trusts what the file says there and
// reads and writes beyond its buffers when that is wrong. (HDF5 file format specification, section III.E.)
//
// A cell of such text is a reference: length (4 bytes), address of a collection, index (4 bytes) in it. The library hands
// references over untouched when cells are read as reference_type().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/hdf5.hpp"

namespace coterie::io::hdf5 {

void register_references();  // once, when the library is prepared

class GlobalHeap {
 public:
  explicit GlobalHeap(hid_t object);  // any object of a file that is open on a plain descriptor

  std::size_t reference_bytes() const { return 4 + address_bytes_ + 4; }
  Datatype reference_type() const;

  // The text behind a reference (reference_bytes), valid until the next call; nothing where none was ever written. InputError when
  // the file is damaged. `object` and `row` are for the message.
  std::optional<std::string_view> text(const std::byte* reference, hid_t object, std::int64_t row);

 private:
  struct Collection {
    std::vector<std::byte> bytes;
    std::unordered_map<std::uint64_t, std::string_view> objects;  // by index; into `bytes`
  };
  const Collection* find(std::uint64_t address);  // nullptr: no sound collection
  bool load(std::uint64_t address, Collection& collection) const;
  void list_objects(Collection& collection) const;

  int descriptor_ = -1;
  std::uint64_t base_ = 0;  // of addresses: the length of the user block
  std::uint64_t file_bytes_ = 0;
  std::size_t address_bytes_ = 8, length_bytes_ = 8;
  std::unordered_map<std::uint64_t, Collection> collections_;  // by address
  std::size_t cached_bytes_ = 0;
};

}  // namespace coterie::io::hdf5
