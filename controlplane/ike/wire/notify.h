// What each notify may look like: the length of its data, whether it names an SPI (RFC 7296 section
// 3.10.1, and the RFCs at NotifyType).
#pragma once

#include <cstddef>
#include <cstdint>

#include "controlplane/ike/wire/iana.h"

namespace penstock::ike {

// The data may have min_bytes, or so many times step_bytes more, up to max_bytes.
struct NotifyRule {
  NotifyType type{};
  const char* name = "";
  uint16_t min_bytes = 0;
  uint16_t max_bytes = 0;
  uint16_t step_bytes = 1;
  bool has_spi = false;  // names the SPI of a child SA (AH or ESP, 4 bytes)
  [[nodiscard]] bool allows(size_t data_bytes) const {
    return data_bytes >= min_bytes && data_bytes <= max_bytes &&
           (data_bytes - min_bytes) % step_bytes == 0;
  }
};

// nullptr: a type that we do not know.
const NotifyRule* notify_rule(NotifyType type);

}  // namespace penstock::ike
