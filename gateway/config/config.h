// penstock.conf as values: read, checked as a whole, and only then handed to whoever applies it.
// Every mistake is listed with its file, line and key; a configuration with one changes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/api/wg_quick.h"
#include "controlplane/wireguard/configuration.h"
#include "dataplane/api/route.h"
#include "dataplane/api/tunnel.h"
#include "gateway/base/clock.h"
#include "gateway/base/diagnostic.h"
#include "gateway/base/log.h"
#include "gateway/base/net.h"

namespace penstock::config {

enum class Idle : uint8_t { kPoll, kSleep };
enum class Spread : uint8_t { kAuto, kOff };
enum class Choice : uint8_t { kAuto, kYes, kNo };
// What may happen to clear packets that a route leads to, or that come from, an outside port.
enum class Forward : uint8_t { kTunnelOnly, kPlain };

inline constexpr uint16_t kMinMtu = 1280;
inline constexpr uint16_t kMaxMtu = 9200;
// Outer IPv6, UDP and WireGuard around an inner packet.
inline constexpr uint16_t kTunnelOverheadBytes = 80;
// The largest inner packet that ESP brings through an outside MTU: outer IPv6 (40), UDP (8), ESP
// (8), the IV (16) and ICV (16) of AES-CBC with HMAC-SHA2-256, whole blocks of 16, and the two
// bytes of the trailer (RFC 4303 2). Other ciphers leave a little more.
constexpr uint16_t esp_mtu(uint16_t outside_mtu) {
  return static_cast<uint16_t>((outside_mtu - 88) / 16 * 16 - 2);
}
inline constexpr uint16_t kMaxWorkers = 64;
inline constexpr const char* kDefaultPath = "/etc/penstock/penstock.conf";

struct LogConfig {
  LogLevel level = LogLevel::kInfo;
  Choice journald = Choice::kAuto;  // kAuto: when standard error is the journal's socket
};

struct DpdkConfig {
  bool in_memory = true;
  Choice hugepages = Choice::kAuto;  // kAuto: as many as there are, ordinary pages without any
  uint32_t memory_mb = 0;            // 0: what the pools and tables need
  std::string file_prefix = "penstock";
  std::vector<std::string> eal;  // further EAL arguments, in order
};

struct PoolConfig {
  uint32_t buffers = 0;     // per NUMA node; 0: by formula from queues, descriptors and workers
  uint32_t cache = 256;     // per lcore
  uint32_t data_bytes = 0;  // room of a buffer; 0: from the largest MTU
};

struct StaticNeighbour {
  IpAddress address;
  MacAddress mac;
};

struct PortConfig {
  std::string name;
  std::string device;  // "0000:3b:00.0", or a virtual device: "net_af_packet0,iface=veth0"
  PortRole role = PortRole::kInside;
  std::vector<InterfaceAddress> addresses;
  uint16_t mtu = 1500;
  uint16_t rx_queues = 0, tx_queues = 0;  // 0: one per worker
  uint16_t rx_descriptors = 1024, tx_descriptors = 1024;
  bool checksum_offload = true;  // where the port has it
  bool promiscuous = false;
  SourceCheck source_check = SourceCheck::kStrict;
  Forward forward = Forward::kPlain;
  std::optional<MacAddress> mac;
  std::vector<StaticNeighbour> neighbours;
};

struct RouteConfig {
  enum class Kind : uint8_t { kBlackhole, kPort, kGateway, kInterface };
  IpPrefix prefix;
  Kind kind = Kind::kBlackhole;
  IpAddress gateway;      // kGateway
  std::string port;       // kPort, kGateway (found from the port networks where it was not said)
  std::string interface;  // kInterface
};

struct WireguardConfig {
  std::string name;
  std::string file;                // a wg-quick file; empty: none
  std::string private_key_file;    // empty: none
  wireguard::DeviceChange device;  // key, port and peers, ready to apply
  std::vector<InterfaceAddress> addresses;
  uint16_t mtu = 1420;  // never 0: derived from the outside ports where nobody says it
  DscpMode dscp = DscpMode::kZero;
  bool routes = true;  // a route into the tunnel for every allowed IP
  // Endpoints whose names did not resolve: to be asked for again while the gateway runs.
  std::vector<wireguard::UnresolvedEndpoint> unresolved;
};

// A route-based interface: routes lead into it, and children whose if_id_in and if_id_out are its
// number attach to it.
struct IpsecInterfaceConfig {
  std::string name;
  uint32_t if_id = 0;
  std::vector<InterfaceAddress> addresses;
  uint16_t mtu = 1400;           // derived from the outside ports where nobody says it
  std::optional<DscpMode> dscp;  // absent: as each child says (copy_dscp)
  friend bool operator==(const IpsecInterfaceConfig&, const IpsecInterfaceConfig&) = default;
};

// IKEv2 and ESP. Connections, secrets and pools come over the VICI socket (swanctl).
struct IpsecConfig {
  bool enabled = false;                          // a section [ipsec] or [ipsec.NAME] is there
  std::string vici_socket = "/run/charon.vici";  // where swanctl connects unless told otherwise
  uint32_t max_ike_sas = 65'536;
  uint32_t half_open = 4'096;           // IKE SAs that are being set up by peers
  uint32_t half_open_per_address = 64;  // of them, from one IPv4 address or IPv6 /64
  uint32_t cookie_threshold = 32;       // half-open IKE SAs beyond which a cookie is asked for
  uint32_t compute_queue = 2'048;       // key exchanges and signatures that wait
  uint32_t half_open_timeout_s = 30;    // an IKE SA that has not authenticated by then is dropped
  // The n-th repeat of a request is due timeout * base^n after the one before; after so many the
  // peer counts as dead.
  uint32_t retransmit_timeout_ms = 4'000;
  double retransmit_base = 1.8;
  uint32_t retransmit_tries = 5;
  uint32_t dpd_floor_s = 300;    // holders of pool addresses are asked at least this often
  uint32_t fetch_timeout_s = 5;  // for a CRL or an OCSP answer
  uint32_t fetch_limit_kib = 4'096;
  bool require_pfs = false;  // of children that do not say otherwise
  std::vector<IpsecInterfaceConfig> interfaces;
  friend bool operator==(const IpsecConfig&, const IpsecConfig&) = default;
};

struct LimitConfig {
  uint32_t max_tunnels = 131'072;
  uint32_t max_routes = 262'144;  // per family
  uint32_t neighbours = 8'192;
  uint32_t neighbour_queue = 16;  // packets that wait for one neighbour
  uint32_t staged_packets = 64;   // packets that wait for one tunnel's handshake
  uint32_t staged_packets_total = 4'096;
  uint32_t reassembly_contexts = 1'024;
  uint32_t punt_queue = 4'096;       // packets between one worker and the control plane
  uint32_t icmp_per_second = 1'000;  // errors and echo replies that the gateway sends, per worker
  uint32_t handshakes_per_second = 20;  // from one IPv4 address or IPv6 /64 when under load
  uint32_t handshake_queue = 4'096;     // handshake messages that wait for the compute pool
};

// WireGuard's constants (paper, section 6.1). For tests: peers with other values still
// interoperate.
struct TimerConfig {
  uint32_t rekey_after_s = 120;
  uint32_t reject_after_s = 180;
  uint32_t rekey_attempt_s = 90;
  uint32_t rekey_timeout_s = 5;
  uint32_t keepalive_s = 10;
  uint64_t rekey_after_messages = uint64_t{1} << 60;
  uint64_t reject_after_messages = UINT64_MAX - (uint64_t{1} << 13);
};

struct Config {
  std::string path;  // of the file; empty: options alone
  uint16_t workers = 1;
  std::vector<uint16_t> lcores;  // one per worker; empty: the highest CPUs that we may run on
  std::optional<uint16_t> control_cpu;  // of the control thread; absent: any other CPU
  uint16_t compute_threads = 0;         // for handshakes; 0: one per two workers, at least one
  Idle idle = Idle::kSleep;
  Spread spread = Spread::kAuto;
  uint16_t burst = 32;
  wireguard::HookPolicy hooks = wireguard::HookPolicy::kRefuse;
  std::string state_dir = "/var/lib/penstock";
  std::string control_socket = "/run/penstock/control.sock";
  std::string wireguard_dir = "/var/run/wireguard";  // where wg(8) looks for NAME.sock
  LogConfig log;
  DpdkConfig dpdk;
  PoolConfig pool;
  std::vector<PortConfig> ports;  // in the order of the file
  std::vector<RouteConfig> routes;
  std::vector<WireguardConfig> wireguards;
  IpsecConfig ipsec;
  LimitConfig limits;
  TimerConfig timers;
};

// "--NAME=VALUE": wins over the file; for a repeatable key all of them replace the file's.
struct Override {
  std::string name;  // "workers", "port.outside.device"
  std::string value;
};

struct CommandLine {
  std::string config_path = kDefaultPath;
  bool config_path_given = false;
  bool check = false, help = false, version = false;
  std::vector<Override> overrides;
  Diagnostics diagnostics;  // unknown options, missing values, stray arguments
};

CommandLine parse_command_line(int argc, const char* const* argv);

// The manual: every key and option, grouped, with default and meaning.
std::string help_text();

struct FileText {
  std::string text;
  bool world_readable = false;
};
using FileReader = std::function<Result<FileText>(const std::string& path)>;
// At most 64 MiB.
Result<FileText> read_system_file(const std::string& path);

// What reading a configuration needs of the world; the defaults are the real ones.
struct Environment {
  FileReader read_file = read_system_file;
  wireguard::Resolver resolve = wireguard::resolve_with_system;
};

struct Outcome {
  std::optional<Config> config;  // absent where a diagnostic is an error
  Diagnostics diagnostics;
};

// Reads `text` as the file `path`, then the options, then checks the whole.
Outcome parse_config(std::string_view text, const std::string& path,
                     const std::vector<Override>& overrides, const Environment& environment = {});

// The same with the file that the command line names. The default file may be missing if there are
// options; a file that was named may not. The command line's own diagnostics come first.
Outcome load_config(const CommandLine& command_line, const Environment& environment = {});

// What `penstockd --check` prints: each diagnostic on a line, then one line that sums up.
std::string format_check(const Outcome& outcome, const std::string& path);

}  // namespace penstock::config
