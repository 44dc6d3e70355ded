// The tables of tunnels and SAs: slots, generations, grace periods, events, counters.
#include "dataplane/sa/tunnel_tables.h"

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <set>
#include <thread>

namespace penstock {
namespace {

class TunnelTablesTest : public testing::Test {
 protected:
  void SetUp() override { make(64); }
  void make(uint32_t tunnels) {
    auto made = TunnelTables::create(tunnels, random_);
    ASSERT_TRUE(made.ok());
    tables_ = std::move(made).value();
  }
  Defer defer() {
    return [this](std::function<void()> fn) { deferred_.push_back(std::move(fn)); };
  }
  void grace() {
    for (auto& fn : std::exchange(deferred_, {})) fn();
  }
  TunnelId add() {
    auto id = tables_->add_tunnel({InterfaceId{0}});
    EXPECT_TRUE(id.ok());
    return id.ok() ? *id : TunnelId{};
  }
  SaHandle outbound(TunnelId tunnel) {
    OutboundSaSpec spec;
    spec.tunnel = tunnel;
    spec.keys.cipher_key.mutable_bytes()[0] = 0x77;
    spec.sequence_limit = 100;
    spec.rekey_sequence = 50;
    auto handle = tables_->install_outbound(spec);
    EXPECT_TRUE(handle.ok());
    return handle.ok() ? *handle : SaHandle{};
  }
  uint32_t inbound(TunnelId tunnel, SaHandle promotes = {}) {
    InboundSaSpec spec;
    spec.tunnel = tunnel;
    spec.index = *tables_->reserve_inbound_index();
    spec.keys.cipher_key.mutable_bytes()[0] = 0x66;
    spec.promotes = promotes;
    spec.owner = WorkerId{0};
    EXPECT_TRUE(tables_->install_inbound(spec).ok());
    return spec.index;
  }
  std::vector<TunnelEvents> events(bool activity = true) {
    std::vector<TunnelEvents> list;
    tables_->poll_events(activity, [&](const TunnelEvents& one) { list.push_back(one); });
    return list;
  }
  SystemRandom random_;
  std::deque<std::function<void()>> deferred_;
  std::unique_ptr<TunnelTables> tables_;
};

TEST_F(TunnelTablesTest, indices_name_their_slot_are_random_and_never_reserved_ones) {
  std::set<uint32_t> seen;
  for (int round = 0; round < 2000; ++round) {
    const auto index = tables_->reserve_inbound_index();
    ASSERT_TRUE(index.ok());
    EXPECT_GE(*index, 256U);
    seen.insert(*index);
    tables_->release_inbound_index(*index);
  }
  EXPECT_GT(seen.size(), 1990U);  // the same slot each time, other high bits
}

TEST_F(TunnelTablesTest, more_tunnels_or_sas_than_fit_are_refused) {
  std::vector<TunnelId> tunnels;
  for (int i = 0; i < 64; ++i) tunnels.push_back(add());
  EXPECT_FALSE(tables_->add_tunnel({InterfaceId{0}}).ok());
  EXPECT_EQ(tables_->tunnel_count(), 64U);
  for (int i = 0; i < 256; ++i) {
    (void)outbound(tunnels[i % 64]);
    ASSERT_TRUE(tables_->reserve_inbound_index().ok());
  }
  OutboundSaSpec spec;
  spec.tunnel = tunnels[0];
  EXPECT_FALSE(tables_->install_outbound(spec).ok());
  EXPECT_FALSE(tables_->reserve_inbound_index().ok());
  spec.tunnel = TunnelId{64};
  EXPECT_FALSE(tables_->install_outbound(spec).ok());
  EXPECT_FALSE(TunnelTables::create((1U << 20) + 1, random_).ok());
}

TEST_F(TunnelTablesTest, inbound_sa_needs_its_reservation_and_a_tunnel) {
  const TunnelId tunnel = add();
  InboundSaSpec spec;
  spec.tunnel = tunnel;
  spec.index = 12'345;
  EXPECT_FALSE(tables_->install_inbound(spec).ok());
  spec.index = *tables_->reserve_inbound_index();
  EXPECT_TRUE(tables_->install_inbound(spec).ok());
  EXPECT_FALSE(tables_->install_inbound(spec).ok());
  tables_->release_inbound_index(spec.index);  // installed: not released by this
  EXPECT_EQ(tables_->inbound_slot_of(spec.index).index.load(), spec.index);
  spec.index = *tables_->reserve_inbound_index();
  spec.tunnel = TunnelId{9};
  EXPECT_FALSE(tables_->install_inbound(spec).ok());
}

TEST_F(TunnelTablesTest, removed_inbound_sa_is_unpublished_at_once_and_wiped_after_grace) {
  const TunnelId tunnel = add();
  const uint32_t index = inbound(tunnel);
  const InboundSa& sa = tables_->inbound_slot_of(index);
  tables_->remove_inbound(index, defer());
  EXPECT_EQ(sa.index.load(), 0U);
  EXPECT_EQ(sa.key[0], 0x66);  // a worker may be using it
  grace();
  EXPECT_EQ(sa.key[0], 0);
}

TEST_F(TunnelTablesTest, removed_outbound_sa_is_wiped_after_two_grace_periods) {
  const TunnelId tunnel = add();
  const SaHandle handle = outbound(tunnel);
  tables_->set_current_outbound(tunnel, handle);
  tables_->remove_outbound(handle, defer());
  EXPECT_FALSE(tables_->current_outbound(tunnel).valid());
  grace();
  EXPECT_EQ(tables_->outbound(handle.slot).key[0], 0x77);
  grace();
  EXPECT_EQ(tables_->outbound(handle.slot).key[0], 0);
}

TEST_F(TunnelTablesTest, slot_removed_twice_is_free_once) {
  const TunnelId tunnel = add();
  const uint32_t index = inbound(tunnel);
  const SaHandle handle = outbound(tunnel);
  tables_->inbound_slot_of(index).rx_packets = 5;
  for (int i = 0; i < 3; ++i) {
    tables_->remove_inbound(index, defer());
    tables_->remove_outbound(handle, defer());
  }
  EXPECT_EQ(tables_->counters(tunnel).rx_packets, 5U);
  grace();
  grace();
  const uint32_t first = inbound(tunnel), second = inbound(tunnel);
  EXPECT_NE(&tables_->inbound_slot_of(first), &tables_->inbound_slot_of(second));
  EXPECT_NE(outbound(tunnel).slot, outbound(tunnel).slot);
}

TEST_F(TunnelTablesTest, stale_handle_means_nothing_after_its_slot_is_reused) {
  const TunnelId tunnel = add();
  const SaHandle old = outbound(tunnel);
  tables_->remove_outbound(old, defer());
  grace();
  grace();
  const SaHandle fresh = outbound(tunnel);
  ASSERT_EQ(fresh.slot, old.slot);
  tables_->set_current_outbound(tunnel, fresh);
  tables_->remove_outbound(old, defer());
  EXPECT_EQ(tables_->current_outbound(tunnel), fresh);
  const uint32_t index = inbound(tunnel, old);
  EXPECT_EQ(tables_->inbound_slot_of(index).promotes.load(), kNoSlot);
}

// A worker that had read `promotes` before the removal makes the SA current after it: the slot must
// not be wiped or given away before that is undone and seen.
TEST_F(TunnelTablesTest, late_promotion_of_a_removed_sa_is_undone_before_it_is_freed) {
  const TunnelId tunnel = add();
  const SaHandle handle = outbound(tunnel);
  const uint32_t index = inbound(tunnel, handle);
  const uint32_t read_by_worker = tables_->inbound_slot_of(index).promotes.load();
  tables_->remove_outbound(handle, defer());
  EXPECT_EQ(tables_->inbound_slot_of(index).promotes.load(), kNoSlot);
  tables_->tunnel(tunnel.value).current_outbound.store(read_by_worker);
  grace();
  EXPECT_EQ(tables_->tunnel(tunnel.value).current_outbound.load(), kNoSlot);
  EXPECT_EQ(tables_->outbound(handle.slot).key[0], 0x77);
  EXPECT_NE(outbound(tunnel).slot, handle.slot);
  grace();
  EXPECT_EQ(tables_->outbound(handle.slot).key[0], 0);
}

TEST_F(TunnelTablesTest, removed_tunnel_takes_its_sas_along_and_its_id_waits) {
  const TunnelId tunnel = add();
  const SaHandle handle = outbound(tunnel);
  tables_->set_current_outbound(tunnel, handle);
  const uint32_t index = inbound(tunnel);
  const uint32_t generation = tables_->tunnel_generation(tunnel.value);
  tables_->remove_tunnel(tunnel, defer());
  tables_->remove_tunnel(tunnel, defer());
  EXPECT_FALSE(tables_->exists(tunnel));
  EXPECT_NE(tables_->tunnel_generation(tunnel.value), generation);
  EXPECT_EQ(tables_->inbound_slot_of(index).index.load(), 0U);
  EXPECT_NE(add(), tunnel);
  grace();
  EXPECT_NE(add(), tunnel);
  grace();
  EXPECT_EQ(add(), tunnel);
  EXPECT_EQ(tables_->tunnel(tunnel.value).header[0].load(), 0U);
  EXPECT_FALSE(tables_->current_outbound(tunnel).valid());
  EXPECT_EQ(tables_->counters(tunnel).tx_packets, 0U);
}

TEST_F(TunnelTablesTest, counters_survive_rekeys) {
  const TunnelId tunnel = add();
  for (int i = 1; i <= 5; ++i) {
    const SaHandle handle = outbound(tunnel);
    const uint32_t index = inbound(tunnel);
    tables_->outbound(handle.slot).sequence = 10;
    tables_->outbound(handle.slot).tx_bytes = 1000;
    tables_->inbound_slot_of(index).rx_packets = 3;
    tables_->inbound_slot_of(index).rx_bytes = 300;
    const TunnelCounters now = tables_->counters(tunnel);
    EXPECT_EQ(now.tx_packets, 10U * i);
    EXPECT_EQ(now.rx_bytes, 300U * i);
    tables_->remove_outbound(handle, defer());
    tables_->remove_inbound(index, defer());
    if (i % 2 == 0) grace();
  }
  EXPECT_EQ(tables_->counters(tunnel).tx_bytes, 5000U);
  EXPECT_EQ(tables_->counters(tunnel).rx_packets, 15U);
}

TEST_F(TunnelTablesTest, events_are_levels_and_activity_waits_for_who_asks) {
  const TunnelId tunnel = add();
  const uint32_t index = inbound(tunnel);
  InboundSa& sa = tables_->inbound_slot_of(index);
  for (int i = 0; i < 3; ++i) tables_->raise(sa.events, tunnel.value, kEventReceivedData);
  EXPECT_TRUE(events(false).empty());
  auto list = events(true);
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].flags, uint32_t{kEventReceivedData});
  EXPECT_EQ(list[0].inbound_index, index);
  EXPECT_TRUE(events(true).empty());
  tables_->raise(sa.events, tunnel.value, kEventPromoted);
  tables_->raise_tunnel(tunnel.value, kEventNeedSession);
  list = events(false);
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].flags, kEventPromoted | kEventNeedSession);
}

TEST_F(TunnelTablesTest, activity_outlives_the_sa_that_saw_it) {
  const TunnelId tunnel = add();
  const uint32_t index = inbound(tunnel);
  const SaHandle handle = outbound(tunnel);
  tables_->raise(tables_->inbound_slot_of(index).events, tunnel.value, kEventReceivedData);
  tables_->raise(tables_->outbound(handle.slot).events, tunnel.value, kEventSentData);
  tables_->remove_inbound(index, defer());
  tables_->remove_outbound(handle, defer());
  const auto list = events();
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].flags, kEventReceivedData | kEventSentData);
  tables_->raise_tunnel(tunnel.value, kEventNeedSession);
  tables_->remove_tunnel(tunnel, defer());
  EXPECT_TRUE(events().empty());
}

// What was raised after the last collection is collected by the next: the last value written
// before a raise always arrives.
TEST_F(TunnelTablesTest, no_event_is_lost_between_two_threads) {
  const TunnelId tunnel = add();
  InboundSa& sa = tables_->inbound_slot_of(inbound(tunnel));
  std::atomic<uint64_t> written{0};
  std::atomic<bool> done{false};
  std::thread worker([&] {
    for (uint64_t i = 1; i <= 2'000'000; ++i) {
      sa.roam_version.store(static_cast<uint32_t>(2 * i - 1), std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_release);
      sa.roam_source[0].store(i, std::memory_order_relaxed);
      sa.roam_family_and_port.store(4U << 16, std::memory_order_relaxed);
      sa.roam_version.store(static_cast<uint32_t>(2 * i), std::memory_order_release);
      tables_->raise_slow(sa.events, tunnel.value, kEventRoamed);
      written.store(i, std::memory_order_relaxed);
    }
    done.store(true, std::memory_order_release);
  });
  uint64_t last = 0;
  const auto collect = [&] {
    tables_->poll_events(false, [&](const TunnelEvents& one) {
      uint32_t value = 0;
      std::memcpy(&value, one.roamed_source.address.bytes().data(), 4);
      EXPECT_GE(value, last);  // never an older endpoint after a newer one
      last = value;
    });
  };
  while (!done.load(std::memory_order_acquire)) collect();
  worker.join();
  collect();
  EXPECT_EQ(last, written.load());
}

TEST_F(TunnelTablesTest, hundred_thousand_tunnels_are_made_rekeyed_and_removed_in_no_time) {
  make(100'000);
  const auto begin = std::chrono::steady_clock::now();
  struct One {
    TunnelId tunnel;
    uint32_t index;
    SaHandle handle;
  };
  std::vector<One> all;
  for (int i = 0; i < 100'000; ++i) {
    const TunnelId tunnel = add();
    all.push_back({tunnel, inbound(tunnel), outbound(tunnel)});
    tables_->set_current_outbound(tunnel, all.back().handle);
  }
  std::set<uint32_t> ids;
  for (const One& one : all) ids.insert(one.tunnel.value);
  EXPECT_EQ(ids.size(), 100'000U);
  for (One& one : all) {
    const One old = one;
    one.index = inbound(one.tunnel);
    one.handle = outbound(one.tunnel);
    tables_->set_current_outbound(one.tunnel, one.handle);
    tables_->remove_inbound(old.index, defer());
    tables_->remove_outbound(old.handle, defer());
    if (one.tunnel.value % 256 == 0) grace();
  }
  for (const One& one : all) {
    tables_->remove_tunnel(one.tunnel, defer());
    if (one.tunnel.value % 256 == 0) grace();
  }
  grace();
  grace();
  EXPECT_EQ(tables_->tunnel_count(), 0U);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took.count(), 15.0);
}

}  // namespace
}  // namespace penstock
