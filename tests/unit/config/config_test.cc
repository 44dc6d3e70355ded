#include "gateway/config/config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <random>

#include "tests/unit/config/environment.h"

namespace penstock::config {
namespace {

const std::string kEverything =
    "# everything that can be said\n"
    "lcores = 1-2, 5   # three workers\n"
    "control_cpu = 0\n"
    "compute_threads = 2\n"
    "idle = poll\n"
    "burst = 64\n"
    "hooks = warn\n"
    "state_dir = /var/lib/p\n"
    "control_socket = /run/p/c.sock\n"
    "wireguard_dir = /run/wireguard\n"
    "log.level = debug\n"
    "[log]\njournald = no\n"
    "[dpdk]\nin_memory = no\nhugepages = no\nmemory_mb = 256\nfile_prefix = p\n"
    "eal = --iova-mode=va  -d x.so\neal = --no-telemetry\n"
    "[pool]\nbuffers = 8192\ncache = 128\ndata_bytes = 10240\n"
    "[port.out]\ndevice = net_af_packet0,iface=veth0,framecnt=4096\nrole = outside\n"
    "address = 192.0.2.1/24\naddress=2001:db8::1/64\nmtu = 9000\nrx_queues = 1\ntx_queues = 3\n"
    "rx_descriptors = 512\ntx_descriptors = 256\nchecksum_offload = off\npromiscuous = yes\n"
    "source_check = off\nforward = plain\nmac = 02:00:00:00:00:01\n"
    "neighbour = 192.0.2.9 02:00:00:00:00:09\nneighbour = fe80::9 02:00:00:00:00:09\n"
    "[port.in]\ndevice = 3b:00.1\nrole = inside\naddress = 10.0.0.1/24\n"
    "[route]\nroute = 0.0.0.0/0 via 192.0.2.254\nroute = ::/0 via fe80::1 port out\n"
    "route = 10.1.0.0/16 port in\nroute = 10.2.0.0/16 interface wg1\n"
    "route = 10.3.0.0/16 blackhole\nroute = 10.4.0.0/16 interface sites\n"
    "[wireguard.wg0]\nfile = /etc/wireguard/wg0.conf\n"
    "[wireguard.wg1]\nprivate_key_file = /etc/wireguard/key\nlisten_port = 7\n"
    "address = 10.201.0.1/24\nmtu = 1300\ndscp = copy\ntable = off\n"
    "[ipsec]\nvici_socket = /run/p/vici\nmax_ike_sas = 31\nhalf_open = 30\n"
    "half_open_per_address = 29\ncookie_threshold = 28\ncompute_queue = 27\n"
    "half_open_timeout_s = 11\nretransmit_timeout_ms = 500\nretransmit_base = 1.25\n"
    "retransmit_tries = 3\n"
    "dpd_floor_s = 60\nfetch_timeout_s = 9\nfetch_limit_kib = 10\nrequire_pfs = yes\n"
    "[ipsec.sites]\nif_id = 42\naddress = 10.255.0.1/30\nmtu = 1400\ndscp = copy\n"
    "[limits]\nmax_tunnels = 5\nmax_routes = 17\nneighbours = 18\nneighbour_queue = 19\n"
    "staged_packets = 20\nstaged_packets_total = 21\nreassembly_contexts = 22\npunt_queue = 128\n"
    "icmp_per_second = 24\nhandshakes_per_second = 25\nhandshake_queue = 26\n"
    "[timers]\nrekey_after_s = 3\nreject_after_s = 6\nrekey_attempt_s = 4\nrekey_timeout_s = 1\n"
    "keepalive_s = 2\nrekey_after_messages = 100\nreject_after_messages = 200\n";

TEST(Config, file_that_says_everything_fills_the_general_part) {
  const Outcome outcome = parse(kEverything);
  ASSERT_TRUE(outcome.config.has_value()) << format_check(outcome, "p.conf");
  const Config& c = *outcome.config;
  EXPECT_EQ(c.path, "p.conf");
  EXPECT_EQ(c.workers, 3);
  EXPECT_EQ(c.lcores, (std::vector<uint16_t>{1, 2, 5}));
  EXPECT_EQ(c.control_cpu, 0);
  EXPECT_EQ(c.compute_threads, 2);
  EXPECT_EQ(c.idle, Idle::kPoll);
  EXPECT_EQ(c.burst, 64);
  EXPECT_EQ(c.hooks, wireguard::HookPolicy::kWarn);
  EXPECT_EQ(c.state_dir, "/var/lib/p");
  EXPECT_EQ(c.control_socket + c.wireguard_dir, "/run/p/c.sock/run/wireguard");
  EXPECT_EQ(c.log.level, LogLevel::kDebug);
  EXPECT_EQ(c.log.journald, Choice::kNo);
  EXPECT_FALSE(c.dpdk.in_memory);
  EXPECT_EQ(c.dpdk.hugepages, Choice::kNo);
  EXPECT_EQ(c.dpdk.memory_mb, 256U);
  EXPECT_EQ(c.dpdk.file_prefix, "p");
  EXPECT_EQ(c.dpdk.eal,
            (std::vector<std::string>{"--iova-mode=va", "-d", "x.so", "--no-telemetry"}));
  EXPECT_EQ(c.pool.buffers, 8192U);
  EXPECT_EQ(c.pool.cache, 128U);
  EXPECT_EQ(c.pool.data_bytes, 10240U);
  EXPECT_EQ(c.limits.max_tunnels, 5U);
  EXPECT_EQ(c.limits.max_routes, 17U);
  EXPECT_EQ(c.limits.neighbours, 18U);
  EXPECT_EQ(c.limits.neighbour_queue, 19U);
  EXPECT_EQ(c.limits.staged_packets, 20U);
  EXPECT_EQ(c.limits.staged_packets_total, 21U);
  EXPECT_EQ(c.limits.reassembly_contexts, 22U);
  EXPECT_EQ(c.limits.punt_queue, 128U);
  EXPECT_EQ(c.limits.icmp_per_second, 24U);
  EXPECT_EQ(c.limits.handshakes_per_second, 25U);
  EXPECT_EQ(c.limits.handshake_queue, 26U);
  EXPECT_EQ(c.timers.rekey_after_s, 3U);
  EXPECT_EQ(c.timers.reject_after_s, 6U);
  EXPECT_EQ(c.timers.rekey_attempt_s, 4U);
  EXPECT_EQ(c.timers.rekey_timeout_s, 1U);
  EXPECT_EQ(c.timers.keepalive_s, 2U);
  EXPECT_EQ(c.timers.rekey_after_messages, 100U);
  EXPECT_EQ(c.timers.reject_after_messages, 200U);
}

TEST(Config, file_that_says_everything_fills_the_ports_and_routes) {
  const Outcome outcome = parse(kEverything);
  ASSERT_TRUE(outcome.config.has_value());
  const Config& c = *outcome.config;
  ASSERT_EQ(c.ports.size(), 2U);
  const PortConfig& out = c.ports[0];
  EXPECT_EQ(out.name, "out");
  EXPECT_EQ(out.device, "net_af_packet0,iface=veth0,framecnt=4096");
  EXPECT_EQ(out.role, PortRole::kOutside);
  ASSERT_EQ(out.addresses.size(), 2U);
  EXPECT_EQ(out.addresses[1].to_string(), "2001:db8::1/64");
  EXPECT_EQ(out.mtu, 9000);
  EXPECT_EQ(out.rx_queues, 1);
  EXPECT_EQ(out.tx_queues, 3);
  EXPECT_EQ(out.rx_descriptors, 512);
  EXPECT_EQ(out.tx_descriptors, 256);
  EXPECT_FALSE(out.checksum_offload);
  EXPECT_TRUE(out.promiscuous);
  EXPECT_EQ(out.source_check, SourceCheck::kOff);
  EXPECT_EQ(out.forward, Forward::kPlain);
  EXPECT_EQ(out.mac->to_string(), "02:00:00:00:00:01");
  ASSERT_EQ(out.neighbours.size(), 2U);
  EXPECT_EQ(out.neighbours[1].address.to_string(), "fe80::9");
  EXPECT_EQ(c.ports[1].device, "0000:3b:00.1");
  ASSERT_EQ(c.routes.size(), 6U);
  EXPECT_EQ(c.routes[0].kind, RouteConfig::Kind::kGateway);
  EXPECT_EQ(c.routes[0].port, "out");  // found by the network
  EXPECT_EQ(c.routes[1].gateway.to_string(), "fe80::1");
  EXPECT_EQ(c.routes[1].port, "out");
  EXPECT_EQ(c.routes[2].kind, RouteConfig::Kind::kPort);
  EXPECT_EQ(c.routes[3].interface, "wg1");
  EXPECT_EQ(c.routes[4].kind, RouteConfig::Kind::kBlackhole);
  EXPECT_EQ(c.routes[5].interface, "sites");
}

TEST(Config, interfaces_come_from_files_and_from_sections) {
  const Outcome outcome = parse(kEverything);
  ASSERT_TRUE(outcome.config.has_value());
  const Config& c = *outcome.config;
  ASSERT_EQ(c.wireguards.size(), 2U);
  const WireguardConfig& wg0 = c.wireguards[0];
  EXPECT_EQ(wg0.name, "wg0");
  EXPECT_EQ(wg0.device.listen_port, 51820);
  ASSERT_EQ(wg0.device.peers.size(), 1U);
  EXPECT_EQ(wg0.device.peers[0].endpoint->to_string(), "203.0.113.9:5");
  EXPECT_EQ(wg0.addresses.size(), 2U);
  EXPECT_EQ(wg0.mtu, 9000 - 80);
  EXPECT_TRUE(wg0.routes);
  const WireguardConfig& wg1 = c.wireguards[1];
  EXPECT_EQ(wg1.device.private_key->data()[0], 8);
  EXPECT_EQ(wg1.device.listen_port, 7);
  EXPECT_EQ(wg1.mtu, 1300);
  EXPECT_EQ(wg1.dscp, DscpMode::kCopy);
  EXPECT_FALSE(wg1.routes);
}

TEST(Config, ipsec_comes_from_its_sections) {
  const Outcome outcome = parse(kEverything);
  ASSERT_TRUE(outcome.config.has_value());
  const IpsecConfig& ipsec = outcome.config->ipsec;
  EXPECT_TRUE(ipsec.enabled);
  EXPECT_EQ(ipsec.vici_socket, "/run/p/vici");
  EXPECT_EQ(ipsec.max_ike_sas, 31U);
  EXPECT_EQ(ipsec.half_open, 30U);
  EXPECT_EQ(ipsec.half_open_per_address, 29U);
  EXPECT_EQ(ipsec.cookie_threshold, 28U);
  EXPECT_EQ(ipsec.compute_queue, 27U);
  EXPECT_EQ(ipsec.half_open_timeout_s, 11U);
  EXPECT_EQ(ipsec.retransmit_timeout_ms, 500U);
  EXPECT_DOUBLE_EQ(ipsec.retransmit_base, 1.25);
  EXPECT_EQ(ipsec.retransmit_tries, 3U);
  EXPECT_EQ(ipsec.dpd_floor_s, 60U);
  EXPECT_EQ(ipsec.fetch_timeout_s, 9U);
  EXPECT_EQ(ipsec.fetch_limit_kib, 10U);
  EXPECT_TRUE(ipsec.require_pfs);
  ASSERT_EQ(ipsec.interfaces.size(), 1U);
  EXPECT_EQ(ipsec.interfaces[0].name, "sites");
  EXPECT_EQ(ipsec.interfaces[0].if_id, 42U);
  ASSERT_EQ(ipsec.interfaces[0].addresses.size(), 1U);
  EXPECT_EQ(ipsec.interfaces[0].addresses[0].to_string(), "10.255.0.1/30");
  EXPECT_EQ(ipsec.interfaces[0].mtu, 1400);
  EXPECT_EQ(ipsec.interfaces[0].dscp, DscpMode::kCopy);
}

TEST(Config, ipsec_is_on_where_a_section_says_so) {
  EXPECT_FALSE(parse(kTwoPorts).config->ipsec.enabled);
  EXPECT_TRUE(parse(kTwoPorts + "[ipsec]\n").config->ipsec.enabled);
  EXPECT_EQ(parse(kTwoPorts + "[ipsec]\n").config->ipsec.vici_socket, "/run/charon.vici");
  const Outcome named = parse(kTwoPorts + "[ipsec.a]\nif_id = 7\n");
  ASSERT_TRUE(named.config.has_value());
  EXPECT_TRUE(named.config->ipsec.enabled);
  EXPECT_EQ(named.config->ipsec.interfaces[0].mtu, 1406);
}

// 1420 bytes of payload need 1420 + 2 of trailer, rounded up to blocks of 16.
TEST(Config, esp_mtu_leaves_room_for_the_largest_cipher) {
  for (unsigned outside = 1280; outside <= 9200; ++outside) {
    const auto inner = esp_mtu(static_cast<uint16_t>(outside));
    const auto outer = [](unsigned bytes) { return 88 + (bytes + 2 + 15) / 16 * 16; };
    EXPECT_LE(outer(inner), outside);
    EXPECT_GT(outer(inner + 1U), outside);
  }
}

TEST(Config, short_file_has_the_defaults) {
  const Outcome outcome = parse(kTwoPorts + "[wireguard.wg0]\n");
  ASSERT_TRUE(outcome.config.has_value()) << format_check(outcome, "p.conf");
  EXPECT_TRUE(outcome.diagnostics.empty());
  const Config& c = *outcome.config;
  EXPECT_EQ(c.workers, 1);
  EXPECT_EQ(c.idle, Idle::kSleep);
  EXPECT_EQ(c.ports[0].forward, Forward::kTunnelOnly);
  EXPECT_EQ(c.ports[0].source_check, SourceCheck::kLoose);
  EXPECT_EQ(c.ports[1].forward, Forward::kPlain);
  EXPECT_EQ(c.ports[1].source_check, SourceCheck::kStrict);
  EXPECT_EQ(c.wireguards[0].mtu, 1420);
  EXPECT_FALSE(c.wireguards[0].device.private_key.has_value());
}

TEST(Config, one_armed_gateway_needs_one_port) {
  const Outcome outcome = parse("[port.p]\ndevice = tap:t0\nrole = both\naddress = 192.0.2.1/24\n");
  ASSERT_TRUE(outcome.config.has_value());
  EXPECT_EQ(outcome.config->ports[0].forward, Forward::kPlain);
  EXPECT_TRUE(outcome.diagnostics.empty());
}

TEST(Config, options_win_over_the_file) {
  const Outcome outcome =
      parse("workers = 2\n" + kTwoPorts, {{"workers", "1"},
                                          {"port.outside.mtu", "1400"},
                                          {"port.inside.address", "10.7.0.1/24"},
                                          {"port.inside.address", "10.8.0.1/24"},
                                          {"wireguard.wg9.listen_port", "9"},
                                          {"dpdk.eal", "--no-pci"}});
  ASSERT_TRUE(outcome.config.has_value()) << format_check(outcome, "p.conf");
  EXPECT_EQ(outcome.config->workers, 1);
  EXPECT_EQ(outcome.config->ports[0].mtu, 1400);
  ASSERT_EQ(outcome.config->ports[1].addresses.size(), 2U);
  EXPECT_EQ(outcome.config->ports[1].addresses[0].to_string(), "10.7.0.1/24");
  ASSERT_EQ(outcome.config->wireguards.size(), 1U);
  EXPECT_EQ(outcome.config->wireguards[0].mtu, 1320);
}

TEST(Config, section_wins_over_the_wg_quick_file) {
  const Outcome outcome = parse(kTwoPorts +
                                "[wireguard.wg0]\nfile = /etc/wireguard/wg0.conf\nlisten_port = 9\n"
                                "address = 10.9.0.1/24\n");
  ASSERT_TRUE(outcome.config.has_value()) << format_check(outcome, "p.conf");
  EXPECT_EQ(outcome.config->wireguards[0].device.listen_port, 9);
  EXPECT_EQ(outcome.config->wireguards[0].addresses.size(), 1U);
}

TEST(Config, hash_inside_a_value_is_no_comment) {
  const Outcome outcome = parse("control_socket = /run/a#b # c\n" + kTwoPorts);
  ASSERT_TRUE(outcome.config.has_value());
  EXPECT_EQ(outcome.config->control_socket, "/run/a#b");
}

TEST(Config, mutated_files_never_break_the_parser) {
  std::mt19937 random(3);
  size_t good = 0;
  for (int round = 0; round < 500; ++round) {
    std::string text = kEverything;
    for (unsigned i = 0; i <= random() % 4; ++i) {
      const size_t at = random() % text.size();
      if (random() % 2 == 0) {
        text[at] = static_cast<char>(random());
      } else {
        text.insert(at, text.substr(random() % text.size(), random() % 60));
      }
    }
    const Outcome outcome = parse(text);
    EXPECT_NE(outcome.config.has_value(), has_errors(outcome.diagnostics));
    if (outcome.config) ++good;
  }
  EXPECT_GT(good, 0U);
  EXPECT_LT(good, 500U);
}

TEST(Config, byte_order_mark_before_the_first_line_is_skipped) {
  EXPECT_TRUE(parse("\xef\xbb\xbf" + kTwoPorts).config.has_value());
}

TEST(Config, format_check_shows_no_control_characters) {
  const std::string text = format_check(parse("a\033[31m\001b = 1\n" + kTwoPorts), "p.conf");
  EXPECT_TRUE(text.starts_with("p.conf:1: a?[31m?b: unknown key")) << text;
}

TEST(Config, format_check_sums_up) {
  EXPECT_EQ(format_check(parse(kTwoPorts), "p.conf"),
            "p.conf: good: 2 ports, 0 interfaces, 0 peers, 0 routes\n");
  EXPECT_EQ(format_check(parse("idle = never\n" + kTwoPorts), "p.conf"),
            "p.conf:1: idle: must be sleep or poll\np.conf: 1 mistake, nothing is applied\n");
}

TEST(SystemFile, text_and_mode_are_read) {
  char path[] = "/tmp/penstock-config-test-XXXXXX";
  const int file = mkstemp(path);
  ASSERT_GE(file, 0);
  ASSERT_EQ(write(file, "abc\n", 4), 4);
  ASSERT_EQ(fchmod(file, 0640), 0);
  EXPECT_FALSE(read_system_file(path)->world_readable);
  ASSERT_EQ(fchmod(file, 0644), 0);
  const auto read_back = read_system_file(path);
  close(file);
  std::remove(path);
  ASSERT_TRUE(read_back.ok());
  EXPECT_EQ(read_back->text, "abc\n");
  EXPECT_TRUE(read_back->world_readable);
  EXPECT_EQ(read_system_file(path).error().text, "No such file or directory");
  EXPECT_EQ(read_system_file("/tmp").error().text, "not a regular file");
}

}  // namespace
}  // namespace penstock::config
