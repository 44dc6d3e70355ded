// What the resolver wants done: pulled one by one with Resolver::poll() and carried out in order.
#pragma once

#include <cstdint>
#include <variant>

#include "dataplane/api/drop_reason.h"
#include "gateway/base/bytes.h"
#include "gateway/base/ids.h"
#include "gateway/base/net.h"

namespace penstock::neighbour {

// Dataplane::send_frame().
struct SendFrame {
  PortId port;
  MacAddress destination;
  uint16_t ether_type = 0;
  ByteVector payload;
};

// Dataplane::set_neighbour(). Where that refuses, answer with Resolver::on_refused().
struct SetNeighbour {
  PortId port;
  IpAddress address;
  MacAddress mac;
};
struct RemoveNeighbour {
  PortId port;
  IpAddress address;
};

// A packet that waited for a neighbour, now resolved: as on_need() got it.
struct SendIp {
  ByteVector packet;
};

// Report host or address unreachable about this packet, which waited in vain (RFC 1812 5.2.7.1,
// RFC 4861 7.2.2). It is counted as dropped by an effect of its own.
struct UnreachableIcmp {
  PortId port;
  ByteVector packet;
};

struct CountDrop {
  DropReason reason = DropReason::kHostDropped;
  uint64_t packets = 1;
};

// For the log only.
struct Notify {
  enum class Kind : uint8_t {
    kDuplicateAddress,  // `mac` uses `address`, which is ours; at most once per defend interval
    kMacChanged,        // a neighbour we knew has another MAC address now
    kTableFull,         // an entry in use had to make room; at most once a second
  };
  Kind kind = Kind::kDuplicateAddress;
  PortId port;
  IpAddress address;
  MacAddress mac;
};

using Effect = std::variant<SendFrame, SetNeighbour, RemoveNeighbour, SendIp, UnreachableIcmp,
                            CountDrop, Notify>;

}  // namespace penstock::neighbour
