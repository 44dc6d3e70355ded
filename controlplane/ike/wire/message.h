// A datagram as an IKEv2 message (RFC 7296 section 3.1): the header and the chain in clear.
#pragma once

#include "controlplane/ike/wire/payloads.h"

namespace penstock::ike {

inline constexpr size_t kHeaderBytes = 28;
inline constexpr size_t kMaxMessageBytes = 65535;

struct Header {
  uint64_t spi_initiator = 0;  // host order; to write: Be64
  uint64_t spi_responder = 0;
  PayloadType first = PayloadType::kNone;
  uint8_t version = 0x20;
  ExchangeType exchange{};
  bool from_initiator = false;  // flag I: sent by the original initiator of the IKE SA
  bool response = false;        // flag R
  bool higher_version = false;  // flag V
  uint32_t message_id = 0;
  uint32_t length = 0;  // of the message with this header
};

struct Message {
  Header header;
  Payloads payloads;  // in clear; `encrypted` is the last where there is one
};

// The header alone, for what is decided without looking further (cookies, unknown SPIs). Checks
// size, length and major version: with kVersion the notify is INVALID_MAJOR_VERSION.
Result<Header, WireError> parse_header(Bytes datagram);
// A whole datagram (the non-ESP marker of port 4500 taken off).
Result<Message, WireError> parse_message(Bytes datagram);

}  // namespace penstock::ike
