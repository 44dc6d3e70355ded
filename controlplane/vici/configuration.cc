#include "controlplane/vici/configuration.h"

#include <algorithm>

#include "controlplane/ike/crypto/proposals.h"
#include "controlplane/vici/auth_configuration.h"
#include "controlplane/vici/drafts.h"
#include "controlplane/vici/section_parser.h"
#include "gateway/base/text.h"

namespace penstock::vici {
namespace {

constexpr size_t kChildrenMax = 256;
constexpr Nanoseconds kIkeRekeyDefault = 4 * 3600 * kSecond;  // charon's

// charon: without a hard limit, the soft one and a tenth; without a random part, the difference.
void finish_limit(uint64_t rekey, std::optional<uint64_t> life, std::optional<uint64_t> random,
                  uint64_t& rekey_out, uint64_t& life_out, uint64_t& random_out) {
  rekey_out = rekey;
  life_out = life.value_or(rekey + rekey / 10);
  if (life_out < rekey) life_out = life ? *life : UINT64_MAX;  // the tenth went past the end
  random_out = random.value_or(life_out > rekey ? life_out - rekey : 0);
  random_out = std::min(random_out, rekey / 2);  // a rekey is not due at once
}

Status finish_if_id(const std::string& path, uint32_t in, uint32_t out, uint32_t& if_id) {
  if (in != out) {
    return at(path, "if_id_in", "must be the same as if_id_out: an interface has both directions");
  }
  if_id = in;
  return {};
}

Result<std::shared_ptr<const ike::ChildConfig>> parse_child(const std::string& path,
                                                            const std::string& name,
                                                            const Section& section,
                                                            const ConnectionDefaults& defaults,
                                                            std::vector<std::string>& warnings) {
  PENSTOCK_CHECK(check_name(path, name));
  ChildDraft draft;
  draft.config.name = name;
  draft.config.dscp = DscpMode::kCopy;
  draft.config.require_pfs = defaults.require_pfs;
  for (const auto& entry : section.entries()) {
    if (is_section(entry)) return at(path, entry.name, "is no section that penstock knows");
    PENSTOCK_CHECK(apply_entry(path, kChildKeys, draft, entry));
  }
  ike::ChildConfig& child = draft.config;
  if (child.proposals.empty()) child.proposals = ike::default_proposals(ike::ProtocolId::kEsp);
  if (child.require_pfs && ike::first_group(child.proposals) == ike::DhGroup::kNone) {
    return at(path, "esp_proposals", "has no key exchange group, which require_pfs asks for");
  }
  ike::ConfiguredSelector dynamic;
  dynamic.dynamic = true;
  if (child.local_ts.empty()) child.local_ts.push_back(dynamic);
  if (child.remote_ts.empty()) child.remote_ts.push_back(dynamic);
  PENSTOCK_CHECK(finish_if_id(path, draft.if_id_in, draft.if_id_out, child.if_id));

  ike::Lifetimes& limits = child.lifetimes;
  uint64_t rekey_ns = 0, life_ns = 0, random_ns = 0;
  const auto unsigned_of = [](std::optional<Nanoseconds> time) {
    return time ? std::optional(static_cast<uint64_t>(*time)) : std::nullopt;
  };
  finish_limit(static_cast<uint64_t>(draft.rekey_ns), unsigned_of(draft.life_ns),
               unsigned_of(draft.random_ns), rekey_ns, life_ns, random_ns);
  limits.rekey_ns = static_cast<Nanoseconds>(rekey_ns);
  limits.life_ns = static_cast<Nanoseconds>(life_ns);
  limits.random_ns = static_cast<Nanoseconds>(random_ns);
  finish_limit(draft.rekey_bytes, draft.life_bytes, draft.random_bytes, limits.rekey_bytes,
               limits.life_bytes, limits.random_bytes);
  finish_limit(draft.rekey_packets, draft.life_packets, draft.random_packets, limits.rekey_packets,
               limits.life_packets, limits.random_packets);
  if (limits.life_ns != 0 && limits.life_ns <= limits.rekey_ns) {
    draft.warnings.emplace_back(
        "life_time: ends before rekey_time, so every SA is closed unrenewed");
  }
  take_warnings(warnings, path, draft.warnings);
  return std::make_shared<const ike::ChildConfig>(std::move(child));
}

// charon: 4 hours unless reauth_time is set; a tenth over it, and the random part the same.
void finish_times(ConnectionDraft& draft) {
  ike::ConnectionConfig& config = draft.config;
  config.reauth_ns = draft.reauth_ns.value_or(0);
  config.rekey_ns = draft.rekey_ns.value_or(draft.reauth_ns ? 0 : kIkeRekeyDefault);
  const Nanoseconds longer = std::max(config.rekey_ns, config.reauth_ns);
  Nanoseconds shorter = longer;
  if (config.rekey_ns != 0) shorter = std::min(shorter, config.rekey_ns);
  if (config.reauth_ns != 0) shorter = std::min(shorter, config.reauth_ns);
  config.over_ns = draft.over_ns.value_or(longer / 10);
  config.random_ns = std::min(draft.random_ns.value_or(config.over_ns), shorter / 2);
}

Status check_whole(const ike::ConnectionConfig& config) {
  const std::string path = "connections." + config.name;
  if (config.remote.method == ike::AuthClass::kEap &&
      config.local.method != ike::AuthClass::kPubkey) {
    // RFC 7296 2.16.
    return at(path, "local.auth", "must be pubkey where the remote side uses EAP");
  }
  return {};
}

}  // namespace

Result<ParsedConnection> parse_connection(const std::string& name, const Section& section,
                                          const ConnectionDefaults& defaults) {
  const std::string path = "connections." + name;
  PENSTOCK_CHECK(check_name(path, name));
  ParsedConnection parsed;
  ConnectionDraft draft;
  draft.config.name = name;
  std::optional<AuthDraft> local, remote;
  std::string local_path = path + ".local", remote_path = path + ".remote";
  for (const auto& entry : section.entries()) {
    if (!is_section(entry)) {
      PENSTOCK_CHECK(apply_entry(path, kConnectionKeys, draft, entry));
      continue;
    }
    const std::string inner = path + "." + entry.name;
    if (entry.name == "children") {
      for (const auto& child : section_of(entry).entries()) {
        if (!is_section(child)) return at(inner, child.name, "is no section");
        if (draft.config.children.size() >= kChildrenMax) {
          return at(inner, "", "more than " + std::to_string(kChildrenMax) + " children");
        }
        PENSTOCK_TRY(auto config, parse_child(inner + "." + child.name, child.name,
                                              section_of(child), defaults, parsed.warnings));
        draft.config.children.push_back(std::move(config));
      }
    } else if (entry.name.starts_with("local") || entry.name.starts_with("remote")) {
      const bool is_local = entry.name.starts_with("local");
      std::optional<AuthDraft>& auth = is_local ? local : remote;
      if (auth) return at(inner, "", "a second round of authentication is not supported");
      PENSTOCK_TRY(auth, parse_auth_section(inner, section_of(entry), is_local, parsed.warnings));
      (is_local ? local_path : remote_path) = inner;
    } else {
      return at(path, entry.name, "is no section that penstock knows");
    }
  }
  take_warnings(parsed.warnings, path, draft.warnings);
  if (!draft.proposals_given) {
    draft.config.proposals = ike::default_proposals(ike::ProtocolId::kIke);
  }
  PENSTOCK_CHECK(finish_if_id(path, draft.if_id_in, draft.if_id_out, draft.config.if_id));
  finish_times(draft);
  if (local) PENSTOCK_CHECK(finish_local(local_path, *local, draft.config.local));
  if (remote) PENSTOCK_CHECK(finish_remote(remote_path, *remote, draft.config.remote));
  PENSTOCK_CHECK(check_whole(draft.config));
  check_server_certificate(draft.config, parsed.warnings);

  if (local) parsed.certificates = local->certs;
  if (remote) {
    parsed.certificates.insert(parsed.certificates.end(), remote->certs.begin(),
                               remote->certs.end());
    parsed.authorities = remote->ca_certs;
  }
  parsed.local_addrs = std::move(draft.local_addrs);
  parsed.remote_addrs = std::move(draft.remote_addrs);
  parsed.config = std::make_shared<const ike::ConnectionConfig>(std::move(draft.config));
  return parsed;
}

Result<ParsedPool> parse_pool(const std::string& name, const Section& section) {
  const std::string path = "pools." + name;
  PENSTOCK_CHECK(check_name(path, name));
  PoolDraft draft;
  for (const auto& entry : section.entries()) {
    if (parse_unsigned(entry.name)) continue;  // an attribute by number
    PENSTOCK_CHECK(apply_entry(path, kPoolKeys, draft, entry));
  }
  if (draft.addresses.empty()) return at(path, "addrs", "is missing");
  auto config = ike::PoolConfig::parse_addresses(name, draft.addresses);
  if (!config.ok()) return at(path, "addrs", config.error().text);
  for (const auto& entry : section.entries()) {
    if (entry.name == "addrs") continue;
    const auto input = input_of(entry, Shape::kList);
    if (!input.ok()) return at(path, entry.name, input.error().text);
    for (const std::string_view value : input->texts()) {
      const Status added = config->add_attribute(entry.name, value);
      if (!added.ok()) return at(path, entry.name, added.error().text);
    }
  }
  ParsedPool parsed;
  const std::string_view addresses = draft.addresses;
  parsed.base = trim(addresses.substr(0, addresses.find_first_of("/-")));
  parsed.config = std::move(*config);
  take_warnings(parsed.warnings, path, draft.warnings);
  return parsed;
}

Result<ParsedAuthority> parse_authority(const std::string& name, const Section& section) {
  const std::string path = "authorities." + name;
  PENSTOCK_CHECK(check_name(path, name));
  AuthorityDraft draft;
  draft.authority.name = name;
  for (const auto& entry : section.entries()) {
    PENSTOCK_CHECK(apply_entry(path, kAuthorityKeys, draft, entry));
  }
  if (!draft.authority.ca) return at(path, "cacert", "is missing");
  if (!draft.authority.ca->is_ca()) return at(path, "cacert", "is not one of a CA");
  ParsedAuthority parsed;
  take_warnings(parsed.warnings, path, draft.warnings);
  parsed.authority = std::move(draft.authority);
  return parsed;
}

}  // namespace penstock::vici
