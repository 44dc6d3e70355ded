#include "controlplane/driver/endpoint_names.h"

#include <algorithm>

#include "gateway/base/log.h"

namespace penstock {

EndpointNames::EndpointNames(EventLoop& loop, HostHelper& helper, const WireguardGateway& wireguard,
                             wireguard::Resolver resolver)
    : loop_(loop),
      helper_(helper),
      wireguard_(wireguard),
      resolver_(std::move(resolver)),
      self_(std::make_shared<EndpointNames*>(this)) {}

EndpointNames::~EndpointNames() {
  if (timer_) loop_.cancel(*timer_);
}

void EndpointNames::set(const std::string& interface,
                        std::vector<wireguard::UnresolvedEndpoint> names,
                        Nanoseconds first_retry_ns) {
  std::erase_if(names_, [&](const Name& one) { return one.interface == interface; });
  for (auto& one : names) names_.push_back({interface, std::move(one)});
  retry_ns_ = first_retry_ns;
  arm();
}

void EndpointNames::arm() {
  if (timer_) loop_.cancel(*timer_);
  timer_.reset();
  if (names_.empty()) return;
  timer_ = loop_.at(boot_time_ns() + retry_ns_, [this] {
    timer_.reset();
    ask();
  });
}

void EndpointNames::ask() {
  if (names_.empty() || asking_) return;
  const std::weak_ptr<EndpointNames*> self = self_;
  asking_ = helper_.submit([self, names = names_, resolve = resolver_]() -> EventLoop::Task {
    Answers answers;
    for (const Name& name : names) {
      const auto endpoint = resolve(name.what.host, name.what.port);
      if (endpoint.ok()) answers.emplace_back(name, *endpoint);
    }
    return [self, answers = std::move(answers)] {
      if (const auto alive = self.lock()) (*alive)->take(answers);
    };
  });
  if (!asking_) arm();
}

void EndpointNames::take(const Answers& answers) {
  asking_ = false;
  for (const auto& [name, endpoint] : answers) {
    // A reload may have replaced it meanwhile.
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found == names_.end()) continue;
    names_.erase(found);
    apply(name, endpoint);
  }
  retry_ns_ = std::min(2 * retry_ns_, kLastRetryNs);
  arm();
}

void EndpointNames::apply(const Name& name, const Endpoint& endpoint) {
  WireguardInterface* const interface = wireguard_.find(name.interface);
  if (interface == nullptr) return;
  for (const wireguard::PeerStatus& peer : interface->status().peers) {
    // The peer has spoken first: it knows best where it is.
    if (peer.public_key == name.what.peer && peer.endpoint) return;
  }
  wireguard::DeviceChange change;
  wireguard::PeerChange& peer = change.peers.emplace_back();
  peer.public_key = name.what.peer;
  peer.update_only = true;
  peer.endpoint = endpoint;
  if (!interface->apply(change).ok()) return;
  log_notice("%s: %s is %s", name.interface.c_str(), name.what.host.c_str(),
             endpoint.to_string().c_str());
}

}  // namespace penstock
