// Device::apply(): what each field of a `set` means.
#include <gtest/gtest.h>

#include <algorithm>

#include "controlplane/crypto/x25519.h"
#include "controlplane/wireguard/device.h"

namespace penstock::wireguard {
namespace {

class CountingRandom final : public RandomSource {
 public:
  void fill(MutableBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(next_++ * 167 + 13);
  }

 private:
  uint32_t next_ = 0;
};

class Indices final : public IndexSource {
 public:
  Result<uint32_t> reserve() override { return ++next_; }
  void release(uint32_t) override {}

 private:
  uint32_t next_ = 0;
};

struct Configure : testing::Test {
  static Device::Options options() {
    Device::Options small;
    small.limits.peers = 4;
    return small;
  }
  Configure() : device(random, indices, options()) {}

  static PublicKey key(uint8_t number) { return PublicKey{number}; }
  static IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }
  static PeerChange peer(uint8_t number) {
    PeerChange change;
    change.public_key = key(number);
    return change;
  }
  Status apply(std::vector<PeerChange> peers, bool replace_peers = false) {
    DeviceChange change;
    change.replace_peers = replace_peers;
    change.peers = std::move(peers);
    return device.apply(now, change);
  }
  template <class T>
  std::vector<T> take() {
    std::vector<T> out;
    while (auto effect = device.poll()) {
      if (auto* const one = std::get_if<T>(&*effect)) out.push_back(std::move(*one));
    }
    return out;
  }
  std::vector<PublicKey> keys() {
    std::vector<PublicKey> out;
    for (const PeerStatus& one : device.status(now).peers) out.push_back(one.public_key);
    std::sort(out.begin(), out.end());
    return out;
  }
  std::vector<IpPrefix> allowed(uint8_t number) {
    for (const PeerStatus& one : device.status(now).peers) {
      if (one.public_key != key(number)) continue;
      std::vector<IpPrefix> sorted = one.allowed_ips;
      std::sort(sorted.begin(), sorted.end());
      return sorted;
    }
    return {};
  }

  CountingRandom random;
  Indices indices;
  Device device;
  Now now{kSecond, kSecond};
};

TEST_F(Configure, peers_are_added_removed_and_replaced) {
  ASSERT_TRUE(apply({peer(1), peer(2)}).ok());
  EXPECT_EQ(keys(), (std::vector{key(1), key(2)}));
  PeerChange gone = peer(1);
  gone.remove = true;
  ASSERT_TRUE(apply({gone, peer(3)}).ok());
  EXPECT_EQ(keys(), (std::vector{key(2), key(3)}));
  ASSERT_TRUE(apply({gone}).ok()) << "removing what is not there is no error";
  ASSERT_TRUE(apply({peer(4)}, true).ok());
  EXPECT_EQ(keys(), std::vector{key(4)});
  ASSERT_TRUE(apply({}, true).ok());
  EXPECT_EQ(device.peer_count(), 0U);
  EXPECT_TRUE(device.peer_ids().empty());
}

TEST_F(Configure, update_only_leaves_unknown_peers_alone) {
  PeerChange update = peer(1);
  update.update_only = true;
  update.persistent_keepalive_s = 9;
  ASSERT_TRUE(apply({update}).ok());
  EXPECT_EQ(device.peer_count(), 0U);
  ASSERT_TRUE(apply({peer(1), update}).ok());
  EXPECT_EQ(device.status(now).peers.at(0).persistent_keepalive_s, 9);
}

TEST_F(Configure, absent_fields_stay) {
  PeerChange full = peer(1);
  full.endpoint = Endpoint::parse("192.0.2.1:1");
  full.preshared_key.emplace().data()[0] = 3;
  full.persistent_keepalive_s = 7;
  ASSERT_TRUE(apply({full, peer(1)}).ok());
  const PeerStatus status = device.status(now).peers.at(0);
  EXPECT_EQ(status.endpoint, full.endpoint);
  EXPECT_TRUE(status.preshared_key == *full.preshared_key);
  EXPECT_EQ(status.persistent_keepalive_s, 7);
  EXPECT_EQ(status.state, "never");
}

TEST_F(Configure, allowed_ips_move_between_peers) {
  PeerChange one = peer(1);
  one.allowed_ips = {{prefix("10.0.0.0/24"), false}, {prefix("10.1.0.0/16"), false}};
  PeerChange two = peer(2);
  two.allowed_ips = {{prefix("10.0.0.0/24"), false}};
  ASSERT_TRUE(apply({one, two}).ok());
  EXPECT_EQ(allowed(1), std::vector{prefix("10.1.0.0/16")});
  EXPECT_EQ(allowed(2), std::vector{prefix("10.0.0.0/24")});
  const PeerId owner = *device.find_peer(key(2));
  const auto sets = take<AllowedIpSet>();
  ASSERT_EQ(sets.size(), 3U);
  EXPECT_EQ(sets.back().peer, owner);

  // A prefix of another peer is not this one's to remove.
  one.allowed_ips = {{prefix("10.0.0.0/24"), true}, {prefix("10.1.0.0/16"), true}};
  ASSERT_TRUE(apply({one}).ok());
  EXPECT_TRUE(allowed(1).empty());
  EXPECT_EQ(allowed(2), std::vector{prefix("10.0.0.0/24")});
  const auto removed = take<AllowedIpRemoved>();
  ASSERT_EQ(removed.size(), 1U);
  EXPECT_EQ(removed[0].prefix, prefix("10.1.0.0/16"));
}

TEST_F(Configure, replace_allowed_ips_keeps_the_new_ones_only) {
  PeerChange one = peer(1);
  one.allowed_ips = {{prefix("10.0.0.0/24"), false}, {prefix("fd00::/64"), false}};
  ASSERT_TRUE(apply({one}).ok());
  one.replace_allowed_ips = true;
  one.allowed_ips = {{prefix("fd00::/64"), false}, {prefix("10.9.0.0/16"), false}};
  ASSERT_TRUE(apply({one}).ok());
  EXPECT_EQ(allowed(1), (std::vector{prefix("10.9.0.0/16"), prefix("fd00::/64")}));
}

TEST_F(Configure, removed_peer_gives_its_allowed_ips_back_first) {
  PeerChange one = peer(1);
  one.allowed_ips = {{prefix("10.0.0.0/24"), false}, {prefix("10.1.0.0/24"), false}};
  ASSERT_TRUE(apply({one}).ok());
  while (device.poll()) {
  }
  ASSERT_TRUE(apply({}, true).ok());
  ASSERT_TRUE(std::holds_alternative<AllowedIpRemoved>(*device.poll()));
  ASSERT_TRUE(std::holds_alternative<AllowedIpRemoved>(*device.poll()));
  ASSERT_TRUE(std::holds_alternative<PeerRemoved>(*device.poll()));
  EXPECT_FALSE(device.poll().has_value());
}

TEST_F(Configure, own_public_key_is_no_peer) {
  Secret<32> private_key;
  private_key.data()[0] = 0x48;
  private_key.data()[31] = 0x40;
  const PublicKey own = x25519_public(private_key);
  PeerChange ourselves;
  ourselves.public_key = own;
  ASSERT_TRUE(apply({ourselves, peer(2)}).ok());
  EXPECT_EQ(device.peer_count(), 2U);
  DeviceChange change;
  change.private_key = private_key;
  ASSERT_TRUE(device.apply(now, change).ok());
  EXPECT_EQ(keys(), std::vector{key(2)});
  ASSERT_TRUE(apply({ourselves}).ok());
  EXPECT_EQ(keys(), std::vector{key(2)});
  EXPECT_EQ(device.status(now).public_key, own);

  change.private_key = Secret<32>();
  ASSERT_TRUE(device.apply(now, change).ok());
  EXPECT_EQ(device.status(now).public_key, PublicKey{});
  EXPECT_TRUE(device.status(now).private_key.is_zero());
}

TEST_F(Configure, too_many_peers_change_nothing) {
  ASSERT_TRUE(apply({peer(1), peer(2)}).ok());
  EXPECT_FALSE(apply({peer(3), peer(4), peer(5)}).ok());
  EXPECT_EQ(keys(), (std::vector{key(1), key(2)}));
  EXPECT_TRUE(apply({peer(1), peer(2), peer(3), peer(4)}).ok());
  EXPECT_TRUE(apply({peer(5), peer(6), peer(7), peer(8)}, true).ok());
  EXPECT_EQ(device.peer_count(), 4U);
}

TEST_F(Configure, stale_peer_id_is_ignored) {
  ASSERT_TRUE(apply({peer(1)}).ok());
  const PeerId old = *device.find_peer(key(1));
  ASSERT_TRUE(apply({peer(2)}, true).ok());
  const PeerId reused = *device.find_peer(key(2));
  EXPECT_EQ(reused.slot, old.slot);
  EXPECT_FALSE(reused == old);
  while (device.poll()) {
  }
  device.on_need_session(now, old, ByteVector{1, 2, 3});
  device.on_events(now, old, UINT32_MAX, 0, {}, {});
  EXPECT_FALSE(device.poll().has_value());
}

TEST_F(Configure, port_and_mark_are_remembered) {
  DeviceChange change;
  change.listen_port = 51820;
  change.fwmark = 7;
  ASSERT_TRUE(device.apply(now, change).ok());
  EXPECT_EQ(device.status(now).listen_port, 51820);
  EXPECT_EQ(device.status(now).fwmark, 7U);
  ASSERT_TRUE(device.apply(now, {}).ok());
  EXPECT_EQ(device.listen_port(), 51820);
}

// As it is in a file that is read again: a new key would end every session.
TEST_F(Configure, private_key_that_is_not_clamped_is_the_same_key_again) {
  DeviceChange change;
  change.private_key.emplace();
  for (size_t i = 0; i < 32; ++i) change.private_key->data()[i] = 0xff;
  change.peers = {peer(1)};
  ASSERT_TRUE(device.apply(now, change).ok());
  EXPECT_EQ(take<Compute>().size(), 1U);  // the peer's precomputation
  ASSERT_TRUE(device.apply(now, change).ok());
  EXPECT_TRUE(take<Compute>().empty());
  change.private_key->data()[1] = 0;
  ASSERT_TRUE(device.apply(now, change).ok());
  EXPECT_EQ(take<Compute>().size(), 1U);
}

}  // namespace
}  // namespace penstock::wireguard
