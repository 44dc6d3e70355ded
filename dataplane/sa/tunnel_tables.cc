#include "dataplane/sa/tunnel_tables.h"

#include <algorithm>
#include <bit>
#include <new>

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"
#include "dataplane/wire/udp.h"

namespace penstock {
namespace {

// Peers hold at most previous, current and next (and one more while a rekey replaces `next`).
constexpr uint32_t kSasPerTunnel = 4;
constexpr uint32_t kMinimumTunnels = 64;
constexpr uint32_t kMaximumTunnels = 1U << 20;
// SPIs 0 to 255 are reserved (RFC 4303 2.1); keeping WireGuard's indices out of the range too lets
// one table serve both.
constexpr uint32_t kReservedIndices = 256;

size_t round_to_page(size_t size) { return (size + 4095) & ~size_t{4095}; }

}  // namespace

uint64_t source_tag(const Endpoint& endpoint) {
  const uint16_t port_raw = Be16(endpoint.port).raw();
  if (endpoint.address.is_v4()) {
    return source_tag_v4(load_unaligned<uint32_t>(endpoint.address.bytes().data()), port_raw);
  }
  return source_tag_v6(endpoint.address.bytes().data(), port_raw);
}

Result<std::unique_ptr<TunnelTables>> TunnelTables::create(uint32_t max_tunnels,
                                                           RandomSource& random) {
  if (max_tunnels > kMaximumTunnels) {
    return errorf("max_tunnels = %u: at most %u", max_tunnels, kMaximumTunnels);
  }
  std::unique_ptr<TunnelTables> tables(new TunnelTables);
  const uint32_t tunnels = std::bit_ceil(std::max(max_tunnels, kMinimumTunnels));
  const uint32_t sas = tunnels * kSasPerTunnel;
  const size_t tunnel_bytes = round_to_page(sizeof(TunnelHot) * tunnels);
  const size_t outbound_bytes = round_to_page(sizeof(OutboundSa) * sas);
  const size_t inbound_bytes = round_to_page(sizeof(InboundSa) * sas);
  const size_t key_bytes = round_to_page(kExpandedKeyStrideBytes * sas);
  PENSTOCK_TRY(tables->arena_, SecretArena::create(tunnel_bytes + outbound_bytes + inbound_bytes));
  PENSTOCK_TRY(tables->keys_, SecretArena::create(2 * key_bytes));
  tables->inbound_keys_ = tables->keys_.data();
  tables->outbound_keys_ = tables->keys_.data() + key_bytes;
  // The arena is zero-filled, and all-zero entries are valid free ones (index and generation 0), so
  // nothing is constructed up front and untouched pages are never committed.
  uint8_t* base = tables->arena_.data();
  tables->tunnels_ = reinterpret_cast<TunnelHot*>(base);
  tables->outbound_ = reinterpret_cast<OutboundSa*>(base + tunnel_bytes);
  tables->inbound_ = reinterpret_cast<InboundSa*>(base + tunnel_bytes + outbound_bytes);
  tables->max_tunnels_ = tunnels;
  tables->inbound_mask_ = sas - 1;
  tables->random_ = &random;
  tables->tunnel_events_ = std::vector<std::atomic<uint32_t>>(tunnels);
  tables->selectors_ = std::vector<std::atomic<const SelectorList*>>(tunnels);
  tables->tunnel_generations_ = std::vector<std::atomic<uint32_t>>(tunnels);
  tables->urgent_dirty_ = std::vector<std::atomic<uint64_t>>(tunnels / 64);
  tables->activity_dirty_ = std::vector<std::atomic<uint64_t>>(tunnels / 64);
  tables->records_.resize(tunnels);
  tables->inbound_index_.resize(sas);
  tables->inbound_state_.resize(sas);
  for (uint32_t i = tunnels; i-- > 0;) tables->free_tunnels_.push_back(i);
  for (uint32_t i = sas; i-- > 0;) {
    tables->free_outbound_.push_back(i);
    tables->free_inbound_.push_back(i);
  }
  return tables;
}

// --- tunnels ---------------------------------------------------------------------------------

Result<TunnelId> TunnelTables::add_tunnel(const TunnelSpec& spec) {
  if (!spec.interface.valid() && spec.protocol != TunnelProtocol::kEsp) {
    return errorf("a WireGuard tunnel needs an interface");
  }
  if (free_tunnels_.empty()) {
    return errorf("all %u tunnels are in use (max_tunnels)", max_tunnels_);
  }
  const uint32_t id = free_tunnels_.back();
  free_tunnels_.pop_back();
  Record& record = records_[id];
  record = Record{};
  record.used = true;
  record.interface = spec.interface.valid() ? spec.interface : kPolicyInterface;
  record.spec = spec;
  new (&tunnels_[id]) TunnelHot();
  tunnel_events_[id].store(0, std::memory_order_relaxed);
  ++tunnel_count_;
  return TunnelId{id};
}

void TunnelTables::remove_tunnel(TunnelId id, const Defer& defer) {
  if (!exists(id)) return;
  Record& record = records_[id.value];
  tunnels_[id.value].current_outbound.store(kNoSlot, std::memory_order_release);
  while (!record.inbound.empty()) remove_inbound(record.inbound.back(), defer);
  while (!record.outbound.empty()) {
    const uint32_t slot = record.outbound.back();
    remove_outbound(SaHandle{slot, outbound_[slot].generation}, defer);
  }
  record.used = false;
  selectors_[id.value].store(nullptr, std::memory_order_release);
  tunnel_generations_[id.value].fetch_add(1, std::memory_order_relaxed);
  --tunnel_count_;
  // shared_ptr: what is deferred is copied.
  const std::shared_ptr<SelectorList> selectors = std::move(record.selectors);
  defer([this, defer, id, selectors] {  // as long as its outbound SAs: see remove_outbound()
    defer([this, id] {
      new (&tunnels_[id.value]) TunnelHot();
      free_tunnels_.push_back(id.value);
    });
  });
}

bool TunnelTables::exists(TunnelId id) const {
  return id.value < max_tunnels_ && records_[id.value].used;
}

void TunnelTables::set_header(TunnelId id, const uint8_t (&header)[kMaxOuterHeader]) {
  TunnelHot& hot = tunnels_[id.value];
  const uint32_t version = hot.version.load(std::memory_order_relaxed);
  hot.version.store(version + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  for (size_t i = 0; i < kMaxOuterHeader / 8; ++i) {
    hot.header[i].store(load_unaligned<uint64_t>(header + i * 8), std::memory_order_relaxed);
  }
  hot.cached_path.store(0, std::memory_order_release);
  hot.version.store(version + 2, std::memory_order_release);
}

bool build_outer_header(const Endpoint& local, const Endpoint& remote,
                        uint8_t (&header)[kMaxOuterHeader], Encapsulation encapsulation) {
  if (local.address.family() != remote.address.family()) return false;
  std::memset(header, 0, sizeof header);
  const bool in_udp = encapsulation == Encapsulation::kUdp;
  const uint8_t protocol = in_udp ? kProtocolUdp : kProtocolEsp;
  UdpHeader udp{};
  udp.source_port = Be16(local.port);
  udp.destination_port = Be16(remote.port);
  if (remote.address.is_v4()) {
    Ipv4Header ip{};
    ip.version_length = kIpv4PlainVersionLength;
    ip.ttl = 64;
    ip.protocol = protocol;
    std::memcpy(&ip.source, local.address.bytes().data(), 4);
    std::memcpy(&ip.destination, remote.address.bytes().data(), 4);
    // The sum of the constant words; the packet path adds the others and complements.
    ip.checksum = Be16::from_raw(fold_sum(sum_plain_header(ip)));
    std::memcpy(header, &ip, sizeof ip);
    if (in_udp) std::memcpy(header + sizeof ip, &udp, sizeof udp);
  } else {
    Ipv6Header ip{};
    ip.version_class_flow = ipv6_version_class_flow(0, 0);
    ip.next_header = protocol;
    ip.hop_limit = 64;
    std::memcpy(&ip.source, local.address.bytes().data(), 16);
    std::memcpy(&ip.destination, remote.address.bytes().data(), 16);
    std::memcpy(header, &ip, sizeof ip);
    if (in_udp) std::memcpy(header + sizeof ip, &udp, sizeof udp);
  }
  return true;
}

// --- inbound SAs -----------------------------------------------------------------------------

Result<uint32_t> TunnelTables::reserve_inbound_index() {
  if (free_inbound_.empty()) return errorf("all %u inbound SAs are in use", inbound_mask_ + 1);
  const uint32_t slot = free_inbound_.back();
  free_inbound_.pop_back();
  uint32_t index = 0;
  do {
    index = (random_->u32() & ~inbound_mask_) | slot;
  } while (index < kReservedIndices);
  inbound_index_[slot] = index;
  inbound_state_[slot] = InboundState::kReserved;
  return index;
}

void TunnelTables::release_inbound_index(uint32_t index) {
  const uint32_t slot = index & inbound_mask_;
  if (inbound_index_[slot] != index || inbound_state_[slot] != InboundState::kReserved) return;
  inbound_state_[slot] = InboundState::kFree;
  free_inbound_.push_back(slot);
}

Status TunnelTables::install_inbound(const InboundSaSpec& spec) {
  const uint32_t slot = spec.index & inbound_mask_;
  if (!exists(spec.tunnel)) return errorf("inbound SA for a tunnel that does not exist");
  if (inbound_index_[slot] != spec.index || inbound_state_[slot] != InboundState::kReserved) {
    return errorf("inbound index %08x is not reserved", spec.index);
  }
  InboundSa& sa = *new (&inbound_[slot]) InboundSa();
  if (protocol_of(spec.tunnel) == TunnelProtocol::kEsp) {
    PENSTOCK_CHECK(fill_in_esp(sa, spec));
  } else {
    std::memcpy(sa.key, spec.keys.cipher_key.data(), sizeof sa.key);
  }
  sa.expires_at_ns = spec.expires_at_ns;
  sa.expected_source.store(source_tag(spec.expected_source), std::memory_order_relaxed);
  sa.tunnel = spec.tunnel.value;
  sa.promotes.store(valid(spec.promotes) ? spec.promotes.slot : kNoSlot, std::memory_order_relaxed);
  sa.owner = static_cast<uint8_t>(spec.owner.valid() ? spec.owner.value : 0);
  sa.interface = static_cast<uint16_t>(records_[spec.tunnel.value].interface.value);
  inbound_state_[slot] = InboundState::kInstalled;
  records_[spec.tunnel.value].inbound.push_back(spec.index);
  sa.index.store(spec.index, std::memory_order_release);
  return {};
}

void TunnelTables::remove_inbound(uint32_t index, const Defer& defer) {
  const uint32_t slot = index & inbound_mask_;
  if (inbound_index_[slot] != index || inbound_state_[slot] != InboundState::kInstalled) return;
  inbound_state_[slot] = InboundState::kRemoved;
  InboundSa& sa = inbound_[slot];
  sa.index.store(0, std::memory_order_release);
  const uint32_t tunnel = sa.tunnel;
  std::erase(records_[tunnel].inbound, index);
  keep_activity(sa.events, tunnel);
  records_[tunnel].retired.rx_packets += sa.rx_packets.load(std::memory_order_relaxed);
  records_[tunnel].retired.rx_bytes += sa.rx_bytes.load(std::memory_order_relaxed);
  defer([this, slot] {
    if (inbound_[slot].protocol == TunnelProtocol::kEsp) {
      wipe(inbound_key(slot), kExpandedKeyStrideBytes);
      large_windows_.erase(slot);
    }
    wipe(&inbound_[slot], sizeof(InboundSa));
    inbound_state_[slot] = InboundState::kFree;
    free_inbound_.push_back(slot);
  });
}

// --- outbound SAs ----------------------------------------------------------------------------

bool TunnelTables::valid(SaHandle handle) const {
  return handle.slot <= inbound_mask_ && handle.generation != 0 &&
         outbound_[handle.slot].generation == handle.generation;
}

Result<SaHandle> TunnelTables::install_outbound(const OutboundSaSpec& spec) {
  if (!exists(spec.tunnel)) return errorf("outbound SA for a tunnel that does not exist");
  if (free_outbound_.empty()) return errorf("all %u outbound SAs are in use", inbound_mask_ + 1);
  const uint32_t slot = free_outbound_.back();
  free_outbound_.pop_back();
  OutboundSa& sa = *new (&outbound_[slot]) OutboundSa();
  sa.expires_at_ns = spec.expires_at_ns;
  sa.tunnel = spec.tunnel.value;
  if (protocol_of(spec.tunnel) == TunnelProtocol::kEsp) {
    if (const Status filled = fill_in_esp(sa, spec); !filled.ok()) {
      free_outbound_.push_back(slot);
      return filled.error();
    }
  } else {
    std::memcpy(sa.key, spec.keys.cipher_key.data(), sizeof sa.key);
    sa.peer_index = spec.peer_index;
    sa.rekey_sequence = spec.rekey_sequence;
    sa.sequence_limit = spec.sequence_limit;
    sa.attention_sequence = std::min(spec.rekey_sequence, spec.sequence_limit);
    sa.sequence.store(spec.first_sequence, std::memory_order_relaxed);
    sa.first_sequence = spec.first_sequence;
  }
  sa.generation = next_generation_++;
  if (next_generation_ == 0) next_generation_ = 1;
  records_[spec.tunnel.value].outbound.push_back(slot);
  return SaHandle{slot, sa.generation};
}

void TunnelTables::remove_outbound(SaHandle handle, const Defer& defer) {
  if (!valid(handle)) return;
  OutboundSa& sa = outbound_[handle.slot];
  const uint32_t tunnel = sa.tunnel;
  // Unpublish wherever it is reachable from: the tunnel, and inbound SAs that would promote it.
  for (const uint32_t index : records_[tunnel].inbound) {
    uint32_t promoted = handle.slot;
    inbound_slot_of(index).promotes.compare_exchange_strong(promoted, kNoSlot);
  }
  clear_current(tunnel, handle.slot);
  std::erase(records_[tunnel].outbound, handle.slot);
  keep_activity(sa.events, tunnel);
  records_[tunnel].retired.tx_packets += packets_sent(sa);
  records_[tunnel].retired.tx_bytes += sa.tx_bytes.load(std::memory_order_relaxed);
  sa.generation = 0;
  // A worker that had read `promotes` just before may have made the SA current just after. Past the
  // first grace period none can do so any more; past the second none uses what it may have read.
  defer([this, defer, tunnel, slot = handle.slot] {
    clear_current(tunnel, slot);
    defer([this, slot] {
      if (outbound_[slot].protocol == TunnelProtocol::kEsp) {
        wipe(outbound_key(outbound_[slot]), kExpandedKeyStrideBytes);
      }
      wipe(&outbound_[slot], sizeof(OutboundSa));
      free_outbound_.push_back(slot);
    });
  });
}

// What an SA has seen and nobody collected yet outlives it. The tunnel's bit is still set.
void TunnelTables::keep_activity(std::atomic<uint32_t>& events, uint32_t tunnel) {
  const uint32_t flags = events.exchange(0, std::memory_order_acquire);
  tunnel_events_[tunnel].fetch_or(flags & ~kUrgentEvents, std::memory_order_relaxed);
}

void TunnelTables::clear_current(uint32_t tunnel, uint32_t slot) {
  uint32_t expected = slot;
  tunnels_[tunnel].current_outbound.compare_exchange_strong(expected, kNoSlot,
                                                            std::memory_order_acq_rel);
}

void TunnelTables::set_current_outbound(TunnelId id, SaHandle handle) {
  if (!exists(id)) return;
  const uint32_t slot = valid(handle) ? handle.slot : kNoSlot;
  tunnels_[id.value].current_outbound.store(slot, std::memory_order_release);
}

SaHandle TunnelTables::current_outbound(TunnelId id) const {
  if (!exists(id)) return {};
  const uint32_t slot = tunnels_[id.value].current_outbound.load(std::memory_order_acquire);
  if (slot == kNoSlot) return {};
  return SaHandle{slot, outbound_[slot].generation};
}

}  // namespace penstock
