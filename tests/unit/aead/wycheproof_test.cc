// Wycheproof's cases through every engine. Cases are skipped for stated reasons only: a nonce of
// other than 96 bits, which an AeadJob cannot express; AES-192; and of HMAC a key of other than 32
// bytes or a message shorter than an IV and a block.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "dataplane/crypto/aead.h"
#include "gateway/base/bytes.h"

namespace penstock {
namespace {

ByteVector from_hex(const std::string& hex) {
  ByteVector bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// A copy behind which an engine may read.
ByteVector with_room(const ByteVector& bytes) {
  ByteVector copy;
  copy.reserve(bytes.size() + kAeadReadPastDataBytes);
  copy.assign(bytes.begin(), bytes.end());
  return copy;
}

struct Case {
  int id;
  bool valid;
  ByteVector key, nonce, aad, plaintext, ciphertext, tag;
};

struct Cases {
  std::vector<Case> cases;
  size_t skipped = 0;
};

Cases read_cases(const std::string& name, size_t key_bits) {
  std::ifstream file(PENSTOCK_VECTORS "/wycheproof/" + name);
  const auto json = nlohmann::json::parse(file);
  Cases read;
  for (const auto& group : json.at("testGroups")) {
    for (const auto& test : group.at("tests")) {
      if (group.at("ivSize") != 96 || group.at("tagSize") != 128 ||
          group.at("keySize") != key_bits) {
        ++read.skipped;
        continue;
      }
      const auto bytes = [&](const char* field) { return from_hex(test.at(field)); };
      read.cases.push_back({test.at("tcId"), test.at("result") == "valid", bytes("key"),
                            bytes("iv"), bytes("aad"), bytes("msg"), bytes("ct"), bytes("tag")});
    }
  }
  EXPECT_EQ(read.cases.size() + read.skipped, json.at("numberOfTests").get<size_t>());
  return read;
}

void expand(const AeadEngine& engine, const ByteVector& cipher_key, const ByteVector& auth_key,
            ExpandedKey& to) {
  SaKeys keys;
  std::copy(cipher_key.begin(), cipher_key.end(), keys.cipher_key.data());
  std::copy(auth_key.begin(), auth_key.end(), keys.auth_key.data());
  engine.expand_key(keys, to.bytes);
}

AeadJob job_of(const Case& test, const ExpandedKey& key, ByteVector& data, ByteVector& tag) {
  AeadJob job;
  job.key = key.bytes;
  job.data = data.data();
  job.length = static_cast<uint32_t>(data.size());
  job.tag = tag.data();
  job.aad = test.aad.data();
  job.aad_length = static_cast<uint32_t>(test.aad.size());
  std::copy(test.nonce.begin(), test.nonce.end(), job.nonce);
  return job;
}

struct Expected {
  SaAlgorithm algorithm;
  const char* file;
  size_t key_bits, cases, skipped;
};
constexpr Expected kExpected[] = {
    {SaAlgorithm::kChacha20Poly1305, "chacha20_poly1305_test.json", 256, 316, 9},
    {SaAlgorithm::kAes128Gcm16, "aes_gcm_test.json", 128, 67, 249},
    {SaAlgorithm::kAes256Gcm16, "aes_gcm_test.json", 256, 66, 250},
};

void expect_all_cases(AeadEngine& engine, const Expected& expected) {
  const Cases read = read_cases(expected.file, expected.key_bits);
  EXPECT_EQ(read.cases.size(), expected.cases);
  EXPECT_EQ(read.skipped, expected.skipped);
  for (const Case& test : read.cases) {
    SCOPED_TRACE(engine.description() + ", test case " + std::to_string(test.id));
    ExpandedKey key;
    expand(engine, test.key, {}, key);
    ByteVector opened = with_room(test.ciphertext);
    ByteVector tag = test.tag;
    AeadJob job = job_of(test, key, opened, tag);
    engine.open({&job, 1});
    EXPECT_EQ(job.ok, test.valid);
    if (!test.valid) continue;
    EXPECT_EQ(opened, test.plaintext);
    ByteVector sealed = with_room(test.plaintext);
    ByteVector made(kAeadTagBytes);
    job = job_of(test, key, sealed, made);
    engine.seal({&job, 1});
    EXPECT_TRUE(job.ok);
    EXPECT_EQ(sealed, test.ciphertext);
    EXPECT_EQ(made, test.tag);
  }
}

constexpr AeadPath kPaths[] = {AeadPath::kBest, AeadPath::kSse, AeadPath::kAvx, AeadPath::kAvx2,
                               AeadPath::kAvx512};

TEST(Wycheproof, aeads_of_ipsec_mb_all_as_stated) {
  for (const Expected& expected : kExpected) {
    for (const AeadPath path : kPaths) {
      auto engine = make_ipsec_mb_engine(expected.algorithm, path);
      if (path == AeadPath::kBest) {
        ASSERT_TRUE(engine.ok()) << engine.error().text;
      }
      if (engine.ok()) expect_all_cases(**engine, expected);
    }
  }
}

TEST(Wycheproof, aeads_of_reference_all_as_stated) {
  for (const Expected& expected : kExpected) {
    auto engine = make_reference_engine(expected.algorithm);
    ASSERT_TRUE(engine.ok()) << engine.error().text;
    expect_all_cases(**engine, expected);
  }
}

// A message as the packet of a CBC engine that is opened: all of it but the last 16 bytes stands
// for what is authenticated in front of the ciphertext. With `apart` the last four bytes are what
// is authenticated without being in the packet.
void expect_hmac(AeadEngine& engine, const nlohmann::json& test, bool apart) {
  ByteVector message = from_hex(test.at("msg"));
  ByteVector tag = from_hex(test.at("tag"));
  ExpandedKey key;
  expand(engine, ByteVector(32), from_hex(test.at("key")), key);
  AeadJob job;
  job.key = key.bytes;
  if (apart) {
    job.appends_sequence_high = true;
    std::memcpy(&job.sequence_high, &message[message.size() - 4], 4);
    message.erase(message.end() - 4, message.end());
  }
  const size_t text = message.size();
  message.insert(message.end(), tag.begin(), tag.begin() + kAeadTagBytes);
  job.length = kCbcBlockBytes;
  job.aad_length = static_cast<uint32_t>(text - kCbcBlockBytes);
  job.data = message.data() + job.aad_length;
  job.tag = job.data + job.length;
  engine.open({&job, 1});
  EXPECT_EQ(job.ok, test.at("result") == "valid");
}

void expect_all_hmac_cases(AeadEngine& engine) {
  std::ifstream file(PENSTOCK_VECTORS "/wycheproof/hmac_sha256_test.json");
  const auto json = nlohmann::json::parse(file);
  size_t used = 0;
  for (const auto& group : json.at("testGroups")) {
    for (const auto& test : group.at("tests")) {
      const size_t bytes = test.at("msg").get<std::string>().size() / 2;
      // The valid tags of 256 bits are those of 128 bits, and more.
      const bool truncates = group.at("tagSize") == 256 && test.at("result") == "valid";
      if (group.at("keySize") != 256 || bytes < kCbcIvBytes + kCbcBlockBytes ||
          (group.at("tagSize") != 128 && !truncates)) {
        continue;
      }
      SCOPED_TRACE(engine.description() + ", test case " + test.at("tcId").dump());
      expect_hmac(engine, test, false);
      if (bytes >= kCbcIvBytes + kCbcBlockBytes + 4) expect_hmac(engine, test, true);
      ++used;
    }
  }
  EXPECT_EQ(used, 16U);
}

TEST(Wycheproof, hmac_sha256_of_cbc_engines_as_stated) {
  for (const SaAlgorithm algorithm :
       {SaAlgorithm::kAes128CbcSha256, SaAlgorithm::kAes256CbcSha256}) {
    for (const AeadPath path : kPaths) {
      auto engine = make_ipsec_mb_engine(algorithm, path);
      if (engine.ok()) expect_all_hmac_cases(**engine);
    }
    auto reference = make_reference_engine(algorithm);
    ASSERT_TRUE(reference.ok()) << reference.error().text;
    expect_all_hmac_cases(**reference);
  }
}

}  // namespace
}  // namespace penstock
