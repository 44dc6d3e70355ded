// The dataplane with ESP tunnels as a plan in JSON says, between two pcap files on each side, for
// esp_scapy.py, which writes the plan and judges what comes out. Needs neither root nor hugepages.
//
//   esp_driver PLAN spis   prints the ports' MAC addresses and the SPIs that will be ours
//   esp_driver PLAN run    lets all packets of the files pass; prints counters of SAs and drops
//
// Randomness is seeded, so that both calls make the same SPIs.
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "dataplane/worker/dpdk_dataplane.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"

namespace penstock {
namespace {

using nlohmann::json;

class SeededRandom final : public RandomSource {
 public:
  void fill(MutableBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_());
  }

 private:
  std::mt19937_64 random_{7};
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "esp_driver: %s\n", what.c_str());
  std::exit(1);
}
template <class T>
T must(Result<T> result) {
  if (!result.ok()) fail(result.error().text);
  return std::move(result).value();
}
void must(Status status) {
  if (!status.ok()) fail(status.error().text);
}

IpAddress address(const json& text) { return *IpAddress::parse(text.get<std::string>()); }

template <size_t N>
void read_hex(const json& text, Secret<N>& secret) {
  const auto hex = text.get<std::string>();
  if (hex.size() > 2 * N) fail("a key that is too long");
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    secret.data()[i / 2] = static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16));
  }
}

SaAlgorithm algorithm(const std::string& name) {
  if (name == "chacha20poly1305") return SaAlgorithm::kChacha20Poly1305;
  if (name == "aes128gcm") return SaAlgorithm::kAes128Gcm16;
  if (name == "aes256gcm") return SaAlgorithm::kAes256Gcm16;
  if (name == "aes128cbc") return SaAlgorithm::kAes128CbcSha256;
  if (name == "aes256cbc") return SaAlgorithm::kAes256CbcSha256;
  fail("no algorithm " + name);
}

SaKeys keys(const json& from) {
  SaKeys made;
  read_hex(from.at("cipher"), made.cipher_key);
  read_hex(from.at("salt"), made.salt);
  read_hex(from.at("auth"), made.auth_key);
  return made;
}

TrafficSelector selector(const json& from) {
  TrafficSelector made;
  made.first = address(from.at(0));
  made.last = address(from.at(1));
  return made;
}

struct Sas {
  uint32_t inbound = 0;
  SaHandle outbound;
};

Sas add_tunnel(DpdkDataplane& dataplane, const json& plan) {
  TunnelSpec spec;
  spec.protocol = TunnelProtocol::kEsp;
  const TunnelId tunnel = must(dataplane.add_tunnel(spec));
  const bool in_udp = plan.at("udp");
  const Endpoint remote{address(plan.at("remote")), in_udp ? uint16_t{4500} : uint16_t{0}};
  dataplane.set_tunnel_endpoint(tunnel, remote, address(plan.at("local")),
                                in_udp ? Encapsulation::kUdp : Encapsulation::kNone);
  std::vector<SelectorPair> selectors;
  for (const json& pair : plan.at("selectors")) {
    selectors.push_back({selector(pair.at("local")), selector(pair.at("remote"))});
  }
  must(dataplane.set_tunnel_selectors(tunnel, selectors));
  for (const SelectorPair& pair : selectors) {
    PolicySpec policy;
    policy.selectors = pair;
    policy.tunnel = tunnel;
    (void)must(dataplane.add_policy(policy));
  }
  Sas sas;
  OutboundSaSpec out;
  out.tunnel = tunnel;
  out.peer_index = plan.at("peer_spi");
  out.algorithm = algorithm(plan.at("algorithm"));
  out.keys = keys(plan.at("from_us"));
  out.first_sequence = plan.at("first_sequence");
  out.esp.esn = plan.at("esn");
  sas.outbound = must(dataplane.install_outbound_sa(out));
  dataplane.set_current_outbound(tunnel, sas.outbound);
  InboundSaSpec in;
  in.tunnel = tunnel;
  in.index = sas.inbound = must(dataplane.reserve_inbound_index());
  in.algorithm = out.algorithm;
  in.keys = keys(plan.at("to_us"));
  in.expected_source = remote;
  in.esp = out.esp;
  must(dataplane.install_inbound_sa(in));
  return sas;
}

void set_routes(DpdkDataplane& dataplane, const json& plan) {
  using Kind = NextHop::Kind;
  for (const json& own : plan.at("addresses")) {
    const PortId port{own.at("port").get<uint32_t>()};
    const IpAddress ours = address(own.at("address"));
    const auto length = static_cast<uint8_t>(own.at("length").get<unsigned>());
    must(dataplane.set_route(IpPrefix::make(ours, length), {Kind::kConnected, port, {}, {}}));
    must(dataplane.set_route(IpPrefix::host(ours), {Kind::kLocal, port, {}, {}}));
  }
  for (const json& neighbour : plan.at("neighbours")) {
    const PortId port{neighbour.at("port").get<uint32_t>()};
    must(dataplane.set_neighbour(port, address(neighbour.at("address")),
                                 *MacAddress::parse(neighbour.at("mac").get<std::string>())));
  }
  for (const json& route : plan.at("routes")) {
    must(dataplane.set_route(*IpPrefix::parse(route.at("prefix").get<std::string>()),
                             {Kind::kGateway, PortId{0}, {}, address(route.at("via"))}));
  }
}

uint32_t sum_of(Bytes bytes) {
  uint32_t sum = 0;
  for (const uint8_t byte : bytes) sum = sum * 31 + byte;
  return sum;
}

// Until nothing has come for a while. Returns the IKE messages that were punted.
json run(DpdkDataplane& dataplane, const json& plan) {
  must(dataplane.start());
  for (const json& datagram : plan.at("datagrams")) {
    ByteVector payload(datagram.at("bytes").get<size_t>());
    for (size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<uint8_t>(i * 7);
    if (!dataplane.send_datagram({address(datagram.at("local")), 500},
                                 {address(datagram.at("remote")), 500}, payload, 0)) {
      fail("a datagram was not taken");
    }
  }
  json ike = json::array();
  const auto note = [&ike](const PuntedPacket& packet) {
    if (packet.kind != PuntKind::kIke) return;
    ike.push_back({{"source", packet.source.to_string()},
                   {"destination", packet.destination.to_string()},
                   {"bytes", packet.bytes.size()},
                   {"sum", sum_of(packet.bytes)}});
  };
  uint64_t last = 0;
  Nanoseconds quiet_since = boot_time_ns();
  while (boot_time_ns() - quiet_since < 700 * kMillisecond) {
    usleep(10'000);
    (void)dataplane.poll_punts(256, note);
    (void)dataplane.poll_events(true, [](const TunnelEvents&) {});
    dataplane.poll_reclaim();
    const uint64_t received = dataplane.worker_counters().at(0).rx_packets;
    if (received != last) quiet_since = boot_time_ns();
    last = received;
  }
  dataplane.stop();
  return ike;
}

json counters(const DpdkDataplane& dataplane, const std::vector<Sas>& all) {
  json out;
  for (const Sas& sas : all) {
    const SaCounters in = dataplane.inbound_sa_counters(sas.inbound);
    const SaCounters sent = dataplane.outbound_sa_counters(sas.outbound);
    out["sas"].push_back({{"packets_in", in.packets},
                          {"replay_drops", in.replay_drops},
                          {"auth_failures", in.auth_failures},
                          {"other_drops", in.other_drops},
                          {"packets_out", sent.packets}});
  }
  const DropCounters drops = dataplane.worker_counters().at(0).drops;
  for (size_t i = 0; i < kDropReasonCount; ++i) {
    if (drops[i] > 0) out["drops"][std::string(kDropReasonTexts[i].label)] = drops[i];
  }
  return out;
}

int main(const std::string& path, bool only_spis) {
  std::ifstream file(path);
  const json plan = json::parse(file);
  DataplaneConfig config;
  config.eal.worker_cpus = {usable_cpus().at(0)};
  config.eal.hugepages = HugepageUse::kNo;
  config.eal.file_prefix = "pst-esp-" + std::to_string(getpid());
  config.max_tunnels = 64;
  for (const json& from : plan.at("ports")) {
    DataplanePort port;
    port.device.name = from.at("name");
    port.device.device = from.at("device");
    port.role = port.device.name == "outside" ? PortRole::kOutside : PortRole::kInside;
    port.plain_forward = port.role == PortRole::kInside;
    config.ports.push_back(port);
  }
  SeededRandom random;
  const auto dataplane = must(DpdkDataplane::create(config, random));
  set_routes(*dataplane, plan);
  dataplane->listen_ike(true);
  std::vector<Sas> all;
  for (const json& tunnel : plan.at("tunnels")) all.push_back(add_tunnel(*dataplane, tunnel));
  json out;
  if (only_spis) {
    for (const PortInfo& port : dataplane->ports()) out["macs"].push_back(port.mac.to_string());
    for (const Sas& sas : all) out["spis"].push_back(sas.inbound);
  } else {
    const json ike = run(*dataplane, plan);
    out = counters(*dataplane, all);
    out["ike"] = ike;
  }
  std::printf("%s\n", out.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  const std::string command = argc == 3 ? argv[2] : "";
  if (command != "spis" && command != "run") {
    std::fprintf(stderr, "usage: esp_driver PLAN spis|run\n");
    return 2;
  }
  return penstock::main(argv[1], command == "spis");
}
