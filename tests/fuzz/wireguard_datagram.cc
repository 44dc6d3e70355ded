// libFuzzer target: datagrams into a WireGuard machine that has a session with one peer and an
// initiation of its own under way.
//
// Input: a byte of choices, then the datagram. Choice bit 0: write a right MAC1 into it, so that
// what lies behind the MAC is reached; bit 1: the machine is under load; bit 2: time passes first;
// bits 3 and 4: give it the type and length of an initiation, response or cookie reply.
// A session or an endpoint that comes from such input is a bug: nobody here knows a private key.
#include <cstdlib>

#include "controlplane/wire/wireguard_messages.h"
#include "controlplane/wireguard/cookie.h"
#include "tests/scenario/wireguard/pair.h"

using namespace penstock;
using namespace penstock::wireguard;
using namespace penstock::wireguard::simulation;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > 4096) return 0;
  Device::Options options;
  options.limits.sources = 16;
  if (data[0] & 2) options.limits.under_load_handshakes = 0;
  Pair pair(1, options);
  pair.a.send_data(pair.b_at_a(), kPing);  // stays in flight: the handshake is under way
  pair.b.device->on_datagram(pair.b.now(), pair.a.address, pair.b.address, {}, pair.a.sent.at(0));
  pair.b.drain();
  const size_t sessions = pair.b.inbound_sas();

  ByteVector message(data + 1, data + size);
  const uint8_t type = (data[0] >> 3) & 3;
  if (type != 0) {
    constexpr size_t kSizes[] = {0, sizeof(InitiationMessage), sizeof(ResponseMessage),
                                 sizeof(CookieReplyMessage)};
    message.resize(kSizes[type]);
    store_unaligned(message.data(), Le32(type));
  }
  if ((data[0] & 1) && message.size() >= sizeof(MessageMacs)) {
    CookieJar jar(public_key_of(private_key_of(2)));
    jar.add_macs(0, kSecond, message);
  }
  if (data[0] & 4) pair.world.boot_ns += 7 * kSecond;
  pair.b.device->on_datagram(pair.b.now(), endpoint_of("203.0.113.1:1"), pair.b.address, {},
                             message);
  pair.b.drain();
  if (pair.b.inbound_sas() != sessions) std::abort();
  if (pair.b.status().endpoint != pair.a.address) std::abort();
  return 0;
}
