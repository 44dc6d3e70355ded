// One port, opened as penstockd opens it, at one end of a wire. tests/netns/ports.sh puts one of
// these at each end.
//
//   port_echo echo DEVICE     sends back what comes, MAC addresses swapped, until SIGTERM
//   port_echo send DEVICE     sends UDP frames of many flows and checks what comes back
//     --mtu=N --queues=N --count=N --size=N (of the frame) --hugepages --state (link, each 100 ms)
//
// Prints `ready` once started and one line of key=value at the end. `send` exits 0 only if every
// frame came back whole.
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>

#include "dataplane/worker/eal.h"
#include "dataplane/worker/port.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/text.h"

namespace penstock {
namespace {

constexpr uint16_t kBurst = 32;
constexpr size_t kHeaders = 14 + 20 + 8;
constexpr uint32_t kMagic = 0x706f7274;

volatile std::sig_atomic_t stopping = 0;
void stop(int) { stopping = 1; }

struct Options {
  bool echo = true;
  PortConfig port;
  uint16_t queues = 1;
  uint32_t count = 2'000;
  uint32_t size = 60;
  bool hugepages = false;
  bool state = false;
};

struct Tally {
  uint64_t received = 0, whole = 0, broken = 0, sent = 0;
  uint64_t empty_polls = 0, empty_cycles = 0;
  std::array<uint64_t, 16> by_queue{};
};

class Runner {
 public:
  Runner(const Options& options, Port& port, rte_mempool* pool)
      : options_(options), port_(port), pool_(pool) {}

  void echo() {
    rte_mbuf* frames[kBurst];
    Nanoseconds next_state = 0;
    bool up = false;
    while (stopping == 0) {
      for (uint16_t queue = 0; queue < port_.rx_queues(); ++queue) {
        const uint16_t count = poll(queue, frames);
        for (uint16_t i = 0; i < count; ++i) swap_macs(frames[i]);
        transmit(queue % port_.tx_queues(), frames, count);
      }
      if (!options_.state || boot_time_ns() < next_state) continue;
      next_state = boot_time_ns() + 100 * kMillisecond;
      const bool now = port_.link().link_status == RTE_ETH_LINK_UP;
      if (now != up) std::printf("link %s\n", now ? "up" : "down");
      up = now;
    }
  }

  // At most kBurst frames are on their way, so that nothing has to queue. What is lost is sent
  // once more, as a kernel's interface may drop its first frames.
  bool send() {
    uint32_t lost = 0;
    for (uint32_t next = 0; next < options_.count && stopping == 0;) {
      const uint32_t first = next;
      rte_mbuf* frames[kBurst];
      uint16_t made = 0;
      while (made < kBurst && next < options_.count) frames[made++] = make(next++);
      transmit(0, frames, made);
      if (!wait_for(made)) {
        lost += made;
        if (lost > options_.count / 20 + 10 * kBurst) return false;
        next = first;
      }
    }
    return tally.broken == 0 && tally.whole >= options_.count;
  }

  Tally tally;

 private:
  uint16_t poll(uint16_t queue, rte_mbuf** frames) {
    const uint64_t start = rte_rdtsc();
    const uint16_t count = rte_eth_rx_burst(port_.dpdk_port(), queue, frames, kBurst);
    if (count == 0) {
      ++tally.empty_polls;
      tally.empty_cycles += rte_rdtsc() - start;
    }
    tally.received += count;
    tally.by_queue[queue % tally.by_queue.size()] += count;
    return count;
  }

  void transmit(uint16_t queue, rte_mbuf** frames, uint16_t count) {
    uint16_t sent = 0;
    for (int tries = 0; sent < count && tries < 1'000; ++tries)
      sent = static_cast<uint16_t>(sent + rte_eth_tx_burst(port_.dpdk_port(), queue, frames + sent,
                                                           static_cast<uint16_t>(count - sent)));
    tally.sent += sent;
    for (uint16_t i = sent; i < count; ++i) rte_pktmbuf_free(frames[i]);
  }

  bool wait_for(uint16_t count) {
    const uint64_t goal = tally.whole + count;
    const Nanoseconds deadline = boot_time_ns() + 300 * kMillisecond;
    while (tally.whole < goal && boot_time_ns() < deadline && stopping == 0) {
      for (uint16_t queue = 0; queue < port_.rx_queues(); ++queue) {
        rte_mbuf* frames[kBurst];
        const uint16_t received = poll(queue, frames);
        for (uint16_t i = 0; i < received; ++i) {
          check(frames[i]);
          rte_pktmbuf_free(frames[i]);
        }
      }
    }
    return tally.whole >= goal;
  }

  static void swap_macs(rte_mbuf* frame) {
    auto* data = rte_pktmbuf_mtod(frame, uint8_t*);
    std::swap_ranges(data, data + 6, data + 6);
    data[6] &= 0xfe;  // a source address is never a group's
  }

  // Ethernet to everybody, IPv4, UDP from a port that varies; then a mark and a pattern.
  rte_mbuf* make(uint32_t number) {
    rte_mbuf* frame = rte_pktmbuf_alloc(pool_);
    if (frame == nullptr) rte_exit(1, "the pool is empty\n");
    auto* data =
        reinterpret_cast<uint8_t*>(rte_pktmbuf_append(frame, static_cast<uint16_t>(options_.size)));
    if (data == nullptr) rte_exit(1, "a frame of %u bytes does not fit\n", options_.size);
    const uint8_t header[kHeaders] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0,  0,  0,
                                      0,    0x77, 0x08, 0,  // Ethernet
                                      0x45, 0,    0,    0,    0,    0,    0,    0,  64, 17,
                                      0,    0,    198,  18,   0,    1,    198,  18, 0,  2,  // IPv4
                                      0,    0,    0,    9,    0,    0,    0,    0};         // UDP
    std::memcpy(data, header, kHeaders);
    store_unaligned(data + 16, Be16(static_cast<uint16_t>(options_.size - 14)));
    store_unaligned(data + 34, Be16(static_cast<uint16_t>(1024 + number % 1000)));
    store_unaligned(data + 38, Be16(static_cast<uint16_t>(options_.size - 34)));
    store_unaligned(data + kHeaders, Be32(kMagic));
    for (size_t i = kHeaders + 4; i < options_.size; ++i) data[i] = static_cast<uint8_t>(i * 7);
    return frame;
  }

  void check(const rte_mbuf* frame) {
    const auto* data = rte_pktmbuf_mtod(frame, const uint8_t*);
    if (frame->data_len < kHeaders + 4 || load_unaligned<Be32>(data + kHeaders).get() != kMagic)
      return;  // somebody else's: the kernel talks, too
    bool whole = frame->nb_segs == 1 && frame->data_len == options_.size;
    for (size_t i = kHeaders + 4; whole && i < options_.size; ++i)
      whole = data[i] == static_cast<uint8_t>(i * 7);
    ++(whole ? tally.whole : tally.broken);
  }

  const Options& options_;
  Port& port_;
  rte_mempool* pool_;
};

bool parse(int count, char** arguments, Options& options) {
  if (count < 3) return false;
  options.echo = std::string_view(arguments[1]) == "echo";
  if (!options.echo && std::string_view(arguments[1]) != "send") return false;
  options.port.name = arguments[1];
  options.port.device = arguments[2];
  for (int i = 3; i < count; ++i) {
    const std::string_view text = arguments[i];
    const size_t equals = text.find('=');
    const auto value =
        parse_unsigned(equals == text.npos ? "0" : text.substr(equals + 1), 10'000'000);
    if (!value) return false;
    const std::string_view key = text.substr(0, equals);
    if (key == "--mtu")
      options.port.mtu = static_cast<uint16_t>(*value);
    else if (key == "--queues")
      options.queues = static_cast<uint16_t>(*value);
    else if (key == "--count")
      options.count = static_cast<uint32_t>(*value);
    else if (key == "--size")
      options.size = static_cast<uint32_t>(*value);
    else if (key == "--hugepages")
      options.hugepages = true;
    else if (key == "--state")
      options.state = true;
    else
      return false;
  }
  return options.size >= kHeaders + 4 && options.size <= 9'300;
}

void report(const Port& port, const Tally& tally) {
  PortInfo info;
  port.describe(info);
  std::printf("received=%lu sent=%lu whole=%lu broken=%lu link=%s mtu=%u mac=%s queues=",
              tally.received, tally.sent, tally.whole, tally.broken, info.link_up ? "up" : "down",
              info.mtu, info.mac.to_string().c_str());
  for (uint16_t queue = 0; queue < port.rx_queues(); ++queue)
    std::printf("%s%lu", queue > 0 ? "," : "", tally.by_queue[queue % tally.by_queue.size()]);
  std::printf(" empty_poll_cycles=%lu\n",
              tally.empty_polls > 0 ? tally.empty_cycles / tally.empty_polls : 0);
}

Status run(const Options& options, bool& good) {
  EalConfig eal;
  // Not both on one CPU: memif unmaps its memory when the peer goes, and an echo that was put aside
  // in the middle of a poll would find nothing there.
  eal.worker_cpus = {options.echo ? usable_cpus().front() : usable_cpus().back()};
  eal.hugepages = options.hugepages ? HugepageUse::kYes : HugepageUse::kNo;
  eal.memory_mb = 192;
  eal.file_prefix = "port_echo_" + std::to_string(getpid());
  PENSTOCK_CHECK(start_eal(eal));
  PENSTOCK_TRY(const DeviceName device, parse_device(options.port, 0, options.queues));
  const uint32_t frame = std::max<uint32_t>(device.frame_room_bytes, options.port.mtu + 18U);
  const auto room = static_cast<uint16_t>(std::max(2176U, RTE_PKTMBUF_HEADROOM + frame + 96));
  rte_mempool* pool = rte_pktmbuf_pool_create("echo", 8'191, 64, 64, room, SOCKET_ID_ANY);
  if (pool == nullptr) return errorf("no memory for buffers");
  {
    PENSTOCK_TRY(auto port, Port::open(options.port, 0, options.queues));
    PENSTOCK_CHECK(port->configure(pool));
    PENSTOCK_CHECK(port->start());
    std::printf("ready\n");
    std::fflush(stdout);
    Runner runner(options, *port, pool);
    good = true;
    if (options.echo)
      runner.echo();
    else
      good = runner.send();
    report(*port, runner.tally);
  }
  rte_eal_cleanup();
  return {};
}

}  // namespace
}  // namespace penstock

int main(int count, char** arguments) {
  using namespace penstock;
  Options options;
  if (!parse(count, arguments, options)) {
    std::fprintf(stderr,
                 "port_echo echo|send DEVICE [--mtu=N] [--queues=N] [--count=N] "
                 "[--size=N] [--hugepages] [--state]\n");
    return 2;
  }
  std::signal(SIGTERM, stop);
  std::signal(SIGINT, stop);
  setvbuf(stdout, nullptr, _IOLBF, 0);
  log_configure(std::getenv("PORT_ECHO_DEBUG") != nullptr ? LogLevel::kDebug : LogLevel::kWarning,
                false);
  bool good = false;
  const Status status = run(options, good);
  if (!status) {
    std::fprintf(stderr, "%s\n", status.error().text.c_str());
    return 1;
  }
  return good ? 0 : 1;
}
