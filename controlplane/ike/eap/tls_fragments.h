// The framing of EAP-TLS (RFC 5216 section 3.1): flags, an optional length of the whole message, a
// part of it. Every fragment but the last is acknowledged with an empty packet.
#pragma once

#include <cstdint>

#include "gateway/base/bytes.h"

namespace penstock::ike {

inline constexpr size_t kTlsMessageMaxSize = 64 * 1024;

inline constexpr uint8_t kTlsLengthIncluded = 0x80;
inline constexpr uint8_t kTlsMoreFragments = 0x40;
inline constexpr uint8_t kTlsStart = 0x20;

// Puts the fragments of incoming messages together.
class TlsReassembly {
 public:
  enum class Outcome : uint8_t {
    kMessage,  // complete: message()
    kMore,     // acknowledge, wait for the next fragment
    kEmpty,    // an acknowledgement, or nothing to say
    kBroken,
  };
  Outcome add(Bytes data);
  [[nodiscard]] Bytes message() const { return message_; }
  void clear();

 private:
  ByteVector message_;
  size_t announced_size_ = 0;  // 0: not announced
};

// Cuts an outgoing message into fragments.
class TlsFragmenter {
 public:
  explicit TlsFragmenter(size_t fragment_max) : fragment_max_(fragment_max) {}
  void set(ByteVector message);
  [[nodiscard]] bool done() const { return next_ == message_.size(); }
  ByteVector next();  // requires !done()

 private:
  size_t fragment_max_;
  ByteVector message_;
  size_t next_ = 0;
};

}  // namespace penstock::ike
