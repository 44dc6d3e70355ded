// Each mistake, with the line that names it.
#include <gtest/gtest.h>

#include "tests/unit/config/environment.h"

namespace penstock::config {
namespace {

struct Mistake {
  std::string text;
  std::string expected;
};

void expect_each(const std::vector<Mistake>& rows, Severity severity = Severity::kError) {
  for (const Mistake& row : rows) {
    const Outcome outcome = parse(row.text);
    EXPECT_EQ(lines_of(outcome.diagnostics), (std::vector<std::string>{row.expected})) << row.text;
    EXPECT_EQ(outcome.config.has_value(), severity != Severity::kError) << row.text;
    for (const Diagnostic& d : outcome.diagnostics) EXPECT_EQ(d.severity, severity);
  }
}

// Line 1, followed by a good file.
Mistake general(const std::string& line, const std::string& expected) {
  return {line + "\n" + kTwoPorts, "p.conf:1: " + expected};
}
// Line 12 in its own section, after a good file.
Mistake in_section(const std::string& section, const std::string& line,
                   const std::string& expected) {
  return {kTwoPorts + "[" + section + "]\n" + line + "\n", "p.conf:12: " + expected};
}
// Line 11 of [port.inside].
Mistake inside(const std::string& line, const std::string& expected) {
  return {kTwoPorts + line + "\n", "p.conf:11: " + expected};
}

TEST(ConfigMistake, line_that_is_no_line_is_named) {
  expect_each({
      general("what", "not a section and not KEY = VALUE"),
      general("= 3", "not a section and not KEY = VALUE"),
      general("[limits", "[limits: a section is [NAME]"),
      general("[limit]", "[limit]: unknown section, did you mean \"limits\"?"),
      general("[port.a b]", "[port.a b]: a name has 1 to 15 letters, digits, '-' and '_'"),
      general("[port.]", "[port.]: a name has 1 to 15 letters, digits, '-' and '_'"),
      general("worker = 1", "worker: unknown key, did you mean \"workers\"?"),
      general("port.outside.mtuu = 1500",
              "port.outside.mtuu: unknown key, did you mean \"port.outside.mtu\"?"),
      inside("adress = 10.0.0.1/24", "adress: unknown key, did you mean \"address\"?"),
      inside("zzzzzzzz = 1", "zzzzzzzz: unknown key"),
      {kTwoPorts + "mtu = 1500\nmtu = 1400\n", "p.conf:12: mtu: is said twice, also in line 11"},
  });
}

TEST(ConfigMistake, general_value_out_of_range_is_named) {
  expect_each({
      general("workers = 0", "workers: must be 1 to 64"),
      general("workers = 65", "workers: must be 1 to 64"),
      general("workers = two", "workers: must be 1 to 64"),
      general("workers =", "workers: must be 1 to 64"),
      general("lcores = 1-2,2", "lcores: CPU 2 stands here twice"),
      general("lcores = 3-1", "lcores: must be a list of CPUs such as 2-5,8"),
      general("lcores = 0-100", "lcores: more than 64 workers"),
      general("idle = never", "idle: must be sleep or poll"),
      general("burst = 65", "burst: must be 4 to 64"),
      general("hooks = run", "hooks: must be refuse or warn"),
      general("state_dir = run", "state_dir: must be an absolute path"),
      general("control_socket = /" + std::string(107, 'x'),
              "control_socket: longer than a socket's path may be (107)"),
      general("log.level = loud", "log.level: must be error, warning, notice, info or debug"),
      in_section("dpdk", "hugepages = maybe", "hugepages: must be auto, yes or no"),
      in_section("dpdk", "in_memory = 1", "in_memory: must be yes or no"),
      in_section("dpdk", "file_prefix = a/b", "file_prefix: must be a file name without '/'"),
      in_section("dpdk", "eal =", "eal: must be one or more arguments"),
      in_section("pool", "buffers = 5", "buffers: must be 0 or at least 1024"),
      in_section("pool", "data_bytes = 1600",
                 "data_bytes: an MTU of 1500 needs at least 2012 bytes"),
      in_section("limits", "max_tunnels = 0", "max_tunnels: must be 1 to 1048576"),
      in_section("timers", "rekey_after_s = 0", "rekey_after_s: must be 1 to 120 (seconds)"),
      in_section("timers", "reject_after_s = 100",
                 "reject_after_s: rekey_after_s (120) must be below reject_after_s (100)"),
      {"workers = 3\nlcores = 1-2\n" + kTwoPorts,
       "p.conf:1: workers: is 3, but lcores lists 2 CPUs"},
  });
}

TEST(ConfigMistake, port_value_is_named) {
  const std::string device =
      "must be a PCI address such as 0000:3b:00.0, or a virtual device such as "
      "af_packet:eth0 or net_af_packet0,iface=eth0";
  expect_each({
      {kTwoPorts + "[port.x]\nrole = inside\naddress = 10.9.0.1/24\ndevice = eth0\n",
       "p.conf:14: device: " + device},
      {kTwoPorts + "[port.x]\nrole = inside\naddress = 10.9.0.1/24\ndevice = 3b:0.0\n",
       "p.conf:14: device: " + device},
      inside("mtu = 1279", "mtu: must be 1280 to 9200 (bytes)"),
      inside("mtu = 9201", "mtu: must be 1280 to 9200 (bytes)"),
      inside("address = 10.0.0.1",
             "address: must be ADDRESS/LENGTH such as 192.0.2.1/24 or "
             "2001:db8::1/64"),
      inside("address = 10.3.0.0/24",
             "address: \"10.3.0.0/24\" is the network's own or its broadcast address"),
      inside("address = 10.3.0.255/24",
             "address: \"10.3.0.255/24\" is the network's own or its broadcast address"),
      inside("address = 224.0.0.1/24",
             "address: \"224.0.0.1/24\" cannot be an address of the gateway"),
      inside("address = ::1/128", "address: \"::1/128\" cannot be an address of the gateway"),
      inside("rx_queues = 2", "rx_queues: more queues than workers (1)"),
      inside("tx_queues = 2", "tx_queues: more queues than workers (1)"),
      inside("rx_descriptors = 1000", "rx_descriptors: must be a power of two, 64 to 16384"),
      inside("checksum_offload = on", "checksum_offload: must be auto or off"),
      inside("source_check = lax", "source_check: must be off, loose or strict"),
      inside("forward = all", "forward: must be tunnel_only or plain"),
      inside("mac = 01:00:00:00:00:01",
             "mac: must be a unicast MAC address such as 02:00:00:00:00:01"),
      inside("neighbour = 10.0.0.9", "neighbour: must be ADDRESS MAC, both unicast"),
      inside("neighbour = 10.5.0.9 02:00:00:00:00:01",
             "neighbour: 10.5.0.9 is in no network of the port"),
      inside("neighbour = 10.0.0.1 02:00:00:00:00:01",
             "neighbour: 10.0.0.1 is the gateway's own address"),
  });
}

TEST(ConfigMistake, clash_between_ports_is_named) {
  const std::string x = "[port.x]\ndevice = tap:t0\nrole = inside\n";
  expect_each({
      {kTwoPorts + "[port.x]\nrole = inside\naddress = 10.9.0.1/24\ndevice = 3b:00.1\n",
       "p.conf:14: device: 0000:3b:00.1 is already port inside"},
      {kTwoPorts + "[port.x]\ndevice = net_af_packet0,iface=b\nrole=inside\naddress=10.9.0.1/24\n",
       "p.conf:12: device: net_af_packet0 is already port outside"},
      {kTwoPorts + "[port.x]\ndevice = tap:t1\nrole=inside\naddress=10.9.0.1/24\n[port.y]\n"
                   "device = net_tap7,iface=t1\nrole=inside\naddress=10.8.0.1/24\n",
       "p.conf:16: device: interface t1 is already port x"},
      {kTwoPorts + "[port.x]\ndevice = net_tap0\nrole=inside\naddress=10.9.0.1/24\n",
       "p.conf:12: device: port x: device 'net_tap0' needs iface=NAME of 1 to 15 characters"},
      {kTwoPorts + x + "address = 10.0.0.1/32\n",
       "p.conf:14: address: 10.0.0.1 is already an address of port inside"},
      {kTwoPorts + x + "address = 10.0.0.2/16\n",
       "p.conf:14: address: 10.0.0.0/16 overlaps 10.0.0.0/24 of port inside"},
      {kTwoPorts + x + "address = fd00::9/128\n",
       "p.conf:14: address: fd00::9/128 overlaps fd00::/64 of port inside"},
      inside("address = 10.0.0.1/25", "address: 10.0.0.1 is already an address of port inside"),
      {kTwoPorts + "[port.x]\nrole = inside\naddress = 10.9.0.1/24\n",
       "p.conf:11: [port.x]: the port has no device"},
      {kTwoPorts + "[port.x]\ndevice = tap:t0\naddress = 10.9.0.1/24\n",
       "p.conf:11: [port.x]: the port has no role (outside, inside or both)"},
      {kTwoPorts + "[port.x]\ndevice = tap:t0\nrole = outside\n",
       "p.conf:13: role: a port on the outside needs an address, tunnels end at it"},
      {"[port.in]\ndevice = tap:t0\nrole = inside\naddress = 10.0.0.1/24\n",
       "p.conf: no port has the role outside or both"},
      {"", "p.conf: no port has the role outside or both"},
  });
}

TEST(ConfigMistake, link_local_networks_of_two_ports_do_not_clash) {
  const Outcome outcome =
      parse("port.outside.address = fe80::1/64\nport.inside.address = fe80::1/64\n" + kTwoPorts);
  EXPECT_TRUE(outcome.config.has_value()) << format_check(outcome, "p.conf");
}

TEST(ConfigMistake, route_is_named) {
  const auto route = [](const std::string& text, const std::string& expected) {
    return in_section("route", "route = " + text, "route: " + expected);
  };
  const std::string shape =
      "must be PREFIX via ADDRESS [port NAME], PREFIX port NAME, PREFIX interface NAME or PREFIX "
      "blackhole";
  expect_each({
      route("0.0.0.0/0", shape),
      route("0.0.0.0/0 to 192.0.2.9", shape),
      route("0.0.0.0/33 via 192.0.2.9", shape),
      route("0.0.0.0/0 via 192.0.2.9 port", shape),
      route("10.1.2.3/8 blackhole", "bits behind the prefix length are set: 10.0.0.0/8 is meant?"),
      route("0.0.0.0/0 via fd00::9", "prefix and gateway are not of the same family"),
      route("0.0.0.0/0 via 224.0.0.1", "the gateway must be a unicast address"),
      route("0.0.0.0/0 via 198.51.100.1", "the gateway 198.51.100.1 is in no port's network"),
      route("0.0.0.0/0 via 192.0.2.1", "the gateway 192.0.2.1 is this gateway's own address"),
      route("0.0.0.0/0 via 192.0.2.9 port inside",
            "the gateway 192.0.2.9 is in no network of port inside"),
      route("0.0.0.0/0 via 192.0.2.9 port outsied",
            "there is no port \"outsied\", did you mean \"outside\"?"),
      route("::/0 via fe80::9", "a link-local gateway needs its port: via fe80::9 port NAME"),
      route("10.9.0.0/16 port middle", "there is no port \"middle\""),
      route("10.9.0.0/16 interface wg0", "there is no interface \"wg0\""),
      {kTwoPorts +
           "[route]\nroute = 10.9.0.0/16 blackhole\n[route]\nroute = 10.9.0.0/16 port inside\n",
       "p.conf:14: route: 10.9.0.0/16 has a route already in line 12"},
      {kTwoPorts + "[wireguard.wg0]\naddress = 10.200.0.1/24\n[route]\n"
                   "route = 0.0.0.0/0 via 10.200.0.9\n",
       "p.conf:14: route: the gateway 10.200.0.9 is inside a tunnel of interface wg0: say PREFIX "
       "interface NAME instead"},
  });
}

TEST(ConfigMistake, wireguard_section_is_named) {
  const std::string wg0 = "[wireguard.wg0]\nfile = /etc/wireguard/wg0.conf\n";  // lines 11, 12
  expect_each({
      in_section("wireguard.wg0", "file = /none",
                 "file: cannot read /none: No such file or directory"),
      in_section("wireguard.wg0", "private_key_file = /none",
                 "private_key_file: cannot read /none: No such file or directory"),
      in_section("wireguard.wg0", "file = wg0.conf", "file: must be an absolute path"),
      in_section("wireguard.wg0", "listen_port = 65536", "listen_port: must be 0 to 65535"),
      in_section("wireguard.wg0", "mtu = 500", "mtu: must be 576 to 9200 (bytes)"),
      in_section("wireguard.wg0", "dscp = ef", "dscp: must be zero or copy"),
      in_section("wireguard.wg0", "table = 5", "table: must be auto or off"),
      in_section("wireguard.wg0", "peer = x", "peer: unknown key"),
      {kTwoPorts + wg0 + "[wireguard.wg1]\nlisten_port = 51820\n",
       "p.conf:14: listen_port: 51820 is already the port of interface wg0"},
      {kTwoPorts + wg0 + "[wireguard.wg1]\naddress = 10.200.0.1/24\n",
       "p.conf:14: address: 10.200.0.1 is already an address of interface wg0"},
      {kTwoPorts + "[wireguard.wg0]\naddress = 10.0.0.9/24\n",
       "p.conf:12: address: 10.0.0.0/24 overlaps 10.0.0.0/24 of port inside"},
      {"limits.max_tunnels = 1\n" + kTwoPorts + "[wireguard.wg0]\nfile = /etc/wireguard/two.conf\n",
       "p.conf:1: limits.max_tunnels: the files have 2 peers, more than max_tunnels (1)"},
  });
}

TEST(ConfigMistake, ipsec_value_is_named) {
  const std::string sites = "[ipsec.sites]\nif_id = 42\n";
  expect_each({
      in_section("ipsec", "vici_socket = run", "vici_socket: must be an absolute path"),
      in_section("ipsec", "vici_socket = /" + std::string(107, 'x'),
                 "vici_socket: longer than a socket's path may be (107)"),
      in_section("ipsec", "max_ike_sas = 0", "max_ike_sas: must be 1 to 1048576"),
      in_section("ipsec", "max_ike_sas = 100",
                 "max_ike_sas: half_open (4096) is more than max_ike_sas (100)"),
      in_section("ipsec", "half_open = 65537", "half_open: must be 1 to 65536"),
      in_section("ipsec", "compute_queue = 1", "compute_queue: must be 16 to 65536"),
      in_section("ipsec", "fetch_timeout_s = 0", "fetch_timeout_s: must be 1 to 60 (seconds)"),
      in_section("ipsec", "retransmit_base = 0.9", "retransmit_base: must be 1 to 10, such as 1.8"),
      in_section("ipsec", "retransmit_base = 1.", "retransmit_base: must be 1 to 10, such as 1.8"),
      in_section("ipsec", "retransmit_base = 1.800",
                 "retransmit_base: must be 1 to 10, such as 1.8"),
      in_section("ipsec", "vici_sockt = /x",
                 "vici_sockt: unknown key, did you mean \"vici_socket\"?"),
      {kTwoPorts + "[ipsec.sites]\n", "p.conf:11: [ipsec.sites]: the interface has no if_id"},
      in_section("ipsec.sites", "if_id = 0", "if_id: must be 1 to 4294967295"),
      {kTwoPorts + sites + "listen_port = 1\n", "p.conf:13: listen_port: unknown key"},
      {kTwoPorts + sites + "[ipsec.b]\nif_id = 42\n",
       "p.conf:14: if_id: 42 is already the if_id of interface sites"},
      {kTwoPorts + sites + "address = 10.0.0.9/24\n",
       "p.conf:13: address: 10.0.0.0/24 overlaps 10.0.0.0/24 of port inside"},
      {kTwoPorts + sites + "mtu = 500\n", "p.conf:13: mtu: must be 576 to 9200 (bytes)"},
      {kTwoPorts + sites + "[wireguard.sites]\nlisten_port = 7\n",
       "p.conf:11: [ipsec.sites]: a WireGuard interface has this name"},
      {kTwoPorts + "[ipsec]\n[wireguard.wg0]\nlisten_port = 4500\n",
       "p.conf:13: listen_port: 4500 is IKE's port, and [ipsec] is on"},
      {kTwoPorts + sites + "[route]\nroute = 10.8.0.0/16 interface site\n",
       "p.conf:14: route: there is no interface \"site\", did you mean \"sites\"?"},
  });
}

TEST(ConfigMistake, endpoint_name_that_does_not_resolve_is_a_warning) {
  const std::string text =
      "[Interface]\nPrivateKey = " + kPrivateKey + "\n[Peer]\nPublicKey = " + kPublicKey +
      "\nEndpoint = nowhere.example.org:5\n[Peer]\nPublicKey = " + kOtherPublicKey +
      "\nEndpoint = gw.example.org:6\n";
  Environment environment = environment_of({{"/w.conf", {text, false}}});
  const Outcome outcome =
      parse_config(kTwoPorts + "[wireguard.wg0]\nfile = /w.conf\n", "p.conf", {}, environment);
  ASSERT_TRUE(outcome.config.has_value());
  EXPECT_EQ(lines_of(outcome.diagnostics),
            (std::vector<std::string>{
                "/w.conf:5: Endpoint: warning: cannot resolve \"nowhere.example.org\" yet: Name or "
                "service not known; the gateway asks again while it runs"}));
  const WireguardConfig& wg0 = outcome.config->wireguards[0];
  EXPECT_FALSE(wg0.device.peers[0].endpoint.has_value());
  EXPECT_EQ(wg0.device.peers[1].endpoint->to_string(), "203.0.113.9:6");
  ASSERT_EQ(wg0.unresolved.size(), 1U);
  EXPECT_EQ(wg0.unresolved[0].host, "nowhere.example.org");
}

Outcome parse_with(const std::string& text, const std::string& wg_file, bool world_readable) {
  return parse_config(text, "p.conf", {},
                      environment_of({{"/w.conf", {wg_file, world_readable}},
                                      {"/key", {kPrivateKey, world_readable}}}));
}

TEST(ConfigMistake, mistakes_of_a_wg_quick_file_have_its_own_lines) {
  const Outcome outcome =
      parse_with("idle = never\n" + kTwoPorts + "[wireguard.wg0]\nfile = /w.conf\n",
                 "[Interface]\nPrivateKey = " + kPrivateKey +
                     "\nAddress = 10.0.0.77/24\nPostUp = x\n[Peer]\nPublicKey = short\n",
                 false);
  EXPECT_EQ(lines_of(outcome.diagnostics),
            (std::vector<std::string>{
                "p.conf:1: idle: must be sleep or poll",
                "/w.conf:3: Address: 10.0.0.0/24 overlaps 10.0.0.0/24 of port inside",
                "/w.conf:4: PostUp: the gateway runs no commands; remove the line, or set hooks = "
                "warn in penstock.conf to skip it",
                "/w.conf:6: PublicKey: must be a key: 32 bytes in base64, 44 characters"}));
}

TEST(ConfigMistake, hooks_under_warn_load_with_a_warning) {
  const Outcome outcome =
      parse_with("hooks = warn\n" + kTwoPorts + "[wireguard.wg0]\nfile = /w.conf\n",
                 "[Interface]\nPrivateKey = " + kPrivateKey + "\nPostUp = x\n", false);
  EXPECT_TRUE(outcome.config.has_value());
  EXPECT_EQ(lines_of(outcome.diagnostics),
            (std::vector<std::string>{
                "/w.conf:3: PostUp: warning: the gateway runs no commands: skipped"}));
}

TEST(ConfigMistake, allowed_ip_of_two_interfaces_is_an_error_at_the_second) {
  const std::string peer = "[Interface]\nPrivateKey = " + kPrivateKey +
                           "\n[Peer]\nPublicKey = " + kPublicKey + "\nAllowedIPs = 10.200.0.0/24\n";
  const std::string two =
      kTwoPorts + "[wireguard.a]\nfile = /w.conf\n[wireguard.b]\nfile = /w.conf\n";
  const Outcome clash = parse_with(two, peer, false);
  EXPECT_EQ(lines_of(clash.diagnostics),
            (std::vector<std::string>{
                "p.conf:14: file: 10.200.0.0/24 is an allowed IP of interface a too: one of them "
                "needs table = off",
                "/w.conf:2: PrivateKey: warning: interface a has the same private key"}));
  EXPECT_TRUE(parse_with(two + "table = off\n", peer, false).config.has_value());
}

TEST(ConfigMistake, readable_key_is_a_warning) {
  const Outcome outcome = parse_with(
      kTwoPorts + "[wireguard.wg0]\nfile = /w.conf\n[wireguard.wg1]\nprivate_key_file = /key\n",
      "[Interface]\nPrivateKey = " + kOtherPublicKey + "\n", true);
  EXPECT_TRUE(outcome.config.has_value());
  EXPECT_EQ(lines_of(outcome.diagnostics),
            (std::vector<std::string>{
                "/w.conf: warning: every user can read this file, and it holds keys",
                "/key: warning: every user can read this file, and it holds keys"}));
}

TEST(ConfigMistake, key_file_without_a_key_is_an_error_there) {
  const Outcome outcome =
      parse_config(kTwoPorts + "[wireguard.wg0]\nprivate_key_file = /key\n", "p.conf", {},
                   environment_of({{"/key", {"not a key\n", false}}}));
  EXPECT_EQ(
      lines_of(outcome.diagnostics),
      (std::vector<std::string>{"/key:1: must hold one key: 32 bytes in base64, 44 characters"}));
}

TEST(ConfigMistake, warnings_do_not_refuse) {
  const std::string wg0 = "[wireguard.wg0]\nfile = /etc/wireguard/wg0.conf\n";
  expect_each(
      {
          {"lcores = 1\ncontrol_cpu = 1\n" + kTwoPorts,
           "p.conf:2: control_cpu: warning: CPU 1 is also a worker's"},
          {kTwoPorts + wg0 + "mtu = 1421\n",
           "p.conf:13: mtu: warning: the outside MTU of 1500 leaves room for 1420: larger packets "
           "are fragmented or dropped outside"},
          {kTwoPorts + "[port.x]\ndevice = tap:t0\nrole = inside\n",
           "p.conf:13: role: warning: the port has no address: its hosts cannot reach the gateway"},
          {"[port.o]\ndevice = tap:t0\nrole = outside\naddress = 192.0.2.1/24\n",
           "p.conf: warning: no port has the role inside or both"},
          {kTwoPorts + wg0 + "[wireguard.wg1]\naddress = 10.200.0.9/24\n",
           "p.conf:14: address: warning: 10.200.0.0/24 overlaps 10.200.0.0/24 of interface wg0"},
      },
      Severity::kWarning);
}

TEST(ConfigMistake, all_of_many_are_listed_in_the_order_of_lines) {
  const Outcome outcome = parse(
      "workers = 0\nfoo = 1\n[port.outside]\ndevice = x\nmtu = 1\naddress = 1.2.3\n[nothing]\na = "
      "b\n"
      "[port.inside]\nrole = up\n[route]\nroute = 0.0.0.0/0 via 9.9.9.9\n");
  std::vector<size_t> lines;
  for (const Diagnostic& d : outcome.diagnostics) lines.push_back(d.line);
  EXPECT_EQ(lines, (std::vector<size_t>{1, 2, 3, 4, 5, 6, 7, 9, 10, 12}));
  EXPECT_FALSE(outcome.config.has_value());
}

}  // namespace
}  // namespace penstock::config
