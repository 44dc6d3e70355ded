// The generator's two ports, opened as penstockd opens its own, and its neighbours on them: it
// answers ARP and neighbour discovery for its addresses and learns the gateway's MAC addresses.
//
// One thread at a time: the main thread opens and closes, the packet loop uses.
#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <memory>

#include "bench/load/options.h"
#include "bench/load/plan.h"
#include "controlplane/neighbour/resolver.h"
#include "dataplane/worker/port.h"
#include "gateway/base/random.h"

namespace penstock::load {

enum Side : unsigned { kOutside = 0, kInside = 1 };

class Ports {
 public:
  // Starts EAL with `cpu` for the loop, and both ports. Once per process.
  static Result<std::unique_ptr<Ports>> open(const Options& options, const Plan& plan, unsigned cpu,
                                             RandomSource& random);
  ~Ports();
  Ports(const Ports&) = delete;
  Ports& operator=(const Ports&) = delete;

  [[nodiscard]] rte_mempool* pool() const { return pool_; }
  uint16_t receive(Side side, rte_mbuf** frames, uint16_t most) {
    return rte_eth_rx_burst(dpdk_port_[side], 0, frames, most);
  }
  // Frees what the port does not take; returns how many it took.
  uint16_t send(Side side, rte_mbuf** frames, uint16_t count) {
    const uint16_t sent = rte_eth_tx_burst(dpdk_port_[side], 0, frames, count);
    if (sent < count) [[unlikely]]
      rte_pktmbuf_free_bulk(frames + sent, count - sent);
    return sent;
  }

  // --- neighbours
  // ARP or neighbour discovery that came; the frame stays the caller's.
  void on_neighbour_frame(Nanoseconds now, Side side, Bytes frame);
  // Answers, questions, timers.
  void turn(Nanoseconds now);
  // Both links are up and both MAC addresses known; asks for what is not.
  [[nodiscard]] bool ready(Nanoseconds now);
  // What ready() waits for.
  [[nodiscard]] std::string missing() const;
  [[nodiscard]] MacAddress mac(Side side) const { return ports_[side]->mac(); }
  [[nodiscard]] const MacAddress& gateway_mac(Side side) const { return gateway_mac_[side]; }
  // "net_memif" and the like, for the report.
  [[nodiscard]] std::string describe(Side side) const;

 private:
  Ports(const Plan& plan, RandomSource& random) : plan_(plan), resolver_(random, {}, {}) {}
  // To the neighbours' machine.
  Status introduce(Side side, const InterfaceAddress& address);
  [[nodiscard]] const IpAddress& gateway(Side side) const {
    return side == kOutside ? plan_.gateway_outside() : plan_.gateway_inside();
  }
  void carry_out(const neighbour::Effect& effect);
  void send_frame(const neighbour::SendFrame& frame);

  const Plan& plan_;
  neighbour::Resolver resolver_;
  rte_mempool* pool_ = nullptr;
  std::unique_ptr<Port> ports_[2];
  uint16_t dpdk_port_[2] = {};
  MacAddress gateway_mac_[2];
  bool link_up_[2] = {};
  Nanoseconds next_question_ns_ = 0;
};

}  // namespace penstock::load
