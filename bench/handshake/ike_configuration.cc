#include "bench/handshake/ike_configuration.h"

#include "bench/handshake/scenario.h"
#include "controlplane/ike/crypto/proposals.h"

namespace penstock::bench {

using namespace ike;

IpAddress client_address(size_t i) {
  return Ipv4Address::from_host(0xc6120000 + static_cast<uint32_t>(i));  // 198.18.0.0/15
}
IpAddress client_network(size_t i) {
  return Ipv4Address::from_host(0x0a800000 + static_cast<uint32_t>(i));
}
std::string client_name(size_t i) { return "client" + std::to_string(i) + ".example"; }

Options options_of_many() {
  Options options;
  options.cookie_threshold = 4 * kBatch;
  options.half_open = 4 * kBatch;
  return options;
}

namespace {

std::vector<Proposal> one_proposal(ProtocolId protocol, std::string_view text) {
  return parse_proposals(protocol, {&text, 1}).value();
}

}  // namespace

AddressMatches at(const IpAddress& address) {
  AddressMatch match;
  match.first = match.last = address;
  return {match};
}

std::shared_ptr<ConnectionConfig> connection_of(Authentication authentication,
                                                const std::string& name, const std::string& local,
                                                const std::string& remote) {
  auto connection = std::make_shared<ConnectionConfig>();
  connection->name = name;
  connection->proposals = one_proposal(ProtocolId::kIke, "aes256gcm16-prfsha256-x25519");
  const AuthClass method =
      authentication == Authentication::kPsk ? AuthClass::kPsk : AuthClass::kPubkey;
  connection->local.method = connection->remote.method = method;
  connection->local.id = Identity::parse(local).value();
  if (!remote.empty()) connection->remote.id = Identity::parse(remote).value();
  return connection;
}

std::shared_ptr<const ChildConfig> child_of(const IpPrefix& local, const IpPrefix& remote) {
  const auto selector_of = [](const IpPrefix& prefix) {
    ConfiguredSelector selector;
    selector.selector.first = selector.selector.last = prefix.address;
    if (!prefix.is_host()) {
      const uint32_t host_bits = ~uint32_t{0} >> prefix.length;
      selector.selector.last = Ipv4Address::from_host(prefix.address.v4().host() | host_bits);
    }
    return selector;
  };
  auto child = std::make_shared<ChildConfig>();
  child->name = "net";
  child->proposals = one_proposal(ProtocolId::kEsp, "aes256gcm16-x25519");
  child->local_ts = {selector_of(local)};
  child->remote_ts = {selector_of(remote)};
  return child;
}

}  // namespace penstock::bench
