// What the tables keep for ESP: keys, windows, limits, selectors, events of limits.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>

#include "dataplane/sa/tunnel_tables.h"

namespace penstock {
namespace {

class EspTablesTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = TunnelTables::create(64, random_);
    ASSERT_TRUE(made.ok());
    tables_ = std::move(made).value();
    TunnelSpec spec;
    spec.protocol = TunnelProtocol::kEsp;
    auto tunnel = tables_->add_tunnel(spec);
    ASSERT_TRUE(tunnel.ok());
    tunnel_ = *tunnel;
  }
  Defer defer() {
    return [this](std::function<void()> fn) { deferred_.push_back(std::move(fn)); };
  }
  void grace() {
    for (auto& fn : std::exchange(deferred_, {})) fn();
  }
  InboundSaSpec inbound_spec() {
    InboundSaSpec spec;
    spec.tunnel = tunnel_;
    spec.index = *tables_->reserve_inbound_index();
    spec.algorithm = SaAlgorithm::kAes256Gcm16;
    random_.fill(spec.keys.cipher_key.mutable_bytes());
    random_.fill(spec.keys.salt.mutable_bytes());
    return spec;
  }
  OutboundSaSpec outbound_spec() {
    OutboundSaSpec spec;
    spec.tunnel = tunnel_;
    spec.peer_index = 0x12345678;
    spec.algorithm = SaAlgorithm::kAes128CbcSha256;
    random_.fill(spec.keys.cipher_key.mutable_bytes().first(16));
    random_.fill(spec.keys.auth_key.mutable_bytes());
    return spec;
  }
  const OutboundSa& installed(const OutboundSaSpec& spec) {
    auto handle = tables_->install_outbound(spec);
    EXPECT_TRUE(handle.ok());
    return tables_->outbound(handle->slot);
  }
  static bool all_zero(const uint8_t* bytes, size_t count) {
    return std::all_of(bytes, bytes + count, [](uint8_t byte) { return byte == 0; });
  }
  SystemRandom random_;
  std::deque<std::function<void()>> deferred_;
  std::unique_ptr<TunnelTables> tables_;
  TunnelId tunnel_;
};

TEST_F(EspTablesTest, expanded_keys_are_wiped_after_the_grace_period) {
  InboundSaSpec in = inbound_spec();
  ASSERT_TRUE(tables_->install_inbound(in).ok());
  const OutboundSaSpec out = outbound_spec();
  const auto handle = tables_->install_outbound(out);
  ASSERT_TRUE(handle.ok());
  const uint8_t* in_key = tables_->inbound_key(in.index);
  const uint8_t* out_key = tables_->outbound_key(tables_->outbound(handle->slot));
  EXPECT_FALSE(all_zero(in_key, kExpandedKeyMaxBytes));
  EXPECT_FALSE(all_zero(out_key, kExpandedKeyMaxBytes));
  ExpandedKey wanted;
  ASSERT_TRUE(expand_key(in.algorithm, in.keys, wanted.bytes).ok());
  EXPECT_EQ(std::memcmp(in_key, wanted.bytes, expanded_key_bytes(in.algorithm)), 0);
  tables_->remove_inbound(in.index, defer());
  tables_->remove_outbound(*handle, defer());
  EXPECT_FALSE(all_zero(in_key, kExpandedKeyMaxBytes));  // a worker may be at it
  grace();
  EXPECT_TRUE(all_zero(in_key, kExpandedKeyMaxBytes));
  EXPECT_FALSE(all_zero(out_key, kExpandedKeyMaxBytes));
  grace();
  EXPECT_TRUE(all_zero(out_key, kExpandedKeyMaxBytes));
  EXPECT_TRUE(all_zero(reinterpret_cast<const uint8_t*>(&tables_->inbound_slot_of(in.index)),
                       sizeof(InboundSa)));
}

TEST_F(EspTablesTest, windows_of_every_size_begin_fresh_in_a_used_slot) {
  for (const uint32_t packets : {64U, 1024U, 2048U, 4096U, 16'384U, 2048U, 16'384U}) {
    InboundSaSpec spec = inbound_spec();
    spec.esp.replay_window_packets = packets;
    ASSERT_TRUE(tables_->install_inbound(spec).ok());
    InboundSa& sa = tables_->inbound_slot_of(spec.index);
    EXPECT_EQ(sa.esp_fixed.window_packets, packets);
    EXPECT_EQ(sa.esp.replay.words() == sa.esp.words, packets <= EspInbound::kInlineWindow);
    for (uint64_t sequence = 3 * packets; sequence > 2 * packets; --sequence) {
      ASSERT_NE(sa.esp.replay.commit(sequence, packets), EspReplay::Verdict::kRefused);
    }
    EXPECT_EQ(sa.roam_version, 0U);  // what lies behind the words
    tables_->remove_inbound(spec.index, defer());
    grace();
  }
}

TEST_F(EspTablesTest, extended_numbers_without_a_window_are_refused) {
  InboundSaSpec spec = inbound_spec();
  spec.esp.esn = true;
  spec.esp.replay_window_packets = 0;
  EXPECT_FALSE(tables_->install_inbound(spec).ok());
  spec.esp.replay_window_packets = 64;
  EXPECT_TRUE(tables_->install_inbound(spec).ok());
}

TEST_F(EspTablesTest, outbound_numbers_stay_within_what_fits) {
  OutboundSaSpec spec = outbound_spec();
  const OutboundSa& plain = installed(spec);
  EXPECT_EQ(plain.sequence.load(), 1U);
  EXPECT_EQ(plain.sequence_limit, uint64_t{1} << 32);
  EXPECT_EQ(plain.rekey_sequence, (uint64_t{1} << 32) / 8 * 7);
  EXPECT_EQ(plain.attention_sequence, plain.rekey_sequence);
  spec.sequence_limit = uint64_t{1} << 40;
  EXPECT_EQ(installed(spec).sequence_limit, uint64_t{1} << 32);
  spec.sequence_limit = 1000;
  spec.esp.hard_packets = 10;
  spec.esp.soft_packets = 5;
  spec.first_sequence = 100;
  const OutboundSa& limited = installed(spec);
  EXPECT_EQ(limited.attention_sequence, 105U);
  EXPECT_EQ(limited.hard_sequence, 110U);
  spec = outbound_spec();
  spec.esp.esn = true;
  EXPECT_EQ(installed(spec).sequence_limit, UINT64_MAX);
}

TEST_F(EspTablesTest, limits_of_several_sas_are_told_one_by_one) {
  const InboundSaSpec in = inbound_spec();
  ASSERT_TRUE(tables_->install_inbound(in).ok());
  const auto first = tables_->install_outbound(outbound_spec());
  const auto second = tables_->install_outbound(outbound_spec());
  tables_->raise(tables_->outbound(first->slot).events, tunnel_.value, kEventSoftLimit);
  tables_->raise(tables_->outbound(second->slot).events, tunnel_.value,
                 kEventNearLimit | kEventSentData);
  tables_->raise(tables_->inbound_slot_of(in.index).events, tunnel_.value, kEventHardLimit);
  std::vector<TunnelEvents> events;
  tables_->poll_events(false, [&](const TunnelEvents& one) { events.push_back(one); });
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].flags, uint32_t{kEventSoftLimit | kEventSentData});
  EXPECT_EQ(events[0].limit_outbound, *first);
  EXPECT_EQ(events[1].flags, uint32_t{kEventNearLimit});
  EXPECT_EQ(events[1].limit_outbound, *second);
  EXPECT_EQ(events[2].flags, uint32_t{kEventHardLimit});
  EXPECT_EQ(events[2].limit_inbound_index, in.index);
  EXPECT_FALSE(events[2].limit_outbound.valid());
}

TEST_F(EspTablesTest, counters_outlive_their_sa_in_the_tunnel_only) {
  const auto handle = tables_->install_outbound(outbound_spec());
  OutboundSa& sa = tables_->outbound(handle->slot);
  sa.sequence.store(8);
  sa.tx_bytes.store(700);
  sa.last_used_s.store(5);
  const SaCounters counters = tables_->outbound_counters(*handle);
  EXPECT_EQ(counters.packets, 7U);
  EXPECT_EQ(counters.bytes, 700U);
  EXPECT_EQ(counters.last_used_ns, 5 * kSecond);
  tables_->remove_outbound(*handle, defer());
  EXPECT_EQ(tables_->outbound_counters(*handle).packets, 0U);
  EXPECT_EQ(tables_->counters(tunnel_).tx_packets, 7U);
  EXPECT_EQ(tables_->inbound_counters(0).packets, 0U);
}

SelectorPair pair_of(const char* local_first, const char* local_last, const char* remote_first,
                     const char* remote_last) {
  SelectorPair pair;
  pair.local.first = *IpAddress::parse(local_first);
  pair.local.last = *IpAddress::parse(local_last);
  pair.remote.first = *IpAddress::parse(remote_first);
  pair.remote.last = *IpAddress::parse(remote_last);
  return pair;
}

TEST_F(EspTablesTest, selectors_that_are_none_are_refused_and_change_nothing) {
  const SelectorPair good = pair_of("10.0.0.0", "10.0.0.255", "0.0.0.0", "255.255.255.255");
  ASSERT_TRUE(tables_->set_selectors(tunnel_, {{good}}, defer()).ok());
  const SelectorList* list = tables_->selectors(tunnel_.value);
  ASSERT_NE(list, nullptr);
  EXPECT_FALSE(
      tables_->set_selectors(tunnel_, {{pair_of("10.0.0.1", "10.0.0.0", "::", "::1")}}, defer())
          .ok());
  EXPECT_FALSE(
      tables_->set_selectors(tunnel_, {{pair_of("10.0.0.1", "::1", "::", "::1")}}, defer()).ok());
  const std::vector<SelectorPair> many(SelectorList::kMaximumPairs + 1, good);
  EXPECT_FALSE(tables_->set_selectors(tunnel_, many, defer()).ok());
  EXPECT_EQ(tables_->selectors(tunnel_.value), list);
  const auto wireguard = tables_->add_tunnel({InterfaceId{0}});
  ASSERT_TRUE(wireguard.ok());
  EXPECT_FALSE(tables_->set_selectors(*wireguard, {{good}}, defer()).ok());
  EXPECT_FALSE(tables_->add_tunnel({}).ok());  // WireGuard without an interface
}

TEST_F(EspTablesTest, pair_in_the_line_is_the_first_that_prefixes_tell) {
  const auto made = [](std::vector<SelectorPair> pairs) {
    auto list = SelectorList::create(pairs);
    EXPECT_TRUE(list.ok());
    return std::move(list).value();
  };
  EXPECT_EQ(made({})->prefix_pair(), nullptr);
  EXPECT_EQ(made({pair_of("::", "::", "::", "::")})->prefix_pair(), nullptr);
  EXPECT_EQ(made({pair_of("10.0.0.0", "10.0.0.2", "10.1.0.0", "10.1.255.255")})->prefix_pair(),
            nullptr);
  EXPECT_EQ(made({pair_of("10.0.0.1", "10.0.0.2", "10.1.0.0", "10.1.255.255")})->prefix_pair(),
            nullptr);
  SelectorPair ports = pair_of("10.0.0.0", "10.0.0.3", "10.1.0.0", "10.1.255.255");
  ports.remote.first_port = 1;
  EXPECT_EQ(made({ports})->prefix_pair(), nullptr);
  const auto list = made({ports, pair_of("10.0.0.0", "10.0.0.3", "0.0.0.0", "255.255.255.255")});
  ASSERT_NE(list->prefix_pair(), nullptr);
  EXPECT_EQ(list->prefix_pair()->local_mask, Be32(0xffff'fffc).raw());
  EXPECT_EQ(list->prefix_pair()->remote_mask, 0U);
}

}  // namespace
}  // namespace penstock
