#include "host/passes.hpp"

#include <fmt/format.h>

namespace coterie {

void throw_with_rows(const DeviceError& error, const TileSource& source) {
  const RowRange rows = source.in_flight();
  if (rows.first == rows.end) throw error;
  throw DeviceError(fmt::format("{} Rows {} to {} of {} were in flight.", error.what(), rows.first + 1, rows.end, source.n_rows()));
}

}  // namespace coterie
