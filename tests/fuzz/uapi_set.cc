// A connection's bytes in two reads: what the splitter cuts out, the parser takes or refuses.
#include <cstdlib>

#include "controlplane/api/uapi.h"

using namespace penstock;
using namespace penstock::wireguard::uapi;

namespace {

void check_request(const Request& request) {
  if (!std::string_view(request.text).ends_with("\n\n")) std::abort();
  if (request.operation != Operation::kSet) return;
  const auto change = parse_set(request.text);
  if (!change.ok()) return;
  // What was taken can be said again.
  for (const auto& peer : change->peers) {
    for (const auto& allowed : peer.allowed_ips) {
      if (IpPrefix::parse(allowed.prefix.to_string()) != allowed.prefix) std::abort();
    }
    if (peer.endpoint && Endpoint::parse(peer.endpoint->to_string()) != peer.endpoint) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = text_of(Bytes(data, size));
  (void)parse_set(text);
  RequestSplitter splitter(512);
  const size_t half = size / 2;
  for (const std::string_view part : {text.substr(0, half), text.substr(half)}) {
    splitter.append(part);
    for (auto request = splitter.next(); request.ok() && request->has_value();
         request = splitter.next()) {
      check_request(**request);
    }
  }
  return 0;
}
