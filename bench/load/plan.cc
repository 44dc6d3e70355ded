#include "bench/load/plan.h"

#include "controlplane/crypto/blake2s.h"
#include "controlplane/crypto/x25519.h"
#include "gateway/base/text.h"

namespace penstock::load {
namespace {

// Benchmark networks (RFC 2544 C.2.2, RFC 5180 8), private ones and documentation prefixes.
struct Defaults {
  const char *outside, *gateway_outside, *peers;
  const char *inside, *gateway_inside, *clients, *hosts;
};
constexpr Defaults kIpv4Defaults = {"192.0.2.2/24", "192.0.2.1",    "198.18.0.0/15", "10.0.0.2/24",
                                    "10.0.0.1",     "10.128.0.0/9", "10.1.0.0/16"};
constexpr Defaults kIpv6Defaults = {"2001:db8:1::2/64", "2001:db8:1::1", "2001:2:0:1::/64",
                                    "2001:db8:2::2/64", "2001:db8:2::1", "2001:db8:100::/64",
                                    "2001:db8:200::/64"};

}  // namespace

void Plan::Pool::set(const IpPrefix& to) {
  prefix = to;
  const Bytes bytes = prefix.address.bytes();
  first = load_unaligned<Be32>(bytes.data() + bytes.size() - 4).get() + 1;
}

IpAddress Plan::Pool::at(uint32_t number) const {
  if (prefix.address.is_v4()) return Ipv4Address::from_host(first + number);
  Ipv6Address address;
  write(number, address.bytes.data(), 16);
  return address;
}

Result<Plan> Plan::make(const PlanOptions& options) {
  Plan plan;
  plan.options_ = options;
  if (options.protocol == Protocol::kClear) plan.options_.outer_v6 = options.inner_v6;
  PENSTOCK_CHECK(plan.choose_addresses());
  PENSTOCK_CHECK(plan.check_addresses());
  return plan;
}

Status Plan::choose_addresses() {
  const Defaults& outer = options_.outer_v6 ? kIpv6Defaults : kIpv4Defaults;
  const Defaults& inner = options_.inner_v6 ? kIpv6Defaults : kIpv4Defaults;
  outside_ = options_.outside.value_or(*InterfaceAddress::parse(outer.outside));
  gateway_outside_ = options_.gateway_outside.value_or(*IpAddress::parse(outer.gateway_outside));
  inside_ = options_.inside.value_or(*InterfaceAddress::parse(inner.inside));
  gateway_inside_ = options_.gateway_inside.value_or(*IpAddress::parse(inner.gateway_inside));
  clients_.set(options_.clients.value_or(*IpPrefix::parse(inner.clients)));
  hosts_.set(options_.hosts.value_or(*IpPrefix::parse(inner.hosts)));
  peers_.set(protocol() == Protocol::kClear
                 ? clients_.prefix
                 : options_.peers.value_or(*IpPrefix::parse(outer.peers)));
  return {};
}

Status Plan::check_addresses() const {
  const auto same_network = [](const char* option, const IpAddress& gateway, const char* other,
                               const InterfaceAddress& own) -> Status {
    if (own.network().contains(gateway) && own.address != gateway) return {};
    return errorf("%s %s: must be another address of the network of %s %s", option,
                  gateway.to_string().c_str(), other, own.to_string().c_str());
  };
  PENSTOCK_CHECK(
      same_network("--gateway-outside", gateway_outside_, "--outside-address", outside_));
  PENSTOCK_CHECK(same_network("--gateway-inside", gateway_inside_, "--inside-address", inside_));
  const auto fits = [](const char* option, const IpPrefix& prefix, const IpAddress& family_of,
                       uint32_t wanted, const char* what) -> Status {
    if (prefix.address.family() != family_of.family()) {
      return errorf("%s %s: the other addresses of that side are IPv%c", option,
                    prefix.to_string().c_str(), family_of.is_v4() ? '4' : '6');
    }
    const unsigned host_bits = prefix.address.bits() - prefix.length;
    // The network's own address and its last one stay free.
    if (host_bits >= 32 || (uint64_t{1} << host_bits) >= uint64_t{wanted} + 2) return {};
    return errorf("%s %s: has no room for %u %s; give a shorter prefix", option,
                  prefix.to_string().c_str(), wanted, what);
  };
  const char* const peers = protocol() == Protocol::kClear ? "--clients" : "--peers";
  PENSTOCK_CHECK(fits(peers, peers_.prefix, outside_.address, tunnels(), "peers"));
  PENSTOCK_CHECK(fits("--clients", clients_.prefix, inside_.address, tunnels(), "clients"));
  PENSTOCK_CHECK(fits("--hosts", hosts_.prefix, inside_.address, flows(), "hosts (one per flow)"));
  const auto apart = [](const char* one, const IpPrefix& a, const char* other,
                        const IpPrefix& b) -> Status {
    if (!a.contains(b) && !b.contains(a)) return {};
    return errorf("%s %s overlaps %s %s", one, a.to_string().c_str(), other, b.to_string().c_str());
  };
  PENSTOCK_CHECK(apart("--clients", clients_.prefix, "--hosts", hosts_.prefix));
  PENSTOCK_CHECK(apart("--clients", clients_.prefix, "--inside-address", inside_.network()));
  return apart(peers, peers_.prefix, "--outside-address", outside_.network());
}

uint32_t Plan::tunnel_of_peer(const IpAddress& address) const {
  if (address.family() != outside_.address.family()) return UINT32_MAX;
  return tunnel_of_peer(address.bytes().data());
}

Secret<32> Plan::derive(std::string_view what, uint32_t number) const {
  uint8_t bytes[4];
  store_unaligned(bytes, Be32(number));
  return blake2s({bytes_of("penstock-load"), bytes_of(options_.seed), bytes_of(what), bytes});
}

Secret<32> Plan::peer_key(uint32_t tunnel) const {
  Secret<32> key = derive("peer", tunnel);
  x25519_clamp(key);
  return key;
}
Secret<32> Plan::gateway_private_key() const {
  Secret<32> key = derive("gateway", 0);
  x25519_clamp(key);
  return key;
}
wireguard::PublicKey Plan::gateway_public_key() const {
  return options_.gateway_key ? *options_.gateway_key : x25519_public(gateway_private_key());
}

std::string Plan::ike_secret() const { return to_hex(derive("ike", 0).bytes()); }
std::string Plan::ike_name(uint32_t tunnel) {
  return "peer" + std::to_string(tunnel) + ".load.test";
}

}  // namespace penstock::load
