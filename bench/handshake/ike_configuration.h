// Who the initiators and the responder of the IKEv2 handshakes are, and their configuration. All
// groups are X25519.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controlplane/ike/engine.h"
#include "gateway/base/net.h"

namespace penstock::bench {

enum class Authentication { kPsk, kKnownCertificate, kNewCertificate };

// A host that gives out SPIs and knows its own addresses.
class Spis final : public ike::Host {
 public:
  explicit Spis(std::vector<IpAddress> addresses) : addresses_(std::move(addresses)) {}
  Result<uint32_t> reserve_spi() override { return ++last_; }
  void release_spi(uint32_t) override {}
  [[nodiscard]] std::optional<IpAddress> source_address_for(const IpAddress&) const override {
    return addresses_.front();
  }
  [[nodiscard]] std::vector<IpAddress> local_addresses() const override { return addresses_; }

 private:
  std::vector<IpAddress> addresses_;
  uint32_t last_ = 0x1000;
};

inline const IpAddress kGateway = Ipv4Address::from_host(0xc0000201);
inline constexpr const char* kGatewayName = "gateway.example";
IpAddress client_address(size_t i);  // where it sends from
IpAddress client_network(size_t i);  // behind it
std::string client_name(size_t i);

// Room for all that are under way at a time, without cookies.
ike::Options options_of_many();
ike::AddressMatches at(const IpAddress& address);
// `remote` empty: anybody.
std::shared_ptr<ike::ConnectionConfig> connection_of(Authentication authentication,
                                                     const std::string& name,
                                                     const std::string& local,
                                                     const std::string& remote);
std::shared_ptr<const ike::ChildConfig> child_of(const IpPrefix& local, const IpPrefix& remote);

}  // namespace penstock::bench
