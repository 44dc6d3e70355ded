// The keys of connections.<conn>.
#include "controlplane/ike/crypto/proposals.h"
#include "controlplane/vici/drafts.h"
#include "controlplane/vici/values.h"

namespace penstock::vici {
namespace {

constexpr size_t kAddressesMax = 64;
constexpr size_t kVirtualIpsMax = 8;
constexpr size_t kPoolsMax = 16;
constexpr uint16_t kIkePort = 500, kNatTraversalPort = 4500;

Status set_addresses(ike::AddressMatches& matches, std::vector<std::string>& shown,
                     const KeyInput& input) {
  if (input.values().size() > kAddressesMax) {
    return errorf("more than %zu addresses", kAddressesMax);
  }
  bool any = false;
  for (const std::string_view text : input.texts()) {
    shown.emplace_back(text);
    if (is_any_address(text)) {
      any = true;
      continue;
    }
    PENSTOCK_TRY(auto match, parse_address_match(text));
    matches.push_back(std::move(match));
  }
  if (any) matches.clear();
  return {};
}

Status set_flag(bool& flag, const KeyInput& input) {
  PENSTOCK_TRY(flag, parse_bool(input.text()));
  return {};
}

Status set_time(std::optional<Nanoseconds>& time_ns, const KeyInput& input) {
  PENSTOCK_TRY(time_ns, parse_time(input.text()));
  return {};
}

Status set_if_id(uint32_t& if_id, const KeyInput& input) {
  PENSTOCK_TRY(const uint64_t number, parse_number(input.text(), UINT32_MAX));
  if_id = static_cast<uint32_t>(number);
  return {};
}

Status set_proposals(ConnectionDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(draft.config.proposals, ike::parse_proposals(ike::ProtocolId::kIke, input.texts()));
  draft.proposals_given = true;
  return {};
}

// The dataplane listens on the two ports of IKE.
Status set_local_port(ConnectionDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(const uint64_t port, parse_number(input.text(), UINT16_MAX));
  if (port != kIkePort && port != kNatTraversalPort) {
    return errorf("the gateway speaks IKE on ports 500 and 4500 only");
  }
  draft.config.local_port = static_cast<uint16_t>(port);
  return {};
}

Status set_remote_port(ConnectionDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(const uint64_t port, parse_number(input.text(), UINT16_MAX));
  if (port == 0) return errorf("0 is no port");
  draft.config.remote_port = static_cast<uint16_t>(port);
  return {};
}

Status set_virtual_ips(ConnectionDraft& draft, const KeyInput& input) {
  if (input.values().size() > kVirtualIpsMax) {
    return errorf("more than %zu addresses", kVirtualIpsMax);
  }
  for (const std::string_view text : input.texts()) {
    const bool v4 = text == "%config" || text == "%config4" || text == "%any" || text == "%any4";
    const bool v6 = text == "%config6" || text == "%any6";
    const auto address = v4   ? IpAddress(Ipv4Address{})
                         : v6 ? IpAddress(Ipv6Address{})
                              : IpAddress::parse(text);
    if (!address) return errorf("\"%s\" is no address", std::string(text).c_str());
    draft.config.virtual_ips.push_back(*address);
  }
  return {};
}

Status set_pools(ConnectionDraft& draft, const KeyInput& input) {
  if (input.values().size() > kPoolsMax) return errorf("more than %zu pools", kPoolsMax);
  for (const std::string_view text : input.texts()) draft.config.pools.emplace_back(text);
  return {};
}

Status set_fragmentation(ConnectionDraft& draft, const KeyInput& input) {
  if (input.text() == "accept") {
    draft.warnings.emplace_back("fragmentation: \"accept\" is taken as \"yes\"");
  } else if (input.text() != "force") {  // force means yes with IKEv2
    PENSTOCK_TRY(const bool yes, parse_bool(input.text()));
    draft.config.fragmentation = yes ? ike::Wish::kYes : ike::Wish::kNo;
  }
  return {};
}

Status set_childless(ConnectionDraft& draft, const KeyInput& input) {
  if (input.text() == "allow") {
    draft.config.childless = ike::Wish::kYes;
  } else if (input.text() == "never") {
    draft.config.childless = ike::Wish::kNo;
  } else if (input.text() == "force") {
    draft.config.childless = ike::Wish::kForce;
  } else if (input.text() == "prefer") {
    draft.config.childless_prefer = true;
  } else {
    return errorf("must be allow, prefer, force or never");
  }
  return {};
}

Status set_send_cert(ConnectionDraft& draft, const KeyInput& input) {
  if (input.text() == "ifasked") {
    draft.config.send_cert = ike::Wish::kYes;
  } else if (input.text() == "always" || input.text() == "yes") {
    draft.config.send_cert = ike::Wish::kForce;
  } else if (input.text() == "never" || input.text() == "no") {
    draft.config.send_cert = ike::Wish::kNo;
  } else {
    return errorf("must be always, never or ifasked");
  }
  return {};
}

Status set_unique(ConnectionDraft& draft, const KeyInput& input) {
  if (input.text() == "no") {
    draft.config.unique = ike::Uniqueness::kNo;
  } else if (input.text() == "never") {
    draft.config.unique = ike::Uniqueness::kNever;
  } else if (input.text() == "keep") {
    draft.config.unique = ike::Uniqueness::kKeep;
  } else if (input.text() == "replace" || input.text() == "yes") {
    draft.config.unique = ike::Uniqueness::kReplace;
  } else {
    return errorf("must be no, never, keep or replace");
  }
  return {};
}

Status set_dpd_delay(ConnectionDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(draft.config.dpd_delay_ns, parse_time(input.text()));
  return {};
}

Status set_keying_tries(ConnectionDraft& draft, const KeyInput& input) {
  if (input.text() == "%forever") {
    draft.config.keying_tries = 0;
    return {};
  }
  PENSTOCK_TRY(const uint64_t tries, parse_number(input.text(), UINT32_MAX));
  draft.config.keying_tries = static_cast<uint32_t>(tries);
  return {};
}

Status set_dscp(ConnectionDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(draft.config.dscp, parse_dscp(input.text()));
  return {};
}

using Draft = ConnectionDraft;
constexpr auto kValue = Shape::kValue;
constexpr auto kList = Shape::kList;
constexpr auto kHonoured = Handling::kHonoured;
constexpr auto kHarmless = Handling::kHarmless;
constexpr auto kRefused = Handling::kRefused;

constexpr Key<Draft> kKeys[] = {
    {{"version", kValue, kRefused, "0", "the gateway speaks IKEv2 only, not IKEv1", "2|~0"},
     nullptr},
    {{"local_addrs", kList, kHonoured, "%any",
      "addresses, prefixes, ranges FROM-TO or host names; %any, %any4, %any6", ""},
     [](Draft& draft, const KeyInput& input) {
       return set_addresses(draft.config.local_addresses, draft.local_addrs, input);
     }},
    {{"remote_addrs", kList, kHonoured, "%any",
      "as local_addrs; an initiator takes the first address or host name", ""},
     [](Draft& draft, const KeyInput& input) {
       return set_addresses(draft.config.remote_addresses, draft.remote_addrs, input);
     }},
    {{"local_port", kValue, kHonoured, "500", "500 or 4500, the ports that the gateway listens on",
      ""},
     set_local_port},
    {{"remote_port", kValue, kHonoured, "500",
      "a port; with another one than 500, NAT traversal's "
      "framing from the first message",
      ""},
     set_remote_port},
    {{"proposals", kList, kHonoured, "default",
      "algorithms joined by dashes; transforms that RFC 8247 calls SHOULD NOT are refused by name",
      ""},
     set_proposals},
    {{"vips", kList, kHonoured, "",
      "addresses to ask for as initiator; 0.0.0.0 and :: (%config4, %config6) for any", ""},
     set_virtual_ips},
    {{"aggressive", kValue, kRefused, "no", "aggressive mode is of IKEv1", "no"}, nullptr},
    {{"pull", kValue, kRefused, "yes", "push mode is of IKEv1", "yes"}, nullptr},
    {{"dscp", kValue, kHonoured, "000000", "six binary digits, for outgoing IKE packets", ""},
     set_dscp},
    {{"encap", kValue, kHonoured, "no", "yes or no", ""},
     [](Draft& draft, const KeyInput& input) { return set_flag(draft.config.encap, input); }},
    {{"mobike", kValue, kHonoured, "yes", "yes or no", ""},
     [](Draft& draft, const KeyInput& input) { return set_flag(draft.config.mobike, input); }},
    {{"dpd_delay", kValue, kHonoured, "0s",
      "a time; 0 sends no liveness checks, but peers that lease an address are checked every 5 "
      "minutes all the same",
      ""},
     set_dpd_delay},
    {{"dpd_timeout", kValue, kHarmless, "0s",
      "of IKEv1; with IKEv2 a peer is dead when the retransmissions have run out", "0|0s"},
     nullptr},
    {{"fragmentation", kValue, kHonoured, "yes",
      "yes or no; force is yes with IKEv2; accept is taken as yes, with a warning", ""},
     set_fragmentation},
    {{"childless", kValue, kHonoured, "allow", "allow, prefer, force or never (RFC 6023)", ""},
     set_childless},
    {{"send_certreq", kValue, kHonoured, "yes", "yes or no", ""},
     [](Draft& draft, const KeyInput& input) {
       return set_flag(draft.config.send_certreq, input);
     }},
    {{"send_cert", kValue, kHonoured, "ifasked",
      "always, never or ifasked; certificates also go to peers that ask for none by habit (EAP "
      "clients)",
      ""},
     set_send_cert},
    {{"ppk_id", kValue, kRefused, "", "postquantum preshared keys are not supported", ""}, nullptr},
    {{"ppk_required", kValue, kRefused, "no", "postquantum preshared keys are not supported", "no"},
     nullptr},
    {{"keyingtries", kValue, kHonoured, "1", "a number; 0 tries without end", ""},
     set_keying_tries},
    {{"unique", kValue, kHonoured, "no", "no, never, keep or replace", ""}, set_unique},
    {{"reauth_time", kValue, kHonoured, "0s", "a time; 0: no reauthentication", ""},
     [](Draft& draft, const KeyInput& input) { return set_time(draft.reauth_ns, input); }},
    {{"rekey_time", kValue, kHonoured, "4h",
      "a time; 0, and the default where reauth_time is set: "
      "no rekeying",
      ""},
     [](Draft& draft, const KeyInput& input) { return set_time(draft.rekey_ns, input); }},
    {{"over_time", kValue, kHonoured, "10% of rekey_time or reauth_time", "a time", ""},
     [](Draft& draft, const KeyInput& input) { return set_time(draft.over_ns, input); }},
    {{"rand_time", kValue, kHonoured, "over_time",
      "a time; at most half of rekey_time or reauth_time is used", ""},
     [](Draft& draft, const KeyInput& input) { return set_time(draft.random_ns, input); }},
    {{"pools", kList, kHonoured, "", "names of pools", ""}, set_pools},
    {{"if_id_in", kValue, kHonoured, "0",
      "a number: the [ipsec.NAME] section with this if_id; the same as if_id_out", ""},
     [](Draft& draft, const KeyInput& input) { return set_if_id(draft.if_id_in, input); }},
    {{"if_id_out", kValue, kHonoured, "0", "the same as if_id_in", ""},
     [](Draft& draft, const KeyInput& input) { return set_if_id(draft.if_id_out, input); }},
    {{"mediation", kValue, kRefused, "no", "the mediation extension is not supported", "no"},
     nullptr},
    {{"mediated_by", kValue, kRefused, "", "the mediation extension is not supported", ""},
     nullptr},
    {{"mediation_peer", kValue, kRefused, "", "the mediation extension is not supported", ""},
     nullptr},
};

}  // namespace

constinit const std::span<const Key<ConnectionDraft>> kConnectionKeys = kKeys;

}  // namespace penstock::vici
