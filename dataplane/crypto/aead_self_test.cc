// Known answers that every engine gives before it may touch a packet.
#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include "dataplane/crypto/aead.h"
#include "gateway/base/bytes.h"

namespace penstock {
namespace {

// In hexadecimal, as printed in the sources.
struct KnownAnswer {
  SaAlgorithm algorithm;
  std::string_view cipher_key, auth_key;
  std::string_view nonce;  // of CBC the IV
  std::string_view aad;    // of CBC the ESP header
  std::string_view plaintext, ciphertext, tag;
};

constexpr std::string_view kCbcAuthKey =
    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
constexpr std::string_view kEspHeader = "0000432100000001";
constexpr uint32_t kSequenceHigh = 0x05000000;  // 5 in network order

constexpr KnownAnswer kKnownAnswers[] = {
    // RFC 8439 2.8.2.
    {SaAlgorithm::kChacha20Poly1305,
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a2049662049"
     "20636f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c20"
     "73756e73637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92"
     "728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b"
     "4831d7bc3ff4def08e4b7a9de576d26586cec64b6116",
     "1ae10b594f09e26a7e902ecbd0600691"},
    // McGrew and Viega, The Galois/Counter Mode of Operation, test cases 4 and 16.
    {SaAlgorithm::kAes128Gcm16, "feffe9928665731c6d6a8f9467308308", "", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6"
     "b525b16aedf5aa0de657ba637b39",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84"
     "aa051ba30b396a0aac973d58e091",
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {SaAlgorithm::kAes256Gcm16, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "", "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6"
     "b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b105682"
     "8838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    // RFC 3602 4, case 4, and SP 800-38A F.2.5; with an ESP header in front and the high half of
    // the sequence number behind, the HMAC by OpenSSL.
    {SaAlgorithm::kAes128CbcSha256, "56e47a38c5598974bc46903dba290349", kCbcAuthKey,
     "8ce82eefbea0da3c44699ed7db51b7d9", kEspHeader,
     "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccd"
     "cecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf",
     "c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e35907aa632c3ffdf868bb7b29d3d"
     "46ad83ce9f9a102ee99d49a53e87f4c3da55",
     "514f4f7104344564e2b60f2bef553d7e"},
    {SaAlgorithm::kAes256CbcSha256,
     "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", kCbcAuthKey,
     "000102030405060708090a0b0c0d0e0f", kEspHeader,
     "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a"
     "52eff69f2445df4f9b17ad2b417be66c3710",
     "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacfa530e2630423"
     "1461b2eb05e2c39be9fcda6c19078c6a9d1b",
     "3c733802f90cc2cbfa6131f1223c20b5"},
};

uint8_t digit(char c) { return static_cast<uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); }

ByteVector from_hex(std::string_view hex) {
  ByteVector bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(digit(hex[i]) << 4 | digit(hex[i + 1])));
  }
  return bytes;
}

// A burst of the known packet, as plaintext without tags.
class Burst {
 public:
  Burst(const KnownAnswer& answer, const void* key, size_t count)
      : front_(from_hex(answer.aad)), plaintext_(from_hex(answer.plaintext)) {
    const ByteVector nonce = from_hex(answer.nonce);
    if (is_cbc(answer.algorithm)) front_.insert(front_.end(), nonce.begin(), nonce.end());
    for (size_t i = 0; i < count; ++i) {
      ByteVector& packet = packets_.emplace_back(front_);
      packet.insert(packet.end(), plaintext_.begin(), plaintext_.end());
      packet.resize(packet.size() + kAeadTagBytes);  // also the room behind the data
    }
    for (ByteVector& packet : packets_) {
      AeadJob& job = jobs_.emplace_back();
      job.key = key;
      job.aad = packet.data();
      job.aad_length = static_cast<uint32_t>(front_.size());
      job.data = packet.data() + front_.size();
      job.length = static_cast<uint32_t>(plaintext_.size());
      job.tag = job.data + job.length;
      if (is_cbc(answer.algorithm)) {
        job.appends_sequence_high = true;
        job.sequence_high = kSequenceHigh;
      } else {
        std::copy(nonce.begin(), nonce.end(), job.nonce);
      }
    }
  }

  std::span<AeadJob> jobs() { return jobs_; }
  [[nodiscard]] Bytes data(size_t i) const { return {jobs_[i].data, plaintext_.size()}; }
  [[nodiscard]] Bytes tag(size_t i) const { return {jobs_[i].tag, kAeadTagBytes}; }
  [[nodiscard]] Bytes front(size_t i) const { return Bytes(packets_[i]).first(front_.size()); }
  [[nodiscard]] Bytes front() const { return front_; }
  [[nodiscard]] Bytes plaintext() const { return plaintext_; }

 private:
  ByteVector front_, plaintext_;
  std::vector<ByteVector> packets_;
  std::vector<AeadJob> jobs_;
};

Status self_test(AeadEngine& engine, const KnownAnswer& answer, size_t count) {
  SaKeys keys;
  const ByteVector cipher_key = from_hex(answer.cipher_key);
  const ByteVector auth_key = from_hex(answer.auth_key);
  std::copy(cipher_key.begin(), cipher_key.end(), keys.cipher_key.data());
  std::copy(auth_key.begin(), auth_key.end(), keys.auth_key.data());
  ExpandedKey key;
  engine.expand_key(keys, key.bytes);
  const ByteVector ciphertext = from_hex(answer.ciphertext);
  const ByteVector tag = from_hex(answer.tag);

  Burst burst(answer, key.bytes, count);
  engine.seal(burst.jobs());
  for (size_t i = 0; i < count; ++i) {
    if (!burst.jobs()[i].ok || !equal_bytes(burst.data(i), ciphertext) ||
        !equal_bytes(burst.tag(i), tag) || !equal_bytes(burst.front(i), burst.front())) {
      return errorf("%s: self-test failed: packet %zu of %zu is sealed wrongly",
                    engine.description().c_str(), i, count);
    }
  }
  const size_t forged = count / 2;
  burst.jobs()[forged].tag[15] ^= 1;
  engine.open(burst.jobs());
  for (size_t i = 0; i < count; ++i) {
    const bool right = burst.jobs()[i].ok == (i != forged) &&
                       (i == forged || equal_bytes(burst.data(i), burst.plaintext()));
    if (!right) {
      return errorf("%s: self-test failed: packet %zu of %zu is opened wrongly",
                    engine.description().c_str(), i, count);
    }
  }
  return {};
}

}  // namespace

Status aead_self_test(AeadEngine& engine, SaAlgorithm algorithm) {
  for (const KnownAnswer& answer : kKnownAnswers) {
    if (answer.algorithm != algorithm) continue;
    for (const size_t count : {size_t{1}, size_t{7}, kAeadMaxBurst}) {
      PENSTOCK_CHECK(self_test(engine, answer, count));
    }
    return {};
  }
  return errorf("unknown packet cipher %u", static_cast<unsigned>(algorithm));
}

}  // namespace penstock
