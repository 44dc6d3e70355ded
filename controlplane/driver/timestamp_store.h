// The floor below which no handshake initiation may be stamped again (WireGuard paper 5.1: TAI64N,
// never backwards), kept in a file so that it also holds after a restart with the clock behind.
// One value for all interfaces: a floor that is higher than needed does no harm.
//
// Control thread only; store() waits for the disk, about once a minute.
#pragma once

#include <cstdint>
#include <string>

#include "gateway/base/result.h"

namespace penstock {

class TimestampStore {
 public:
  // Makes the directory where it is missing. A file that is not readable as a number is an error:
  // to begin anew might go backwards.
  static Result<TimestampStore> open(const std::string& directory);

  [[nodiscard]] uint64_t floor_ns() const { return floor_ns_; }  // since 1970; 0: none yet
  // On the disk when it returns. A value that is not above the stored one is stored already.
  Status store(uint64_t floor_ns);

 private:
  std::string directory_;
  uint64_t floor_ns_ = 0;
};

}  // namespace penstock
