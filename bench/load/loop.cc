#include "bench/load/loop.h"

#include <rte_cycles.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <cstring>

#include "dataplane/wire/ethernet.h"

namespace penstock::load {
namespace {

constexpr double kHousekeepingS = 100e-6;

rte_mbuf* linear(rte_mbuf* frame) {
  return frame->nb_segs == 1 || rte_pktmbuf_linearize(frame) == 0 ? frame : nullptr;
}
MutableBytes bytes_of_frame(rte_mbuf* frame) {
  return {rte_pktmbuf_mtod(frame, uint8_t*), rte_pktmbuf_data_len(frame)};
}

}  // namespace

PacketLoop::PacketLoop(const Plan& plan, Ports& ports, Sessions& sessions, Peers& peers,
                       const AeadEngines& engines, Progress& progress)
    : plan_(plan),
      ports_(ports),
      sessions_(sessions),
      peers_(peers),
      engines_(engines),
      progress_(progress),
      outer_(plan, sessions),
      verifier_(plan),
      protocol_(plan.protocol()),
      tsc_hz_(static_cast<double>(rte_get_tsc_hz())),
      asked_(plan.tunnels()) {}

double PacketLoop::seconds_since(uint64_t tsc) const {
  return static_cast<double>(rte_rdtsc() - tsc) / tsc_hz_;
}

Status PacketLoop::meet_gateway(double within_s) {
  const uint64_t began = rte_rdtsc();
  while (!ports_.ready(boot_time_ns())) {
    receive(kOutside);
    receive(kInside);
    if (seconds_since(began) > within_s) return Error{ports_.missing()};
  }
  outer_.set_macs(ports_.mac(kOutside), ports_.gateway_mac(kOutside));
  for (const Side side : {kOutside, kInside}) {
    const EthernetHeader link{ports_.gateway_mac(side), ports_.mac(side),
                              Be16(plan_.inner_v6() ? kEtherTypeIpv6 : kEtherTypeIpv4)};
    std::memcpy(clear_link_[side], &link, sizeof link);
  }
  return {};
}

void PacketLoop::begin(const TrialSpec& spec) {
  spec_ = spec;
  verifier_.begin(++trial_);
  ways_[0] = ways_[1] = {};
  ways_[0].active = spec.direction != Direction::kDown;
  ways_[1].active = spec.direction != Direction::kUp;
  not_opened_ = rekeys_ = rekeys_failed_ = 0;
  rekeys_owed_ = 0;
  handshakes_.clear();
  samples_.clear();
  // The main thread reads it while it grows.
  if (spec.interval_s > 0)
    samples_.reserve(static_cast<size_t>(spec.seconds / spec.interval_s) + 2);
  progress_.samples = 0;
}

TrialResult PacketLoop::run(const TrialSpec& spec) {
  begin(spec);
  began_tsc_ = rte_rdtsc();
  const auto length = static_cast<uint64_t>(spec.seconds * tsc_hz_);
  const auto interval = static_cast<uint64_t>(spec.interval_s * tsc_hz_);
  uint64_t next_sample = interval == 0 ? UINT64_MAX : interval;
  uint64_t elapsed = 0;
  meter_.begin(began_tsc_);
  for (; elapsed < length; elapsed = end_turn() - began_tsc_) {
    send_due(began_tsc_ + elapsed);
    turn();
    if (elapsed < next_sample) continue;
    sample(static_cast<double>(elapsed) / tsc_hz_);
    next_sample += interval;
  }
  TrialResult result;
  result.seconds = static_cast<double>(elapsed) / tsc_hz_;
  result.busy = meter_.share();
  drain(spec.drain_s);
  if (interval != 0) sample(result.seconds);
  result.asked_rate = spec.rate;
  result.up = verifier_.counts(false);
  result.down = verifier_.counts(true);
  result.down.not_opened = not_opened_;
  const double ticks_per_ns = tsc_hz_ / 1e9;
  result.up_latency = LatencySummary::of(verifier_.latency(false), ticks_per_ns);
  result.down_latency = LatencySummary::of(verifier_.latency(true), ticks_per_ns);
  result.rekeys = rekeys_;
  result.rekeys_failed = rekeys_failed_;
  result.rekey_latency = LatencySummary::of(handshakes_, 1);
  result.foreign = verifier_.foreign();
  result.samples = samples_;
  show_progress();
  return result;
}

uint64_t PacketLoop::end_turn() {
  const uint64_t tsc = rte_rdtsc();
  meter_.end_turn(tsc);
  return tsc;
}

// The last packets may still be in the gateway; more than it can hold comes in no time.
void PacketLoop::drain(double seconds) {
  const uint64_t began = rte_rdtsc();
  while (seconds_since(began) < seconds) {
    turn();
    const Counts& up = verifier_.counts(false);
    const Counts& down = verifier_.counts(true);
    if (up.lost() + down.lost() == 0) return;
  }
}

void PacketLoop::sample(double at_s) {
  samples_.push_back({at_s, verifier_.counts(false), verifier_.counts(true)});
  progress_.samples.store(static_cast<uint32_t>(samples_.size()), std::memory_order_release);
}

void PacketLoop::show_progress() {
  const Counts& up = verifier_.counts(false);
  const Counts& down = verifier_.counts(true);
  const auto set = [](auto& to, auto value) { to.store(value, std::memory_order_relaxed); };
  set(progress_.sent, up.offered() + down.offered());
  set(progress_.good, up.good + down.good);
  set(progress_.lost, up.lost() + down.lost());
  set(progress_.wrong, up.corrupt + up.wrong_tunnel + up.duplicate + down.corrupt +
                           down.wrong_tunnel + down.duplicate + not_opened_);
  set(progress_.tunnels_up, sessions_.up());
}

void PacketLoop::turn() {
  receive(kOutside);
  receive(kInside);
  const uint64_t tsc = rte_rdtsc();
  if (tsc < next_housekeeping_tsc_) return;
  next_housekeeping_tsc_ = tsc + static_cast<uint64_t>(kHousekeepingS * tsc_hz_);
  const Nanoseconds now_ns = boot_time_ns();
  ports_.turn(now_ns);
  keep_tunnels(now_ns);
  serve_peers();
  show_progress();
}

uint32_t PacketLoop::receive(Side side) {
  const bool clear = side == kInside || protocol_ == Protocol::kClear;
  return clear ? receive_clear(side) : receive_sealed();
}

uint32_t PacketLoop::receive_sealed() {
  rte_mbuf* frames[kReceiveBurst];
  const uint16_t count = ports_.receive(kOutside, frames, kReceiveBurst);
  if (count == 0) return 0;
  meter_.note_work();
  const uint64_t tsc = rte_rdtsc();
  for (uint16_t i = 0; i < count; ++i) rte_prefetch0(rte_pktmbuf_mtod(frames[i], void*));
  size_t ready = 0;
  for (uint16_t i = 0; i < count; ++i) {
    if (linear(frames[i]) == nullptr) continue;
    const MutableBytes frame = bytes_of_frame(frames[i]);
    const auto arrival = outer_.read(frame, jobs_[ready], asides_[ready]);
    if (arrival.kind == OuterFrames::Kind::kData) {
      arrivals_[ready++] = arrival;
    } else {
      on_control_frame(arrival, kOutside, frame);
    }
  }
  take_opened({jobs_, ready}, tsc);
  rte_pktmbuf_free_bulk(frames, count);
  return count;
}

void PacketLoop::take_opened(std::span<AeadJob> jobs, uint64_t tsc) {
  if (jobs.empty()) return;
  // All sessions of a plan have one algorithm.
  engines_.of(arrivals_[0].session->algorithm).open(jobs);
  const bool esp = protocol_ == Protocol::kEsp;
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (!jobs[i].ok) {
      ++not_opened_;
      continue;
    }
    const Bytes content = OuterFrames::content_of(arrivals_[i], jobs[i], esp);
    if (!content.empty()) verifier_.take(content, arrivals_[i].tunnel, true, tsc);
  }
}

uint32_t PacketLoop::receive_clear(Side side) {
  rte_mbuf* frames[kReceiveBurst];
  const uint16_t count = ports_.receive(side, frames, kReceiveBurst);
  if (count == 0) return 0;
  meter_.note_work();
  const uint64_t tsc = rte_rdtsc();
  for (uint16_t i = 0; i < count; ++i) rte_prefetch0(rte_pktmbuf_mtod(frames[i], void*));
  const Be16 packet_type(plan_.inner_v6() ? kEtherTypeIpv6 : kEtherTypeIpv4);
  for (uint16_t i = 0; i < count; ++i) {
    if (linear(frames[i]) == nullptr) continue;
    const Bytes frame = bytes_of_frame(frames[i]);
    const auto* link = header_at<EthernetHeader>(frame);
    if (link == nullptr) continue;
    const Bytes packet = frame.subspan(sizeof *link);
    const bool discovery = packet.size() > 40 && packet[0] >> 4 == 6 && packet[6] == 58;
    if (link->ether_type == packet_type && !discovery) {
      verifier_.take_clear(packet, side == kOutside, tsc);
    } else if (link->ether_type.get() == kEtherTypeArp || discovery) {
      ports_.on_neighbour_frame(boot_time_ns(), side, frame);
    }
  }
  rte_pktmbuf_free_bulk(frames, count);
  return count;
}

void PacketLoop::on_control_frame(const OuterFrames::Arrival& arrival, Side side, Bytes frame) {
  switch (arrival.kind) {
    case OuterFrames::Kind::kNeighbour:
      ports_.on_neighbour_frame(boot_time_ns(), side, frame);
      break;
    case OuterFrames::Kind::kHandshake:
      peers_.on_datagram(now(), arrival.tunnel, arrival.local_port, arrival.remote_port,
                         arrival.payload);
      serve_peers();
      break;
    case OuterFrames::Kind::kUnknownIndex:
    case OuterFrames::Kind::kData:
    case OuterFrames::Kind::kOther:
      break;
  }
}

}  // namespace penstock::load
