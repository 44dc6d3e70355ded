// libFuzzer target: a datagram on port 500 as an IKEv2 message.
//
// Checks beside crashes: a message that parses can be built again from what was understood, a
// sealed part is within the message, every refusal has words and a notify of the RFC.
#include "controlplane/ike/wire/message.h"
#include "tests/fuzz/ike_rebuild.h"

using namespace penstock;
using namespace penstock::ike;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes datagram(data, size);
  const auto message = parse_message(datagram);
  if (!message.ok()) {
    const WireError& error = message.error();
    if (error.to_string().empty()) std::abort();
    if (error.notify != NotifyType::kNone && !is_error(error.notify)) std::abort();
    return 0;
  }
  if (message->header.length != size) std::abort();
  if (message->payloads.encrypted) {
    const EncryptedPayload& sealed = *message->payloads.encrypted;
    if (sealed.associated.size() + sealed.body.size() != size) std::abort();
    if (sealed.is_fragment() && sealed.fragment > sealed.fragments) std::abort();
  }
  check_rebuild(message->payloads);
  return 0;
}
