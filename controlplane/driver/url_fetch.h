// One document over HTTP, for CRLs and OCSP answers (RFC 5280 4.2.1.13, RFC 6960 A.1): http only,
// as what comes is signed; no redirects, no compression; bounded in time and size. Blocks: for
// HostHelper.
#pragma once

#include <string>

#include "gateway/base/bytes.h"
#include "gateway/base/clock.h"
#include "gateway/base/net.h"
#include "gateway/base/result.h"

namespace penstock {

struct FetchLimits {
  Nanoseconds timeout_ns = 5 * kSecond;  // for all of it, from the connection to the last byte; a
                                         // name that does not resolve takes its own time
  size_t size_bytes = 4 << 20;           // of the document
};

// The body of the answer with status 200. `post_body` empty: GET; else POST with `content_type`.
Result<ByteVector> fetch_url(const std::string& url, Bytes post_body,
                             const std::string& content_type, const FetchLimits& limits);

// Every IPv4 and IPv6 address of a host name, in the system's order of preference, without
// duplicates; an address is its own name. Blocks.
Result<std::vector<IpAddress>> resolve_host(const std::string& name);

}  // namespace penstock
