// A resolver with two ports, its effects collected, time moved by hand.
#pragma once

#include <gtest/gtest.h>

#include <random>

#include "controlplane/neighbour/resolver.h"
#include "dataplane/wire/arp.h"
#include "dataplane/wire/ipv6.h"

namespace penstock::neighbour::test {

class SeededRandom final : public RandomSource {
 public:
  explicit SeededRandom(uint64_t seed) : engine_(seed) {}
  void fill(MutableBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(engine_());
  }

 private:
  std::mt19937_64 engine_;
};

inline IpAddress ip(const char* text) { return *IpAddress::parse(text); }
inline MacAddress mac(const char* text) { return *MacAddress::parse(text); }

inline constexpr PortId kInside{0};
inline constexpr PortId kOutside{1};
inline const MacAddress kOurMac = mac("02:00:00:00:00:01");
inline const MacAddress kOurOtherMac = mac("02:00:00:00:00:02");
inline const MacAddress kHostMac = mac("02:aa:00:00:00:05");
inline const MacAddress kEvilMac = mac("02:ee:00:00:00:66");
inline const IpAddress kOurs = ip("192.0.2.1");
inline const IpAddress kHost = ip("192.0.2.5");
inline const IpAddress kOurs6 = ip("2001:db8::1");
inline const IpAddress kHost6 = ip("2001:db8::5");

inline PortSetup inside_setup() {
  PortSetup setup;
  setup.id = kInside;
  setup.mac = kOurMac;
  setup.addresses = {*InterfaceAddress::parse("192.0.2.1/24"),
                     *InterfaceAddress::parse("2001:db8::1/64"),
                     {link_local_of(kOurMac), 64}};
  setup.link_up = true;
  return setup;
}
inline PortSetup outside_setup() {
  PortSetup setup;
  setup.id = kOutside;
  setup.mac = kOurOtherMac;
  setup.addresses = {*InterfaceAddress::parse("203.0.113.1/30")};
  setup.link_up = true;
  return setup;
}

class ResolverTest : public ::testing::Test {
 protected:
  ResolverTest() { restart({}); }

  void restart(const Limits& limits) {
    resolver_.emplace(random_, limits, Timers{});
    ASSERT_TRUE(resolver_->set_port(now_, inside_setup()).ok());
    ASSERT_TRUE(resolver_->set_port(now_, outside_setup()).ok());
    advance(3 * kSecond);  // past the announcements
    (void)drain();
  }

  // To `now_ + by`, with every timer fired at its own time.
  void advance(Nanoseconds by) {
    const Nanoseconds end = now_ + by;
    while (resolver_->next_timeout() <= end) {
      now_ = std::max(now_, resolver_->next_timeout());
      resolver_->on_timeout(now_);
    }
    now_ = end;
  }

  std::vector<Effect> drain() {
    std::vector<Effect> effects;
    while (auto effect = resolver_->poll()) effects.push_back(std::move(*effect));
    return effects;
  }
  // Of the effects so far those of one type; all are consumed.
  template <class T>
  std::vector<T> only() {
    std::vector<T> found;
    for (Effect& effect : drain()) {
      if (auto* one = std::get_if<T>(&effect)) found.push_back(std::move(*one));
    }
    return found;
  }
  uint64_t drops(DropReason reason) {
    uint64_t packets = 0;
    for (const CountDrop& drop : only<CountDrop>())
      packets += drop.reason == reason ? drop.packets : 0;
    return packets;
  }

  void arp(const ArpMessage& message, PortId port = kInside) {
    resolver_->on_arp(now_, port, message.sender_mac, build_arp(message));
  }
  void arp_reply(const MacAddress& from = kHostMac) {
    arp({false, from, kHost.v4(), kOurMac, kOurs.v4()});
  }
  void arp_request(const IpAddress& sender, const MacAddress& from = kHostMac) {
    arp({true, from, sender.v4(), {}, kOurs.v4()});
  }
  void nd(const NdMessage& message, const MacAddress& from = kHostMac) {
    resolver_->on_nd(now_, kInside, from, build_nd(message));
  }
  static NdMessage solicitation(const IpAddress& source, std::optional<MacAddress> option) {
    NdMessage message;
    message.is_solicitation = true;
    message.source = source.v6();
    message.target = kOurs6.v6();
    message.destination = solicited_node(message.target);
    message.link_layer = option;
    return message;
  }
  static NdMessage advertisement(std::optional<MacAddress> option, bool solicited, bool overrides) {
    NdMessage message;
    message.source = message.target = kHost6.v6();
    message.destination = solicited ? kOurs6.v6() : kAllNodes;
    message.solicited = solicited;
    message.overrides = overrides;
    message.link_layer = option;
    return message;
  }
  void need(const IpAddress& next_hop, std::string_view packet = "packet", PortId port = kInside) {
    resolver_->on_need(now_, port, next_hop, bytes_of(packet));
  }
  // Knows kHost and kHost6 as reachable, with nothing pending.
  void make_reachable() {
    need(kHost);
    arp_reply();
    need(kHost6);
    nd(advertisement(kHostMac, true, true));
    (void)drain();
  }
  std::optional<State> state_of(const IpAddress& address) {
    for (const NeighbourState& one : resolver_->list(now_)) {
      if (one.neighbour.address == address) return one.state;
    }
    return std::nullopt;
  }

  SeededRandom random_{1};
  Nanoseconds now_ = 1000 * kSecond;
  std::optional<Resolver> resolver_;
};

}  // namespace penstock::neighbour::test
