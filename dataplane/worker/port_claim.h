// Keeps a second gateway off a network interface: the kernel would let both read and answer.
#pragma once

#include <string>

#include "gateway/base/result.h"

namespace penstock {

// Holds an interface of this network namespace until destruction or the end of the process,
// whichever way that comes. Control thread.
class PortClaim {
 public:
  static Result<PortClaim> take(const std::string& interface);
  PortClaim() = default;
  PortClaim(PortClaim&& other) noexcept;
  PortClaim& operator=(PortClaim&& other) noexcept;
  ~PortClaim();

 private:
  void release();
  int socket_ = -1;
};

}  // namespace penstock
