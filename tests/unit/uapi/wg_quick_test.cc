#include "controlplane/api/wg_quick.h"

#include <gtest/gtest.h>

#include <random>

#include "gateway/base/text.h"

namespace penstock::wireguard {
namespace {

const std::string kPrivate = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=";
const std::string kPeer1 = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
const std::string kPeer2 = "ljskaMoIaE59Y5HK6Vd3rWrn+g6ehF2n5hOW2T9dnno=";

const std::string kGood =
    "# an example\n"
    "[interface]\n"
    "privatekey=" +
    kPrivate +
    "   # ours\n"
    "  ListenPort\t=  51820\n"
    "FWMARK = 0x42\n"
    "Address = 10.0.0.1/24, fd00::1/64\n"
    "Address = 10.0.1.1\n"
    "MTU = 1380\n"
    "DNS = 10.0.0.53, corp.example\n"
    "Table = off\n"
    "SaveConfig = false\n"
    "\n"
    "[Peer]\r\n"
    "PublicKey = " +
    kPeer1 +
    "\r\n"
    "PresharedKey = " +
    kPeer2 +
    "\n"
    "AllowedIPs = 10.0.0.2/32, fd00::2\n"
    "AllowedIPs = 10.1.2.3/16\n"
    "Endpoint = [2001:db8::1]:99\n"
    "PersistentKeepalive = 25\n"
    "[PEER]\n"
    "PublicKey=" +
    kPeer2 +
    "\n"
    "AllowedIPs =\n"
    "Endpoint = gw.example.org:51820\n"
    "PersistentKeepalive = off";

struct Parsed {
  WgQuickFile file;
  Diagnostics diagnostics;
  [[nodiscard]] std::vector<std::string> lines() const {
    std::vector<std::string> all;
    for (const auto& d : diagnostics) all.push_back(d.to_string());
    return all;
  }
};

Parsed parse(std::string_view text, HookPolicy hooks = HookPolicy::kRefuse) {
  Parsed parsed;
  parsed.file = parse_wg_quick(text, "wg0.conf", hooks, parsed.diagnostics);
  return parsed;
}

Parsed parse_interface(const std::string& lines, HookPolicy hooks = HookPolicy::kRefuse) {
  return parse("[Interface]\n" + lines, hooks);
}

TEST(WgQuick, good_file_fills_every_field) {
  const Parsed parsed = parse(kGood);
  EXPECT_FALSE(has_errors(parsed.diagnostics)) << parsed.lines()[0];
  ASSERT_EQ(parsed.diagnostics.size(), 1U);
  EXPECT_EQ(parsed.lines()[0], "wg0.conf:9: DNS: notice: has no meaning on a gateway, not used");
  const WgQuickFile& file = parsed.file;
  EXPECT_EQ(file.device.private_key->data()[0], 8);
  EXPECT_EQ(file.device.listen_port, 51820);
  EXPECT_EQ(file.device.fwmark, 0x42U);
  EXPECT_TRUE(file.device.replace_peers);
  ASSERT_EQ(file.addresses.size(), 3U);
  EXPECT_EQ(file.addresses[1].to_string(), "fd00::1/64");
  EXPECT_EQ(file.addresses[2].to_string(), "10.0.1.1/32");
  EXPECT_EQ(file.address_lines, (std::vector<size_t>{6, 6, 7}));
  EXPECT_EQ(file.mtu, 1380);
  EXPECT_EQ(file.dns, (std::vector<std::string>{"10.0.0.53", "corp.example"}));
  EXPECT_FALSE(file.routes);
  ASSERT_EQ(file.device.peers.size(), 2U);
  const PeerChange& first = file.device.peers[0];
  EXPECT_EQ(to_base64(first.public_key), kPeer1);
  EXPECT_EQ(to_base64(first.preshared_key->bytes()), kPeer2);
  EXPECT_TRUE(first.replace_allowed_ips);
  ASSERT_EQ(first.allowed_ips.size(), 3U);
  EXPECT_EQ(first.allowed_ips[1].prefix.to_string(), "fd00::2/128");
  EXPECT_EQ(first.allowed_ips[2].prefix.to_string(), "10.1.0.0/16");
  EXPECT_EQ(first.endpoint->to_string(), "[2001:db8::1]:99");
  EXPECT_EQ(first.persistent_keepalive_s, 25);
  const PeerChange& second = file.device.peers[1];
  EXPECT_TRUE(second.allowed_ips.empty());
  EXPECT_EQ(second.persistent_keepalive_s, 0);
  ASSERT_EQ(file.names.size(), 1U);
  EXPECT_EQ(file.names[0].host, "gw.example.org");
  EXPECT_EQ(file.names[0].peer, 1U);
}

TEST(WgQuick, empty_file_is_a_device_without_anything) {
  const Parsed parsed = parse("");
  EXPECT_TRUE(parsed.diagnostics.empty());
  EXPECT_TRUE(parsed.file.device.peers.empty());
  EXPECT_FALSE(parsed.file.device.private_key.has_value());
}

TEST(WgQuick, byte_order_mark_before_the_first_line_is_skipped) {
  EXPECT_TRUE(parse("\xef\xbb\xbf[Interface]\r\nListenPort = 5\r\n").diagnostics.empty());
  EXPECT_FALSE(parse("[Interface]\n\xef\xbb\xbfListenPort = 5\n").diagnostics.empty());
}

TEST(WgQuick, each_mistake_has_its_line_and_key) {
  const std::string peer = "[Peer]\nPublicKey = " + kPeer1 + "\n";
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"MTU = 1400\n", "wg0.conf:1: MTU: stands before the first section"},
      {"[Interface]\nwhat\n", "wg0.conf:2: not a section and not KEY = VALUE"},
      {"[Server]\nA = 1\n",
       "wg0.conf:1: unknown section [Server]: only [Interface] and [Peer] are known"},
      {"[Interface]\nColour = red\n", "wg0.conf:2: Colour: unknown key in [Interface]"},
      {peer + "MTU = 1400\n", "wg0.conf:3: MTU: unknown key in [Peer]"},
      {"[Interface]\nPrivateKey = abc\n",
       "wg0.conf:2: PrivateKey: must be a key: 32 bytes in base64, 44 characters"},
      {"[Interface]\nPrivateKey = " + kPrivate.substr(0, 43) + "\n",
       "wg0.conf:2: PrivateKey: must be a key: 32 bytes in base64, 44 characters"},
      {"[Interface]\nPrivateKey = " + std::string(44, 'A') + "\n",
       "wg0.conf:2: PrivateKey: must be a key: 32 bytes in base64, 44 characters"},
      {"[Interface]\nListenPort = 65536\n", "wg0.conf:2: ListenPort: must be a port, 0 to 65535"},
      {"[Interface]\nFwMark = 0x\n",
       "wg0.conf:2: FwMark: must be off or a 32-bit number, decimal or 0x..."},
      {"[Interface]\nFwMark = 0x100000000\n",
       "wg0.conf:2: FwMark: must be off or a 32-bit number, decimal or 0x..."},
      {"[Interface]\nAddress = 10.0.0.1/33\n",
       "wg0.conf:2: Address: \"10.0.0.1/33\" is not an address such as 10.0.0.1/24 or fd00::1/64"},
      {"[Interface]\nMTU = 500\n", "wg0.conf:2: MTU: must be 576 to 9200 (bytes)"},
      {"[Interface]\nTable = 200\n",
       "wg0.conf:2: Table: the kernel's routing tables play no part here: only auto and off are "
       "possible, not \"200\""},
      {"[Interface]\nPostUp = iptables -A FORWARD\n",
       "wg0.conf:2: PostUp: the gateway runs no commands; remove the line, or set hooks = warn in "
       "penstock.conf to skip it"},
      {"[Interface]\nSaveConfig = true\n",
       "wg0.conf:2: SaveConfig: the gateway never writes this file; remove the line, or set hooks "
       "= "
       "warn in penstock.conf to skip it"},
      {"[Interface]\nSaveConfig = perhaps\n", "wg0.conf:2: SaveConfig: must be true or false"},
      {"\n[Peer]\nAllowedIPs = 10.0.0.0/8\n", "wg0.conf:2: [Peer]: the peer has no PublicKey"},
      {peer + peer, "wg0.conf:4: PublicKey: line 2 has the same peer"},
      {peer + "AllowedIPs = 10.0.0.0/8,\n",
       "wg0.conf:3: AllowedIPs: \"\" is not a network such as 10.0.0.0/24 or fd00::/64"},
      {peer + "AllowedIPs = 10.0.0/8\n",
       "wg0.conf:3: AllowedIPs: \"10.0.0/8\" is not a network such as 10.0.0.0/24 or fd00::/64"},
      {peer + "Endpoint = 192.0.2.1\n",
       "wg0.conf:3: Endpoint: must be ADDRESS:PORT, [IPV6]:PORT or NAME:PORT"},
      {peer + "Endpoint = 192.0.2.300:1\n",
       "wg0.conf:3: Endpoint: must be ADDRESS:PORT, [IPV6]:PORT or NAME:PORT"},
      {peer + "Endpoint = 2001:db8::1:99\n",
       "wg0.conf:3: Endpoint: must be ADDRESS:PORT, [IPV6]:PORT or NAME:PORT"},
      {peer + "Endpoint = host:0\n",
       "wg0.conf:3: Endpoint: must be ADDRESS:PORT, [IPV6]:PORT or NAME:PORT"},
      {peer + "PersistentKeepalive = 65536\n",
       "wg0.conf:3: PersistentKeepalive: must be off or 0 to 65535 (seconds)"},
  };
  for (const auto& [text, expected] : rows) {
    const Parsed parsed = parse(text);
    ASSERT_EQ(parsed.diagnostics.size(), 1U) << text;
    EXPECT_EQ(parsed.lines()[0], expected);
    EXPECT_TRUE(has_errors(parsed.diagnostics));
  }
}

TEST(WgQuick, all_mistakes_of_a_file_are_listed) {
  const Parsed parsed = parse(
      "[Interface]\nPrivateKey = x\nListenPort = y\nMTU = z\n[Peer]\nEndpoint = q\n[Peer]\n"
      "PublicKey = w\n");
  std::vector<size_t> lines;
  for (const auto& d : parsed.diagnostics) lines.push_back(d.line);
  EXPECT_EQ(lines, (std::vector<size_t>{2, 3, 4, 6, 5, 8}));
}

TEST(WgQuick, hooks_under_warn_are_skipped_and_kept_as_text) {
  const Parsed parsed =
      parse_interface("PostUp = echo %i\nSaveConfig = true\npredown=x=y\n", HookPolicy::kWarn);
  EXPECT_FALSE(has_errors(parsed.diagnostics));
  ASSERT_EQ(parsed.diagnostics.size(), 3U);
  EXPECT_EQ(parsed.lines()[0],
            "wg0.conf:2: PostUp: warning: the gateway runs no commands: skipped");
  EXPECT_EQ(parsed.file.hooks,
            (std::vector<std::string>{"PostUp = echo %i", "SaveConfig = true", "predown = x=y"}));
}

TEST(WgQuick, repeated_key_warns_and_the_last_one_counts) {
  const Parsed parsed = parse_interface("ListenPort = 1\nlistenport = 2\n");
  ASSERT_EQ(parsed.diagnostics.size(), 1U);
  EXPECT_EQ(parsed.lines()[0],
            "wg0.conf:3: listenport: warning: also in line 2: the last one counts");
  EXPECT_EQ(parsed.file.device.listen_port, 2);
}

TEST(WgQuick, allowed_ip_of_two_peers_warns_at_the_second) {
  const Parsed parsed = parse("[Peer]\nPublicKey = " + kPeer1 +
                              "\nAllowedIPs = 10.0.0.0/8\n[Peer]\nPublicKey = " + kPeer2 +
                              "\nAllowedIPs = 10.9.9.9/8\n");
  ASSERT_EQ(parsed.diagnostics.size(), 1U);
  EXPECT_EQ(parsed.lines()[0],
            "wg0.conf:6: AllowedIPs: warning: 10.0.0.0/8 moves here from the peer of line 3");
}

TEST(WgQuick, names_resolve_through_the_injected_function) {
  Parsed parsed = parse(kGood);
  Diagnostics diagnostics;
  resolve_endpoints(
      parsed.file, "wg0.conf",
      [](const std::string& host, uint16_t port) -> Result<Endpoint> {
        EXPECT_EQ(host, "gw.example.org");
        return Endpoint{*IpAddress::parse("192.0.2.7"), port};
      },
      diagnostics);
  EXPECT_TRUE(diagnostics.empty());
  EXPECT_EQ(parsed.file.device.peers[1].endpoint->to_string(), "192.0.2.7:51820");
}

TEST(WgQuick, name_that_does_not_resolve_is_a_warning_and_kept_for_later) {
  Parsed parsed = parse(kGood);
  Diagnostics diagnostics;
  const auto unresolved = resolve_endpoints(
      parsed.file, "wg0.conf",
      [](const std::string&, uint16_t) -> Result<Endpoint> { return Error{"not found"}; },
      diagnostics);
  ASSERT_EQ(diagnostics.size(), 1U);
  EXPECT_EQ(diagnostics[0].to_string(),
            "wg0.conf:23: Endpoint: warning: cannot resolve \"gw.example.org\" yet: not found; the "
            "gateway asks again while it runs");
  EXPECT_FALSE(parsed.file.device.peers[1].endpoint.has_value());
  ASSERT_EQ(unresolved.size(), 1U);
  EXPECT_EQ(unresolved[0].peer, parsed.file.device.peers[1].public_key);
  EXPECT_EQ(unresolved[0].host, "gw.example.org");
  EXPECT_EQ(unresolved[0].port, 51820);
}

TEST(WgQuick, later_address_replaces_a_name) {
  const Parsed parsed =
      parse("[Peer]\nPublicKey = " + kPeer1 + "\nEndpoint = a.example:1\nEndpoint = 192.0.2.1:2\n");
  EXPECT_TRUE(parsed.file.names.empty());
  EXPECT_EQ(parsed.file.device.peers[0].endpoint->to_string(), "192.0.2.1:2");
}

TEST(WgQuick, system_resolver_knows_localhost) {
  const auto endpoint = resolve_with_system("localhost", 5);
  ASSERT_TRUE(endpoint.ok()) << endpoint.error().text;
  EXPECT_TRUE(endpoint->address.is_loopback());
  EXPECT_EQ(endpoint->port, 5);
  EXPECT_FALSE(resolve_with_system(std::string(300, 'a'), 5).ok());
}

TEST(WgQuick, mutated_files_never_break_the_parser) {
  std::mt19937 random(11);
  size_t clean = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::string text = kGood;
    for (unsigned i = 0; i <= random() % 4; ++i) {
      const size_t at = random() % text.size();
      if (random() % 2 == 0) {
        text[at] = static_cast<char>(random());
      } else {
        text.insert(at, text.substr(random() % text.size(), random() % 60));
      }
    }
    const Parsed parsed = parse(text);
    const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n') + 1);
    for (const auto& d : parsed.diagnostics) EXPECT_TRUE(d.line >= 1 && d.line <= lines);
    if (!has_errors(parsed.diagnostics)) ++clean;
  }
  EXPECT_GT(clean, 0U);
  EXPECT_LT(clean, 5'000U);
}

}  // namespace
}  // namespace penstock::wireguard
