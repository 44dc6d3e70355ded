#include "dataplane/wire/reassembly.h"

#include <algorithm>
#include <bit>

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/ecn.h"

namespace penstock {
namespace {

constexpr uint64_t mix(uint64_t value) {
  value ^= value >> 32;
  value *= 0x9e3779b97f4a7c15;
  value ^= value >> 29;
  value *= 0xbf58476d1ce4e5b9;
  return value ^ value >> 32;
}

constexpr uint8_t ecn_bit(uint8_t traffic_class) {
  return static_cast<uint8_t>(1U << (traffic_class & kEcnMask));
}
constexpr uint8_t kSawNotEct = 1U << kEcnNotEct;
constexpr uint8_t kSawCe = 1U << kEcnCe;

}  // namespace

Reassembler::Reassembler(const ReassemblyLimits& limits, uint64_t hash_seed)
    : limits_(limits),
      seed_(hash_seed),
      buckets_(std::bit_ceil(std::max<size_t>(2 * size_t{limits.datagrams}, 16))),
      datagrams_(limits.datagrams),
      pieces_(size_t{limits.datagrams} * limits.fragments_per_datagram),
      next_block_(std::max<uint32_t>(limits.memory_bytes / kBlockBytes, 1)),
      blocks_(next_block_.size() * kBlockBytes),
      whole_(kMaxHeaderBytes + kMaxDatagramBytes) {
  free_.reserve(limits.datagrams);
  for (uint32_t i = limits.datagrams; i > 0; --i) free_.push_back(i - 1);
  free_blocks_ = block_count();
  for (uint32_t i = 0; i < free_blocks_; ++i) next_block_[i] = i + 1;
  next_block_.back() = kNone;
  first_free_block_ = 0;
}

// --- parsing ------------------------------------------------------------------------------------

bool Reassembler::parse_ipv4(Bytes packet, Parsed& out) {
  const auto* ip = header_at<Ipv4Header>(packet);
  if (ip == nullptr || ip->header_bytes() < sizeof *ip || ip->total_length.get() != packet.size() ||
      ip->header_bytes() > packet.size()) {
    return false;
  }
  out.key = {ip->source, ip->destination, ip->identification.get(), ip->protocol};
  out.header = packet.first(ip->header_bytes());
  out.payload = packet.subspan(ip->header_bytes());
  out.offset = ip->offset_bytes();
  out.more = ip->more_fragments();
  out.ecn = ecn_bit(ip->tos);
  return out.more || out.offset != 0;
}

bool Reassembler::parse_ipv6(Bytes packet, Parsed& out) {
  const auto* ip = header_at<Ipv6Header>(packet);
  if (ip == nullptr || sizeof *ip + ip->payload_length.get() != packet.size()) return false;
  const auto upper = find_ipv6_upper(packet);
  if (!upper || upper->fragment_offset == 0 || upper->fragment_offset > kMaxHeaderBytes)
    return false;
  const auto* fragment = header_at<Ipv6FragmentHeader>(packet, upper->fragment_offset);
  if (fragment == nullptr) return false;
  out.key = {ip->source, ip->destination, fragment->identification.get(), 0};
  out.header = packet.first(upper->fragment_offset);
  out.payload = packet.subspan(upper->fragment_offset + sizeof *fragment);
  out.offset = fragment->offset_bytes();
  out.more = fragment->more_fragments();
  out.ecn = ecn_bit(ip->traffic_class());
  out.next_header = fragment->next_header;
  out.next_header_at = upper->before_fragment_offset;
  // RFC 7112 5: the first fragment holds the whole chain of headers, so that whoever looks at a
  // fragment by itself sees what it is of.
  return out.offset != 0 || upper->offset < packet.size();
}

// What a fragment must satisfy by itself.
bool Reassembler::parse(Bytes packet, Parsed& out) const {
  if (packet.empty()) return false;
  const unsigned version = packet[0] >> 4;
  if (version == 4 ? !parse_ipv4(packet, out) : version != 6 || !parse_ipv6(packet, out))
    return false;
  const size_t length = out.payload.size();
  if (length == 0 || (out.more && length % 8 != 0)) return false;
  if (out.more && length < limits_.minimum_fragment_bytes) return false;
  // The whole must be expressible: IPv4 counts its header, IPv6 only what follows the fixed one.
  const size_t front = version == 4 ? out.header.size() : out.header.size() - sizeof(Ipv6Header);
  return front + out.offset + length <= kMaxDatagramBytes;
}

// --- lists --------------------------------------------------------------------------------------

void Reassembler::push_back(List& list, Link Datagram::*link, uint32_t index) {
  Link& own = datagrams_[index].*link;
  own = {list.tail, kNone};
  if (list.tail == kNone) {
    list.head = index;
  } else {
    (datagrams_[list.tail].*link).next = index;
  }
  list.tail = index;
  ++list.count;
}

void Reassembler::unlink(List& list, Link Datagram::*link, uint32_t index) {
  const Link own = datagrams_[index].*link;
  (own.previous == kNone ? list.head : (datagrams_[own.previous].*link).next) = own.next;
  (own.next == kNone ? list.tail : (datagrams_[own.next].*link).previous) = own.previous;
  --list.count;
}

// --- the table ----------------------------------------------------------------------------------

uint32_t Reassembler::bucket_of(const IpAddress& source) const {
  uint64_t hash = seed_;
  const Bytes bytes = source.bytes();
  for (size_t at = 0; at < bytes.size(); at += 4) {
    hash = mix(hash ^ load_unaligned<uint32_t>(bytes.data() + at));
  }
  return static_cast<uint32_t>(hash & (buckets_.size() - 1));
}

uint32_t Reassembler::find(const Key& key, uint32_t bucket) const {
  uint32_t at = buckets_[bucket].head;
  while (at != kNone && !(datagrams_[at].key == key)) at = datagrams_[at].by_source.next;
  return at;
}

uint32_t Reassembler::create(Nanoseconds now, const Key& key, uint32_t bucket,
                             FragmentDrops& drops) {
  const auto evict = [&](uint32_t index) {
    drops.table_full += datagrams_[index].pieces;
    remove(index);
  };
  if (buckets_[bucket].count >= limits_.datagrams_per_source) evict(buckets_[bucket].head);
  if (free_.empty()) evict(all_.head);
  const uint32_t index = free_.back();
  free_.pop_back();
  Datagram& datagram = datagrams_[index];
  datagram = Datagram{};
  datagram.key = key;
  datagram.bucket = bucket;
  datagram.expires_at = now + limits_.timeout_ns;
  push_back(all_, &Datagram::by_age, index);
  push_back(buckets_[bucket], &Datagram::by_source, index);
  return index;
}

void Reassembler::release_pieces(uint32_t index) {
  Datagram& datagram = datagrams_[index];
  const Piece* pieces = pieces_of(index);
  for (uint32_t i = 0; i < datagram.pieces; ++i) {
    uint32_t last = pieces[i].first_block;
    uint32_t count = 1;
    while (next_block_[last] != kNone) {
      last = next_block_[last];
      ++count;
    }
    next_block_[last] = first_free_block_;
    first_free_block_ = pieces[i].first_block;
    free_blocks_ += count;
  }
  datagram.pieces = 0;
}

void Reassembler::remove(uint32_t index) {
  release_pieces(index);
  Datagram& datagram = datagrams_[index];
  unlink(all_, &Datagram::by_age, index);
  unlink(buckets_[datagram.bucket], &Datagram::by_source, index);
  free_.push_back(index);
}

void Reassembler::condemn(uint32_t index, FragmentDrops& drops) {
  drops.invalid += datagrams_[index].pieces + 1;
  release_pieces(index);
  datagrams_[index].condemned = true;
}

void Reassembler::expire(Nanoseconds now, FragmentDrops& drops) {
  while (all_.head != kNone && datagrams_[all_.head].expires_at <= now) {
    drops.timeout += datagrams_[all_.head].pieces;
    remove(all_.head);
  }
}

Nanoseconds Reassembler::next_timeout() const {
  return all_.head == kNone ? kNever : datagrams_[all_.head].expires_at;
}

// --- pieces -------------------------------------------------------------------------------------

bool Reassembler::same_bytes(const Piece& piece, Bytes payload) const {
  for (uint32_t block = piece.first_block; !payload.empty(); block = next_block_[block]) {
    const size_t length = std::min<size_t>(payload.size(), kBlockBytes);
    if (!equal_bytes(payload.first(length), {&blocks_[size_t{block} * kBlockBytes], length}))
      return false;
    payload = payload.subspan(length);
  }
  return true;
}

Reassembler::Fit Reassembler::fit(uint32_t index, const Parsed& fragment) const {
  const Datagram& datagram = datagrams_[index];
  const uint32_t begin = fragment.offset;
  const uint32_t end = begin + static_cast<uint32_t>(fragment.payload.size());
  const Piece* pieces = pieces_of(index);
  uint32_t highest_end = 0;
  for (uint32_t i = 0; i < datagram.pieces; ++i) {
    const uint32_t piece_end = uint32_t{pieces[i].offset} + pieces[i].length;
    highest_end = std::max(highest_end, piece_end);
    if (end <= pieces[i].offset || piece_end <= begin) continue;
    const bool was_last = piece_end == datagram.total_bytes;
    const bool same = begin == pieces[i].offset && end == piece_end && was_last != fragment.more &&
                      same_bytes(pieces[i], fragment.payload);
    return same ? Fit::kDuplicate : Fit::kConflict;
  }
  // Nothing may lie behind the last fragment, and there is one last fragment.
  if (!fragment.more && (datagram.total_bytes != kNone || end < highest_end)) return Fit::kConflict;
  if (datagram.total_bytes != kNone && end > datagram.total_bytes) return Fit::kConflict;
  if (datagram.pieces == limits_.fragments_per_datagram) return Fit::kConflict;
  return Fit::kNew;
}

// Frees memory for `blocks` by dropping the oldest datagrams, `keep` last of all: false if even it
// had to go.
bool Reassembler::make_room(uint32_t keep, uint32_t blocks, FragmentDrops& drops) {
  while (free_blocks_ < blocks) {
    uint32_t oldest = all_.head;
    if (oldest == keep) oldest = datagrams_[oldest].by_age.next;
    const bool gives_up = oldest == kNone;
    if (gives_up) oldest = keep;
    drops.table_full += datagrams_[oldest].pieces;
    remove(oldest);
    if (gives_up) return false;
  }
  return true;
}

void Reassembler::store(uint32_t index, const Parsed& fragment) {
  Datagram& datagram = datagrams_[index];
  const auto length = static_cast<uint32_t>(fragment.payload.size());
  Piece& piece = pieces_of(index)[datagram.pieces++];
  piece = {static_cast<uint16_t>(fragment.offset), static_cast<uint16_t>(length),
           first_free_block_};
  uint32_t last = kNone;
  for (Bytes rest = fragment.payload; !rest.empty();) {
    last = first_free_block_;
    first_free_block_ = next_block_[last];
    --free_blocks_;
    const Bytes part = rest.first(std::min<size_t>(rest.size(), kBlockBytes));
    std::memcpy(&blocks_[size_t{last} * kBlockBytes], part.data(), part.size());
    rest = rest.subspan(part.size());
  }
  next_block_[last] = kNone;

  datagram.received_bytes += length;
  datagram.ecn_seen |= fragment.ecn;
  if (!fragment.more) datagram.total_bytes = fragment.offset + length;
  if (fragment.offset == 0) {
    datagram.header_bytes = static_cast<uint8_t>(fragment.header.size());
    std::memcpy(datagram.header.data(), fragment.header.data(), fragment.header.size());
    // RFC 8200 4.5: the next header is that of the first fragment.
    if (fragment.key.source.is_v6())
      datagram.header[fragment.next_header_at] = fragment.next_header;
  }
}

// --- the whole ----------------------------------------------------------------------------------

// Completes the header in `whole_`. With one fragment marked CE the packet is (RFC 3168 5.3).
Bytes Reassembler::finish(size_t header_bytes, size_t payload_bytes, bool congestion) {
  if (whole_[0] >> 4 == 4) {
    auto* ip = reinterpret_cast<Ipv4Header*>(whole_.data());
    if (congestion) ip->tos |= kEcnCe;
    ip->total_length.set(static_cast<uint16_t>(header_bytes + payload_bytes));
    ip->fragment.set(0);
    ip->checksum.set(0);
    ip->checksum = internet_checksum(Bytes(whole_).first(header_bytes));
  } else {
    auto* ip = reinterpret_cast<Ipv6Header*>(whole_.data());
    if (congestion) ip->set_traffic_class(ip->traffic_class() | kEcnCe);
    ip->payload_length.set(
        static_cast<uint16_t>(header_bytes - sizeof(Ipv6Header) + payload_bytes));
  }
  return Bytes(whole_).first(header_bytes + payload_bytes);
}

Bytes Reassembler::assemble(uint32_t index) {
  const Datagram& datagram = datagrams_[index];
  std::memcpy(whole_.data(), datagram.header.data(), datagram.header_bytes);
  const Piece* pieces = pieces_of(index);
  for (uint32_t i = 0; i < datagram.pieces; ++i) {
    uint8_t* to = whole_.data() + datagram.header_bytes + pieces[i].offset;
    uint32_t block = pieces[i].first_block;
    for (size_t left = pieces[i].length; left > 0; block = next_block_[block]) {
      const size_t length = std::min<size_t>(left, kBlockBytes);
      std::memcpy(to, &blocks_[size_t{block} * kBlockBytes], length);
      to += length;
      left -= length;
    }
  }
  return finish(datagram.header_bytes, datagram.total_bytes, (datagram.ecn_seen & kSawCe) != 0);
}

Bytes Reassembler::add(Nanoseconds now, Bytes packet, FragmentDrops& drops) {
  expire(now, drops);
  Parsed fragment;
  if (!parse(packet, fragment)) {
    ++drops.invalid;
    return {};
  }
  if (fragment.offset == 0 && !fragment.more) {
    // RFC 6946 4: an atomic fragment is whole by itself, whatever else has its identification.
    std::memcpy(whole_.data(), fragment.header.data(), fragment.header.size());
    whole_[fragment.next_header_at] = fragment.next_header;
    std::memcpy(whole_.data() + fragment.header.size(), fragment.payload.data(),
                fragment.payload.size());
    return finish(fragment.header.size(), fragment.payload.size(), false);
  }

  const uint32_t bucket = bucket_of(fragment.key.source);
  uint32_t index = find(fragment.key, bucket);
  if (index == kNone) index = create(now, fragment.key, bucket, drops);
  if (datagrams_[index].condemned) {
    ++drops.invalid;
    return {};
  }
  switch (fit(index, fragment)) {
    case Fit::kNew:
      break;
    case Fit::kDuplicate:
      ++drops.invalid;
      return {};
    case Fit::kConflict:
      condemn(index, drops);
      return {};
  }
  const auto blocks =
      static_cast<uint32_t>((fragment.payload.size() + kBlockBytes - 1) / kBlockBytes);
  if (!make_room(index, blocks, drops)) {
    ++drops.table_full;
    return {};
  }
  store(index, fragment);

  const Datagram& datagram = datagrams_[index];
  if (datagram.received_bytes != datagram.total_bytes) return {};
  // A first fragment with a longer header than the others may only now turn out too long.
  const size_t front =
      datagram.header_bytes - (fragment.key.source.is_v6() ? sizeof(Ipv6Header) : 0);
  const bool mixed_ecn = (datagram.ecn_seen & kSawCe) != 0 && (datagram.ecn_seen & kSawNotEct) != 0;
  if (front + datagram.total_bytes > kMaxDatagramBytes || mixed_ecn) {
    drops.invalid += datagram.pieces;
    remove(index);
    return {};
  }
  const Bytes whole = assemble(index);
  remove(index);
  return whole;
}

}  // namespace penstock
