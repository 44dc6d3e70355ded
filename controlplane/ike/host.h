// What the engine asks its surroundings for while it computes; everything else goes out as effects.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "gateway/base/net.h"
#include "gateway/base/result.h"

namespace penstock::ike {

// Answers at once and changes nothing but reservations. Must outlive the engine.
class Host {
 public:
  virtual ~Host() = default;
  // An inbound ESP SPI; in the product it names a slot of the dataplane.
  virtual Result<uint32_t> reserve_spi() = 0;
  // Of an SPI that no InstallChildSa has named; afterwards RemoveChildSa frees it.
  virtual void release_spi(uint32_t spi) = 0;
  // The address of ours that the route to `remote` leaves by.
  [[nodiscard]] virtual std::optional<IpAddress> source_address_for(
      const IpAddress& remote) const = 0;
  // The addresses on which IKE listens.
  [[nodiscard]] virtual std::vector<IpAddress> local_addresses() const = 0;
};

}  // namespace penstock::ike
