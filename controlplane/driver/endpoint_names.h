// Endpoints of wg-quick files whose names did not resolve when the file was read: asked for again,
// more and more seldom, until each is known or its peer has spoken first.
//
// Control thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controlplane/api/wg_quick.h"
#include "controlplane/driver/event_loop.h"
#include "controlplane/driver/host_helper.h"
#include "controlplane/driver/wireguard_gateway.h"

namespace penstock {

class EndpointNames {
 public:
  static constexpr Nanoseconds kFirstRetryNs = 5 * kSecond;
  static constexpr Nanoseconds kLastRetryNs = 120 * kSecond;

  // All three outlive it.
  EndpointNames(EventLoop& loop, HostHelper& helper, const WireguardGateway& wireguard,
                wireguard::Resolver resolver = wireguard::resolve_with_system);
  ~EndpointNames();
  EndpointNames(const EndpointNames&) = delete;
  EndpointNames& operator=(const EndpointNames&) = delete;

  // The names of an interface, instead of those it had.
  void set(const std::string& interface, std::vector<wireguard::UnresolvedEndpoint> names,
           Nanoseconds first_retry_ns = kFirstRetryNs);
  [[nodiscard]] size_t size() const { return names_.size(); }

 private:
  struct Name {
    std::string interface;
    wireguard::UnresolvedEndpoint what;
    friend bool operator==(const Name& a, const Name& b) {
      return a.interface == b.interface && a.what.peer == b.what.peer &&
             a.what.host == b.what.host && a.what.port == b.what.port;
    }
  };
  using Answers = std::vector<std::pair<Name, Endpoint>>;
  void arm();
  void ask();
  void take(const Answers& answers);
  void apply(const Name& name, const Endpoint& endpoint);

  EventLoop& loop_;
  HostHelper& helper_;
  const WireguardGateway& wireguard_;
  const wireguard::Resolver resolver_;
  std::vector<Name> names_;
  Nanoseconds retry_ns_ = kFirstRetryNs;
  std::optional<EventLoop::TimerId> timer_;
  bool asking_ = false;
  std::shared_ptr<EndpointNames*> self_;
};

}  // namespace penstock
