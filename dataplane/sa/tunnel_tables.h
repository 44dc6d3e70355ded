// The tables of tunnels and security associations that workers read by index.
//
// Hot and cold: what a packet touches lies in one or two cache lines per direction; sizes are
// asserted. Keys are inside the entries, so the tables live in a SecretArena. ESP's keys, of up to
// a KiB in the cipher's form, have an arena of their own beside the tables, by the SA's slot.
//
// Threads: the control thread allocates, fills, publishes and removes entries; a worker reads what
// is published and writes only the fields marked `worker:`. Removal unpublishes, waits out a grace
// period (Reclaimer) and then wipes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "dataplane/api/policy.h"
#include "dataplane/api/tunnel.h"
#include "dataplane/crypto/expanded_key.h"
#include "dataplane/sa/esp_replay.h"
#include "dataplane/sa/replay_window.h"
#include "dataplane/sa/selector_list.h"
#include "gateway/base/ids.h"
#include "gateway/base/net.h"
#include "gateway/base/random.h"
#include "gateway/base/result.h"
#include "gateway/base/secret.h"

namespace penstock {

// Calls `fn` after every worker has passed a quiescent state.
using Defer = std::function<void(std::function<void()>)>;

inline constexpr uint32_t kNoSlot = UINT32_MAX;
inline constexpr size_t kMaxOuterHeader = 48;  // IPv6 and UDP

// The interface of ESP tunnels that have none: that of the policies asked before the routes.
inline constexpr InterfaceId kPolicyInterface{64};

// Where tunnel packets leave, in a word: taken apart where it is needed, as two fields it would go
// through memory.
class OuterPath {
 public:
  OuterPath() = default;
  explicit OuterPath(uint32_t word) : word_(word) {}
  // 16 bits each.
  OuterPath(uint32_t next_hop, uint32_t room) : word_(room << 16 | next_hop) {}

  [[nodiscard]] uint32_t next_hop() const { return word_ & 0xffff; }  // index in the Fib
  // WireGuard: the largest inner packet that fits. ESP, whose overhead depends on the SA: the
  // largest ESP packet. 0: no way out.
  [[nodiscard]] uint32_t room() const { return word_ >> 16; }
  [[nodiscard]] uint32_t word() const { return word_; }

 private:
  uint32_t word_ = 0;
};

// What an outbound packet needs of its tunnel: one line. `version` is a sequence lock around
// `header`: odd while the control thread writes it.
struct alignas(64) TunnelHot {
  std::atomic<uint32_t> current_outbound{kNoSlot};  // worker: set on promotion (release)
  std::atomic<uint32_t> version{0};
  // worker: route version (see Fib) in the high half, an OuterPath in the low half.
  std::atomic<uint64_t> cached_path{0};
  // Outer IP and UDP headers with length and checksum fields zero; the IPv4 checksum field holds
  // the sum of the constant words instead, not complemented.
  // A first byte of 0 means that the endpoint is not known.
  std::atomic<uint64_t> header[kMaxOuterHeader / 8]{};
};
static_assert(sizeof(TunnelHot) == 64);

// ESP's part of an outbound SA's first line.
struct EspOutbound {
  uint64_t attention_bytes;  // of tx_bytes: the next limit
  uint64_t soft_bytes, hard_bytes;
  uint32_t salt;          // as it lies in the nonce
  uint16_t pad_to_bytes;  // EspParameters
  uint8_t traffic_class_mask;
  bool copy_df;
};
static_assert(sizeof(EspOutbound) == 32);

struct alignas(64) OutboundSa {
  // Read per packet.
  union {
    uint8_t key[32];  // WireGuard
    EspOutbound esp;
  };
  int64_t expires_at_ns;
  uint64_t attention_sequence;  // the first of all limits below: the rare branch
  uint32_t peer_index;          // ESP: the SPI as it lies in the packet
  uint32_t tunnel;
  uint32_t generation;  // 0: free
  uint8_t owner;        // ESP: the worker that writes the rest
  SaAlgorithm algorithm;
  TunnelProtocol protocol;
  bool esn;
  // worker: written per packet. WireGuard: by every worker that sends under this SA.
  alignas(64) std::atomic<uint64_t> sequence;  // the next one
  std::atomic<uint64_t> tx_bytes;
  uint64_t first_sequence;            // packets sent = sequence - first_sequence
  std::atomic<uint32_t> events;       // of TunnelEvent
  std::atomic<uint32_t> last_used_s;  // ESP: boot time in seconds, at least 1
  uint64_t rekey_sequence;
  uint64_t sequence_limit;
  uint64_t soft_sequence, hard_sequence;  // ESP: of EspParameters::soft_packets, hard_packets
};
static_assert(sizeof(OutboundSa) == 128);

inline constexpr size_t kWireguardReplayBits = 8192;
using WireguardReplayWindow = ReplayWindow<kWireguardReplayBits>;

// ESP's part of an inbound SA's first line.
struct EspInboundFixed {
  // Where has_pair is set, PrefixPairV4 of the tunnel's selectors: an IPv4 packet that matches is
  // good, any other is compared with the whole list. Written while has_pair is clear and no worker
  // can still have seen it set.
  std::atomic<uint32_t> remote_network, remote_mask, local_network, local_mask;
  std::atomic<uint32_t> has_pair;
  uint32_t salt;
  uint16_t window_packets;
  SaAlgorithm algorithm;
  bool esn;
  uint32_t reserved;
};
static_assert(sizeof(EspInboundFixed) == 32);

// And of what its owner writes.
struct EspInbound {
  EspReplay replay;
  uint64_t attention_packets, attention_bytes;  // the next limit of rx_packets and rx_bytes
  uint64_t reserved;
  // Rarely touched, from here on.
  uint64_t soft_packets, hard_packets, soft_bytes, hard_bytes;  // UINT64_MAX: none
  std::atomic<uint64_t> replay_drops, auth_failures, other_drops;
  uint64_t reserved2;
  // The ring of windows up to kInlineWindow; larger ones are memory of their own.
  static constexpr uint32_t kInlineWindow = 2048;
  uint64_t words[EspReplay::words_for(kInlineWindow)];
};

struct alignas(64) InboundSa {
  InboundSa() : key{}, replay() {}
  // Read per packet.
  union {
    uint8_t key[32];  // WireGuard
    EspInboundFixed esp_fixed;
  };
  int64_t expires_at_ns = 0;
  std::atomic<uint64_t> expected_source{0};  // worker: source_tag() of the last packet
  std::atomic<uint32_t> index{0};  // the whole index or SPI; 0: free. Published last, with release.
  uint32_t tunnel = 0;
  std::atomic<uint32_t> promotes{0};  // worker: outbound slot that the first packet makes current
  uint8_t owner = 0;                  // the worker that writes the rest
  TunnelProtocol protocol = TunnelProtocol::kWireguard;
  uint16_t interface = 0;
  // worker: written per packet, by the owner alone; atomics for the control thread that reads.
  alignas(64) std::atomic<uint64_t> rx_packets{0};
  std::atomic<uint64_t> rx_bytes{0};
  std::atomic<uint32_t> events{0};
  std::atomic<uint32_t> last_used_s{0};  // ESP: boot time in seconds, at least 1
  union {
    WireguardReplayWindow replay;  // worker: the owner alone
    EspInbound esp;
  };
  std::atomic<uint32_t> roam_version{0};           // sequence lock around the three fields below
  std::atomic<uint32_t> roam_family_and_port{0};   // family << 16 | port
  std::atomic<uint64_t> roam_source[2] = {};       // address, network order
  std::atomic<uint64_t> roam_destination[2] = {};  // address, network order
};
static_assert(offsetof(InboundSa, rx_packets) == 64);
static_assert(offsetof(InboundSa, esp) + offsetof(EspInbound, soft_packets) == 128,
              "what each packet touches is in the second line");
static_assert(sizeof(EspInbound) <= sizeof(WireguardReplayWindow));
static_assert(sizeof(InboundSa) <= 1280);

// A source endpoint folded into 64 bits: exact for IPv4, mixed for IPv6. Only authenticated packets
// are compared, so a collision costs a peer its own roaming and nothing else.
inline uint64_t source_tag_v4(uint32_t address_raw, uint16_t port_raw) {
  return uint64_t{address_raw} << 16 | port_raw;
}
inline uint64_t source_tag_v6(const uint8_t* address, uint16_t port_raw) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  const uint64_t high = load_unaligned<uint64_t>(address);
  const uint64_t low = load_unaligned<uint64_t>(address + 8);
  return ((high * kOdd) ^ (low + (high >> 32)) * (kOdd ^ (kOdd << 7))) + port_raw * kOdd + 1;
}
uint64_t source_tag(const Endpoint& endpoint);

// Builds the outer headers of a tunnel; returns false where the families differ.
bool build_outer_header(const Endpoint& local, const Endpoint& remote,
                        uint8_t (&header)[kMaxOuterHeader],
                        Encapsulation encapsulation = Encapsulation::kUdp);

// Events that the control plane shall hear of at once.
inline constexpr uint32_t kUrgentEvents = kEventPromoted | kEventRoamed | kEventNeedSession |
                                          kEventNearLimit | kEventSoftLimit | kEventHardLimit;
// Of these the control plane is told which SA they are of.
inline constexpr uint32_t kLimitEvents = kEventNearLimit | kEventSoftLimit | kEventHardLimit;

inline uint64_t packets_sent(const OutboundSa& sa) {
  return sa.sequence.load(std::memory_order_relaxed) - sa.first_sequence;
}

class TunnelTables {
 public:
  // Reserves address space for `max_tunnels` (rounded up to a power of two, at least 64) with four
  // SAs each way; memory is committed as slots are used.
  static Result<std::unique_ptr<TunnelTables>> create(uint32_t max_tunnels, RandomSource& random);

  [[nodiscard]] uint32_t max_tunnels() const { return max_tunnels_; }
  [[nodiscard]] bool locked() const { return arena_.locked() && keys_.locked(); }

  // --- workers ------------------------------------------------------------------------------
  [[nodiscard]] TunnelHot& tunnel(uint32_t id) { return tunnels_[id]; }
  [[nodiscard]] OutboundSa& outbound(uint32_t slot) { return outbound_[slot]; }
  // The SA in the slot that an index names; the caller compares `index`.
  [[nodiscard]] InboundSa& inbound_slot_of(uint32_t index) {
    return inbound_[index & inbound_mask_];
  }
  // ESP's keys as the engines take them.
  [[nodiscard]] uint8_t* inbound_key(uint32_t index) {
    return inbound_keys_ + size_t{index & inbound_mask_} * kExpandedKeyStrideBytes;
  }
  [[nodiscard]] uint8_t* outbound_key(const OutboundSa& sa) {
    return outbound_keys_ + static_cast<size_t>(&sa - outbound_) * kExpandedKeyStrideBytes;
  }
  // What the packets of an ESP tunnel may be; nullptr: nothing.
  [[nodiscard]] const SelectorList* selectors(uint32_t tunnel) const {
    return selectors_[tunnel].load(std::memory_order_acquire);
  }

  // Raises flags once: sets them in `events` and marks the tunnel for the control thread.
  void raise(std::atomic<uint32_t>& events, uint32_t tunnel, uint32_t flags) {
    if ((events.load(std::memory_order_relaxed) & flags) == flags) [[likely]]
      return;
    raise_slow(events, tunnel, flags);
  }
  // For an event with content: the plain load in raise() may still see a flag that the control
  // thread is taking, with what was there before.
  void raise_slow(std::atomic<uint32_t>& events, uint32_t tunnel, uint32_t flags);
  void raise_tunnel(uint32_t tunnel, uint32_t flags) {
    raise(tunnel_events_[tunnel], tunnel, flags);
  }

  // Changes when the slot gets another tenant: for what outlives a turn.
  [[nodiscard]] uint32_t tunnel_generation(uint32_t tunnel) const {
    return tunnel_generations_[tunnel].load(std::memory_order_relaxed);
  }

  // --- control thread -----------------------------------------------------------------------
  Result<TunnelId> add_tunnel(const TunnelSpec& spec);
  void remove_tunnel(TunnelId id, const Defer& defer);
  [[nodiscard]] bool exists(TunnelId id) const;
  [[nodiscard]] InterfaceId interface_of(TunnelId id) const { return records_[id.value].interface; }
  [[nodiscard]] TunnelProtocol protocol_of(TunnelId id) const {
    return records_[id.value].spec.protocol;
  }
  void set_header(TunnelId id, const uint8_t (&header)[kMaxOuterHeader]);
  Status set_selectors(TunnelId id, std::span<const SelectorPair> selectors, const Defer& defer);

  Result<uint32_t> reserve_inbound_index();
  void release_inbound_index(uint32_t index);
  Status install_inbound(const InboundSaSpec& spec);
  void remove_inbound(uint32_t index, const Defer& defer);
  Result<SaHandle> install_outbound(const OutboundSaSpec& spec);
  void remove_outbound(SaHandle handle, const Defer& defer);
  void set_current_outbound(TunnelId id, SaHandle handle);
  [[nodiscard]] SaHandle current_outbound(TunnelId id) const;

  size_t poll_events(bool activity, const std::function<void(const TunnelEvents&)>& deliver);
  [[nodiscard]] TunnelCounters counters(TunnelId id) const;
  [[nodiscard]] SaCounters inbound_counters(uint32_t index) const;
  [[nodiscard]] SaCounters outbound_counters(SaHandle handle) const;
  [[nodiscard]] uint32_t tunnel_count() const { return tunnel_count_; }

 private:
  // Control-side record of a tunnel: which SAs are its own, and what removed SAs had counted.
  struct Record {
    bool used = false;
    InterfaceId interface;  // that of the spec, or kPolicyInterface
    TunnelSpec spec;
    std::unique_ptr<SelectorList> selectors;
    uint32_t selectors_version = 0;
    std::vector<uint32_t> inbound;   // indices
    std::vector<uint32_t> outbound;  // slots
    TunnelCounters retired;
  };
  enum class InboundState : uint8_t { kFree, kReserved, kInstalled, kRemoved };

  TunnelTables() = default;
  void keep_activity(std::atomic<uint32_t>& events, uint32_t tunnel);
  void clear_current(uint32_t tunnel, uint32_t slot);
  bool collect(uint32_t tunnel, TunnelEvents& out, std::vector<TunnelEvents>& more);
  Status fill_in_esp(InboundSa& sa, const InboundSaSpec& spec);
  Status fill_in_esp(OutboundSa& sa, const OutboundSaSpec& spec);
  void copy_prefix_pair(InboundSa& sa, const SelectorList* list);
  [[nodiscard]] bool valid(SaHandle handle) const;

  SecretArena arena_;
  SecretArena keys_;  // touched by ESP alone
  uint32_t max_tunnels_ = 0;
  uint32_t inbound_mask_ = 0;
  TunnelHot* tunnels_ = nullptr;
  OutboundSa* outbound_ = nullptr;
  InboundSa* inbound_ = nullptr;
  uint8_t* inbound_keys_ = nullptr;
  uint8_t* outbound_keys_ = nullptr;
  std::vector<std::atomic<const SelectorList*>> selectors_;
  std::vector<std::atomic<uint32_t>> tunnel_events_;  // raised outside any SA
  std::vector<std::atomic<uint32_t>> tunnel_generations_;
  std::vector<std::atomic<uint64_t>> urgent_dirty_;    // a bit per tunnel
  std::vector<std::atomic<uint64_t>> activity_dirty_;  // a bit per tunnel

  RandomSource* random_ = nullptr;
  std::vector<Record> records_;
  std::vector<uint32_t> free_tunnels_, free_outbound_, free_inbound_;  // LIFO: dense memory
  std::vector<uint32_t> inbound_index_;      // per slot: the index last reserved
  std::vector<InboundState> inbound_state_;  // per slot
  std::unordered_map<uint32_t, std::unique_ptr<uint64_t[]>> large_windows_;  // by slot
  uint32_t next_generation_ = 1;
  uint32_t tunnel_count_ = 0;
};

}  // namespace penstock
