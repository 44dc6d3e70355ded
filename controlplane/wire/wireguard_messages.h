// WireGuard's handshake messages as they lie in a UDP payload (paper sections 5.4.2, 5.4.3, 5.4.7).
// The type's three reserved bytes are zero and part of the check.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "gateway/base/byte_order.h"

namespace penstock::wireguard {

enum class MessageType : uint32_t { kInitiation = 1, kResponse = 2, kCookieReply = 3, kData = 4 };

struct MessageMacs {
  std::array<uint8_t, 16> mac1;
  std::array<uint8_t, 16> mac2;
};

struct InitiationMessage {
  Le32 type;
  Le32 sender_index;
  std::array<uint8_t, 32> ephemeral;
  std::array<uint8_t, 48> encrypted_static;
  std::array<uint8_t, 28> encrypted_timestamp;
  MessageMacs macs;
};
static_assert(sizeof(InitiationMessage) == 148 && alignof(InitiationMessage) == 1);

struct ResponseMessage {
  Le32 type;
  Le32 sender_index;
  Le32 receiver_index;
  std::array<uint8_t, 32> ephemeral;
  std::array<uint8_t, 16> encrypted_nothing;
  MessageMacs macs;
};
static_assert(sizeof(ResponseMessage) == 92 && alignof(ResponseMessage) == 1);

struct CookieReplyMessage {
  Le32 type;
  Le32 receiver_index;
  std::array<uint8_t, 24> nonce;
  std::array<uint8_t, 32> encrypted_cookie;
};
static_assert(sizeof(CookieReplyMessage) == 64 && alignof(CookieReplyMessage) == 1);

}  // namespace penstock::wireguard
