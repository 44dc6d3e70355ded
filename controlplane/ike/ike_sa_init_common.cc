// IKE_SA_INIT (RFC 7296 1.2), what both sides do: NAT detection (2.23), what they say they can, and
// the keys.
#include <algorithm>

#include "controlplane/crypto/digest.h"
#include "controlplane/ike/core.h"
#include "controlplane/ike/crypto/dh.h"

namespace penstock::ike {
namespace {

// RFC 7296 2.23: SHA-1 of both SPIs, address and port.
std::array<uint8_t, 20> nat_hash(uint64_t spi_initiator, uint64_t spi_responder,
                                 const Endpoint& endpoint) {
  std::array<uint8_t, 34> input{};
  Writer writer(input);
  writer.be64(spi_initiator);
  writer.be64(spi_responder);
  writer.bytes(endpoint.address.bytes());
  writer.be16(endpoint.port);
  std::array<uint8_t, 20> hash{};
  Digest::sha1().compute(Bytes(input).first(writer.size()), hash);
  return hash;
}

}  // namespace

void Engine::Core::add_nat_detection(ChainBuilder& chain, uint64_t spi_initiator,
                                     uint64_t spi_responder, const Endpoint& local,
                                     const Endpoint& remote, bool lie) const {
  Endpoint claimed = local;
  // `encap = yes`: pretend to be behind a NAT.
  if (lie) claimed = Endpoint{local.address.is_v4() ? IpAddress(Ipv4Address{}) : Ipv6Address{}, 0};
  chain.notify(NotifyType::kNatDetectionSourceIp, nat_hash(spi_initiator, spi_responder, claimed));
  chain.notify(NotifyType::kNatDetectionDestinationIp,
               nat_hash(spi_initiator, spi_responder, remote));
}

bool Engine::Core::detect_nat(IkeSa& sa, const Payloads& payloads, const Arrival& arrival,
                              uint64_t spi_initiator, uint64_t spi_responder) {
  bool seen_source = false, source_matches = false, seen = false, destination_matches = false;
  const auto source = nat_hash(spi_initiator, spi_responder, arrival.source);
  const auto destination = nat_hash(spi_initiator, spi_responder, arrival.destination);
  for (const NotifyPayload& notify : payloads.notifies) {
    if (notify.type == NotifyType::kNatDetectionSourceIp) {
      seen_source = true;  // a peer with several addresses sends several
      source_matches = source_matches || equal_bytes(notify.data, source);
    } else if (notify.type == NotifyType::kNatDetectionDestinationIp) {
      seen = true;
      destination_matches = destination_matches || equal_bytes(notify.data, destination);
    }
  }
  if (!seen || !seen_source) return false;
  sa.nat_remote = !source_matches;
  sa.nat_local = !destination_matches;
  return true;
}

void Engine::Core::add_init_notifies(ChainBuilder& chain, bool initiator) {
  chain.notify(NotifyType::kFragmentationSupported);
  ByteVector hashes;
  for (const SignatureHash hash : offered_signature_hashes()) {
    hashes.push_back(static_cast<uint8_t>(static_cast<uint16_t>(hash) >> 8));
    hashes.push_back(static_cast<uint8_t>(hash));
  }
  chain.notify(NotifyType::kSignatureHashAlgorithms, hashes);
  if (!initiator) chain.notify(NotifyType::kChildlessIkev2Supported);
}

void Engine::Core::take_init_notifies(IkeSa& sa, const Payloads& payloads) {
  sa.fragmentation = payloads.has(NotifyType::kFragmentationSupported);
  sa.childless = payloads.has(NotifyType::kChildlessIkev2Supported);
  if (const NotifyPayload* const hashes = payloads.find(NotifyType::kSignatureHashAlgorithms)) {
    Reader reader(hashes->data);
    while (reader.remaining() >= 2) {
      sa.handshake->peer_hashes.push_back(static_cast<SignatureHash>(reader.be16()));
    }
  }
}

void Engine::Core::derive(IkeSa& sa, Bytes shared) {
  const Handshake& handshake = *sa.handshake;
  const SecretBytes seed =
      skeyseed(sa.suite.prf, handshake.nonce_initiator, handshake.nonce_responder, shared);
  use_keys(sa, derive_ike_keys(sa.suite, seed.bytes(), handshake.nonce_initiator,
                               handshake.nonce_responder, sa.spi_initiator, sa.spi_responder));
}

void Engine::Core::use_keys(IkeSa& sa, IkeKeys keys) {
  IkeCipher from_initiator(sa.suite, keys.ei, keys.ai);
  IkeCipher from_responder(sa.suite, keys.er, keys.ar);
  sa.outbound = std::move(sa.initiator ? from_initiator : from_responder);
  sa.inbound = std::move(sa.initiator ? from_responder : from_initiator);
  // What the ciphers hold is not kept twice.
  keys.ei.clear();
  keys.ai.clear();
  keys.er.clear();
  keys.ar.clear();
  sa.keys = std::move(keys);
}

}  // namespace penstock::ike
