// Reassembly of fragmented IPv4 (RFC 791, 815) and IPv6 (RFC 8200 4.5) packets that are addressed
// to the gateway, with a bound on everything and all memory taken at construction.
//
// An overlap condemns the datagram in both families, and what arrives of it later (RFC 5722); an
// exact duplicate is dropped by itself. IPv6 atomic fragments pass without state (RFC 6946). Where
// the table, a source's share or the memory is full, the oldest datagram makes room: with spoofed
// fragments arriving, one that is being completed has the best chances, as it is young.
// Not handled: ICMP Time Exceeded when a datagram times out.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"
#include "gateway/base/bytes.h"
#include "gateway/base/clock.h"
#include "gateway/base/net.h"

namespace penstock {

struct ReassemblyLimits {
  uint32_t datagrams = 1024;           // in reassembly at a time
  uint32_t datagrams_per_source = 32;  // of one source address (of all that share a hash bucket)
  uint32_t memory_bytes = 4 << 20;     // of payload that waits
  uint32_t fragments_per_datagram = 128;
  // Of a fragment's payload, unless it is the last: what fits the smallest MTU of RFC 791.
  uint32_t minimum_fragment_bytes = 48;
  Nanoseconds timeout_ns = 5 * kSecond;
};

// Fragments that were dropped, by DropReason.
struct FragmentDrops {
  uint64_t table_full = 0;  // kFragmentTableFull
  uint64_t invalid = 0;     // kFragmentInvalid
  uint64_t timeout = 0;     // kFragmentTimeout
};

class Reassembler {
 public:
  // `hash_seed` is secret and random: nobody shall choose addresses that share a bucket.
  Reassembler(const ReassemblyLimits& limits, uint64_t hash_seed);
  Reassembler(const Reassembler&) = delete;
  Reassembler& operator=(const Reassembler&) = delete;

  // Takes one fragment: a whole IP packet of exactly the length that its header says, header
  // checked, IPv4 with an offset or MF, IPv6 with a fragment header. Returns the whole packet
  // without its fragment header when this completes it, valid until the next call; else nothing.
  // Every fragment ends as part of a returned packet, or is counted in `drops`, or still waits.
  Bytes add(Nanoseconds now, Bytes packet, FragmentDrops& drops);

  // Drops what is older than the timeout. add() does it too.
  void expire(Nanoseconds now, FragmentDrops& drops);

  [[nodiscard]] Nanoseconds next_timeout() const;  // kNever: nothing waits
  [[nodiscard]] uint32_t datagrams() const { return all_.count; }
  [[nodiscard]] uint32_t memory_used_bytes() const {
    return (block_count() - free_blocks_) * kBlockBytes;
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kBlockBytes = 512;
  static constexpr size_t kMaxHeaderBytes = 128;  // in front of the fragmented part
  static constexpr size_t kMaxDatagramBytes = 65535;

  struct Key {
    IpAddress source;
    IpAddress destination;
    uint32_t identification = 0;
    uint8_t protocol = 0;  // IPv4 only: RFC 8200 leaves the next header out
    friend bool operator==(const Key&, const Key&) = default;
  };

  struct Piece {
    uint16_t offset;
    uint16_t length;
    uint32_t first_block;
  };

  struct Link {
    uint32_t previous = kNone;
    uint32_t next = kNone;
  };
  struct List {
    uint32_t head = kNone;  // the oldest
    uint32_t tail = kNone;
    uint32_t count = 0;
  };

  // One datagram. In two lists: of all by age, and of its bucket by age.
  struct Datagram {
    Key key;
    Link by_age;
    Link by_source;
    Nanoseconds expires_at = 0;
    uint32_t bucket = 0;
    uint32_t pieces = 0;
    uint32_t received_bytes = 0;
    uint32_t total_bytes = kNone;  // of the fragmented part, known from the last fragment
    uint8_t ecn_seen = 0;          // bit n: a fragment had ECN codepoint n
    bool condemned = false;        // an overlap: holds nothing, refuses what still comes
    uint8_t header_bytes = 0;      // 0: the first fragment is missing
    std::array<uint8_t, kMaxHeaderBytes> header{};
  };

  // A fragment, parsed and checked by itself.
  struct Parsed {
    Key key;
    Bytes header;  // to go in front of the whole: without the fragment header
    Bytes payload;
    uint32_t offset = 0;
    bool more = false;
    uint8_t ecn = 0;
    // IPv6: where in `header` the next header is named, and what it is.
    size_t next_header_at = 0;
    uint8_t next_header = 0;
  };

  [[nodiscard]] bool parse(Bytes packet, Parsed& out) const;
  [[nodiscard]] static bool parse_ipv4(Bytes packet, Parsed& out);
  [[nodiscard]] static bool parse_ipv6(Bytes packet, Parsed& out);

  [[nodiscard]] uint32_t bucket_of(const IpAddress& source) const;
  [[nodiscard]] uint32_t find(const Key& key, uint32_t bucket) const;
  uint32_t create(Nanoseconds now, const Key& key, uint32_t bucket, FragmentDrops& drops);
  void remove(uint32_t index);
  void release_pieces(uint32_t index);
  void condemn(uint32_t index, FragmentDrops& drops);
  enum class Fit { kNew, kDuplicate, kConflict };
  [[nodiscard]] Fit fit(uint32_t index, const Parsed& fragment) const;
  [[nodiscard]] bool same_bytes(const Piece& piece, Bytes payload) const;
  bool make_room(uint32_t keep, uint32_t blocks, FragmentDrops& drops);
  void store(uint32_t index, const Parsed& fragment);
  Bytes assemble(uint32_t index);
  Bytes finish(size_t header_bytes, size_t payload_bytes, bool congestion);

  void push_back(List& list, Link Datagram::*link, uint32_t index);
  void unlink(List& list, Link Datagram::*link, uint32_t index);
  [[nodiscard]] Piece* pieces_of(uint32_t index) {
    return &pieces_[size_t{index} * limits_.fragments_per_datagram];
  }
  [[nodiscard]] const Piece* pieces_of(uint32_t index) const {
    return &pieces_[size_t{index} * limits_.fragments_per_datagram];
  }
  [[nodiscard]] uint32_t block_count() const { return static_cast<uint32_t>(next_block_.size()); }

  ReassemblyLimits limits_;
  uint64_t seed_;
  uint32_t free_blocks_ = 0;
  uint32_t first_free_block_ = kNone;
  List all_;
  std::vector<uint32_t> free_;
  std::vector<List> buckets_;
  std::vector<Datagram> datagrams_;
  std::vector<Piece> pieces_;
  std::vector<uint32_t> next_block_;
  std::vector<uint8_t> blocks_;
  std::vector<uint8_t> whole_;  // the datagram that add() returned last
};

}  // namespace penstock
