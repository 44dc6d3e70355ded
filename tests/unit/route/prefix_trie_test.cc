// PrefixTrie against a list of prefixes that is searched from end to end.
#include "dataplane/route/prefix_trie.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace penstock {
namespace {

constexpr size_t kRoom = size_t{1} << 30;
using Random = std::mt19937_64;

// Grace periods that end `delay` changes later, so that early reuse of a block shows.
class LateDefer {
 public:
  TrieDefer defer() {
    return [this](std::function<void()> fn) { waiting_.push_back(std::move(fn)); };
  }
  void run_all_but(size_t keep) {
    while (waiting_.size() > keep) {
      waiting_.front()();
      waiting_.pop_front();
    }
  }

 private:
  std::deque<std::function<void()>> waiting_;
};

template <size_t kBytes>
using Address = std::array<uint8_t, kBytes>;

template <size_t kBytes>
bool bit_at(const Address<kBytes>& address, unsigned bit) {
  return (address[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

template <size_t kBytes>
bool covers(const Address<kBytes>& prefix, unsigned length, const Address<kBytes>& address) {
  for (unsigned bit = 0; bit < length; ++bit) {
    if (bit_at<kBytes>(prefix, bit) != bit_at<kBytes>(address, bit)) return false;
  }
  return true;
}

template <size_t kBytes>
Address<kBytes> masked(Address<kBytes> address, unsigned length) {
  for (unsigned bit = length; bit < kBytes * 8; ++bit) {
    address[bit / 8] = static_cast<uint8_t>(address[bit / 8] & ~(0x80U >> bit % 8));
  }
  return address;
}

// The slow reference.
template <size_t kBytes>
struct List {
  std::map<std::pair<Address<kBytes>, unsigned>, uint32_t> prefixes;

  uint32_t lookup(const Address<kBytes>& address) const {
    int best_length = -1;
    uint32_t best = 0;
    for (const auto& [prefix, value] : prefixes) {
      if (static_cast<int>(prefix.second) > best_length &&
          covers<kBytes>(prefix.first, prefix.second, address)) {
        best_length = static_cast<int>(prefix.second);
        best = value;
      }
    }
    return best;
  }
};

// Few different byte values, so that prefixes nest and share paths.
template <size_t kBytes>
Address<kBytes> crowded_address(Random& random) {
  static constexpr uint8_t kValues[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
  Address<kBytes> address{};
  const unsigned fixed = random() % 3 == 0 ? 0 : static_cast<unsigned>(random() % kBytes);
  for (unsigned i = 0; i < kBytes; ++i) {
    address[i] =
        i < fixed ? uint8_t{10} : kValues[random() % (random() % 2 == 0 ? 2 : std::size(kValues))];
  }
  if (random() % 4 == 0) address[kBytes - 1] = static_cast<uint8_t>(random());
  return address;
}

// One of 16 addresses: with all lengths, deep chains of nested prefixes.
template <size_t kBytes>
Address<kBytes> chained_address(Random& random) {
  Random of_chain(random() % 16);
  Address<kBytes> address{};
  for (uint8_t& byte : address) byte = static_cast<uint8_t>(of_chain() % 3);
  return address;
}

template <size_t kBytes>
unsigned some_length(Random& random) {
  constexpr unsigned kBits = kBytes * 8;
  switch (random() % 4) {
    case 0:
      return kBits;
    case 1:
      return static_cast<unsigned>(random() % (kBytes + 1)) * 8;
    default:
      return static_cast<unsigned>(random() % (kBits + 1));
  }
}

template <size_t kBytes>
void expect_same_lookups(const PrefixTrie<kBytes>& trie, const List<kBytes>& list, Random& random) {
  std::array<Address<kBytes>, 64> addresses;
  std::array<const uint8_t*, 64> pointers;
  std::array<uint32_t, 64> values;
  const size_t count = 1 + random() % 64;
  for (size_t i = 0; i < count; ++i) {
    addresses[i] =
        random() % 4 == 0 ? chained_address<kBytes>(random) : crowded_address<kBytes>(random);
    pointers[i] = addresses[i].data();
  }
  trie.reader().lookup_batch(pointers.data(), count, values.data());
  for (size_t i = 0; i < count; ++i) {
    const uint32_t expected = list.lookup(addresses[i]);
    ASSERT_EQ(trie.lookup(addresses[i].data()), expected);
    ASSERT_EQ(values[i], expected);
  }
}

template <size_t kBytes>
void random_changes(uint64_t seed, size_t changes, size_t most, bool chains) {
  Random random(seed);
  LateDefer late;
  auto created = PrefixTrie<kBytes>::create(kRoom, late.defer());
  ASSERT_TRUE(created.ok());
  PrefixTrie<kBytes>& trie = **created;
  const size_t empty_bytes = trie.memory_bytes();
  List<kBytes> list;
  for (size_t i = 0; i < changes; ++i) {
    const auto address = chains ? chained_address<kBytes>(random) : crowded_address<kBytes>(random);
    const unsigned length = some_length<kBytes>(random);
    const auto key = std::pair(masked<kBytes>(address, length), length);
    const bool grow = list.prefixes.size() < (i / 400 % 2 == 0 ? most : most / 8);
    if (random() % 5 < (grow ? 4U : 1U)) {
      const auto value = static_cast<uint32_t>(1 + random() % 1000);
      ASSERT_TRUE(trie.set(address.data(), length, value).ok());
      list.prefixes[key] = value;
    } else if (random() % 3 == 0 || list.prefixes.empty()) {
      ASSERT_EQ(trie.remove(address.data(), length), list.prefixes.erase(key) == 1);
    } else {
      auto victim = list.prefixes.begin();
      std::advance(victim, static_cast<long>(random() % list.prefixes.size()));
      ASSERT_TRUE(trie.remove(victim->first.first.data(), victim->first.second));
      list.prefixes.erase(victim);
    }
    ASSERT_EQ(trie.size(), list.prefixes.size());
    late.run_all_but(8);
    if (i % 4 == 0) expect_same_lookups<kBytes>(trie, list, random);
  }
  size_t visited = 0;
  trie.for_each([&](const uint8_t* address, unsigned length, uint32_t value) {
    Address<kBytes> copy;
    std::copy_n(address, kBytes, copy.begin());
    const auto found = list.prefixes.find({copy, length});
    ASSERT_NE(found, list.prefixes.end());
    EXPECT_EQ(found->second, value);
    EXPECT_EQ(trie.exact(address, length), std::optional<uint32_t>(value));
    ++visited;
  });
  EXPECT_EQ(visited, list.prefixes.size());
  // Emptied, it is as small as it was.
  for (const auto& [key, value] : list.prefixes) {
    ASSERT_TRUE(trie.remove(key.first.data(), key.second));
  }
  late.run_all_but(0);
  EXPECT_EQ(trie.size(), 0U);
  EXPECT_EQ(trie.memory_bytes(), empty_bytes);
}

TEST(PrefixTrie, random_changes_ipv4_same_as_list) {
  for (uint64_t seed = 1; seed <= 4; ++seed) random_changes<4>(seed, 3000, 300, false);
  random_changes<4>(99, 3000, 30, false);
}
TEST(PrefixTrie, nested_chains_ipv4_same_as_list) {
  for (uint64_t seed = 1; seed <= 4; ++seed) random_changes<4>(seed, 3000, 200, true);
}

TEST(PrefixTrie, random_changes_ipv6_same_as_list) {
  for (uint64_t seed = 1; seed <= 4; ++seed) random_changes<16>(seed, 3000, 300, false);
  random_changes<16>(99, 3000, 30, false);
}
TEST(PrefixTrie, nested_chains_ipv6_same_as_list) {
  for (uint64_t seed = 1; seed <= 4; ++seed) random_changes<16>(seed, 3000, 200, true);
}

template <size_t kBytes>
std::unique_ptr<PrefixTrie<kBytes>> make_trie(size_t capacity_bytes = kRoom) {
  auto created =
      PrefixTrie<kBytes>::create(capacity_bytes, [](const std::function<void()>& fn) { fn(); });
  return created.ok() ? std::move(*created) : nullptr;
}

template <size_t kBytes>
Address<kBytes> any_address(Random& random) {
  Address<kBytes> address;
  for (uint8_t& byte : address) byte = static_cast<uint8_t>(random());
  return address;
}

TEST(PrefixTrie, bad_arguments_refused) {
  auto trie = make_trie<4>();
  const uint8_t address[4] = {10, 0, 0, 1};
  EXPECT_FALSE(trie->set(address, 33, 1).ok());
  EXPECT_FALSE(trie->set(address, 32, 0).ok());
  EXPECT_FALSE(trie->remove(address, 33));
  EXPECT_FALSE(trie->remove(address, 32));
  EXPECT_FALSE(trie->exact(address, 40).has_value());
  EXPECT_EQ(trie->size(), 0U);
  EXPECT_FALSE(PrefixTrie<4>::create(100, nullptr).ok());
  EXPECT_FALSE(PrefixTrie<4>::create(size_t{1} << 40, nullptr).ok());
}

// Where the room is used up, an addition fails and changes nothing; removals and replacements work.
template <size_t kBytes>
void expect_full_trie_refuses(uint64_t seed) {
  Random random(seed);
  auto trie = make_trie<kBytes>(20'000);
  ASSERT_NE(trie, nullptr);
  List<kBytes> list;
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    const auto address = crowded_address<kBytes>(random);
    const unsigned length = some_length<kBytes>(random);
    const auto key = std::pair(masked<kBytes>(address, length), length);
    const size_t bytes_before = trie->memory_bytes();
    if (trie->set(address.data(), length, 7).ok()) {
      list.prefixes[key] = 7;
    } else {
      ++refused;
      ASSERT_EQ(trie->memory_bytes(), bytes_before);
      ASSERT_EQ(list.prefixes.count(key), 0U);
    }
    if (i % 3 == 0 && !list.prefixes.empty()) {
      auto victim = list.prefixes.begin();
      std::advance(victim, static_cast<long>(random() % list.prefixes.size()));
      ASSERT_TRUE(trie->remove(victim->first.first.data(), victim->first.second));
      list.prefixes.erase(victim);
    }
    ASSERT_EQ(trie->size(), list.prefixes.size());
    ASSERT_LE(trie->memory_bytes(), 20'000U);
    if (i % 8 == 0) expect_same_lookups<kBytes>(*trie, list, random);
  }
  EXPECT_GT(refused, 0);
}

TEST(PrefixTrie, full_ipv4_refuses_and_stays_as_it_was) { expect_full_trie_refuses<4>(5); }
TEST(PrefixTrie, full_ipv6_refuses_and_stays_as_it_was) { expect_full_trie_refuses<16>(6); }

double ms_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

// Adds 100,000 hosts, changes the default route over them, removes them; says what it cost.
template <size_t kBytes>
void hundred_thousand_hosts(const std::vector<Address<kBytes>>& hosts, size_t most_bytes,
                            const char* what) {
  auto trie = make_trie<kBytes>();
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < hosts.size(); ++i) {
    ASSERT_TRUE(trie->set(hosts[i].data(), kBytes * 8, static_cast<uint32_t>(i + 1)).ok());
  }
  const double set_ms = ms_since(start);
  const size_t bytes = trie->memory_bytes();
  EXPECT_LE(bytes, most_bytes);
  const auto default_start = std::chrono::steady_clock::now();
  const uint8_t zero[kBytes] = {};
  for (uint32_t i = 1; i <= 1000; ++i) {
    ASSERT_TRUE(trie->set(zero, 0, i).ok());
    if (i % 2 == 0) {
      ASSERT_TRUE(trie->remove(zero, 0));
    }
  }
  const double default_ms = ms_since(default_start);
  EXPECT_EQ(trie->memory_bytes(), bytes);
  for (size_t i = 0; i < hosts.size(); ++i) ASSERT_EQ(trie->lookup(hosts[i].data()), i + 1);
  const auto remove_start = std::chrono::steady_clock::now();
  for (const auto& host : hosts) ASSERT_TRUE(trie->remove(host.data(), kBytes * 8));
  std::printf("%s: %zu hosts, %.1f MB; set %.0f ms, remove %.0f ms, default route %.1f us\n", what,
              hosts.size(), static_cast<double>(bytes) / 1e6, set_ms, ms_since(remove_start),
              default_ms / 1.5);
}

template <size_t kBytes>
std::vector<Address<kBytes>> different_hosts(const std::function<Address<kBytes>(uint32_t)>& make) {
  std::map<Address<kBytes>, bool> seen;
  std::vector<Address<kBytes>> hosts;
  for (uint32_t i = 0; hosts.size() < 100'000; ++i) {
    const auto host = make(i);
    if (seen.emplace(host, true).second) hosts.push_back(host);
  }
  return hosts;
}

TEST(PrefixTrie, hundred_thousand_random_ipv6_hosts_bounded_memory) {
  Random random(1);
  hundred_thousand_hosts<16>(different_hosts<16>([&](uint32_t) { return any_address<16>(random); }),
                             16'000'000, "IPv6 random");
}

TEST(PrefixTrie, hundred_thousand_ipv6_hosts_of_one_network_bounded_memory) {
  Random random(2);
  hundred_thousand_hosts<16>(different_hosts<16>([&](uint32_t) {
                               auto host = any_address<16>(random);
                               constexpr uint8_t kNetwork[] = {0xfd, 0, 0, 1, 0, 2, 0, 3};
                               std::copy(std::begin(kNetwork), std::end(kNetwork), host.begin());
                               return host;
                             }),
                             16'000'000, "IPv6 in a /64");
}

TEST(PrefixTrie, hundred_thousand_random_ipv4_hosts_bounded_memory) {
  Random random(3);
  hundred_thousand_hosts<4>(different_hosts<4>([&](uint32_t) { return any_address<4>(random); }),
                            12'000'000, "IPv4 random");
}

TEST(PrefixTrie, hundred_thousand_ipv4_hosts_in_a_row_bounded_memory) {
  hundred_thousand_hosts<4>(
      different_hosts<4>([](uint32_t i) { return Ipv4Address::from_host(0x0a000000U + i).bytes; }),
      2'000'000, "IPv4 in a row");
}

TEST(IpPrefixTrie, families_are_apart) {
  auto created = IpPrefixTrie::create(kRoom, [](const std::function<void()>& fn) { fn(); });
  ASSERT_TRUE(created.ok());
  IpPrefixTrie& trie = **created;
  const auto prefix = [](const char* text) { return *IpPrefix::parse(text); };
  const auto address = [](const char* text) { return *IpAddress::parse(text); };
  ASSERT_TRUE(trie.set(prefix("0.0.0.0/0"), 1).ok());
  EXPECT_EQ(trie.lookup(address("fd00::1")), 0U);
  ASSERT_TRUE(trie.set(prefix("fd00::/8"), 2).ok());
  ASSERT_TRUE(trie.set(prefix("10.1.2.0/24"), 3).ok());
  EXPECT_EQ(trie.lookup(address("fd00::1")), 2U);
  EXPECT_EQ(trie.lookup(address("10.1.2.9")), 3U);
  EXPECT_EQ(trie.lookup(address("10.1.3.9")), 1U);
  EXPECT_EQ(trie.lookup_v4(address("10.1.2.1").bytes().data()), 3U);
  EXPECT_EQ(trie.lookup_v6(address("fd12::1").bytes().data()), 2U);
  EXPECT_EQ(trie.exact(prefix("10.1.2.0/24")), std::optional<uint32_t>(3));
  std::string all;
  trie.for_each([&](const IpPrefix& p, uint32_t value) {
    all += p.to_string() + "=" + std::to_string(value) + " ";
  });
  EXPECT_EQ(all, "0.0.0.0/0=1 10.1.2.0/24=3 fd00::/8=2 ");
  EXPECT_TRUE(trie.remove(prefix("0.0.0.0/0")));
  EXPECT_FALSE(trie.remove(prefix("0.0.0.0/0")));
  EXPECT_EQ(trie.lookup(address("10.1.3.9")), 0U);
  EXPECT_EQ(trie.size(), 2U);
}

}  // namespace
}  // namespace penstock
