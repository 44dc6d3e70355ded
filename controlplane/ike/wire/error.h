// What can be wrong with a message, in one list.
#pragma once

#include <cstdint>
#include <string>

#include "controlplane/ike/wire/iana.h"

namespace penstock::ike {

enum class WireFault : uint8_t {
  kHeaderShort,       // less than the 28 bytes of the IKE header
  kHeaderLength,      // the header's length is not the datagram's
  kVersion,           // major version other than 2 (RFC 7296 section 2.5)
  kPayloadLength,     // shorter than its own header, or longer than what is left
  kPayloadSize,       // a size that this payload cannot have
  kPayloadValue,      // a field with a value that it must not have
  kTrailingBytes,     // bytes after the last payload, or left over inside one
  kDuplicate,         // a second payload of a type that comes once
  kTooMany,           // more payloads, proposals, transforms, selectors ... than the bounds
  kCritical,          // an unknown payload with the critical bit (RFC 7296 section 2.5)
  kNotifyLength,      // a notify whose data does not have the length of its type
  kNestedEncrypted,   // an SK or SKF payload inside another
  kEncryptedNotLast,  // a payload after SK or SKF
};

struct WireError {
  WireFault fault{};
  PayloadType payload = PayloadType::kNone;  // in which payload; kNone: in the header or the chain
  // The notify that RFC 7296 section 2.21 calls for, where the message is answered at all: an
  // unauthenticated one mostly is not. kUnsupportedCriticalPayload carries `payload` as its data.
  NotifyType notify = NotifyType::kInvalidSyntax;
  const char* what = "";  // a constant: "transform length", "end before start"

  [[nodiscard]] std::string to_string() const;  // "TSi payload: a field ... (end before start)"
};

}  // namespace penstock::ike
