#include "gateway/config/keys.h"

#include <algorithm>
#include <boost/program_options/errors.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <cstdio>
#include <memory>

#include "gateway/config/scan.h"
#include "gateway/config/values.h"

namespace penstock::config {

namespace po = boost::program_options;

namespace {

constexpr size_t kMaxPorts = 32, kMaxInterfaces = 64;
constexpr unsigned kHelpColumns = 100, kHelpTextColumns = 58;

// What Boost asks about a value. parse() checks and stores in one step, since the Config's own
// initialisers are the defaults and there is nothing to notify later.
class KeySemantic final : public po::value_semantic {
 public:
  KeySemantic(std::string shape, Setter set, bool repeatable)
      : shape_(std::move(shape)), set_(std::move(set)), repeatable_(repeatable) {}

  std::string name() const override { return shape_; }
  unsigned min_tokens() const override { return 1; }
  unsigned max_tokens() const override { return 1; }
  bool is_composing() const override { return repeatable_; }
  bool is_required() const override { return false; }
  void parse(boost::any& store, const std::vector<std::string>& tokens, bool) const override {
    const Status status = set_(tokens.front());
    if (!status.ok()) throw po::error(status.error().text);
    store = tokens.front();
  }
  bool apply_default(boost::any&) const override { return false; }
  void notify(const boost::any&) const override {}

 private:
  std::string shape_;
  Setter set_;
  bool repeatable_;
};

std::string with_default(const std::string& shape, const std::string& value) {
  return value.empty() ? shape : shape + " (=" + value + ")";
}

// One caption and its keys.
class Group {
 public:
  Group(const std::string& caption, std::string prefix)
      : description_(caption, kHelpColumns, kHelpTextColumns), prefix_(std::move(prefix)) {}

  void key(const char* name, const std::string& shape, Setter set, const char* help,
           bool repeatable = false) {
    auto semantic = std::make_unique<KeySemantic>(shape, std::move(set), repeatable);
    const std::string full = prefix_ + name;
    description_.add_options()(full.c_str(), semantic.get(), help);
    (void)semantic.release();  // Boost owns it from here
  }
  template <class T>
  void count(const char* name, T& field, uint64_t minimum, uint64_t maximum, const char* help,
             const char* unit = "") {
    key(name, with_default("N", std::to_string(field)), number(field, minimum, maximum, unit),
        help);
  }
  template <class T>
  void word(const char* name, T& field, std::vector<std::pair<std::string, T>> words,
            const char* help, bool show_default = true) {
    std::string shape, current;
    for (const auto& [text, value] : words) {
      shape += (shape.empty() ? "" : "|") + text;
      if (show_default && value == field) current = text;
    }
    key(name, with_default(shape, current), choice(field, std::move(words)), help);
  }
  void path(const char* name, std::string& field, const char* help) {
    key(name, with_default("PATH", field), absolute_path(field), help);
  }
  void flag(const char* name, bool& field, const char* help) {
    word<bool>(name, field, {{"yes", true}, {"no", false}}, help);
  }

  [[nodiscard]] const po::options_description& description() const { return description_; }

 private:
  po::options_description description_;
  std::string prefix_;
};

const std::vector<std::pair<std::string, Choice>> kAutoYesNo = {
    {"auto", Choice::kAuto}, {"yes", Choice::kYes}, {"no", Choice::kNo}};

// At most two digits behind the point.
Setter decimal(double& field, double minimum, double maximum) {
  return [&field, minimum, maximum](std::string_view text) -> Status {
    const size_t point = std::min(text.find('.'), text.size());
    const std::string_view fraction = text.substr(std::min(point + 1, text.size()));
    const auto whole = parse_unsigned(text.substr(0, point), 1'000'000);
    const auto part = fraction.empty() ? std::optional<uint64_t>(0) : parse_unsigned(fraction, 99);
    const bool dangling = point + 1 == text.size();
    if (whole && part && fraction.size() <= 2 && !dangling) {
      const double value = static_cast<double>(*whole) +
                           static_cast<double>(*part) / (fraction.size() == 1 ? 10.0 : 100.0);
      if (value >= minimum && value <= maximum) {
        field = value;
        return {};
      }
    }
    char words[64];
    std::snprintf(words, sizeof words, "must be %g to %g, such as 1.8", minimum, maximum);
    return Error{words};
  };
}

Setter optional_number(std::optional<uint16_t>& field, uint16_t maximum) {
  return [&field, maximum](std::string_view text) -> Status {
    uint16_t value = 0;
    PENSTOCK_CHECK(number(value, 0, maximum)(text));
    field = value;
    return {};
  };
}

}  // namespace

Keys::Keys(Config& config) : options_(kHelpColumns, kHelpTextColumns) {
  add_general(config);
  add_machine(config);
  for (PortConfig& port : config.ports) add_port(port);
  Group route("[route]", "");
  route.key(
      "route", "ROUTE", add_route(config.routes),
      "PREFIX via ADDRESS [port NAME] | PREFIX port NAME (on-link) | PREFIX interface NAME "
      "(into a tunnel interface) | PREFIX blackhole; repeatable. Networks of ports and allowed "
      "IPs of peers need no route here",
      true);
  options_.add(route.description());
  for (WireguardConfig& interface : config.wireguards) add_wireguard(interface);
  add_ipsec(config.ipsec);
  for (IpsecInterfaceConfig& one : config.ipsec.interfaces) add_ipsec_interface(one);
  add_limits(config.limits);
  add_timers(config.timers);
  for (const auto& option : options_.options()) by_name_.emplace(option->long_name(), option.get());
}

const po::option_description* Keys::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found != by_name_.end() ? found->second : nullptr;
}

void Keys::add_general(Config& config) {
  Group top("General (above the first section)", "");
  top.count("workers", config.workers, 1, kMaxWorkers,
            "threads that forward packets, each on a CPU of its own");
  top.key("lcores", "CPUS", cpu_list(config.lcores),
          "the workers' CPUs, such as 2-5,8; says the number of workers too. Default: chosen among "
          "the CPUs that the process may use");
  top.key("control_cpu", "CPU", optional_number(config.control_cpu, 1023),
          "the control thread's CPU. Default: any that is no worker's");
  top.count("compute_threads", config.compute_threads, 0, kMaxWorkers,
            "threads for handshakes; 0: one per two workers, at least one");
  top.word<Idle>("idle", config.idle, {{"sleep", Idle::kSleep}, {"poll", Idle::kPoll}},
                 "an idle worker sleeps (a little latency) or polls (a whole CPU)");
  top.word<Spread>("spread", config.spread, {{"auto", Spread::kAuto}, {"off", Spread::kOff}},
                   "auto: workers with time to spare cipher for one whose tunnels fill its CPU; "
                   "off: each ciphers its own packets");
  top.count("burst", config.burst, 4, 64, "packets taken from a queue at once");
  top.word<wireguard::HookPolicy>(
      "hooks", config.hooks,
      {{"refuse", wireguard::HookPolicy::kRefuse}, {"warn", wireguard::HookPolicy::kWarn}},
      "PostUp and the like, and SaveConfig, in wg-quick files: an error, or skipped with a "
      "warning");
  top.path("state_dir", config.state_dir,
           "for what must survive a restart: the last handshake timestamps");
  top.path("control_socket", config.control_socket, "where the penstock command connects");
  top.path("wireguard_dir", config.wireguard_dir, "where wg(8) looks for NAME.sock");
  options_.add(top.description());
  Group log("[log]", "log.");
  log.word<LogLevel>("level", config.log.level,
                     {{"error", LogLevel::kError},
                      {"warning", LogLevel::kWarning},
                      {"notice", LogLevel::kNotice},
                      {"info", LogLevel::kInfo},
                      {"debug", LogLevel::kDebug}},
                     "lines above this level are left out");
  log.word<Choice>("journald", config.log.journald, kAutoYesNo,
                   "journald's priority prefix instead of a time stamp; auto: if it listens");
  options_.add(log.description());
}

void Keys::add_machine(Config& config) {
  Group dpdk("[dpdk]", "dpdk.");
  dpdk.flag("in_memory", config.dpdk.in_memory,
            "no files in hugetlbfs; no secondary process (dpdk-dumpcap) can attach");
  dpdk.word<Choice>("hugepages", config.dpdk.hugepages, kAutoYesNo,
                    "auto: where the system has enough, ordinary pages otherwise");
  dpdk.count("memory_mb", config.dpdk.memory_mb, 0, 1u << 20,
             "memory in MiB; 0: what pools and tables need", "MiB");
  dpdk.key("file_prefix", with_default("TEXT", config.dpdk.file_prefix),
           plain_text(config.dpdk.file_prefix), "tells gateways on one machine apart");
  dpdk.key("eal", "ARGUMENTS", add_words(config.dpdk.eal),
           "further arguments of DPDK's environment, such as --iova-mode=va; repeatable", true);
  options_.add(dpdk.description());
  Group pool("[pool]", "pool.");
  pool.count("buffers", config.pool.buffers, 0, 1u << 24,
             "packet buffers per NUMA node; 0: from queues, descriptors and workers");
  pool.count("cache", config.pool.cache, 0, 512, "buffers that a worker keeps for itself");
  pool.count("data_bytes", config.pool.data_bytes, 0, 65'535,
             "room of a buffer with its headroom, in bytes; 0: from the largest MTU", "bytes");
  options_.add(pool.description());
}

void Keys::add_port(PortConfig& port) {
  Group group("[port." + port.name + "]", "port." + port.name + ".");
  group.key("device", "DEVICE", device(port.device),
            "PCI address (0000:3b:00.0) or virtual device with its arguments "
            "(net_af_packet0,iface=eth0); required");
  group.word<PortRole>(
      "role", port.role,
      {{"outside", PortRole::kOutside}, {"inside", PortRole::kInside}, {"both", PortRole::kBoth}},
      "where tunnels end (outside), clear traffic lives (inside), or both on one "
      "port; required",
      false);
  group.key("address", "ADDRESS/LENGTH", add_address(port.addresses),
            "an address of the gateway and its network, IPv4 or IPv6; repeatable", true);
  group.count("mtu", port.mtu, kMinMtu, kMaxMtu, "largest IP packet in bytes", "bytes");
  group.count("rx_queues", port.rx_queues, 0, kMaxWorkers, "0: one per worker");
  group.count("tx_queues", port.tx_queues, 0, kMaxWorkers, "0: one per worker");
  group.key("rx_descriptors", with_default("N", std::to_string(port.rx_descriptors)),
            power_of_two(port.rx_descriptors, 64, 16'384), "per queue");
  group.key("tx_descriptors", with_default("N", std::to_string(port.tx_descriptors)),
            power_of_two(port.tx_descriptors, 64, 16'384), "per queue");
  group.word<bool>("checksum_offload", port.checksum_offload, {{"auto", true}, {"off", false}},
                   "auto: by the port where it can; off: always in software");
  group.flag("promiscuous", port.promiscuous, "take frames for other MAC addresses, to drop them");
  group.word<SourceCheck>("source_check", port.source_check,
                          {{"off", SourceCheck::kOff},
                           {"loose", SourceCheck::kLoose},
                           {"strict", SourceCheck::kStrict}},
                          "RFC 3704: a clear packet's source needs a route (loose), through this "
                          "port (strict). Default: strict inside, else loose",
                          false);
  group.word<Forward>("forward", port.forward,
                      {{"tunnel_only", Forward::kTunnelOnly}, {"plain", Forward::kPlain}},
                      "whether clear packets may pass in and out here, or only those from and for "
                      "tunnels. Default: tunnel_only outside, else plain",
                      false);
  group.key("mac", "MAC", unicast_mac(port.mac), "instead of the port's own MAC address");
  group.key("neighbour", "\"ADDRESS MAC\"", add_neighbour(port.neighbours),
            "a neighbour that is not asked for; repeatable", true);
  options_.add(group.description());
}

void Keys::add_wireguard(WireguardConfig& interface) {
  Group group("[wireguard." + interface.name + "]: an interface that wg(8) knows by this name",
              "wireguard." + interface.name + ".");
  group.key("file", "PATH", absolute_path(interface.file),
            "a wg-quick file, such as /etc/wireguard/wg0.conf; what stands here wins over it. "
            "Without: an interface that wg(8) fills");
  group.key("private_key_file", "PATH", absolute_path(interface.private_key_file),
            "a file with the private key in base64, as of wg genkey");
  group.key("listen_port", "PORT", optional_number(interface.device.listen_port, UINT16_MAX),
            "UDP, on every address of outside ports; 0 or absent: chosen");
  group.key("address", "ADDRESS/LENGTH", add_address(interface.addresses),
            "the gateway's address inside the tunnels; repeatable", true);
  group.key("mtu", "N", number(interface.mtu, 576, kMaxMtu, "bytes"),
            "largest inner packet in bytes. Default: the smallest MTU of outside ports less 80");
  group.word<DscpMode>("dscp", interface.dscp,
                       {{"zero", DscpMode::kZero}, {"copy", DscpMode::kCopy}},
                       "the outer header's DSCP: 0, or that of the inner packet");
  group.word<bool>("table", interface.routes, {{"auto", true}, {"off", false}},
                   "auto: a route into the interface for every allowed IP of its peers");
  options_.add(group.description());
}

void Keys::add_ipsec(IpsecConfig& ipsec) {
  Group group(
      "[ipsec]: its presence turns IKEv2 on, on UDP 500 and 4500 of every outside address; "
      "connections come from swanctl",
      "ipsec.");
  group.path("vici_socket", ipsec.vici_socket, "where swanctl connects");
  group.count("max_ike_sas", ipsec.max_ike_sas, 1, 1u << 20, "IKE SAs in all");
  group.count("half_open", ipsec.half_open, 1, 1u << 16, "IKE SAs that peers are setting up");
  group.count("half_open_per_address", ipsec.half_open_per_address, 1, 1u << 16,
              "of them, from one IPv4 address or IPv6 /64");
  group.count("cookie_threshold", ipsec.cookie_threshold, 0, 1u << 16,
              "half-open IKE SAs beyond which peers must prove their address with a cookie");
  group.count("compute_queue", ipsec.compute_queue, 16, 1u << 16,
              "key exchanges and signatures that wait for a compute thread");
  group.count("half_open_timeout_s", ipsec.half_open_timeout_s, 1, 3'600,
              "an IKE SA that has not authenticated by then is dropped", "seconds");
  group.count("retransmit_timeout_ms", ipsec.retransmit_timeout_ms, 10, 60'000,
              "a request without an answer is repeated after", "milliseconds");
  group.key("retransmit_base", with_default("N", "1.8"), decimal(ipsec.retransmit_base, 1.0, 10.0),
            "each further repeat waits so many times as long");
  group.count("retransmit_tries", ipsec.retransmit_tries, 1, 20,
              "repeats, after which the peer counts as dead");
  group.count("dpd_floor_s", ipsec.dpd_floor_s, 0, 86'400,
              "holders of a virtual address are asked whether they are alive at least this often, "
              "so that leases of those that vanished come back; 0: as the connection says",
              "seconds");
  group.count("fetch_timeout_s", ipsec.fetch_timeout_s, 1, 60, "for a CRL or an OCSP answer",
              "seconds");
  group.count("fetch_limit_kib", ipsec.fetch_limit_kib, 1, 65'536,
              "largest CRL or OCSP answer in KiB", "KiB");
  group.flag(
      "require_pfs", ipsec.require_pfs,
      "children and their rekeys need a key exchange of their own (perfect forward secrecy), "
      "but for the one that comes with the IKE SA; a child's require_pfs goes before this");
  options_.add(group.description());
}

void Keys::add_ipsec_interface(IpsecInterfaceConfig& interface) {
  Group group(
      "[ipsec." + interface.name + "]: an interface that routes lead into (route-based IPsec)",
      "ipsec." + interface.name + ".");
  group.key("if_id", "N", number(interface.if_id, 1, UINT32_MAX),
            "children with if_id_in = if_id_out = N attach to it; required");
  group.key("address", "ADDRESS/LENGTH", add_address(interface.addresses),
            "the gateway's address inside the tunnels; repeatable", true);
  group.key("mtu", "N", number(interface.mtu, 576, kMaxMtu, "bytes"),
            "largest inner packet in bytes. Default: what the smallest MTU of outside ports "
            "leaves room for");
  group.word<std::optional<DscpMode>>(
      "dscp", interface.dscp,
      {{"child", std::nullopt}, {"zero", DscpMode::kZero}, {"copy", DscpMode::kCopy}},
      "the outer header's DSCP: as copy_dscp of each child says, 0, or that of the inner packet");
  options_.add(group.description());
}

void Keys::add_limits(LimitConfig& limits) {
  Group group("[limits]: at each, what is too much is refused and counted", "limits.");
  group.count("max_tunnels", limits.max_tunnels, 1, 1u << 20, "peers of all interfaces");
  group.count("max_routes", limits.max_routes, 16, 1u << 22, "of each address family");
  group.count("neighbours", limits.neighbours, 16, 1u << 20, "entries of the neighbour table");
  group.count("neighbour_queue", limits.neighbour_queue, 1, 1024,
              "packets that wait for one neighbour's MAC address");
  group.count("staged_packets", limits.staged_packets, 1, 1024,
              "packets that wait for one tunnel's handshake");
  group.count("staged_packets_total", limits.staged_packets_total, 1, 1u << 20,
              "packets that wait for handshakes in all");
  group.count("reassembly_contexts", limits.reassembly_contexts, 0, 1u << 16,
              "outer packets under reassembly; 0: fragments are dropped");
  group.count("punt_queue", limits.punt_queue, 64, 1u << 16,
              "packets between one worker and the control plane");
  group.count("icmp_per_second", limits.icmp_per_second, 0, 1'000'000,
              "ICMP messages that a worker sends");
  group.count("handshakes_per_second", limits.handshakes_per_second, 1, 100'000,
              "from one IPv4 address or IPv6 /64, when under load");
  group.count("handshake_queue", limits.handshake_queue, 16, 1u << 16,
              "handshake messages that wait for a compute thread");
  options_.add(group.description());
}

void Keys::add_timers(TimerConfig& timers) {
  constexpr uint64_t kHighestReject = UINT64_MAX - (uint64_t{1} << 13);
  Group group("[timers]: WireGuard's constants (paper, section 6.1), to be shortened in tests only",
              "timers.");
  group.count("rekey_after_s", timers.rekey_after_s, 1, 120, "a new handshake after", "seconds");
  group.count("reject_after_s", timers.reject_after_s, 2, 180, "keys are dead after", "seconds");
  group.count("rekey_attempt_s", timers.rekey_attempt_s, 1, 90, "handshakes are given up after",
              "seconds");
  group.count("rekey_timeout_s", timers.rekey_timeout_s, 1, 5, "an initiation is repeated after",
              "seconds");
  group.count("keepalive_s", timers.keepalive_s, 1, 10, "an answer is due within", "seconds");
  group.count("rekey_after_messages", timers.rekey_after_messages, 1, uint64_t{1} << 60,
              "a new handshake after so many packets");
  group.count("reject_after_messages", timers.reject_after_messages, 2, kHighestReject,
              "keys are dead after so many packets");
  options_.add(group.description());
}

bool Keys::known(const std::string& name) const { return find(name) != nullptr; }

bool Keys::repeatable(const std::string& name) const {
  const po::option_description* option = find(name);
  return option != nullptr && option->semantic()->is_composing();
}

Status Keys::set(const std::string& name, const std::string& value) {
  const po::option_description* option = find(name);
  if (option == nullptr) return Error{"unknown key"};
  try {
    boost::any stored;
    option->semantic()->parse(stored, {value}, false);
  } catch (const po::error& problem) {
    return Error{problem.what()};
  }
  return {};
}

std::vector<std::string> Keys::names_in(const std::string& section) const {
  std::vector<std::string> names;
  for (const auto& option : options_.options()) {
    const std::string& full = option->long_name();
    if (section_of(full) != section) continue;
    names.push_back(full == "route" || section.empty() ? full : full.substr(section.size() + 1));
  }
  return names;
}

std::vector<std::string> Keys::all_names() const {
  std::vector<std::string> names;
  for (const auto& option : options_.options()) names.push_back(option->long_name());
  return names;
}

NamedSection named_section(std::string_view section) {
  for (const char* kind : {"port", "wireguard", "ipsec"}) {
    const std::string prefix = std::string(kind) + ".";
    if (section.starts_with(prefix)) return {kind, std::string(section.substr(prefix.size()))};
  }
  return {};
}

Status add_named_section(Config& config, const NamedSection& section) {
  const auto add = [&section](auto& list, size_t most) -> Status {
    for (const auto& item : list) {
      if (item.name == section.name) return {};
    }
    if (!is_name(section.name)) {
      return errorf("a name has 1 to 15 letters, digits, '-' and '_'");
    }
    if (list.size() == most) return errorf("more than %zu of this kind", most);
    list.emplace_back().name = section.name;
    return {};
  };
  if (section.kind == "port") return add(config.ports, kMaxPorts);
  if (section.kind == "ipsec") return add(config.ipsec.interfaces, kMaxInterfaces);
  return add(config.wireguards, kMaxInterfaces);
}

}  // namespace penstock::config
