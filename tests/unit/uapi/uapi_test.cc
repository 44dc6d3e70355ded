#include "controlplane/api/uapi.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <random>

namespace penstock::wireguard::uapi {
namespace {

const std::string kKeyA(64, 'a');
const std::string kKeyB = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef";
const std::string kZeroKey(64, '0');

// What wg(8) 1.0.20210914 sends for `wg set ... fwmark off listen-port 0 peer ... allowed-ips
// 1.2.3.4/0,::/0 persistent-keepalive 7 preshared-key /dev/null`, with another public key.
const std::string kFromWg = "set=1\nlisten_port=0\nfwmark=0\npublic_key=" + kKeyB +
                            "\npreshared_key=" + kZeroKey +
                            "\npersistent_keepalive_interval=7\nreplace_allowed_ips=true\n"
                            "allowed_ip=1.2.3.4/0\nallowed_ip=::/0\n\n";

std::string set_of(const std::string& lines) { return "set=1\n" + lines + "\n"; }

TEST(UapiSet, bytes_of_wg_are_taken) {
  const auto change = parse_set(kFromWg);
  ASSERT_TRUE(change.ok()) << change.error().text;
  EXPECT_FALSE(change->private_key.has_value());
  EXPECT_EQ(change->listen_port, 0);
  EXPECT_EQ(change->fwmark, 0U);
  EXPECT_FALSE(change->replace_peers);
  ASSERT_EQ(change->peers.size(), 1U);
  const PeerChange& peer = change->peers[0];
  EXPECT_EQ(peer.public_key[0], 0x01);
  EXPECT_EQ(peer.public_key[15], 0xef);
  ASSERT_TRUE(peer.preshared_key.has_value());
  EXPECT_TRUE(peer.preshared_key->is_zero());
  EXPECT_EQ(peer.persistent_keepalive_s, 7);
  EXPECT_TRUE(peer.replace_allowed_ips);
  ASSERT_EQ(peer.allowed_ips.size(), 2U);
  EXPECT_EQ(peer.allowed_ips[0].prefix.to_string(), "0.0.0.0/0");
  EXPECT_EQ(peer.allowed_ips[1].prefix.to_string(), "::/0");
}

TEST(UapiSet, every_key_reaches_its_field) {
  const auto change = parse_set(set_of("private_key=" + kKeyA + "\nlisten_port=51820\nfwmark=66\n" +
                                       "replace_peers=true\npublic_key=" + kKeyB +
                                       "\nremove=true\npublic_key=" + kKeyA +
                                       "\nupdate_only=true\nendpoint=[2001:db8::1]:99\n"
                                       "protocol_version=1\nallowed_ip=-10.0.0.0/8\n"));
  ASSERT_TRUE(change.ok()) << change.error().text;
  EXPECT_EQ(change->private_key->data()[31], 0xaa);
  EXPECT_EQ(change->listen_port, 51820);
  EXPECT_EQ(change->fwmark, 66U);
  EXPECT_TRUE(change->replace_peers);
  ASSERT_EQ(change->peers.size(), 2U);
  EXPECT_TRUE(change->peers[0].remove);
  EXPECT_FALSE(change->peers[1].remove);
  EXPECT_TRUE(change->peers[1].update_only);
  EXPECT_EQ(change->peers[1].endpoint->to_string(), "[2001:db8::1]:99");
  EXPECT_FALSE(change->peers[1].preshared_key.has_value());
  EXPECT_FALSE(change->peers[1].persistent_keepalive_s.has_value());
  ASSERT_EQ(change->peers[1].allowed_ips.size(), 1U);
  EXPECT_TRUE(change->peers[1].allowed_ips[0].remove);
}

TEST(UapiSet, empty_set_changes_nothing) {
  const auto change = parse_set("set=1\n\n");
  ASSERT_TRUE(change.ok());
  EXPECT_TRUE(change->peers.empty());
}

TEST(UapiSet, bad_line_is_refused_with_its_number) {
  const std::string peer = "public_key=" + kKeyA + "\n";
  const std::vector<std::pair<std::string, size_t>> rows = {
      {"colour=red\n", 2},
      {"listen_port=65536\n", 2},
      {"listen_port=\n", 2},
      {"listen_port=-1\n", 2},
      {"listen_port= 1\n", 2},
      {"fwmark=4294967296\n", 2},
      {"fwmark=0x10\n", 2},
      {"replace_peers=false\n", 2},
      {"private_key=" + kKeyA.substr(1) + "\n", 2},
      {"private_key=" + kKeyA + "a\n", 2},
      {"private_key=g" + kKeyA.substr(1) + "\n", 2},
      {"private_key=" + kKeyA.substr(1) + "/\n", 2},
      {"private_key=" + kKeyA.substr(1) + ":\n", 2},
      {"private_key=" + kKeyA.substr(1) + "`\n", 2},
      {"private_key=" + kKeyA.substr(1) + "@\n", 2},
      {"private_key=" + kKeyA.substr(1) + "\xff\n", 2},
      {"allowed_ip=10.0.0.0/8\n", 2},  // no peer yet
      {"no equals sign\n", 2},
      {peer + "listen_port=1\n", 3},  // the device's keys come first
      {peer + "private_key=" + kKeyA + "\n", 3},
      {peer + "allowed_ip=10.0.0.0\n", 3},
      {peer + "allowed_ip=10.0.0.0/33\n", 3},
      {peer + "allowed_ip=--10.0.0.0/8\n", 3},
      {peer + "allowed_ip=\n", 3},
      {peer + "endpoint=host.example:1\n", 3},
      {peer + "endpoint=192.0.2.1\n", 3},
      {peer + "endpoint=192.0.2.1:0\n", 3},
      {peer + "endpoint=2001:db8::1:99\n", 3},
      {peer + "protocol_version=2\n", 3},
      {peer + "persistent_keepalive_interval=off\n", 3},
      {peer + "persistent_keepalive_interval=65536\n", 3},
      {peer + "remove=1\n", 3},
      {peer + "allowed_ip=10.0.0.0/8\npublic_key=zz\n", 4},
  };
  for (const auto& [lines, line] : rows) {
    const auto change = parse_set(set_of(lines));
    ASSERT_FALSE(change.ok()) << lines;
    EXPECT_EQ(change.error().line, line) << lines;
    EXPECT_EQ(change.error().text.find(kKeyA.substr(1)), std::string::npos) << "a key in a message";
  }
}

TEST(UapiSet, frame_that_is_not_a_whole_set_is_refused) {
  for (const std::string text :
       {"", "set=1", "set=1\n", "get=1\n\n", "set=2\n\n", "set=1\nfwmark=1", "set=1\nfwmark=1\n",
        "set=1\n\nfwmark=1\n\n", "set=1\n\n\n"}) {
    EXPECT_FALSE(parse_set(text).ok()) << text;
  }
}

TEST(UapiSet, mutated_requests_never_break_the_parser) {
  std::mt19937 random(7);
  size_t taken = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = kFromWg;
    for (unsigned i = 0; i <= random() % 3; ++i) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, 1 + random() % 8);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 40));
      }
      if (text.empty()) break;
    }
    if (parse_set(text).ok()) ++taken;
  }
  EXPECT_GT(taken, 0U);
  EXPECT_LT(taken, 20'000U);
}

DeviceStatus example_status() {
  DeviceStatus status;
  status.private_key.mutable_bytes()[0] = 0xe8;
  status.listen_port = 12912;
  PeerStatus peer;
  peer.public_key[0] = 0xb8;
  peer.preshared_key.mutable_bytes()[31] = 0x01;
  peer.endpoint = Endpoint::parse("[abcd:23::33]:51820");
  peer.persistent_keepalive_s = 25;
  peer.allowed_ips = {*IpPrefix::parse("192.168.4.4/32"), *IpPrefix::parse("fd00::/64")};
  peer.last_handshake_wall_ns = 5 * kSecond + 7;
  peer.rx_bytes = 2;
  peer.tx_bytes = 1;
  status.peers.push_back(peer);
  status.peers.emplace_back().public_key[0] = 0x58;
  return status;
}

TEST(UapiGet, answer_has_the_lines_of_wireguard_go) {
  const std::string zeros(62, '0');
  const std::string expected = "private_key=e8" + zeros +
                               "\nlisten_port=12912\n"
                               "public_key=b8" +
                               zeros + "\npreshared_key=" + zeros +
                               "01\nprotocol_version=1\nendpoint=[abcd:23::33]:51820\n"
                               "last_handshake_time_sec=5\nlast_handshake_time_nsec=7\n"
                               "tx_bytes=1\nrx_bytes=2\npersistent_keepalive_interval=25\n"
                               "allowed_ip=192.168.4.4/32\nallowed_ip=fd00::/64\n"
                               "public_key=58" +
                               zeros + "\npreshared_key=00" + zeros +
                               "\nprotocol_version=1\nlast_handshake_time_sec=0\n"
                               "last_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\n"
                               "persistent_keepalive_interval=0\nerrno=0\n\n";
  EXPECT_EQ(format_get(example_status()), expected);
}

TEST(UapiGet, device_without_key_or_port_shows_neither) {
  EXPECT_EQ(format_get(DeviceStatus{}), "errno=0\n\n");
  DeviceStatus marked;
  marked.fwmark = 66;
  EXPECT_EQ(format_get(marked), "fwmark=66\nerrno=0\n\n");
}

// The lines of an answer that are configuration, sent back, give the same configuration.
TEST(UapiGet, answer_sent_back_as_set_round_trips) {
  const DeviceStatus status = example_status();
  std::string request = "set=1\n";
  std::string answer = format_get(status);
  for (size_t at = 0; at < answer.size();) {
    const size_t end = answer.find('\n', at);
    const std::string line = answer.substr(at, end - at);
    at = end + 1;
    const bool seen_only = line.starts_with("last_") || line.starts_with("tx_") ||
                           line.starts_with("rx_") || line.starts_with("errno") || line.empty();
    if (!seen_only) request += line + "\n";
  }
  const auto change = parse_set(request + "\n");
  ASSERT_TRUE(change.ok()) << change.error().text;
  EXPECT_EQ(change->private_key, status.private_key);
  ASSERT_EQ(change->peers.size(), 2U);
  EXPECT_EQ(change->peers[0].preshared_key, status.peers[0].preshared_key);
  EXPECT_EQ(change->peers[0].endpoint, status.peers[0].endpoint);
  EXPECT_EQ(change->peers[0].allowed_ips[1].prefix, status.peers[0].allowed_ips[1]);
  EXPECT_EQ(change->peers[1].public_key, status.peers[1].public_key);
}

TEST(UapiErrno, number_is_printed_negated) {
  EXPECT_EQ(format_errno(0), "errno=0\n\n");
  EXPECT_EQ(format_errno(EINVAL), "errno=-22\n\n");
}

}  // namespace
}  // namespace penstock::wireguard::uapi
