// Builds a chain again from what was parsed: what both the parser and the builders say must agree.
#pragma once

#include <cstdlib>

#include "controlplane/ike/wire/build.h"

namespace penstock::ike {

// Leaves out what the builders do not make: payloads we do not know, SK, and notifies with SPIs
// that ours never have.
inline ChainBuilder rebuild(const Payloads& from) {
  ChainBuilder chain;
  if (from.sa) {
    std::vector<Proposal> proposals = from.sa->proposals;
    bool buildable = true;
    for (const Proposal& each : proposals) {
      const bool known = each.spi_size == 0 || each.spi_size == 4 || each.spi_size == 8;
      if (!known) buildable = false;
    }
    if (buildable) chain.sa(proposals);
  }
  if (from.key_exchange) {
    chain.key_exchange(DhGroup{from.key_exchange->group}, from.key_exchange->data);
  }
  if (from.nonce) chain.nonce(*from.nonce);
  if (from.id_initiator) chain.id_initiator(from.id_initiator->type, from.id_initiator->data);
  if (from.id_responder) chain.id_responder(from.id_responder->type, from.id_responder->data);
  for (const CertPayload& cert : from.certs) chain.cert(cert.encoding, cert.data);
  for (const CertReqPayload& each : from.cert_requests) {
    chain.cert_request(each.encoding, each.authorities);
  }
  if (from.auth) chain.auth(from.auth->method, from.auth->data);
  for (const NotifyPayload& notify : from.notifies) {
    if (notify.spi_size == 4 &&
        (notify.protocol == ProtocolId::kEsp || notify.protocol == ProtocolId::kAh)) {
      chain.notify_spi(notify.type, notify.protocol, static_cast<uint32_t>(notify.spi),
                       notify.data);
    } else if (notify.spi_size == 0) {
      chain.notify(notify.type, notify.data);
    }
  }
  for (const DeletePayload& each : from.deletes) {
    if (each.protocol == ProtocolId::kIke) {
      chain.delete_ike();
    } else {
      chain.delete_children(each.protocol, each.spis);
    }
  }
  for (const Bytes vendor : from.vendor_ids) chain.vendor_id(vendor);
  if (from.ts_initiator && !from.ts_initiator->selectors.empty()) {
    chain.ts_initiator(from.ts_initiator->selectors);
  }
  if (from.ts_responder && !from.ts_responder->selectors.empty()) {
    chain.ts_responder(from.ts_responder->selectors);
  }
  if (from.configuration) {
    chain.configuration(from.configuration->type, from.configuration->attributes);
  }
  if (from.eap) chain.eap(from.eap->packet);
  return chain;
}

// Aborts unless the chain can be built again, parses, and builds the same bytes once more.
inline void check_rebuild(const Payloads& from) {
  const ChainBuilder once = rebuild(from);
  if (!once.ok()) std::abort();
  const auto parsed = parse_chain(once.first(), once.bytes());
  if (!parsed.ok()) std::abort();
  const ChainBuilder twice = rebuild(*parsed);
  if (!equal_bytes(once.bytes(), twice.bytes())) std::abort();
  if (from.ts_initiator && parsed->ts_initiator &&
      from.ts_initiator->selectors != parsed->ts_initiator->selectors) {
    std::abort();
  }
  if (from.order.size() > kMaxPayloads || from.summary().size() > 16384) std::abort();
}

}  // namespace penstock::ike
