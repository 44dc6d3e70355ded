// What tests of the generator's initiators have in common, whatever the gateway is: the peers, the
// clock, what they have said and what came of it. Nothing lies between them and the gateway.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "bench/load/peers.h"

namespace penstock::load {

class PeersLab : public testing::Test {
 protected:
  void advance(Nanoseconds by_ns) {
    now_.boot_ns += by_ns;
    now_.wall_ns += by_ns;
    peers_->on_timeout(now_);
    drain_peers();
  }

  void drain_peers() {
    while (auto effect = peers_->poll()) {
      if (auto* const datagram = std::get_if<SendToGateway>(&*effect)) {
        to_gateway_.push_back(std::move(*datagram));
      } else if (auto* const up = std::get_if<SessionUp>(&*effect)) {
        up_.push_back(std::move(*up));
      } else if (auto* const failure = std::get_if<HandshakeFailed>(&*effect)) {
        failed_.push_back(std::move(*failure));
      } else {
        answered_.push_back(std::get<Answered>(*effect));
      }
    }
  }
  // Of a datagram that the gateway sends, by either protocol: it waits for reach_peers().
  template <class Datagram>
  void take_answer(Datagram& datagram) {
    to_peers_.push_back({plan_->tunnel_of_peer(datagram.remote.address), datagram.remote.port,
                         datagram.local.port, std::move(datagram.payload)});
  }
  void reach_peer(const SendToGateway& answer) {
    peers_->on_datagram(now_, answer.tunnel, answer.local_port, answer.remote_port, answer.payload);
    drain_peers();
  }
  void reach_peers() {
    for (const SendToGateway& answer : std::exchange(to_peers_, {})) reach_peer(answer);
  }

  // Both sides of a session know the same, and the gateway took it for that tunnel's.
  virtual void expect_agreement(const SessionUp& session) = 0;
  // The tunnels 0 and 1 came up in turn and were rekeyed, each time to another session.
  void expect_sessions_of_two_tunnels(size_t sessions) {
    ASSERT_EQ(up_.size(), sessions);
    std::set<uint32_t> indices;
    for (size_t i = 0; i < up_.size(); ++i) {
      expect_agreement(up_[i]);
      EXPECT_EQ(up_[i].tunnel, i % 2);
      EXPECT_EQ(up_[i].rekeyed, i >= 2);
      indices.insert(up_[i].local_index);
    }
    EXPECT_EQ(indices.size(), sessions);
  }

  SystemRandom random_;
  std::optional<Plan> plan_;
  std::unique_ptr<Peers> peers_;
  PeerNow now_{boot_time_ns(), wall_time_ns()};
  std::vector<SendToGateway> to_gateway_, to_peers_;
  std::vector<SessionUp> up_;
  std::vector<HandshakeFailed> failed_;
  std::vector<Answered> answered_;
};

}  // namespace penstock::load
