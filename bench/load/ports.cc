#include "bench/load/ports.h"

#include <rte_eal.h>
#include <rte_lcore.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "bench/load/outer_frame.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/worker/eal.h"

namespace penstock::load {
namespace {

constexpr uint32_t kBuffers = 16'383;
constexpr uint16_t kDescriptors = 2048;
constexpr uint32_t kBufferHeaderBytes = 192;  // the pool's own part of a buffer
constexpr Nanoseconds kAskEveryNs = 500 * kMillisecond;

PortConfig port_config(const char* name, const std::string& device, uint16_t mtu) {
  PortConfig config;
  config.name = name;
  config.device = device;
  config.mtu = mtu;
  config.rx_queues = config.tx_queues = 1;
  config.rx_descriptors = config.tx_descriptors = kDescriptors;
  // Peers and hosts are many, the port's own address is one: they are all behind it.
  return config;
}

uint16_t mtu_of(const Options& options) {
  uint16_t largest = 0;
  for (const SizeMix& mix : options.sizes) largest = std::max(largest, mix.largest_bytes());
  const size_t needed = largest + OuterFrames::kMostOverheadBytes - sizeof(EthernetHeader);
  return options.mtu != 0 ? options.mtu : static_cast<uint16_t>(std::max<size_t>(1500, needed));
}

// DPDK's own words for it name neither the folder nor a reason.
Status check_socket(const PortConfig& config) {
  constexpr std::string_view kMemif = "memif:";
  if (!config.device.starts_with(kMemif)) return {};
  const std::string path = config.device.substr(
      kMemif.size(), std::min(config.device.find(','), config.device.size()) - kMemif.size());
  const std::string folder = std::filesystem::path(path).parent_path();
  if (folder.empty() || std::filesystem::is_directory(folder)) return {};
  return errorf("%s %s: there is no folder %s; does the gateway run?", config.name.c_str(),
                config.device.c_str(), folder.c_str());
}

// The client of a memif does not start before its server listens.
Status start_within(Port& port, uint32_t seconds) {
  const Nanoseconds until_ns = boot_time_ns() + seconds * kSecond;
  while (true) {
    const Status started = port.start();
    if (started.ok()) return {};
    if (boot_time_ns() >= until_ns) {
      return errorf("%s; does the gateway run, with its other end?", started.error().text.c_str());
    }
    usleep(200'000);
  }
}

}  // namespace

Result<std::unique_ptr<Ports>> Ports::open(const Options& options, const Plan& plan, unsigned cpu,
                                           RandomSource& random) {
  const uint16_t mtu = mtu_of(options);
  const PortConfig configs[2] = {port_config("--outside", options.outside_device, mtu),
                                 port_config("--inside", options.inside_device, mtu)};
  EalConfig eal;
  eal.worker_cpus = {cpu};
  eal.hugepages = options.hugepages ? HugepageUse::kAuto : HugepageUse::kNo;
  eal.file_prefix = "penstock-load-" + std::to_string(getpid());
  uint32_t frame = mtu + 18U;
  for (unsigned side : {kOutside, kInside}) {
    PENSTOCK_CHECK(check_socket(configs[side]));
    PENSTOCK_TRY(const DeviceName device, parse_device(configs[side], side, 1));
    if (device.pci) eal.pci_devices.push_back(device.devargs());
    frame = std::max(frame, device.frame_room_bytes);
  }
  const uint32_t room = std::max(2176U, RTE_PKTMBUF_HEADROOM + frame + 96);
  eal.needed_mb =
      static_cast<uint32_t>((uint64_t{kBuffers} * (room + kBufferHeaderBytes)) >> 20) + 48;
  PENSTOCK_CHECK(start_eal(eal));

  std::unique_ptr<Ports> ports(new Ports(plan, random));
  ports->pool_ =
      rte_pktmbuf_pool_create("load", kBuffers, 256, 0, static_cast<uint16_t>(room), SOCKET_ID_ANY);
  if (ports->pool_ == nullptr) return errorf("no memory for packet buffers");
  for (const Side side : {kOutside, kInside}) {
    PENSTOCK_TRY(ports->ports_[side], Port::open(configs[side], side, 1));
    Port& port = *ports->ports_[side];
    ports->dpdk_port_[side] = port.dpdk_port();
    PENSTOCK_CHECK(port.configure(ports->pool_));
    PENSTOCK_CHECK(start_within(port, options.wait_s));
    PENSTOCK_CHECK(ports->introduce(side, side == kOutside ? plan.outside() : plan.inside()));
  }
  return ports;
}

Status Ports::introduce(Side side, const InterfaceAddress& address) {
  neighbour::PortSetup setup;
  setup.id = PortId{side};
  setup.mac = ports_[side]->mac();
  setup.addresses = {address};
  if (address.address.is_v6()) {
    setup.addresses.push_back({neighbour::link_local_of(setup.mac), 64});
  }
  return resolver_.set_port(boot_time_ns(), setup);
}

Ports::~Ports() {
  for (auto& port : ports_) port.reset();
  rte_eal_cleanup();
}

void Ports::on_neighbour_frame(Nanoseconds now, Side side, Bytes frame) {
  const auto* link = header_at<EthernetHeader>(frame);
  if (link == nullptr) return;
  const Bytes payload = frame.subspan(sizeof *link);
  if (link->ether_type.get() == kEtherTypeArp) {
    resolver_.on_arp(now, PortId{side}, link->source, payload);
  } else {
    resolver_.on_nd(now, PortId{side}, link->source, payload);
  }
}

void Ports::turn(Nanoseconds now) {
  if (resolver_.next_timeout() <= now) resolver_.on_timeout(now);
  while (auto effect = resolver_.poll()) carry_out(*effect);
}

// The gateway's address stays as it was learnt where it does not answer any more: what is sent then
// is lost, and counted.
void Ports::carry_out(const neighbour::Effect& effect) {
  if (const auto* frame = std::get_if<neighbour::SendFrame>(&effect)) return send_frame(*frame);
  const auto* known = std::get_if<neighbour::SetNeighbour>(&effect);
  if (known == nullptr) return;
  const auto side = static_cast<Side>(known->port.value);
  if (known->address == gateway(side)) gateway_mac_[side] = known->mac;
}

void Ports::send_frame(const neighbour::SendFrame& frame) {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_);
  if (mbuf == nullptr) return;  // asked again later
  const auto side = static_cast<Side>(frame.port.value);
  constexpr size_t kSmallest = 60;
  const size_t bytes = std::max(sizeof(EthernetHeader) + frame.payload.size(), kSmallest);
  auto* data = reinterpret_cast<uint8_t*>(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(bytes)));
  std::memset(data, 0, bytes);
  const EthernetHeader link{frame.destination, mac(side), Be16(frame.ether_type)};
  std::memcpy(data, &link, sizeof link);
  std::memcpy(data + sizeof link, frame.payload.data(), frame.payload.size());
  (void)send(side, &mbuf, 1);
}

bool Ports::ready(Nanoseconds now) {
  bool all = true;
  const bool ask = now >= next_question_ns_;
  if (ask) next_question_ns_ = now + kAskEveryNs;
  for (const Side side : {kOutside, kInside}) {
    if (ask && !link_up_[side]) {
      link_up_[side] = ports_[side]->link().link_status == RTE_ETH_LINK_UP;
      resolver_.on_link(now, PortId{side}, link_up_[side]);
    }
    if (!gateway_mac_[side].is_zero()) continue;
    all = false;
    // Any packet that wants to go there begins the question.
    if (ask && link_up_[side]) resolver_.on_need(now, PortId{side}, gateway(side), {});
  }
  turn(now);
  return all;
}

std::string Ports::missing() const {
  for (const Side side : {kOutside, kInside}) {
    const char* option = side == kOutside ? "outside" : "inside";
    const std::string& device = ports_[side]->config().device;
    if (!link_up_[side]) {
      return errorf("--%s %s: the link is down; is the gateway running, with its other end?",
                    option, device.c_str())
          .text;
    }
    if (gateway_mac_[side].is_zero()) {
      return errorf("--%s %s: nobody answers for the gateway's address %s (--gateway-%s)", option,
                    device.c_str(), gateway(side).to_string().c_str(), option)
          .text;
    }
  }
  return {};
}

std::string Ports::describe(Side side) const {
  PortInfo info;
  ports_[side]->describe(info);
  return info.device + (info.driver.empty() ? "" : " (" + info.driver + ")");
}

}  // namespace penstock::load
