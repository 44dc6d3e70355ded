// Where the answers come from: HMAC: RFC 4231 test case 2. AES-GCM: the GCM specification's test
// cases 4 and 16, whose last byte passes for a pad length. ChaCha20-Poly1305: RFC 8439 2.8.2,
// likewise. AES-CBC and Diffie-Hellman: computed with Python's integers, primes from RFC 3526's
// formula, the curve arithmetic checked against RFC 5903 and RFC 7748.
#include "controlplane/ike/crypto/self_test.h"

#include <array>
#include <string>

#include "controlplane/ike/crypto/dh.h"
#include "controlplane/ike/crypto/key_derivation.h"
#include "controlplane/ike/crypto/openssl_handles.h"
#include "controlplane/ike/crypto/proposals.h"
#include "controlplane/ike/crypto/sk.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

SecretBytes secret_of_hex(const char* hex) {
  const auto bytes = from_hex(hex);
  return SecretBytes::copy_of(*bytes);
}

// Byte i of test keys is first + 3 i modulo 251.
SecretBytes test_key(size_t size, unsigned first) {
  SecretBytes key(size);
  for (size_t i = 0; i < size; ++i) key.data()[i] = static_cast<uint8_t>((first + 3 * i) % 251);
  return key;
}

struct PrfAnswer {
  PrfId prf;
  const char* out;
};
constexpr PrfAnswer kPrfs[] = {
    {PrfId::kHmacSha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {PrfId::kHmacSha384,
     "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab2"
     "1649"},
    {PrfId::kHmacSha512,
     "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0"
     "e6fdcaeab1a34d4a6b4b636e070a38bce737"},
};

Status test_prf(const PrfAnswer& answer) {
  const SecretBytes out =
      prf(answer.prf, bytes_of("Jefe"), {bytes_of("what do ya "), bytes_of("want for nothing?")});
  if (!(out == secret_of_hex(answer.out))) {
    return errorf("self-test of %s failed", prf_name(static_cast<uint16_t>(answer.prf)).c_str());
  }
  return {};
}

struct CipherAnswer {
  Suite suite;
  const char* key;         // empty: test_key
  const char* associated;  // empty: the text "header"
  const char* body;
  const char* plain;  // text; a test case's own bytes where it begins with 0x
};
Suite cipher_suite(EncryptionId encryption, uint16_t key_bits, IntegrityId integrity) {
  Suite suite;
  suite.encryption = encryption;
  suite.key_bits = key_bits;
  suite.integrity = integrity;
  return suite;
}

const CipherAnswer kCiphers[] = {
    {cipher_suite(EncryptionId::kAesGcm16, 128, IntegrityId::kNone),
     "feffe9928665731c6d6a8f9467308308cafebabe", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "facedbaddecaf888"
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5a"
     "ac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47",
     "0xd931"},
    {cipher_suite(EncryptionId::kAesGcm16, 256, IntegrityId::kNone),
     "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308cafebabe",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "facedbaddecaf888"
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b10"
     "56828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
     "0xd931"},
    {cipher_suite(EncryptionId::kChacha20Poly1305, 0, IntegrityId::kNone),
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f07000000",
     "50515253c0c1c2c3c4c5c6c7",
     "4041424344454647"
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69"
     "da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad67594"
     "5585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
     "Ladies and Gentlemen of the class of '99: If I could offer you only"},
    {cipher_suite(EncryptionId::kAesCbc, 128, IntegrityId::kHmacSha256_128), "", "",
     "0306090c0f1215181b1e2124272a2d3064367126a07f3b7e31ca9dabac098d1255bdb9195c86f2d169b3c748"
     "871baba633c6a1c724726ca5cd71749e9e68e4d8",
     "an inner chain of payloads"},
    {cipher_suite(EncryptionId::kAesCbc, 192, IntegrityId::kHmacSha384_192), "", "",
     "0306090c0f1215181b1e2124272a2d30e2c2e527c54b25c189b14c9607e5c1aa8dd2ed3671e182a7a35f1e83"
     "a3b1433486340241ee9a6f4bf8b271433796a334fee65fa679f63933",
     "an inner chain of payloads"},
    {cipher_suite(EncryptionId::kAesCbc, 256, IntegrityId::kHmacSha512_256), "", "",
     "0306090c0f1215181b1e2124272a2d3013855c848b7f67915beaecc7c68ff51528cbf9f8ec808411b86b2c3e"
     "eb8578b5bd1fcaf5e409a8abfb9e98a4cd4edfca75747c98aa9361e2ac3241fc5efdc103",
     "an inner chain of payloads"},
};

// For the round trip: its random bytes need not be random.
class CountingRandom final : public RandomSource {
 public:
  void fill(MutableBytes out) override {
    for (uint8_t& byte : out) byte = next_++;
  }

 private:
  uint8_t next_ = 0;
};

bool cipher_answers(const CipherAnswer& answer) {
  const Suite& suite = answer.suite;
  const SecretBytes key =
      answer.key[0] != '\0' ? secret_of_hex(answer.key) : test_key(cipher_key_bytes(suite), 1);
  const ByteVector associated =
      answer.associated[0] != '\0' ? *from_hex(answer.associated) : to_vector(bytes_of("header"));
  const std::string_view plain(answer.plain);
  const ByteVector expected =
      plain.substr(0, 2) == "0x" ? *from_hex(plain.substr(2)) : to_vector(bytes_of(plain));
  IkeCipher cipher(suite, key, test_key(integrity_key_bytes(suite.integrity), 2));
  ByteVector body = *from_hex(answer.body);
  if (cipher.open(associated, body) != expected) return false;
  body[body.size() / 2] ^= 1;
  if (cipher.open(associated, body).has_value()) return false;

  CountingRandom random;
  ByteVector sealed(cipher.body_bytes(expected.size()));
  return cipher.seal(associated, expected, random, sealed) &&
         cipher.open(associated, sealed) == expected;
}

struct DhAnswer {
  DhGroup group;
  size_t private_bytes;
  const char* public_sha256;  // of the first key's public value
  const char* shared_sha256;  // of both
};
constexpr DhAnswer kGroups[] = {
    {DhGroup::kModp2048, 40, "be43ecca9f9d869096ad35e2daf516028332a0f15004fc75a123a04861283c42",
     "b400ba859d5e89760545decbd0df06f74e3a40b436466e0450ff8f748c6e99ce"},
    {DhGroup::kModp3072, 56, "627775f13705ddc18132111338176f7654d519e8f8e09370c4d4c8fbfaef1f14",
     "04aee0cc81a055cd059f8bf12853a58c0bfa74ac680f2389c87c9f2fb52fca49"},
    {DhGroup::kModp4096, 64, "0ff9389449db466189b31693a66666865a0e76fb3f421424eb4ce54e1ed9113c",
     "1640b5beffccfa6b369f03d0f90b8fae8a47bd917d89c74993608325ee208f27"},
    {DhGroup::kEcp256, 32, "b1c1dcc520ae05c740c438e42811b8fcdae5c1e70b57aba00fab6b8bb99997af",
     "75eedd46e0641559bd604830789c1197fa3aded1d6f2f3ce918c38633c137680"},
    {DhGroup::kEcp384, 48, "4d69006b5c3886dcdff87d8ce37420dcdf1ef4c7ad5bbaca088e87c8cf87ae74",
     "1a580e824e2a69db70e518c8cbf4832b9d4f5751d0c1a766c6b8ffdf8d1aafeb"},
    {DhGroup::kEcp521, 66, "3e04ba6b2af46a63ab1f5cf0a0b2899e7cafe7e448892c9891c624dd7966aa77",
     "bbc1f333e3f0c644c813f3590353f7fbb2f366e8026428125cbfea63cd285e4c"},
    {DhGroup::kCurve25519, 32, "d94df9a3f93e823e67e800f4e7b84df6ba6030c82914db9c69cf9ad7eb099566",
     "7d5accaa023f5e131d5a11630d0a6ad51b143d42861bcbd7bdc84039a394aa5b"},
};

std::string sha256_hex(Bytes bytes) {
  std::array<uint8_t, 32> hash{};
  size_t size = 0;
  if (EVP_Q_digest(nullptr, "SHA256", nullptr, bytes.data(), bytes.size(), hash.data(), &size) !=
      1) {
    return {};
  }
  return to_hex(hash);
}

bool group_answers(const DhAnswer& answer) {
  SecretBytes ours = test_key(answer.private_bytes, 1);
  SecretBytes theirs = test_key(answer.private_bytes, 2);
  if (answer.group != DhGroup::kCurve25519 && dh_public_bytes(answer.group) < 256) {
    ours.data()[0] = theirs.data()[0] = 0;  // below the order of every curve
  }
  const auto our_public = dh_public_value(answer.group, ours);
  const auto their_public = dh_public_value(answer.group, theirs);
  if (!our_public.ok() || !their_public.ok()) return false;
  const auto one = dh_shared_secret(answer.group, ours, *their_public);
  const auto other = dh_shared_secret(answer.group, theirs, *our_public);
  return one.ok() && other.ok() && *one == *other &&
         sha256_hex(*our_public) == answer.public_sha256 &&
         sha256_hex(one->bytes()) == answer.shared_sha256;
}

// What may be offered and has no known answer above would be offered untested.
template <class Answers, class Same>
bool all_covered(ProtocolId protocol, TransformType type, const Answers& answers, Same same) {
  for (const Proposal& proposal : default_proposals(protocol)) {
    for (const Transform& t : proposal.transforms) {
      if (t.type != type || t.id == 0) continue;
      bool covered = false;
      for (const auto& answer : answers) covered = covered || same(answer, t);
      if (!covered) return false;
    }
  }
  return true;
}

Status test_coverage() {
  const bool covered = all_covered(ProtocolId::kIke, TransformType::kPrf, kPrfs,
                                   [](const PrfAnswer& a, const Transform& t) {
                                     return static_cast<uint16_t>(a.prf) == t.id;
                                   }) &&
                       all_covered(ProtocolId::kIke, TransformType::kEncryption, kCiphers,
                                   [](const CipherAnswer& a, const Transform& t) {
                                     return static_cast<uint16_t>(a.suite.encryption) == t.id &&
                                            a.suite.key_bits == t.key_bits;
                                   }) &&
                       all_covered(ProtocolId::kIke, TransformType::kIntegrity, kCiphers,
                                   [](const CipherAnswer& a, const Transform& t) {
                                     return static_cast<uint16_t>(a.suite.integrity) == t.id;
                                   }) &&
                       all_covered(ProtocolId::kIke, TransformType::kKeyExchange, kGroups,
                                   [](const DhAnswer& a, const Transform& t) {
                                     return static_cast<uint16_t>(a.group) == t.id;
                                   });
  if (!covered) return errorf("self-test: a default proposal has a transform without a test");
  return {};
}

}  // namespace

Status crypto_self_test() {
  PENSTOCK_CHECK(test_coverage());
  for (const PrfAnswer& answer : kPrfs) PENSTOCK_CHECK(test_prf(answer));
  for (const CipherAnswer& answer : kCiphers) {
    if (cipher_answers(answer)) continue;
    const auto id = static_cast<uint16_t>(answer.suite.encryption);
    return errorf("self-test of %s with %u bits and %s failed", encryption_name(id).c_str(),
                  answer.suite.key_bits,
                  integrity_name(static_cast<uint16_t>(answer.suite.integrity)).c_str());
  }
  for (const DhAnswer& answer : kGroups) {
    if (group_answers(answer)) continue;
    return errorf("self-test of %s failed",
                  group_name(static_cast<uint16_t>(answer.group)).c_str());
  }
  return {};
}

}  // namespace penstock::ike
