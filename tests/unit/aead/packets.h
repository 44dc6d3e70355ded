// Packets of every algorithm, and jobs made of them.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "dataplane/crypto/aead.h"
#include "gateway/base/bytes.h"

namespace penstock {

using Random = std::mt19937_64;

inline constexpr SaAlgorithm kAlgorithms[] = {
    SaAlgorithm::kChacha20Poly1305, SaAlgorithm::kAes128Gcm16, SaAlgorithm::kAes256Gcm16,
    SaAlgorithm::kAes128CbcSha256, SaAlgorithm::kAes256CbcSha256};
static_assert(std::size(kAlgorithms) == kSaAlgorithmCount);

inline void fill(Random& random, MutableBytes bytes) {
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
}

// Memory that ends where the object ends, but for its alignment: so that the address sanitizer and
// guard pages see who goes further.
class AlignedBytes {
 public:
  explicit AlignedBytes(size_t size)
      : bytes_(static_cast<uint8_t*>(std::aligned_alloc(64, size))), size_(size) {}
  [[nodiscard]] uint8_t* data() const { return bytes_.get(); }
  [[nodiscard]] size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(uint8_t* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<uint8_t, Free> bytes_;
  size_t size_;
};

// What a packet is before an engine makes jobs of it.
struct Packet {
  SaKeys keys;
  size_t front = 0;   // CBC: bytes in front of the data, in the same buffer
  ByteVector buffer;  // front, data, tag
  size_t length = 0;
  ByteVector aad;  // of AEADs
  uint8_t nonce[kAeadNonceBytes];
  bool appends = false;
  uint32_t sequence_high = 0;

  uint8_t* data() { return buffer.data() + front; }
  uint8_t* tag() { return data() + length; }
};

// CBC takes whole blocks, and its AAD lies in front.
inline Packet random_packet(Random& random, SaAlgorithm algorithm, size_t length,
                            size_t aad_length) {
  Packet packet;
  if (is_cbc(algorithm)) {
    packet.front = kCbcIvBytes + aad_length;
    packet.length = std::max(length / kCbcBlockBytes, size_t{1}) * kCbcBlockBytes;
    packet.appends = random() % 2 == 0;
    packet.sequence_high = static_cast<uint32_t>(random());
  } else {
    packet.length = length;
    packet.aad.resize(aad_length);
    fill(random, packet.aad);
  }
  packet.buffer.resize(packet.front + packet.length + kAeadTagBytes);
  fill(random, packet.buffer);
  fill(random, packet.nonce);
  fill(random, packet.keys.cipher_key.mutable_bytes());
  fill(random, packet.keys.auth_key.mutable_bytes());
  return packet;
}

// An engine with packets as it takes them.
class Keyed {
 public:
  Keyed(AeadEngine& engine, SaAlgorithm algorithm) : engine_(engine), algorithm_(algorithm) {}

  AeadJob job_of(Packet& packet) {
    AeadJob job;
    const size_t bytes = expanded_key_bytes(algorithm_);
    AlignedBytes& key = keys_.emplace_back(bytes);
    engine_.expand_key(packet.keys, key.data());
    job.key = key.data();
    job.data = packet.length == 0 ? nullptr : packet.data();
    job.length = static_cast<uint32_t>(packet.length);
    job.tag = packet.tag();
    job.aad = packet.aad.empty() ? nullptr : packet.aad.data();
    job.aad_length = static_cast<uint32_t>(is_cbc(algorithm_) ? packet.front : packet.aad.size());
    job.appends_sequence_high = packet.appends;
    job.sequence_high = packet.sequence_high;
    std::copy(std::begin(packet.nonce), std::end(packet.nonce), job.nonce);
    return job;
  }
  std::vector<AeadJob> jobs_of(std::vector<Packet>& packets) {
    std::vector<AeadJob> jobs;
    for (Packet& packet : packets) jobs.push_back(job_of(packet));
    return jobs;
  }

 private:
  AeadEngine& engine_;
  SaAlgorithm algorithm_;
  std::deque<AlignedBytes> keys_;
};

inline std::string name_of(AeadPath path) {
  switch (path) {
    case AeadPath::kBest:
      return "best";
    case AeadPath::kSse:
      return "sse";
    case AeadPath::kAvx:
      return "avx";
    case AeadPath::kAvx2:
      return "avx2";
    case AeadPath::kAvx512:
      return "avx512";
  }
  return "unknown";
}

inline std::string name_of(SaAlgorithm algorithm) {
  switch (algorithm) {
    case SaAlgorithm::kChacha20Poly1305:
      return "chacha20poly1305";
    case SaAlgorithm::kAes128Gcm16:
      return "aes128gcm";
    case SaAlgorithm::kAes256Gcm16:
      return "aes256gcm";
    case SaAlgorithm::kAes128CbcSha256:
      return "aes128cbc_sha256";
    case SaAlgorithm::kAes256CbcSha256:
      return "aes256cbc_sha256";
  }
  return "unknown";
}

}  // namespace penstock
