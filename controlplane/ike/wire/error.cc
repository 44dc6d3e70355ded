#include "controlplane/ike/wire/error.h"

namespace penstock::ike {
namespace {

const char* words_of(WireFault fault) {
  switch (fault) {
    case WireFault::kHeaderShort:
      return "shorter than the IKE header";
    case WireFault::kHeaderLength:
      return "not as long as its header says";
    case WireFault::kVersion:
      return "another major version than 2";
    case WireFault::kPayloadLength:
      return "a length that does not fit";
    case WireFault::kPayloadSize:
      return "a size that it cannot have";
    case WireFault::kPayloadValue:
      return "a value that it must not have";
    case WireFault::kTrailingBytes:
      return "bytes left over";
    case WireFault::kDuplicate:
      return "present twice";
    case WireFault::kTooMany:
      return "more than the bounds allow";
    case WireFault::kCritical:
      return "unknown and critical";
    case WireFault::kNotifyLength:
      return "data of a wrong length for its type";
    case WireFault::kNestedEncrypted:
      return "inside an encrypted payload";
    case WireFault::kEncryptedNotLast:
      return "not the last payload";
  }
  return "unknown fault";
}

}  // namespace

std::string WireError::to_string() const {
  std::string text = payload == PayloadType::kNone ? std::string("message: ")
                                                   : "payload " + ike::to_string(payload) + ": ";
  text += words_of(fault);
  if (what[0] != '\0') text += std::string(" (") + what + ")";
  return text;
}

}  // namespace penstock::ike
