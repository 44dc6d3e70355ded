// The memory of a PrefixTrie and the walk through it: the part that workers run.
//
// A node looks at one byte of the address, number `depth`. It holds the prefixes that end in that
// byte, each expanded over the entries it covers (the longest wins), and leads on to longer ones.
// Bytes in which all prefixes below agree are skipped: such a node is checked against the path it
// stands for. Few prefixes below an entry are not worth a node of 2 KB: they sit in a bucket, a
// short list sorted longest first.
//
// Everything lives in one arena and is named by its 64-byte unit there. What readers load is either
// immutable once published (path, keys) or one atomic word (entry, value). A changed bucket or a
// new node is completed first and then published by a release store of the one entry that leads to
// it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace penstock::trie {

inline constexpr size_t kUnitBytes = 64;

// What an entry leads to: a kind in the two low bits and a unit of the arena above them.
using Reference = uint32_t;
enum Kind : uint32_t {
  kNone = 0,     // the whole reference is 0
  kNext = 1,     // a node whose depth is one more
  kSkipped = 2,  // a node further down: its path has to be compared
  kBucket = 3,
};
inline Kind kind_of(Reference reference) { return static_cast<Kind>(reference & 3); }

// An entry is one word, so that value and reference change together: value low, reference high.
inline uint32_t value_of(uint64_t entry) { return static_cast<uint32_t>(entry); }
inline Reference reference_of(uint64_t entry) { return static_cast<Reference>(entry >> 32); }
inline uint64_t make_entry(uint32_t value, Reference reference) {
  return uint64_t{reference} << 32 | value;
}

struct alignas(kUnitBytes) Node {
  uint8_t path[16] = {};  // the address bytes before `depth`
  uint32_t depth = 0;
  alignas(kUnitBytes) std::atomic<uint64_t> entries[256] = {};
  // Of the control thread alone, in cache lines that readers never touch:
  uint8_t owner[256] = {};  // 1 + length of the prefix whose value an entry holds, 0: none
  uint32_t prefixes = 0;    // in this node and everything below
  uint32_t used = 0;        // entries that hold a value or a reference
};

// At most kMaxItems prefixes, longest first. Removing one sets its value to 0, replacing one
// changes its value; adding one makes another bucket.
template <size_t kBytes>
struct alignas(kUnitBytes) Bucket {
  static constexpr size_t kMaxItems = kBytes == 4 ? 7 : 6;
  uint8_t addresses[kMaxItems][kBytes] = {};
  std::atomic<uint32_t> values[kMaxItems] = {};
  uint8_t lengths[kMaxItems] = {};
  uint8_t count = 0;
};
static_assert(sizeof(Bucket<4>) == kUnitBytes && sizeof(Bucket<16>) == 2 * kUnitBytes);

template <class T>
const T* at(const uint8_t* base, Reference reference) {
  return reinterpret_cast<const T*>(base + uint64_t{reference >> 2} * kUnitBytes);
}

template <class T>
T load(const uint8_t* from) {
  T word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// Do the first `bytes` bytes agree? Requires 1 <= bytes < kBytes. In a little-endian word the first
// bytes are the low ones.
template <size_t kBytes>
bool same_bytes(const uint8_t* a, const uint8_t* b, uint32_t bytes) {
  if constexpr (kBytes == 4) {
    return (load<uint32_t>(a) ^ load<uint32_t>(b)) << (32 - 8 * bytes) == 0;
  } else {
    const uint64_t first = load<uint64_t>(a) ^ load<uint64_t>(b);
    if (bytes <= 8) return first << (64 - 8 * bytes) == 0;
    const uint64_t second = load<uint64_t>(a + 8) ^ load<uint64_t>(b + 8);
    return (first | second << (128 - 8 * bytes)) == 0;
  }
}

// Do the first `bits` bits agree? Requires 1 <= bits <= 8 * kBytes.
template <size_t kBytes>
bool same_bits(const uint8_t* a, const uint8_t* b, uint32_t bits) {
  if constexpr (kBytes == 4) {
    return __builtin_bswap32(load<uint32_t>(a) ^ load<uint32_t>(b)) >> (32 - bits) == 0;
  } else {
    const uint64_t first = __builtin_bswap64(load<uint64_t>(a) ^ load<uint64_t>(b));
    if (bits <= 64) return first >> (64 - bits) == 0;
    const uint64_t second = __builtin_bswap64(load<uint64_t>(a + 8) ^ load<uint64_t>(b + 8));
    return (first | second >> (128 - bits)) == 0;
  }
}

template <size_t kBytes>
uint32_t lookup_in_bucket(const Bucket<kBytes>& bucket, const uint8_t* address, uint32_t best) {
  for (uint32_t i = 0; i < bucket.count; ++i) {
    if (same_bits<kBytes>(bucket.addresses[i], address, bucket.lengths[i])) {
      const uint32_t value = bucket.values[i].load(std::memory_order_relaxed);
      if (value != 0) return value;
    }
  }
  return best;
}

// One node further: takes the value on the way and the reference that leads on (0: the end).
template <size_t kBytes>
Reference step(const uint8_t* base, Reference reference, const uint8_t* address, uint32_t& depth,
               uint32_t& best) {
  const Node* node = at<Node>(base, reference);
  if (kind_of(reference) == kSkipped) {
    if (!same_bytes<kBytes>(node->path, address, node->depth)) return 0;
    depth = node->depth;
  } else {
    ++depth;
  }
  const uint64_t entry = node->entries[address[depth]].load(std::memory_order_acquire);
  if (value_of(entry) != 0) best = value_of(entry);
  return reference_of(entry);
}

// Inline by force: a call costs as much as two levels.
template <size_t kBytes>
[[gnu::always_inline]] inline uint32_t lookup(const uint8_t* base, const uint8_t* address) {
  const Node* root = at<Node>(base, 0);
  const uint64_t entry = root->entries[address[0]].load(std::memory_order_acquire);
  uint32_t best = value_of(entry);
  uint32_t depth = 0;
  Reference reference = reference_of(entry);
  while (reference != 0) {
    if (kind_of(reference) == kBucket) {
      return lookup_in_bucket<kBytes>(*at<Bucket<kBytes>>(base, reference), address, best);
    }
    reference = step<kBytes>(base, reference, address, depth, best);
  }
  return best;
}

// Walks all addresses one level at a time, fetching the next level of each meanwhile.
template <size_t kBytes>
void lookup_batch(const uint8_t* base, const uint8_t* const* addresses, size_t count,
                  uint32_t* values) {
  const Node* root = at<Node>(base, 0);
  Reference references[64];
  uint32_t depths[64];
  uint8_t active[64];
  size_t left = 0;
  const auto advance = [&](size_t i, Reference reference, size_t& kept) {
    if (reference == 0) return;
    references[i] = reference;
    active[kept++] = static_cast<uint8_t>(i);
    const uint8_t* next = base + uint64_t{reference >> 2} * kUnitBytes;
    if (kind_of(reference) == kNext) {
      __builtin_prefetch(
          &reinterpret_cast<const Node*>(next)->entries[addresses[i][depths[i] + 1]]);
    } else {
      __builtin_prefetch(next);
    }
  };
  for (size_t i = 0; i < count; ++i) {
    const uint64_t entry = root->entries[addresses[i][0]].load(std::memory_order_acquire);
    values[i] = value_of(entry);
    depths[i] = 0;
    advance(i, reference_of(entry), left);
  }
  while (left != 0) {
    size_t kept = 0;
    for (size_t k = 0; k < left; ++k) {
      const size_t i = active[k];
      const Reference reference = references[i];
      if (kind_of(reference) == kBucket) {
        values[i] =
            lookup_in_bucket<kBytes>(*at<Bucket<kBytes>>(base, reference), addresses[i], values[i]);
      } else {
        advance(i, step<kBytes>(base, reference, addresses[i], depths[i], values[i]), kept);
      }
    }
    left = kept;
  }
}

}  // namespace penstock::trie
