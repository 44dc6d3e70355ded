// What SAs and tunnels of ESP have beside the others: expanded keys, windows, limits, selectors.
#include <algorithm>
#include <new>

#include "dataplane/sa/tunnel_tables.h"
#include "dataplane/wire/ecn.h"

namespace penstock {
namespace {

constexpr uint64_t kNoLimit = UINT64_MAX;

uint64_t limit_or_none(uint64_t limit) { return limit != 0 ? limit : kNoLimit; }

// first + count, without wrapping.
uint64_t add_limit(uint64_t first, uint64_t count) {
  return count == 0 || count > kNoLimit - first ? kNoLimit : first + count;
}

}  // namespace

// Requires that the index is reserved; publishes nothing.
Status TunnelTables::fill_in_esp(InboundSa& sa, const InboundSaSpec& spec) {
  const uint32_t slot = spec.index & inbound_mask_;
  const EspParameters& parameters = spec.esp;
  const uint32_t window = EspReplay::round_up(parameters.replay_window_packets);
  if (window == 0 && parameters.esn) {
    return errorf("extended sequence numbers need a replay window");
  }
  PENSTOCK_CHECK(expand_key(spec.algorithm, spec.keys, inbound_key(slot)));
  sa.protocol = TunnelProtocol::kEsp;
  EspInboundFixed& fixed = *new (&sa.esp_fixed) EspInboundFixed{};
  std::memcpy(&fixed.salt, spec.keys.salt.data(), sizeof fixed.salt);
  fixed.window_packets = static_cast<uint16_t>(window);
  fixed.algorithm = spec.algorithm;
  fixed.esn = parameters.esn;
  copy_prefix_pair(sa, records_[spec.tunnel.value].selectors.get());
  EspInbound& esp = *new (&sa.esp) EspInbound{};
  if (window <= EspInbound::kInlineWindow) {
    esp.replay.use(esp.words);
  } else {
    auto words = std::make_unique<uint64_t[]>(EspReplay::words_for(window));
    esp.replay.use(words.get());
    large_windows_[slot] = std::move(words);
  }
  esp.soft_packets = limit_or_none(parameters.soft_packets);
  esp.hard_packets = limit_or_none(parameters.hard_packets);
  esp.soft_bytes = limit_or_none(parameters.soft_bytes);
  esp.hard_bytes = limit_or_none(parameters.hard_bytes);
  esp.attention_packets = std::min(esp.soft_packets, esp.hard_packets);
  esp.attention_bytes = std::min(esp.soft_bytes, esp.hard_bytes);
  return {};
}

Status TunnelTables::fill_in_esp(OutboundSa& sa, const OutboundSaSpec& spec) {
  const EspParameters& parameters = spec.esp;
  const TunnelSpec& tunnel = records_[spec.tunnel.value].spec;
  PENSTOCK_CHECK(expand_key(spec.algorithm, spec.keys, outbound_key(sa)));
  sa.protocol = TunnelProtocol::kEsp;
  sa.algorithm = spec.algorithm;
  sa.esn = parameters.esn;
  sa.owner = static_cast<uint8_t>(spec.owner.valid() ? spec.owner.value : 0);
  sa.peer_index = byte_swap(spec.peer_index);
  // RFC 4303 3.3.3: numbers begin with 1 and never come round.
  const uint64_t first = std::max<uint64_t>(spec.first_sequence, 1);
  const uint64_t end = parameters.esn ? kNoLimit : uint64_t{1} << 32;
  sa.sequence_limit = spec.sequence_limit != 0 ? std::min(spec.sequence_limit, end) : end;
  sa.rekey_sequence =
      spec.rekey_sequence != 0 ? spec.rekey_sequence : sa.sequence_limit - sa.sequence_limit / 8;
  sa.soft_sequence = add_limit(first, parameters.soft_packets);
  sa.hard_sequence = add_limit(first, parameters.hard_packets);
  sa.attention_sequence = std::min(std::min(sa.rekey_sequence, sa.sequence_limit),
                                   std::min(sa.soft_sequence, sa.hard_sequence));
  sa.sequence.store(first, std::memory_order_relaxed);
  sa.first_sequence = first;
  sa.esp = EspOutbound{};
  sa.esp.soft_bytes = limit_or_none(parameters.soft_bytes);
  sa.esp.hard_bytes = limit_or_none(parameters.hard_bytes);
  sa.esp.attention_bytes = std::min(sa.esp.soft_bytes, sa.esp.hard_bytes);
  std::memcpy(&sa.esp.salt, spec.keys.salt.data(), sizeof sa.esp.salt);
  sa.esp.pad_to_bytes = parameters.pad_to_bytes;
  sa.esp.traffic_class_mask =
      tunnel.dscp == DscpMode::kCopy ? kTrafficClassAll : kTrafficClassEcnOnly;
  sa.esp.copy_df = tunnel.copy_df;
  return {};
}

// Requires that no worker reads the four words: see EspInboundFixed.
void TunnelTables::copy_prefix_pair(InboundSa& sa, const SelectorList* list) {
  EspInboundFixed& fixed = sa.esp_fixed;
  const PrefixPairV4* pair = list != nullptr ? list->prefix_pair() : nullptr;
  if (pair == nullptr) return;
  fixed.remote_network.store(pair->remote_network, std::memory_order_relaxed);
  fixed.remote_mask.store(pair->remote_mask, std::memory_order_relaxed);
  fixed.local_network.store(pair->local_network, std::memory_order_relaxed);
  fixed.local_mask.store(pair->local_mask, std::memory_order_relaxed);
  fixed.has_pair.store(1, std::memory_order_release);
}

Status TunnelTables::set_selectors(TunnelId id, std::span<const SelectorPair> selectors,
                                   const Defer& defer) {
  if (!exists(id)) return errorf("traffic selectors for a tunnel that does not exist");
  if (protocol_of(id) != TunnelProtocol::kEsp) {
    return errorf("traffic selectors for a WireGuard tunnel, which has allowed IPs");
  }
  PENSTOCK_TRY(auto list, SelectorList::create(selectors));
  Record& record = records_[id.value];
  const std::shared_ptr<SelectorList> old = std::move(record.selectors);
  record.selectors = std::move(list);
  selectors_[id.value].store(record.selectors.get(), std::memory_order_release);
  for (const uint32_t index : record.inbound) {
    inbound_slot_of(index).esp_fixed.has_pair.store(0, std::memory_order_release);
  }
  // From the next grace period on no worker looks at a pair that was there before, nor at the old
  // list.
  const uint32_t generation = tunnel_generation(id.value);
  const uint32_t version = ++record.selectors_version;
  defer([this, id, generation, version, old] {
    if (tunnel_generation(id.value) != generation) return;
    if (records_[id.value].selectors_version != version) return;  // a later change does it
    for (const uint32_t index : records_[id.value].inbound) {
      copy_prefix_pair(inbound_slot_of(index), records_[id.value].selectors.get());
    }
  });
  return {};
}

}  // namespace penstock
