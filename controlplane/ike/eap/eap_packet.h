// EAP packets (RFC 3748 section 4): code, identifier, length, and for requests and responses a
// type.
#pragma once

#include <optional>

#include "controlplane/ike/eap/eap_server.h"
#include "controlplane/ike/wire/iana.h"
#include "gateway/base/bytes.h"

namespace penstock::ike {

struct EapResponse {
  uint8_t identifier = 0;
  EapType type = EapType::kIdentity;
  Bytes data;  // after the type
};

// nullopt: no response, or its length is not exactly that of the bytes.
std::optional<EapResponse> parse_eap_response(Bytes packet);
ByteVector eap_request(uint8_t identifier, EapType type, Bytes data);
ByteVector eap_end(EapCode success_or_failure, uint8_t identifier);

}  // namespace penstock::ike
