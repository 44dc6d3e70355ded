// swanctl.conf's sections, written as a client sends them, against the configuration of IKE.
#include "controlplane/vici/configuration.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "controlplane/vici/keys.h"
#include "gateway/base/text.h"

namespace penstock::vici {
namespace {

constexpr const char* kCaPath = PENSTOCK_VECTORS "/vici/ca.pem";
constexpr const char* kClientPath = PENSTOCK_VECTORS "/vici/client.pem";
constexpr const char* kServerPath = PENSTOCK_VECTORS "/vici/server.pem";

std::string content(const char* path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << path;
  return text.str();
}

// One section by name in a message, filled in by the test.
struct Request {
  explicit Request(const std::string& name) { writer.begin_section(name); }
  Result<ParsedConnection> connection(const ConnectionDefaults& defaults = {}) {
    writer.end_section();
    EXPECT_TRUE(writer.ok());
    auto parsed = parse_message(writer.bytes());
    root = std::make_unique<Section>(std::move(*parsed));
    const auto& entry = root->entries().front();
    return parse_connection(entry.name, *root->section(entry.name), defaults);
  }
  MessageWriter writer;
  std::unique_ptr<Section> root;
};

std::string error_of(Request& request) {
  const auto parsed = request.connection();
  return parsed.ok() ? std::string() : parsed.error().text;
}

// The error of a connection with one key in one of its sections.
std::string error_with(const std::string& section, const std::string& key,
                       const std::string& value) {
  Request request("gw");
  std::vector<std::string> open;
  for (const std::string_view part : split(section, '.')) {
    if (part.empty()) continue;
    request.writer.begin_section(part);
    open.emplace_back(part);
  }
  request.writer.value(key, value);
  for (size_t i = 0; i < open.size(); ++i) request.writer.end_section();
  return error_of(request);
}

TEST(ViciConfiguration, empty_connection_has_charons_defaults) {
  Request request("gw");
  request.writer.begin_section("children").begin_section("net").end_section().end_section();
  const auto parsed = request.connection();
  ASSERT_TRUE(parsed.ok()) << parsed.error().text;
  const auto& config = *parsed->config;
  EXPECT_EQ(config.name, "gw");
  EXPECT_TRUE(config.local_addresses.empty());
  EXPECT_FALSE(config.proposals.empty());
  EXPECT_EQ(config.rekey_ns, 4 * 3600 * kSecond);
  EXPECT_EQ(config.reauth_ns, 0);
  EXPECT_EQ(config.over_ns, 1440 * kSecond);
  EXPECT_EQ(config.random_ns, 1440 * kSecond);
  EXPECT_EQ(config.unique, ike::Uniqueness::kNo);
  EXPECT_EQ(config.local.method, ike::AuthClass::kPubkey);
  EXPECT_TRUE(config.remote.id.is_any());
  ASSERT_EQ(config.children.size(), 1U);
  const auto& child = *config.children[0];
  EXPECT_EQ(child.name, "net");
  EXPECT_EQ(child.lifetimes.rekey_ns, 3600 * kSecond);
  EXPECT_EQ(child.lifetimes.life_ns, 3960 * kSecond);
  EXPECT_EQ(child.lifetimes.random_ns, 360 * kSecond);
  EXPECT_EQ(child.lifetimes.rekey_bytes, 0U);
  EXPECT_EQ(child.lifetimes.life_bytes, 0U);
  EXPECT_EQ(child.replay_window_packets, 1024U);
  EXPECT_EQ(child.dscp, DscpMode::kCopy);
  EXPECT_FALSE(child.literal_proposals);
  EXPECT_FALSE(child.proposals.empty());
  ASSERT_EQ(child.local_ts.size(), 1U);
  EXPECT_TRUE(child.local_ts[0].dynamic);
  EXPECT_TRUE(parsed->warnings.empty());
}

TEST(ViciConfiguration, connection_keys_land_in_the_configuration) {
  Request request("gw");
  request.writer.value("version", "2").list("local_addrs", {"192.0.2.1", "2001:db8::1"});
  request.writer.list("remote_addrs", {"peer.example.com", "198.51.100.0/24"});
  request.writer.list("proposals", {"aes256gcm16-prfsha384-ecp384", "default"});
  request.writer.list("pools", {"p4", "p6"}).list("vips", {"0.0.0.0", "::"});
  request.writer.value("local_port", "4500").value("remote_port", "4500");
  request.writer.value("dscp", "101110").value("encap", "yes").value("mobike", "no");
  request.writer.value("dpd_delay", "30s").value("fragmentation", "no");
  request.writer.value("childless", "force").value("send_certreq", "no");
  request.writer.value("send_cert", "always").value("keyingtries", "0").value("unique", "replace");
  request.writer.value("reauth_time", "3h").value("over_time", "5m").value("rand_time", "1m");
  request.writer.value("if_id_in", "42").value("if_id_out", "42");
  request.writer.begin_section("local-main").value("auth", "psk").value("id", "@gw").end_section();
  request.writer.begin_section("remote-1").value("auth", "psk").value("id", "@peer").end_section();
  const auto parsed = request.connection();
  ASSERT_TRUE(parsed.ok()) << parsed.error().text;
  const auto& config = *parsed->config;
  EXPECT_EQ(config.local_addresses.size(), 2U);
  EXPECT_EQ(config.remote_addresses[0].name, "peer.example.com");
  EXPECT_EQ(config.pools, (std::vector<std::string>{"p4", "p6"}));
  ASSERT_EQ(config.virtual_ips.size(), 2U);
  EXPECT_TRUE(config.virtual_ips[1].is_v6());
  EXPECT_EQ(config.local_port, 4500);
  EXPECT_EQ(config.dscp, 46);
  EXPECT_TRUE(config.encap);
  EXPECT_FALSE(config.mobike);
  EXPECT_EQ(config.dpd_delay_ns, 30 * kSecond);
  EXPECT_EQ(config.fragmentation, ike::Wish::kNo);
  EXPECT_EQ(config.childless, ike::Wish::kForce);
  EXPECT_FALSE(config.send_certreq);
  EXPECT_EQ(config.send_cert, ike::Wish::kForce);
  EXPECT_EQ(config.keying_tries, 0U);
  EXPECT_EQ(config.unique, ike::Uniqueness::kReplace);
  EXPECT_EQ(config.reauth_ns, 3 * 3600 * kSecond);
  EXPECT_EQ(config.rekey_ns, 0);  // reauthentication is set
  EXPECT_EQ(config.over_ns, 300 * kSecond);
  EXPECT_EQ(config.random_ns, 60 * kSecond);
  EXPECT_EQ(config.if_id, 42U);
  EXPECT_EQ(config.local.method, ike::AuthClass::kPsk);
  EXPECT_EQ(config.local.id.to_string(), "gw");
  EXPECT_EQ(config.remote.id.to_string(), "peer");
  EXPECT_EQ(parsed->remote_addrs[1], "198.51.100.0/24");
}

TEST(ViciConfiguration, child_keys_land_in_the_configuration) {
  Request request("gw");
  request.writer.begin_section("children").begin_section("net");
  request.writer.list("local_ts", {"10.1.0.0/16[tcp/80]", "dynamic"});
  request.writer.list("remote_ts", {"10.2.0.0/16"});
  request.writer.list("esp_proposals", {"aes128gcm16"});
  request.writer.value("rekey_time", "10m").value("life_time", "20m").value("rand_time", "1m");
  request.writer.value("rekey_bytes", "1g").value("rekey_packets", "1000000");
  request.writer.value("life_packets", "2000000").value("rand_packets", "5");
  request.writer.value("mode", "tunnel").value("policies", "no").value("dpd_action", "restart");
  request.writer.value("inactivity", "1h").value("reqid", "7").value("priority", "100");
  request.writer.value("if_id_in", "9").value("if_id_out", "9").value("tfc_padding", "mtu");
  request.writer.value("replay_window", "32").value("copy_df", "no").value("copy_dscp", "no");
  request.writer.value("start_action", "trap|start").value("close_action", "start");
  request.writer.end_section().end_section();
  const auto parsed = request.connection();
  ASSERT_TRUE(parsed.ok()) << parsed.error().text;
  const auto& child = *parsed->config->children.at(0);
  EXPECT_EQ(child.local_ts.size(), 2U);
  EXPECT_EQ(child.local_ts[0].selector.protocol, 6);
  EXPECT_TRUE(child.literal_proposals);
  EXPECT_EQ(child.proposals.size(), 1U);
  EXPECT_EQ(child.lifetimes.rekey_ns, 600 * kSecond);
  EXPECT_EQ(child.lifetimes.life_ns, 1200 * kSecond);
  EXPECT_EQ(child.lifetimes.random_ns, 60 * kSecond);
  EXPECT_EQ(child.lifetimes.rekey_bytes, 1U << 30);
  EXPECT_EQ(child.lifetimes.life_bytes, (1U << 30) + (1U << 30) / 10);
  EXPECT_EQ(child.lifetimes.random_bytes, (1U << 30) / 10);
  EXPECT_EQ(child.lifetimes.life_packets, 2'000'000U);
  EXPECT_EQ(child.lifetimes.random_packets, 5U);
  EXPECT_FALSE(child.policies);
  EXPECT_EQ(child.dpd_action, ike::DpdAction::kRestart);
  EXPECT_EQ(child.close_action, ike::CloseAction::kStart);
  EXPECT_EQ(child.inactivity_ns, 3600 * kSecond);
  EXPECT_EQ(child.reqid, 7U);
  EXPECT_EQ(child.priority, 100U);
  EXPECT_EQ(child.if_id, 9U);
  EXPECT_EQ(child.tfc_padding, UINT16_MAX);
  EXPECT_EQ(child.replay_window_packets, 64U);
  EXPECT_FALSE(child.copy_df);
  EXPECT_EQ(child.dscp, DscpMode::kZero);
  EXPECT_TRUE(child.start);
  EXPECT_TRUE(child.trap);
}

TEST(ViciConfiguration, perfect_forward_secrecy_is_required_by_a_child_or_by_default) {
  const auto required = [](const char* value, bool by_default, const char* proposal) {
    Request request("gw");
    request.writer.begin_section("children").begin_section("net");
    request.writer.list("esp_proposals", {proposal});
    if (*value != 0) request.writer.value("require_pfs", value);
    request.writer.end_section().end_section();
    return request.connection({by_default});
  };
  const auto of = [&](const char* value, bool by_default) {
    const auto parsed = required(value, by_default, "aes256gcm16-x25519");
    EXPECT_TRUE(parsed.ok()) << parsed.error().text;
    return parsed->config->children.at(0)->require_pfs;
  };
  EXPECT_FALSE(of("", false));
  EXPECT_TRUE(of("", true));
  EXPECT_TRUE(of("yes", false));
  EXPECT_FALSE(of("no", true));
  const auto impossible = required("yes", false, "aes256gcm16");
  ASSERT_FALSE(impossible.ok());
  EXPECT_TRUE(impossible.error().text.starts_with("connections.gw.children.net.esp_proposals: "))
      << impossible.error().text;
}

TEST(ViciConfiguration, authentication_of_clients_lands_in_the_configuration) {
  const std::string ca = content(kCaPath), server = content(kServerPath);
  Request request("rw");
  request.writer.begin_section("local").list("certs", {server}).value("id", "gw.example");
  request.writer.value("auth", "pubkey-sha256").end_section();
  request.writer.begin_section("remote").value("auth", "eap-mschapv2").value("eap_id", "%any");
  request.writer.list("cacerts", {ca}).value("revocation", "strict");
  request.writer.list("cert_policy", {"1.2.3.4"}).end_section();
  const auto parsed = request.connection();
  ASSERT_TRUE(parsed.ok()) << parsed.error().text;
  const auto& config = *parsed->config;
  ASSERT_EQ(config.local.certs.size(), 1U);
  EXPECT_EQ(config.remote.method, ike::AuthClass::kEap);
  EXPECT_EQ(config.remote.eap_methods, std::vector{ike::EapType::kMschapv2});
  EXPECT_TRUE(config.remote.ask_eap_identity);
  EXPECT_EQ(config.remote.ca_certs.size(), 1U);
  EXPECT_EQ(config.remote.revocation, ike::RevocationPolicy::kStrict);
  EXPECT_EQ(config.remote.cert_policies, std::vector<std::string>{"1.2.3.4"});
  EXPECT_EQ(parsed->certificates.size(), 1U);
  EXPECT_EQ(parsed->authorities.size(), 1U);
  EXPECT_TRUE(parsed->warnings.empty()) << parsed->warnings[0];
}

TEST(ViciConfiguration, server_certificate_that_clients_would_refuse_is_warned_of) {
  Request request("rw");
  request.writer.begin_section("local").list("certs", {content(kClientPath)});
  request.writer.value("id", "other.example").end_section();
  request.writer.begin_section("remote").value("auth", "eap-tls").end_section();
  const auto parsed = request.connection();
  ASSERT_TRUE(parsed.ok()) << parsed.error().text;
  ASSERT_EQ(parsed->warnings.size(), 2U);
  EXPECT_NE(parsed->warnings[0].find("other.example"), std::string::npos);
  EXPECT_NE(parsed->warnings[1].find("serverAuth"), std::string::npos);
}

TEST(ViciConfiguration, certificate_files_are_read_by_the_gateway) {
  Request request("gw");
  request.writer.begin_section("remote").begin_section("cacert1").value("file", kCaPath);
  request.writer.end_section().begin_section("cert-2").value("file", kServerPath).end_section();
  request.writer.end_section();
  const auto parsed = request.connection();
  ASSERT_TRUE(parsed.ok()) << parsed.error().text;
  EXPECT_EQ(parsed->config->remote.ca_certs.size(), 1U);
  EXPECT_EQ(parsed->config->remote.certs.size(), 1U);

  EXPECT_EQ(error_with("remote.cacert1", "file", kServerPath),
            "connections.gw.remote.cacert1.file: is not one of a CA");
  EXPECT_NE(error_with("remote.cert1", "file", "/nonexistent/x").find("/nonexistent/x"),
            std::string::npos);
  EXPECT_NE(error_with("remote.cert1", "file", "x.pem").find("absolute"), std::string::npos);
  EXPECT_NE(error_with("remote.cert1", "file", "/dev/zero").find("regular"), std::string::npos);
  EXPECT_NE(error_with("remote.cert1", "handle", "00").find("tokens"), std::string::npos);
}

struct ErrorRow {
  const char *section, *key, *value;
  const char* begins;  // the path of the key
  const char* mentions;
};

TEST(ViciConfiguration, refused_keys_are_named_with_connection_section_and_why) {
  for (const ErrorRow& row : std::initializer_list<ErrorRow>{
           {"", "version", "1", "connections.gw.version: ", "IKEv1"},
           {"", "aggressive", "yes", "connections.gw.aggressive: ", "IKEv1"},
           {"", "ppk_id", "x", "connections.gw.ppk_id: ", "postquantum"},
           {"", "mediation", "yes", "connections.gw.mediation: ", "mediation"},
           {"", "local_port", "501", "connections.gw.local_port: ", "500 and 4500"},
           {"", "nonsense", "x", "connections.gw.nonsense: ", "no key"},
           {"", "rekey_time", "soon", "connections.gw.rekey_time: ", "soon"},
           {"", "proposals", "3des-sha1-modp1024", "connections.gw.proposals: ", "3des"},
           {"", "unique", "maybe", "connections.gw.unique: ", "replace"},
           {"", "dscp", "46", "connections.gw.dscp: ", "binary"},
           {"", "remote_addrs", "a b", "connections.gw.remote_addrs: ", "a b"},
           {"", "vips", "x", "connections.gw.vips: ", "x"},
           {"local", "auth", "eap-tls", "connections.gw.local.auth: ", "EAP"},
           {"local", "auth", "xauth", "connections.gw.local.auth: ", "IKEv1"},
           {"local", "auth", "pubkey-md5", "connections.gw.local.auth: ", "md5"},
           {"local", "pubkeys", "x", "connections.gw.local.pubkeys: ", "raw public keys"},
           {"local", "certs", "no pem", "connections.gw.local.certs: ", ""},
           {"remote", "auth", "eap-md5", "connections.gw.remote.auth: ", "md5"},
           {"remote", "auth", "eap-radius", "connections.gw.remote.auth: ", "radius"},
           {"remote", "groups", "admins", "connections.gw.remote.groups: ", "group"},
           {"remote", "ca_id", "C=CH", "connections.gw.remote.ca_id: ", "cacerts"},
           {"remote", "revocation", "maybe", "connections.gw.remote.revocation: ", ""},
           {"children.net", "mode", "transport", "connections.gw.children.net.mode: ", "tunnel"},
           {"children.net", "ipcomp", "yes", "connections.gw.children.net.ipcomp: ", "IPComp"},
           {"children.net", "mark_in", "42", "connections.gw.children.net.mark_in: ", "marks"},
           {"children.net", "updown", "/x", "connections.gw.children.net.updown: ", "scripts"},
           {"children.net", "hw_offload", "yes", "connections.gw.children.net.hw_offload: ", ""},
           {"children.net", "copy_dscp", "in", "connections.gw.children.net.copy_dscp: ", ""},
           {"children.net", "copy_ecn", "no", "connections.gw.children.net.copy_ecn: ", "6040"},
           {"children.net", "ah_proposals", "sha256",
            "connections.gw.children.net.ah_proposals: ", "AH"},
           {"children.net", "esp_proposals", "aes128-sha1",
            "connections.gw.children.net.esp_proposals: ", "sha1"},
           {"children.net", "local_ts", "10.0.0.0/33",
            "connections.gw.children.net.local_ts: ", "10.0.0.0/33"},
           {"children.net", "if_id_in", "1", "connections.gw.children.net.if_id_in: ", "if_id_out"},
           {"children.net", "start_action", "go",
            "connections.gw.children.net.start_action: ", "go"},
           {"children.net", "replay_window", "20000",
            "connections.gw.children.net.replay_window: ", "16384"},
           {"children.net", "nonsense", "x", "connections.gw.children.net.nonsense: ", "no key"},
       }) {
    const std::string error = error_with(row.section, row.key, row.value);
    EXPECT_TRUE(error.starts_with(row.begins)) << row.key << ": " << error;
    EXPECT_NE(error.find(row.mentions), std::string::npos) << row.key << ": " << error;
  }
}

TEST(ViciConfiguration, second_round_and_unknown_sections_are_refused) {
  Request two("gw");
  two.writer.begin_section("remote1").end_section().begin_section("remote2").end_section();
  EXPECT_EQ(error_of(two),
            "connections.gw.remote2: a second round of authentication is not supported");
  Request unknown("gw");
  unknown.writer.begin_section("proposals").end_section();
  EXPECT_FALSE(error_of(unknown).empty());
  Request eap("gw");
  eap.writer.begin_section("local").value("auth", "psk").end_section();
  eap.writer.begin_section("remote").value("auth", "eap-tls").end_section();
  EXPECT_TRUE(error_of(eap).starts_with("connections.gw.local.auth: "));
}

TEST(ViciConfiguration, harmless_keys_load_with_a_warning_that_names_them) {
  Request request("gw");
  request.writer.value("version", "0").value("dpd_timeout", "10s").value("aggressive", "no");
  request.writer.begin_section("local").value("aaa_id", "x").value("round", "1").end_section();
  request.writer.begin_section("children").begin_section("net").value("hw_offload", "auto");
  request.writer.value("mark_in", "0/0x00000000").value("hostaccess", "yes");
  request.writer.end_section().end_section();
  const auto parsed = request.connection();
  ASSERT_TRUE(parsed.ok()) << parsed.error().text;
  std::set<std::string> keys;
  for (const std::string& warning : parsed->warnings) {
    keys.insert(warning.substr(0, warning.find(':')));
  }
  EXPECT_EQ(keys,
            (std::set<std::string>{"connections.gw.children.net.hostaccess",
                                   "connections.gw.children.net.hw_offload",
                                   "connections.gw.dpd_timeout", "connections.gw.local.aaa_id",
                                   "connections.gw.local.round", "connections.gw.version"}));
}

// Whatever the table refuses or calls harmless does so, with every value that it accepts taken.
TEST(ViciConfiguration, every_row_of_the_tables_does_what_it_says) {
  for (const KeyTable& table : key_tables()) {
    std::string section(table.section);
    if (!section.starts_with("connections.<conn>")) continue;
    section = section.substr(std::string("connections.<conn>").size());
    if (section.find("cert") != std::string::npos) continue;  // need a file beside
    for (const std::string from : {"<suffix>", "<child>"}) {
      const size_t at = section.find(from);
      if (at != std::string::npos) section.replace(at, from.size(), from == "<child>" ? "net" : "");
    }
    if (!section.empty()) section = section.substr(1);
    for (const KeyInfo& key : table.keys) {
      if (key.handling == Handling::kHonoured) continue;
      const std::string error = error_with(section, std::string(key.name), "quite another value");
      if (key.handling == Handling::kHarmless) {
        EXPECT_EQ(error, "") << key.name;
      } else {
        EXPECT_NE(error.find(std::string(key.name) + ": " + std::string(key.text)),
                  std::string::npos)
            << key.name << ": " << error;
      }
      for (std::string_view value : split(key.accepted, '|')) {
        if (value.starts_with('~')) value.remove_prefix(1);
        if (value.empty()) continue;
        EXPECT_EQ(error_with(section, std::string(key.name), std::string(value)), "") << key.name;
      }
    }
  }
}

TEST(ViciConfiguration, pools_have_addresses_and_attributes) {
  MessageWriter writer;
  writer.value("addrs", "10.3.0.0/24").list("dns", {"10.0.0.53", "fd00::53"});
  writer.list("25", {"corp.example"}).list("subnet", {"10.0.0.0/8"});
  const auto section = parse_message(writer.bytes());
  const auto parsed = parse_pool("p4", *section);
  ASSERT_TRUE(parsed.ok()) << parsed.error().text;
  EXPECT_EQ(parsed->base, "10.3.0.0");
  EXPECT_EQ(parsed->config.attributes.size(), 4U);

  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"addrs", "10.3.0.0/33"}, {"addrs", ""}, {"nonsense", "x"}, {"dns", "not an address"}}) {
    MessageWriter broken;
    if (std::string(key) != "addrs") broken.value("addrs", "10.3.0.0/24");
    broken.value(key, value);
    const auto refused = parse_pool("p4", *parse_message(broken.bytes()));
    ASSERT_FALSE(refused.ok()) << key;
    EXPECT_TRUE(refused.error().text.starts_with("pools.p4." + std::string(key)))
        << refused.error().text;
  }
}

TEST(ViciConfiguration, authorities_have_a_ca_and_uris) {
  MessageWriter writer;
  writer.value("cacert", content(kCaPath)).list("crl_uris", {"http://crl.example/x", "ldap://y"});
  writer.value("cert_uri_base", "http://h/");
  const auto parsed = parse_authority("a", *parse_message(writer.bytes()));
  ASSERT_TRUE(parsed.ok()) << parsed.error().text;
  EXPECT_EQ(parsed->authority.crl_uris.size(), 2U);
  EXPECT_EQ(parsed->warnings.size(), 2U);

  MessageWriter leaf;
  leaf.value("cacert", content(kServerPath));
  EXPECT_FALSE(parse_authority("a", *parse_message(leaf.bytes())).ok());
  EXPECT_FALSE(parse_authority("a", *parse_message({})).ok());
}

}  // namespace
}  // namespace penstock::vici
