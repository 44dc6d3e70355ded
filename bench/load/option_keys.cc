#include "bench/load/option_keys.h"

#include <algorithm>
#include <cstdlib>

#include "gateway/base/text.h"

namespace penstock::load {
namespace {

using config::choice;
using config::number;
using config::Setter;

template <class T, class Parse>
Setter list_of(std::vector<T>& field, const Parse& parse) {
  return [&field, parse](std::string_view text) -> Status {
    std::vector<T> all;
    for (const std::string_view part : split(text, ',')) {
      PENSTOCK_TRY(T one, parse(part));
      all.push_back(std::move(one));
    }
    field = std::move(all);
    return {};
  };
}

template <class T>
auto number_between(uint64_t least, uint64_t most) {
  return [least, most](std::string_view text) -> Result<T> {
    T value{};
    PENSTOCK_CHECK(number(value, least, most)(text));
    return value;
  };
}

// Decimal, in [least, most].
Result<double> decimal(std::string_view text, double least, double most) {
  const std::string digits(text);
  char* end = nullptr;
  const double value = std::strtod(digits.c_str(), &end);
  const bool plain = digits.find_first_not_of("0123456789.") == std::string::npos;
  if (digits.empty() || !plain || *end != '\0' || value < least || value > most) {
    return errorf("must be a number from %g to %g", least, most);
  }
  return value;
}
Setter decimal_of(double& field, double least, double most, double scale = 1) {
  return [=, &field](std::string_view text) -> Status {
    PENSTOCK_TRY(const double value, decimal(text, least, most));
    field = value * scale;
    return {};
  };
}

Setter text_of_any(std::string& field) {
  return [&field](std::string_view text) -> Status {
    if (text.empty()) return errorf("must not be empty");
    field = text;
    return {};
  };
}

template <class T>
Setter parsed(std::optional<T>& field, const char* example) {
  return [&field, example](std::string_view text) -> Status {
    const std::optional<T> value = T::parse(text);
    if (!value) return errorf("must be such as %s", example);
    field = *value;
    return {};
  };
}

Setter rate_of(Rate& field) {
  return [&field](std::string_view text) -> Status {
    PENSTOCK_TRY(field, parse_rate(text));
    return {};
  };
}

Setter public_key(std::optional<wireguard::PublicKey>& field) {
  return [&field](std::string_view text) -> Status {
    const auto bytes = from_base64(text);
    wireguard::PublicKey key{};
    if (!bytes || bytes->size() != key.size()) {
      return errorf("must be a public key in base64, as wg pubkey prints it");
    }
    std::copy(bytes->begin(), bytes->end(), key.begin());
    field = key;
    return {};
  };
}

void add_machine(Draft& draft, std::vector<Key>& keys) {
  Options& to = draft.options;
  const char* group = "Ports: DPDK devices, as in penstock.conf";
  keys.insert(
      keys.end(),
      {{group, "outside", "DEVICE", config::device(to.outside_device),
        "where the peers are: a PCI address, or memif:SOCKET, vhost:SOCKET, virtio_user:SOCKET, "
        "af_packet:IFACE, ...; required"},
       {group, "inside", "DEVICE", config::device(to.inside_device),
        "where the hosts are; required"},
       {group, "cpu", "N", number(to.cpu, 0, 1023),
        "the CPU that this program keeps busy; never the gateway's. Default: the last one"},
       {group, "mtu", "BYTES", number(to.mtu, 1280, 9600),
        "of both ports. Default: what the largest size needs, at least 1500"},
       {group, "hugepages", "yes|no (=yes)", config::yes_no(to.hugepages),
        "no: ordinary pages, slower"},
       {group, "wait", "SECONDS (=10)", number(to.wait_s, 1, 3600),
        "for the links, the gateway's answer to ARP, and a handshake"}});
}

void add_tunnels(Draft& draft, std::vector<Key>& keys) {
  Options& to = draft.options;
  const char* group = "Tunnels";
  keys.insert(
      keys.end(),
      {{group, "protocol", "wireguard|esp|clear (=wireguard)",
        choice(to.plan.protocol, {{"wireguard", Protocol::kWireguard},
                                  {"esp", Protocol::kEsp},
                                  {"clear", Protocol::kClear}}),
        "esp: IKEv2 with a pre-shared key; clear: no tunnel, the gateway forwards packets as they "
        "are, and --tunnels counts clients"},
       {group, "tunnels", "N[,N...] (=1)",
        list_of(to.tunnels, number_between<uint32_t>(1, kMaxTunnels)),
        "peers, each with a tunnel; several numbers are measured one after the other"},
       {group, "flows", "N (=1)", number(to.plan.flows, 1, 4096),
        "in each tunnel and direction: ports and hosts that differ"},
       {group, "esp-cipher", "WORD (=aes128gcm16)",
        choice(to.esp_algorithm, {{"aes128gcm16", SaAlgorithm::kAes128Gcm16},
                                  {"aes256gcm16", SaAlgorithm::kAes256Gcm16},
                                  {"chacha20poly1305", SaAlgorithm::kChacha20Poly1305}}),
        "aes128gcm16, aes256gcm16 or chacha20poly1305"},
       {group, "esp-in-udp", "yes|no (=yes)", config::yes_no(to.esp_in_udp),
        "ESP in UDP/4500, which NICs spread over queues, or as protocol 50"},
       {group, "esp-esn", "yes|no (=yes)", config::yes_no(to.esp_esn),
        "offer extended sequence numbers; no for a gateway that chooses what it does not have"},
       {group, "rekey-rate", "N", number(to.rekey_rate, 1, 1'000'000),
        "a rekey storm: so many new handshakes a second beside the traffic. Default: as they are "
        "due"},
       {group, "window", "N (=256)", number(to.window, 1, 65'536),
        "handshakes under way at a time"},
       {group, "connect-rate", "N", number(to.connect_rate, 1, 1'000'000),
        "mode connect: new tunnels a second. Default: as fast as the gateway answers"}});
}

void add_traffic(Draft& draft, std::vector<Key>& keys) {
  Options& to = draft.options;
  const char* group = "Traffic";
  keys.insert(
      keys.end(),
      {{group, "size", "BYTES|imix[,...] (=64,512,1420,imix)", text_of_any(draft.sizes),
        "of inner IP packets, at least 60 (IPv6: 80), up to 9000; imix: 7 x 64, 4 x 570, 1 x 1420"},
       {group, "direction", "up|down|both (=both)",
        choice(to.direction,
               {{"up", Direction::kUp}, {"down", Direction::kDown}, {"both", Direction::kBoth}}),
        "up: from the peers to the hosts (the gateway decrypts); down: to the peers"},
       {group, "order", "round-robin|random (=round-robin)",
        choice(to.order, {{"round-robin", Order::kRoundRobin}, {"random", Order::kRandom}}),
        "which tunnel the next packet is of"},
       {group, "rate", "RATE", rate_of(to.rate),
        "of each direction: 500kpps, or 2.5Gbps of inner packets. Default: as fast as possible"},
       {group, "trial", "SECONDS", decimal_of(to.seconds, 0.01, 86'400 * 30),
        "length of a trial; of a soak as a whole. Default: 10"},
       {group, "drain", "SECONDS (=0.5)", decimal_of(to.drain_s, 0, 60),
        "in which the last packets of a trial may still come"},
       {group, "interval", "SECONDS (=5)", decimal_of(to.interval_s, 0.1, 86'400),
        "mode soak: one line each"}});
  group = "Search (RFC 2544 26.1)";
  keys.insert(keys.end(),
              {{group, "loss", "PERCENT[,...] (=0,0.5)",
                list_of(to.loss,
                        [](std::string_view text) -> Result<double> {
                          PENSTOCK_TRY(const double percent, decimal(text, 0, 50));
                          return percent / 100;
                        }),
                "tolerated losses: 0 finds the no-drop rate, more a partial-drop rate"},
               {group, "precision", "PERCENT (=1)", decimal_of(to.precision, 0.01, 50, 0.01),
                "of the rate, to which a search goes on"},
               {group, "trials", "N (=30)", number(to.most_trials, 1, 1000),
                "most trials of one case of a search"},
               {group, "latency-at", "PERCENT[,...] (=10,50,90)",
                list_of(to.latency_percent, number_between<uint32_t>(1, 100)),
                "of the first rate that a search finds: a trial each for the latency curve"}});
}

void add_results(Draft& draft, std::vector<Key>& keys) {
  Options& to = draft.options;
  const char* group = "Results";
  keys.insert(keys.end(), {{group, "json", "FILE", text_of_any(to.json), "write all figures"},
                           {group, "html", "FILE", text_of_any(to.html),
                            "write a page with plots, by itself"}});
  group = "The gateway under test";
  keys.insert(
      keys.end(),
      {{group, "write-gateway-config", "FOLDER", text_of_any(to.write_gateway_config),
        "write penstock.conf with wg.conf or swanctl.conf that fit the other options, and stop"},
       {group, "gateway-outside-device", "DEVICE", config::device(to.gateway_outside_device),
        "for that: the gateway's port. Default: the other end of a memif or vhost"},
       {group, "gateway-inside-device", "DEVICE", config::device(to.gateway_inside_device), ""},
       {group, "gateway-cpu", "N", number(to.gateway_cpu, 0, 1023),
        "for that: its worker's CPU. Default: the first that is not ours"},
       {group, "seed", "TEXT (=penstock-load)", text_of_any(to.plan.seed),
        "all keys are made of it: whoever knows it has them"},
       {group, "gateway-key", "KEY", public_key(to.plan.gateway_key),
        "the WireGuard public key of a gateway that keeps its own"}});
}

void add_addresses(Draft& draft, std::vector<Key>& keys) {
  PlanOptions& to = draft.options.plan;
  const char* group = "Addresses; each has a default, of IPv4 or IPv6";
  const auto family = [](bool& v6) { return choice(v6, {{"4", false}, {"6", true}}); };
  keys.insert(keys.end(),
              {{group, "outer", "4|6 (=4)", family(to.outer_v6),
                "IP version between peers and gateway; in clear always --inner's"},
               {group, "inner", "4|6 (=4)", family(to.inner_v6), "IP version in the tunnels"},
               {group, "outside-address", "ADDRESS/LENGTH", parsed(to.outside, "192.0.2.2/24"),
                "ours outside: the gateway's next hop to the peers (192.0.2.2/24)"},
               {group, "gateway-outside", "ADDRESS", parsed(to.gateway_outside, "192.0.2.1"),
                "the gateway's outside (192.0.2.1)"},
               {group, "peers", "PREFIX", parsed(to.peers, "198.18.0.0/15"),
                "the peers' outer addresses, one each; the gateway has a route to them by ours "
                "(198.18.0.0/15)"},
               {group, "inside-address", "ADDRESS/LENGTH", parsed(to.inside, "10.0.0.2/24"),
                "ours inside: the gateway's next hop to the hosts (10.0.0.2/24)"},
               {group, "gateway-inside", "ADDRESS", parsed(to.gateway_inside, "10.0.0.1"),
                "the gateway's inside (10.0.0.1)"},
               {group, "clients", "PREFIX", parsed(to.clients, "10.128.0.0/9"),
                "the addresses in the tunnels, one each (10.128.0.0/9)"},
               {group, "hosts", "PREFIX", parsed(to.hosts, "10.1.0.0/16"),
                "the hosts' addresses; the gateway has a route to them by ours (10.1.0.0/16)"},
               {group, "listen-port", "PORT (=51820)", number(to.listen_port, 1, UINT16_MAX),
                "of the gateway's WireGuard"}});
}

}  // namespace

std::vector<Key> keys_of(Draft& draft) {
  std::vector<Key> keys;
  add_machine(draft, keys);
  add_tunnels(draft, keys);
  add_traffic(draft, keys);
  add_results(draft, keys);
  add_addresses(draft, keys);
  return keys;
}

}  // namespace penstock::load
