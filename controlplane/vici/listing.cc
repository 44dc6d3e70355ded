#include "controlplane/vici/listing.h"

#include <cinttypes>
#include <cstdio>

#include "controlplane/ike/crypto/suite.h"
#include "controlplane/vici/values.h"

namespace penstock::vici {
namespace {

std::string hex16(uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, number);
  return text;
}
std::string hex8(uint32_t number) {
  char text[9];
  std::snprintf(text, sizeof text, "%08" PRIx32, number);
  return text;
}

std::string seconds(Nanoseconds time_ns) { return std::to_string(time_ns / kSecond); }

// Seconds until a time that may be none.
void write_until(MessageWriter& writer, std::string_view key, Nanoseconds at_ns,
                 const ike::Now& now) {
  if (at_ns == 0 || at_ns == kNever) return;
  writer.value(key, seconds(at_ns - now.boot_ns));
}

void write_suite(MessageWriter& writer, const ike::Suite& suite) {
  if (suite.encryption != ike::EncryptionId::kNone) {
    writer.value("encr-alg", ike::encryption_name(static_cast<uint16_t>(suite.encryption)));
    if (suite.key_bits != 0) writer.value("encr-keysize", uint64_t{suite.key_bits});
  }
  if (suite.integrity != ike::IntegrityId::kNone) {
    writer.value("integ-alg", ike::integrity_name(static_cast<uint16_t>(suite.integrity)));
  }
  if (suite.prf != ike::PrfId::kNone) {
    writer.value("prf-alg", ike::prf_name(static_cast<uint16_t>(suite.prf)));
  }
  if (suite.group != ike::DhGroup::kNone) {
    writer.value("dh-group", ike::group_name(static_cast<uint16_t>(suite.group)));
  }
}

std::vector<std::string> texts(const std::vector<IpAddress>& addresses) {
  std::vector<std::string> all;
  for (const IpAddress& address : addresses) all.push_back(address.to_string());
  return all;
}
template <class Selector>
std::vector<std::string> texts(const std::vector<Selector>& selectors) {
  std::vector<std::string> all;
  for (const auto& selector : selectors) all.push_back(to_string(selector));
  return all;
}

void write_list_if_any(MessageWriter& writer, std::string_view key,
                       const std::vector<std::string>& items) {
  if (!items.empty()) writer.list(key, items);
}

void write_traffic(MessageWriter& writer, const SaTraffic& traffic, bool inbound,
                   const ike::Now& now) {
  writer.value(inbound ? "bytes-in" : "bytes-out", traffic.bytes);
  writer.value(inbound ? "packets-in" : "packets-out", traffic.packets);
  if (traffic.last_used_boot_ns != 0) {
    writer.value(inbound ? "use-in" : "use-out", seconds(now.boot_ns - traffic.last_used_boot_ns));
  }
}

const char* mode_name(ike::ChildMode mode) {
  switch (mode) {
    case ike::ChildMode::kTunnel:
      return "TUNNEL";
    case ike::ChildMode::kPass:
      return "PASS";
    case ike::ChildMode::kDrop:
      break;
  }
  return "DROP";
}

const char* class_name(ike::AuthClass method) {
  switch (method) {
    case ike::AuthClass::kPubkey:
      return "public key";
    case ike::AuthClass::kPsk:
      return "pre-shared key";
    case ike::AuthClass::kEap:
      break;
  }
  return "EAP";
}

const char* unique_name(ike::Uniqueness unique) {
  switch (unique) {
    case ike::Uniqueness::kNever:
      return "UNIQUE_NEVER";
    case ike::Uniqueness::kNo:
      return "UNIQUE_NO";
    case ike::Uniqueness::kReplace:
      return "UNIQUE_REPLACE";
    case ike::Uniqueness::kKeep:
      break;
  }
  return "UNIQUE_KEEP";
}

const char* revocation_name(ike::RevocationPolicy policy) {
  switch (policy) {
    case ike::RevocationPolicy::kRelaxed:
      return "relaxed";
    case ike::RevocationPolicy::kIfUri:
      return "ifuri";
    case ike::RevocationPolicy::kStrict:
      break;
  }
  return "strict";
}

std::vector<std::string> subjects(const std::vector<ike::CertificatePtr>& certificates) {
  std::vector<std::string> all;
  for (const auto& certificate : certificates) all.push_back(certificate->subject().to_string());
  return all;
}

void write_local_auth(MessageWriter& writer, const ike::LocalAuth& local) {
  writer.begin_section("local-1").value("class", class_name(local.method));
  if (!local.id.is_any()) writer.value("id", local.id.to_string());
  writer.list("groups", {}).list("cert_policy", {}).list("certs", subjects(local.certs));
  writer.list("cacerts", {}).end_section();
}

void write_remote_auth(MessageWriter& writer, const ike::RemoteAuth& remote) {
  writer.begin_section("remote-1").value("class", class_name(remote.method));
  if (remote.method == ike::AuthClass::kEap) {
    const bool several = remote.eap_methods.size() > 1;
    writer.value("eap-type", several                                            ? "EAP_DYNAMIC"
                             : remote.eap_methods.front() == ike::EapType::kTls ? "EAP_TLS"
                                                                                : "EAP_MSCHAPV2");
    writer.value("eap_id", remote.eap_id.to_string());
  }
  if (!remote.id.is_any()) writer.value("id", remote.id.to_string());
  writer.value("revocation", revocation_name(remote.revocation));
  writer.list("groups", {}).list("cert_policy", remote.cert_policies);
  writer.list("certs", subjects(remote.certs)).list("cacerts", subjects(remote.ca_certs));
  writer.end_section();
}

void write_child_config(MessageWriter& writer, const ike::ChildConfig& child) {
  writer.begin_section(child.name).value("mode", mode_name(child.mode));
  writer.value("rekey_time", seconds(child.lifetimes.rekey_ns));
  writer.value("rekey_bytes", child.lifetimes.rekey_bytes);
  writer.value("rekey_packets", child.lifetimes.rekey_packets);
  // swanctl prints it where the connection has a dpd_delay.
  writer.value("dpd_action", child.dpd_action == ike::DpdAction::kTrap      ? "trap"
                             : child.dpd_action == ike::DpdAction::kRestart ? "restart"
                                                                            : "clear");
  if (child.close_action != ike::CloseAction::kNone) {
    writer.value("close_action", child.close_action == ike::CloseAction::kTrap ? "trap" : "start");
  }
  writer.list("local-ts", texts(child.local_ts)).list("remote-ts", texts(child.remote_ts));
  if (child.priority != 0) writer.value("priority", uint64_t{child.priority});
  writer.end_section();
}

const ike::ChildSaInfo* child_of(const ike::IkeSaInfo& sa, uint32_t child_id) {
  for (const auto& child : sa.children) {
    if (child.unique_id == child_id) return &child;
  }
  return nullptr;
}

void write_child_section(MessageWriter& writer, const ike::ChildSaInfo& child,
                         const Backend& backend) {
  writer.begin_section(section_name(child));
  write_child_sa(writer, child, backend.child_traffic(child.tunnel, child.inbound_spi),
                 backend.now());
  writer.end_section();
}

}  // namespace

std::string section_name(const ike::IkeSaInfo& sa) {
  return sa.connection.empty() ? "(unnamed)" : sa.connection;
}

std::string section_name(const ike::ChildSaInfo& child) {
  return child.name.substr(0, 240) + "-" + std::to_string(child.unique_id);
}

void write_ike_sa(MessageWriter& writer, const ike::IkeSaInfo& sa, const ike::Now& now) {
  writer.value("uniqueid", uint64_t{sa.unique_id}).value("version", "2");
  writer.value("state", text_of(sa.state));
  writer.value("local-host", sa.local.address.to_string());
  writer.value("local-port", uint64_t{sa.local.port}).value("local-id", sa.local_id.to_string());
  writer.value("remote-host", sa.remote.address.to_string());
  writer.value("remote-port", uint64_t{sa.remote.port});
  writer.value("remote-id", sa.remote_id.to_string());
  if (!sa.remote_eap_id.is_any() && sa.remote_eap_id != sa.remote_id) {
    writer.value("remote-eap-id", sa.remote_eap_id.to_string());
  }
  writer.flag("initiator", sa.initiator);
  writer.value("initiator-spi", hex16(sa.initiator_spi));
  writer.value("responder-spi", hex16(sa.responder_spi));
  writer.flag("nat-local", sa.nat_local).flag("nat-remote", sa.nat_remote);
  writer.flag("nat-fake", sa.nat_any && !sa.nat_local && !sa.nat_remote);
  writer.flag("nat-any", sa.nat_any);
  write_suite(writer, sa.suite);
  if (sa.established_ns != 0 && sa.established_ns != kNever) {
    writer.value("established", seconds(now.boot_ns - sa.established_ns));
    write_until(writer, "rekey-time", sa.rekey_at_ns, now);
    write_until(writer, "reauth-time", sa.reauth_at_ns, now);
  }
  write_list_if_any(writer, "local-vips", texts(sa.local_vips));
  write_list_if_any(writer, "remote-vips", texts(sa.remote_vips));
  write_list_if_any(writer, "tasks-queued", sa.tasks_queued);
  write_list_if_any(writer, "tasks-active", sa.tasks_active);
  write_list_if_any(writer, "tasks-passive", sa.tasks_passive);
}

void write_child_sa(MessageWriter& writer, const ike::ChildSaInfo& child,
                    const std::optional<ChildTraffic>& traffic, const ike::Now& now) {
  writer.value("name", child.name).value("uniqueid", uint64_t{child.unique_id});
  writer.value("reqid", uint64_t{child.reqid}).value("state", text_of(child.state));
  writer.value("mode", "TUNNEL").value("protocol", "ESP");
  writer.flag("encap", child.encapsulated);
  writer.value("spi-in", hex8(child.inbound_spi)).value("spi-out", hex8(child.outbound_spi));
  if (child.if_id != 0) {
    writer.value("if-id-in", hex8(child.if_id)).value("if-id-out", hex8(child.if_id));
  }
  write_suite(writer, child.suite);
  if (child.suite.esn) writer.value("esn", "1");
  const ChildTraffic counted = traffic.value_or(ChildTraffic{});
  write_traffic(writer, counted.inbound, true, now);
  write_traffic(writer, counted.outbound, false, now);
  write_until(writer, "rekey-time", child.rekey_at_ns, now);
  write_until(writer, "life-time", child.life_at_ns, now);
  const bool installed = child.installed_ns != 0 && child.installed_ns != kNever;
  writer.value("install-time", seconds(installed ? now.boot_ns - child.installed_ns : 0));
  // Until they are negotiated, what is wanted.
  const bool wanted = child.local_ts.empty() && child.config;
  writer.list("local-ts", wanted ? texts(child.config->local_ts) : texts(child.local_ts));
  writer.list("remote-ts", wanted ? texts(child.config->remote_ts) : texts(child.remote_ts));
}

MessageWriter list_sa_event(const ike::IkeSaInfo& sa, const Backend& backend) {
  MessageWriter writer;
  writer.begin_section(section_name(sa));
  write_ike_sa(writer, sa, backend.now());
  // swanctl prints the IKE SA when it comes to this section: it is always there, and last.
  writer.begin_section("child-sas");
  for (const auto& child : sa.children) write_child_section(writer, child, backend);
  writer.end_section().end_section();
  return writer;
}

MessageWriter list_conn_event(const ParsedConnection& connection) {
  const ike::ConnectionConfig& config = *connection.config;
  const std::vector<std::string> any = {"%any"};
  MessageWriter writer;
  writer.begin_section(config.name);
  writer.list("local_addrs", connection.local_addrs.empty() ? any : connection.local_addrs);
  writer.list("remote_addrs", connection.remote_addrs.empty() ? any : connection.remote_addrs);
  writer.value("version", "IKEv2");
  writer.value("reauth_time", seconds(config.reauth_ns));
  writer.value("rekey_time", seconds(config.rekey_ns));
  writer.value("unique", unique_name(config.unique));
  if (config.dpd_delay_ns != 0) writer.value("dpd_delay", seconds(config.dpd_delay_ns));
  write_local_auth(writer, config.local);
  write_remote_auth(writer, config.remote);
  writer.begin_section("children");
  for (const auto& child : config.children) write_child_config(writer, *child);
  writer.end_section().end_section();
  return writer;
}

MessageWriter list_policy_event(const ike::PolicyInfo& policy) {
  MessageWriter writer;
  const std::string name =
      policy.connection.empty() ? policy.child : policy.connection + "/" + policy.child;
  writer.begin_section(name.substr(0, UINT8_MAX)).value("child", policy.child);
  if (!policy.connection.empty()) writer.value("ike", policy.connection);
  writer.value("mode", mode_name(policy.mode));
  writer.list("local-ts", texts(policy.local_ts)).list("remote-ts", texts(policy.remote_ts));
  writer.end_section();
  return writer;
}

MessageWriter ike_updown_event(const ike::IkeSaInfo& sa, bool up, const Backend& backend) {
  MessageWriter writer;
  writer.flag("up", up).begin_section(section_name(sa));
  write_ike_sa(writer, sa, backend.now());
  // charon leaves this section out; with it `swanctl --monitor-sa` prints the IKE SA.
  writer.begin_section("child-sas").end_section();
  writer.end_section();
  return writer;
}

MessageWriter ike_rekey_event(const ike::IkeSaInfo& before, const ike::IkeSaInfo& after,
                              const Backend& backend) {
  MessageWriter writer;
  writer.begin_section(section_name(before)).begin_section("old");
  write_ike_sa(writer, before, backend.now());
  writer.end_section().begin_section("new");
  write_ike_sa(writer, after, backend.now());
  writer.end_section().end_section();
  return writer;
}

MessageWriter child_updown_event(const ike::IkeSaInfo& sa, uint32_t child_id, bool up,
                                 const Backend& backend) {
  MessageWriter writer;
  writer.flag("up", up).begin_section(section_name(sa));
  write_ike_sa(writer, sa, backend.now());
  writer.begin_section("child-sas");
  if (const auto* child = child_of(sa, child_id)) write_child_section(writer, *child, backend);
  writer.end_section().end_section();
  return writer;
}

MessageWriter child_rekey_event(const ike::IkeSaInfo& sa, uint32_t before, uint32_t after,
                                const Backend& backend) {
  const auto* const old_child = child_of(sa, before);
  const auto* const new_child = child_of(sa, after);
  MessageWriter writer;
  writer.begin_section(section_name(sa));
  write_ike_sa(writer, sa, backend.now());
  writer.begin_section("child-sas");
  if (old_child != nullptr || new_child != nullptr) {
    writer.begin_section((old_child != nullptr ? old_child : new_child)->name);
    for (const auto* child : {old_child, new_child}) {
      if (child == nullptr) continue;
      writer.begin_section(child == old_child ? "old" : "new");
      write_child_sa(writer, *child, backend.child_traffic(child->tunnel, child->inbound_spi),
                     backend.now());
      writer.end_section();
    }
    writer.end_section();
  }
  writer.end_section().end_section();
  return writer;
}

}  // namespace penstock::vici
