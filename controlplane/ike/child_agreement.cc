// What a CHILD_SA is about: the selectors and the suite that both sides take (RFC 7296 2.7, 2.9).
#include "controlplane/ike/child_agreement.h"

#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {
namespace {

TrafficSelector whole_family(const IpAddress& example) {
  TrafficSelector all;
  if (example.is_v4()) {
    all.first = Ipv4Address{};
    all.last = Ipv4Address::from_host(UINT32_MAX);
  } else {
    Ipv6Address last;
    last.bytes.fill(0xff);
    all.first = Ipv6Address{};
    all.last = last;
  }
  return all;
}

bool same(const Selectors& a, const Selectors& b) {
  return a.size() == b.size() && std::is_permutation(a.begin(), a.end(), b.begin());
}

}  // namespace

std::optional<SaAlgorithm> algorithm_of(const Suite& suite) {
  switch (suite.encryption) {
    case EncryptionId::kChacha20Poly1305:
      return SaAlgorithm::kChacha20Poly1305;
    case EncryptionId::kAesGcm16:
      if (suite.key_bits == 128) return SaAlgorithm::kAes128Gcm16;
      if (suite.key_bits == 256) return SaAlgorithm::kAes256Gcm16;
      return std::nullopt;
    case EncryptionId::kAesCbc:
      if (suite.integrity != IntegrityId::kHmacSha256_128) return std::nullopt;
      if (suite.key_bits == 128) return SaAlgorithm::kAes128CbcSha256;
      if (suite.key_bits == 256) return SaAlgorithm::kAes256CbcSha256;
      return std::nullopt;
    case EncryptionId::kNone:
      break;
  }
  return std::nullopt;
}

// What `dynamic` means on our side: the addresses that we were given, or our own.
std::vector<IpAddress> Engine::Core::local_dynamic(const IkeSa& sa) const {
  if (!sa.local_vips.empty()) return sa.local_vips;
  return {sa.local.address};
}

// And on the peer's: what it leased, or its own.
std::vector<IpAddress> Engine::Core::remote_dynamic(const IkeSa& sa) const {
  std::vector<IpAddress> addresses;
  for (const HeldLease& lease : sa.leases) addresses.push_back(lease.address);
  if (addresses.empty()) addresses.push_back(sa.remote.address);
  return addresses;
}

// What we ask for. RFC 7296 2.9: the packet that is the reason goes first.
void Engine::Core::offer_selectors(const IkeSa& sa, const Task& task,
                                   Negotiation& negotiation) const {
  const ChildConfig& config = *task.child;
  if (task.single_pair) {
    negotiation.local_ts = {task.single_pair->local};
    negotiation.remote_ts = {task.single_pair->remote};
    return;
  }
  negotiation.local_ts = resolve_selectors(config.local_ts, local_dynamic(sa));
  // 2.19: an address that we have yet to be given may be any.
  const bool any = is_half_open(sa.phase) && !sa.config->virtual_ips.empty();
  if (any) {
    negotiation.local_ts.clear();
    for (const ConfiguredSelector& each : config.local_ts) {
      if (!each.dynamic) {
        negotiation.local_ts.push_back(each.selector);
        continue;
      }
      for (const IpAddress& address : sa.config->virtual_ips) {
        TrafficSelector selector = whole_family(address);
        if (!address.is_unspecified()) selector.first = selector.last = address;
        selector.protocol = each.selector.protocol;
        selector.first_port = each.selector.first_port;
        selector.last_port = each.selector.last_port;
        negotiation.local_ts.push_back(selector);
      }
    }
  }
  negotiation.remote_ts = resolve_selectors(config.remote_ts, remote_dynamic(sa));
  if (task.trigger && covers(negotiation.local_ts, {task.trigger->local}) &&
      covers(negotiation.remote_ts, {task.trigger->remote})) {
    negotiation.local_ts.insert(negotiation.local_ts.begin(), task.trigger->local);
    negotiation.remote_ts.insert(negotiation.remote_ts.begin(), task.trigger->remote);
  }
  constexpr size_t kOfferedMax = 120;  // what the payload's count and other peers take
  if (negotiation.local_ts.size() > kOfferedMax) negotiation.local_ts.resize(kOfferedMax);
  if (negotiation.remote_ts.size() > kOfferedMax) negotiation.remote_ts.resize(kOfferedMax);
}

// Responder: which child the peer means, and what of it we grant.
Result<ChildPlan, Refusal> Engine::Core::plan_child(const IkeSa& sa, const Payloads& payloads,
                                                    const SelectOptions& options,
                                                    const Child* rekeyed) const {
  const Selectors offered_remote = payloads.ts_initiator->selectors;
  const Selectors offered_local = payloads.ts_responder->selectors;
  struct Choice {
    ChildPlan plan;
    int score = 0;
  };
  std::vector<Choice> choices;
  const auto consider = [&](const ChildConfigPtr& config) {
    if (config->mode != ChildMode::kTunnel) return;
    Choice choice;
    choice.plan.config = config;
    choice.plan.local_ts =
        narrow(offered_local, resolve_selectors(config->local_ts, local_dynamic(sa)));
    choice.plan.remote_ts =
        narrow(offered_remote, resolve_selectors(config->remote_ts, remote_dynamic(sa)));
    if (pairs_of(choice.plan.local_ts, choice.plan.remote_ts).empty()) return;
    if (same(choice.plan.local_ts, offered_local)) choice.score += 2;
    if (same(choice.plan.remote_ts, offered_remote)) choice.score += 2;
    if (covers(choice.plan.local_ts, {offered_local.front()}) &&
        covers(choice.plan.remote_ts, {offered_remote.front()})) {
      ++choice.score;  // the packet that is the reason (2.9)
    }
    choices.push_back(std::move(choice));
  };
  if (!offered_local.empty() && !offered_remote.empty()) {
    if (rekeyed != nullptr) {
      consider(rekeyed->config);
    } else {
      for (const ChildConfigPtr& config : sa.config->children) consider(config);
    }
  }
  if (choices.empty()) {
    return Refusal{NotifyType::kTsUnacceptable, Reason::kTsUnacceptable,
                   "no child for the selectors offered: " + to_string(offered_local) +
                       " === " + to_string(offered_remote)};
  }
  std::stable_sort(choices.begin(), choices.end(),
                   [](const Choice& a, const Choice& b) { return a.score > b.score; });
  std::optional<Refusal> refusal;
  for (Choice& choice : choices) {
    SelectOptions own = options;
    own.require_group = choice.plan.config->require_pfs && !options.ignore_groups;
    const auto selection = select_proposal(ProtocolId::kEsp, payloads.sa->proposals,
                                           choice.plan.config->proposals, own);
    if (!selection.ok() || !algorithm_of(selection->suite) || selection->spi_size != 4) {
      if (refusal) continue;
      // Is it only that no group was offered?
      const bool without_pfs = own.require_group && [&] {
        own.require_group = false;
        return select_proposal(ProtocolId::kEsp, payloads.sa->proposals,
                               choice.plan.config->proposals, own)
            .ok();
      }();
      refusal = Refusal{NotifyType::kNoProposalChosen,
                        without_pfs ? Reason::kPfsRequired : Reason::kNoProposalChosen,
                        "child " + choice.plan.config->name + ": " +
                            (without_pfs      ? "require_pfs is set, and the peer offers no group"
                             : selection.ok() ? "no algorithm of ours"
                                              : selection.error().text)};
      continue;
    }
    choice.plan.suite = selection->suite;
    choice.plan.selection = *selection;
    choice.plan.peer_spi = static_cast<uint32_t>(selection->spi);
    constexpr uint32_t kReservedSpis = 256;  // RFC 4303 2.1
    if (choice.plan.peer_spi < kReservedSpis) {
      return Refusal{NotifyType::kNoProposalChosen, Reason::kNoProposalChosen,
                     "the peer's SPI is one of the reserved ones"};
    }
    if (options.ignore_groups) return std::move(choice.plan);
    if (const auto group = invalid_ke_answer(selection->suite, options.ke_group)) {
      return Refusal{NotifyType::kInvalidKePayload, Reason::kInvalidKeGroup,
                     "child " + choice.plan.config->name + ": asking for " +
                         group_name(static_cast<uint16_t>(*group)),
                     static_cast<uint16_t>(*group)};
    }
    return std::move(choice.plan);
  }
  return std::move(*refusal);
}

// Initiator: the responder's answer, which must lie in what we offered.
Result<ChildPlan, Refusal> Engine::Core::plan_from_answer(const Payloads& payloads,
                                                          const ChildConfigPtr& config,
                                                          const Negotiation& negotiation,
                                                          const SelectOptions& options) const {
  if (const NotifyPayload* const error = payloads.first_error()) {
    return Refusal{error->type,
                   error->type == NotifyType::kNoProposalChosen         ? Reason::kNoProposalChosen
                   : error->type == NotifyType::kTsUnacceptable         ? Reason::kTsUnacceptable
                   : error->type == NotifyType::kInternalAddressFailure ? Reason::kPoolExhausted
                                                                        : Reason::kPeerNotify,
                   "the peer refuses child " + config->name + ": " + to_string(error->type)};
  }
  if (!payloads.sa || !payloads.ts_initiator || !payloads.ts_responder) {
    return Refusal{NotifyType::kInvalidSyntax, Reason::kInvalidSyntax,
                   "the peer's answer for child " + config->name + " lacks a payload"};
  }
  const auto answer =
      check_answer(ProtocolId::kEsp, negotiation.offered, payloads.sa->proposals, options);
  if (!answer.ok() || !algorithm_of(answer->suite) || answer->spi_size != 4 || answer->spi < 256) {
    return Refusal{NotifyType::kNoProposalChosen, Reason::kNoProposalChosen,
                   "the peer's choice for child " + config->name + " was not offered"};
  }
  ChildPlan plan;
  plan.config = config;
  plan.suite = answer->suite;
  plan.peer_spi = static_cast<uint32_t>(answer->spi);
  plan.local_ts = payloads.ts_initiator->selectors;
  plan.remote_ts = payloads.ts_responder->selectors;
  if (!covers(negotiation.local_ts, plan.local_ts) ||
      !covers(negotiation.remote_ts, plan.remote_ts) ||
      pairs_of(plan.local_ts, plan.remote_ts).empty()) {
    return Refusal{NotifyType::kTsUnacceptable, Reason::kTsUnacceptable,
                   "the peer's selectors for child " + config->name + " were not offered"};
  }
  return plan;
}

}  // namespace penstock::ike
