// Handshakes, and what keeps tunnels up beside the traffic.
#include <rte_cycles.h>

#include <algorithm>
#include <cstring>

#include "bench/load/loop.h"

namespace penstock::load {
namespace {

// Every tunnel is looked at once in this time. WireGuard wants an answer to its packets within
// 10 s (paper 6.5).
constexpr Nanoseconds kKeeperRoundNs = 5 * kSecond;
// Rekeyings that are due are spread over this time before the limit.
constexpr Nanoseconds kRekeySpreadNs = 60 * kSecond;
// Handshakes that one turn of the loop may compute, so that packets do not wait for long.
constexpr uint32_t kHandshakesPerTurn = 1;
// A tunnel that does not come up is tried again after this: a gateway that refuses does so at once.
constexpr double kRetryS = 0.2;
constexpr unsigned kTries = 3;  // of a rekeying, until it counts as failed

}  // namespace

PeerNow PacketLoop::now() const { return {boot_time_ns(), wall_time_ns()}; }

void PacketLoop::start_handshake(uint32_t tunnel) {
  if (asked_[tunnel] == 0) ++under_way_;
  asked_[tunnel] = static_cast<uint8_t>(std::min<unsigned>(asked_[tunnel] + 1U, 255U));
  peers_.initiate(now(), tunnel);
}

StormResult PacketLoop::connect(const StormSpec& spec) {
  StormResult result;
  result.tunnels = spec.tunnels;
  handshakes_.clear();
  failed_.clear();
  std::deque<uint32_t> waiting;
  for (uint32_t tunnel = 0; tunnel < spec.tunnels; ++tunnel) {
    if (!sessions_.outbound(tunnel).up) waiting.push_back(tunnel);
  }
  if (spec.prepared) {
    for (const uint32_t tunnel : waiting) {
      peers_.prepare(now(), tunnel);
      turn();
    }
    peers_.defer_answers(true);
  }
  const uint64_t began = rte_rdtsc();
  uint64_t last_answer = began, last_retry = began;
  uint64_t started = 0;
  const uint64_t wanted = waiting.size();
  answered_ = 0;
  for (uint64_t answered_before = 0; answered_ < wanted;) {
    turn();
    if (!failed_.empty() && seconds_since(last_retry) > kRetryS) {
      waiting.insert(waiting.end(), failed_.begin(), failed_.end());
      result.repeated += failed_.size();
      failed_.clear();
      last_retry = rte_rdtsc();
    }
    const bool paced =
        spec.rate > 0 && static_cast<double>(started) >= seconds_since(began) * spec.rate;
    if (!waiting.empty() && under_way_ < spec.window && !paced) {
      start_handshake(waiting.front());
      waiting.pop_front();
      ++started;
      serve_peers();
    }
    if (answered_ != answered_before) {
      answered_before = answered_;
      last_answer = rte_rdtsc();
    } else if (seconds_since(last_answer) > spec.give_up_s) {
      break;
    }
  }
  peers_.defer_answers(false);
  while (peers_.compute_deferred()) {
    serve_peers();
    turn();
  }
  result.handshakes = answered_;
  result.seconds = static_cast<double>(last_answer - began) / tsc_hz_;
  result.latency = LatencySummary::of(handshakes_, 1);
  for (uint32_t tunnel = 0; tunnel < spec.tunnels; ++tunnel) {
    if (sessions_.outbound(tunnel).up) ++result.up;
  }
  if (result.up < spec.tunnels) {
    result.trouble = peers_.trouble();
    if (result.trouble.empty()) result.trouble = "the gateway does not answer";
  }
  show_progress();
  return result;
}

// Called about every 100 us.
void PacketLoop::keep_tunnels(Nanoseconds now_ns) {
  const Nanoseconds passed_ns = std::min(now_ns - keeper_ns_, kSecond);
  keeper_ns_ = now_ns;
  if (sessions_.up() == 0) return;
  // Enough of them that a round takes kKeeperRoundNs.
  static_assert(kMaxTunnels <= 1U << 30);
  const auto share = static_cast<double>(passed_ns) / static_cast<double>(kKeeperRoundNs);
  auto looks = static_cast<uint32_t>(share * plan_.tunnels()) + 1;
  for (; looks > 0; --looks) {
    look_after(keeper_at_, now_ns);
    if (++keeper_at_ == plan_.tunnels()) keeper_at_ = 0;
  }
  if (spec_.rekey_rate == 0) return;
  rekeys_owed_ += static_cast<double>(passed_ns) / 1e9 * spec_.rekey_rate;
  for (uint32_t done = 0; rekeys_owed_ >= 1 && done < kHandshakesPerTurn; ++done) {
    rekeys_owed_ -= 1;
    if (rekey_at_ >= spec_.tunnels) rekey_at_ = 0;
    const uint32_t tunnel = rekey_at_++;
    if (sessions_.outbound(tunnel).up && asked_[tunnel] == 0) start_handshake(tunnel);
  }
}

void PacketLoop::look_after(uint32_t tunnel, Nanoseconds now_ns) {
  Sessions::Outbound& session = sessions_.outbound(tunnel);
  if (!session.up) return;
  // With few tunnels a round is many looks at each: only as many as make a round count.
  if (now_ns < session.look_at_ns) return;
  session.look_at_ns = now_ns + kKeeperRoundNs;
  if (!session.sent_lately && protocol_ == Protocol::kWireguard) send_keepalive(tunnel);
  session.sent_lately = false;
  const Nanoseconds limit_ns = peers_.rekey_after_ns();
  if (limit_ns == kNever || asked_[tunnel] != 0) return;
  const Nanoseconds early_ns = kRekeySpreadNs * (tunnel % 64) / 64;
  if (now_ns - session.made_ns >= limit_ns - 2 * kKeeperRoundNs - early_ns) start_handshake(tunnel);
}

void PacketLoop::serve_peers() {
  peers_.on_timeout(now());
  while (auto effect = peers_.poll()) {
    meter_.note_work();
    if (const auto* datagram = std::get_if<SendToGateway>(&*effect)) {
      send_datagram(*datagram);
    } else if (const auto* session = std::get_if<SessionUp>(&*effect)) {
      on_session(*session);
    } else if (const auto* answer = std::get_if<Answered>(&*effect)) {
      on_answer(answer->tunnel, answer->took_ns);
    } else if (const auto* failure = std::get_if<HandshakeFailed>(&*effect)) {
      const uint32_t tunnel = failure->tunnel;
      const unsigned tries = asked_[tunnel];
      if (!sessions_.outbound(tunnel).up || tries >= kTries) {
        if (asked_[tunnel] != 0) --under_way_;
        asked_[tunnel] = 0;
        if (sessions_.outbound(tunnel).up)
          ++rekeys_failed_;
        else
          failed_.push_back(tunnel);
      } else {
        start_handshake(tunnel);
      }
    }
  }
}

// Counts a handshake once, whether its session comes with the answer or later.
void PacketLoop::on_answer(uint32_t tunnel, Nanoseconds took_ns) {
  if (asked_[tunnel] == 0) return;
  --under_way_;
  asked_[tunnel] = 0;
  if (!sessions_.outbound(tunnel).up) ++answered_;
  handshakes_.add(static_cast<uint64_t>(std::max<Nanoseconds>(took_ns, 0)));
}

void PacketLoop::on_session(const SessionUp& session) {
  on_answer(session.tunnel, session.took_ns);
  if (session.rekeyed) ++rekeys_;
  sessions_.install(session, boot_time_ns());
  // WireGuard's responder may send once it has received under the new keys (paper 6.3).
  if (protocol_ == Protocol::kWireguard) send_keepalive(session.tunnel);
}

void PacketLoop::send_datagram(const SendToGateway& datagram) {
  rte_mbuf* frame = rte_pktmbuf_alloc(ports_.pool());
  if (frame == nullptr) return;  // sent again by its timer
  const size_t room = datagram.payload.size() + OuterFrames::kMostOverheadBytes;
  if (rte_pktmbuf_tailroom(frame) < room) {
    rte_pktmbuf_free(frame);
    return;
  }
  const uint16_t bytes = outer_.write_datagram(rte_pktmbuf_mtod(frame, uint8_t*), datagram);
  frame->data_len = bytes;
  frame->pkt_len = bytes;
  (void)ports_.send(kOutside, &frame, 1);
}

void PacketLoop::send_keepalive(uint32_t tunnel) {
  rte_mbuf* frame = rte_pktmbuf_alloc(ports_.pool());
  if (frame == nullptr) return;
  AeadJob job;
  uint8_t aside[16];
  auto* const data = rte_pktmbuf_mtod(frame, uint8_t*);
  const uint16_t bytes = outer_.prepare(data, tunnel, 0, job, aside);
  if (bytes == 0) return rte_pktmbuf_free(frame);
  engines_.of(sessions_.outbound(tunnel).algorithm).seal({&job, 1});
  outer_.finish(data, bytes);
  frame->data_len = bytes;
  frame->pkt_len = bytes;
  (void)ports_.send(kOutside, &frame, 1);
}

}  // namespace penstock::load
