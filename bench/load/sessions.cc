#include "bench/load/sessions.h"

#include "dataplane/crypto/expanded_key.h"

namespace penstock::load {

Result<Sessions> Sessions::create(uint32_t tunnels, SaAlgorithm algorithm) {
  Sessions sessions;
  sessions.stride_ = algorithm == SaAlgorithm::kChacha20Poly1305 ? expanded_key_bytes(algorithm)
                                                                 : kExpandedKeyStrideBytes;
  PENSTOCK_TRY(sessions.keys_,
               SecretArena::create(size_t{tunnels} * 3 * sessions.stride_ + kAeadReadPastKeyBytes));
  sessions.outbound_.resize(tunnels);
  sessions.inbound_.resize(size_t{tunnels} * 2);
  sessions.older_.resize(tunnels);
  return sessions;
}

void Sessions::install(const SessionUp& session, Nanoseconds now_ns) {
  const uint32_t tunnel = session.tunnel;
  Outbound& out = outbound_[tunnel];
  if (!out.up) ++up_;
  uint8_t* const send_key = key_place(tunnel, 0);
  // A failure would mean that ipsec-mb does not start, which was found out before.
  (void)expand_key(session.algorithm, session.send_keys, send_key);
  out.key = send_key;
  out.next_sequence = session.first_sequence;
  out.sequence_limit = session.sequence_limit;
  out.peer_index = session.peer_index;
  out.salt = load_unaligned<uint32_t>(session.send_keys.salt.data());
  out.algorithm = session.algorithm;
  out.esn = session.esn;
  out.in_udp = session.in_udp;
  out.made_ns = now_ns;
  out.up = true;

  const unsigned place = older_[tunnel];
  older_[tunnel] ^= 1;
  uint8_t* const receive_key = key_place(tunnel, 1 + place);
  (void)expand_key(session.algorithm, session.receive_keys, receive_key);
  Inbound& in = inbound_[size_t{tunnel} * 2 + place];
  in.key = receive_key;
  in.index = session.local_index;
  in.salt = load_unaligned<uint32_t>(session.receive_keys.salt.data());
  in.highest = 0;
  in.algorithm = session.algorithm;
  in.esn = session.esn;
}

}  // namespace penstock::load
