// The Encrypted payload: RFC 7296 section 3.14, RFC 5282, RFC 7634, RFC 7383 section 2.5.
#include "controlplane/ike/crypto/sk.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <set>

#include "controlplane/ike/wire/fragments.h"
#include "tests/unit/ike_crypto/test_random.h"

namespace penstock::ike {
namespace {

std::vector<Suite> all_suites() {
  std::vector<Suite> suites;
  const auto add = [&suites](EncryptionId encryption, uint16_t bits, IntegrityId integrity) {
    suites.push_back({ProtocolId::kIke, encryption, bits, integrity, PrfId::kHmacSha256,
                      DhGroup::kCurve25519, false});
  };
  add(EncryptionId::kAesGcm16, 128, IntegrityId::kNone);
  add(EncryptionId::kAesGcm16, 256, IntegrityId::kNone);
  add(EncryptionId::kChacha20Poly1305, 0, IntegrityId::kNone);
  for (const uint16_t bits : {128, 192, 256}) {
    for (const IntegrityId integrity : {IntegrityId::kHmacSha256_128, IntegrityId::kHmacSha384_192,
                                        IntegrityId::kHmacSha512_256}) {
      add(EncryptionId::kAesCbc, bits, integrity);
    }
  }
  return suites;
}

IkeCipher cipher_for(const Suite& suite, uint64_t seed = 9) {
  TestRandom random(seed);
  SecretBytes encryption(cipher_key_bytes(suite) + salt_bytes(suite));
  SecretBytes integrity(integrity_key_bytes(suite.integrity));
  random.fill(encryption.mutable_bytes());
  random.fill(integrity.mutable_bytes());
  return {suite, encryption, integrity};
}

ByteVector text(size_t size) {
  ByteVector bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7);
  return bytes;
}

TEST(IkeCipher, what_was_sealed_opens_at_every_size) {
  TestRandom random;
  const ByteVector associated = text(32);
  for (const Suite& suite : all_suites()) {
    IkeCipher sender = cipher_for(suite);
    const IkeCipher receiver = cipher_for(suite);
    ASSERT_TRUE(sender.usable());
    for (size_t size = 0; size < 70; ++size) {
      ByteVector body(sender.body_bytes(size));
      ASSERT_TRUE(sender.seal(associated, text(size), random, body));
      EXPECT_EQ(receiver.open(associated, body), text(size)) << suite.to_string() << " " << size;
      EXPECT_LE(sender.body_bytes(sender.plain_capacity(body.size())), body.size());
      EXPECT_GE(sender.plain_capacity(body.size()), size);
    }
  }
}

TEST(IkeCipher, capacity_is_the_most_that_fits) {
  for (const Suite& suite : all_suites()) {
    const IkeCipher cipher = cipher_for(suite);
    for (size_t room = 0; room < 300; ++room) {
      const size_t capacity = cipher.plain_capacity(room);
      if (capacity > 0) {
        EXPECT_LE(cipher.body_bytes(capacity), room);
      }
      EXPECT_GT(cipher.body_bytes(capacity + 1), room);
    }
  }
}

TEST(IkeCipher, every_bit_matters) {
  TestRandom random;
  for (const Suite& suite : all_suites()) {
    IkeCipher cipher = cipher_for(suite);
    const ByteVector associated = text(32);
    ByteVector body(cipher.body_bytes(21));
    ASSERT_TRUE(cipher.seal(associated, text(21), random, body));
    for (size_t bit = 0; bit < body.size() * 8; ++bit) {
      ByteVector changed = body;
      changed[bit / 8] = static_cast<uint8_t>(changed[bit / 8] ^ (1U << (bit % 8)));
      ASSERT_FALSE(cipher.open(associated, changed).has_value()) << suite.to_string() << bit;
    }
    for (size_t bit = 0; bit < associated.size() * 8; ++bit) {
      ByteVector changed = associated;
      changed[bit / 8] = static_cast<uint8_t>(changed[bit / 8] ^ (1U << (bit % 8)));
      ASSERT_FALSE(cipher.open(changed, body).has_value()) << suite.to_string() << bit;
    }
  }
}

TEST(IkeCipher, every_cut_is_refused) {
  TestRandom random;
  for (const Suite& suite : all_suites()) {
    IkeCipher cipher = cipher_for(suite);
    ByteVector body(cipher.body_bytes(40));
    ASSERT_TRUE(cipher.seal(text(32), text(40), random, body));
    for (size_t size = 0; size < body.size(); ++size) {
      EXPECT_FALSE(cipher.open(text(32), Bytes(body).first(size)).has_value());
      EXPECT_FALSE(cipher.open(text(32), Bytes(body).last(size)).has_value());
    }
    body.push_back(0);
    EXPECT_FALSE(cipher.open(text(32), body).has_value());
  }
}

TEST(IkeCipher, another_key_opens_nothing) {
  TestRandom random;
  for (const Suite& suite : all_suites()) {
    IkeCipher cipher = cipher_for(suite, 9);
    ByteVector body(cipher.body_bytes(40));
    ASSERT_TRUE(cipher.seal(text(32), text(40), random, body));
    EXPECT_FALSE(cipher_for(suite, 10).open(text(32), body).has_value());
  }
}

TEST(IkeCipher, ivs_never_repeat) {
  TestRandom random;
  for (const Suite& suite : all_suites()) {
    IkeCipher cipher = cipher_for(suite);
    std::set<ByteVector> ivs;
    for (int i = 0; i < 300; ++i) {
      ByteVector body(cipher.body_bytes(1));
      ASSERT_TRUE(cipher.seal({}, text(1), random, body));
      EXPECT_TRUE(ivs.insert(to_vector(Bytes(body).first(suite.is_aead() ? 8 : 16))).second);
    }
  }
}

// Authenticated, and hostile all the same: whatever the last byte says, and with any length.
TEST(IkeCipher, pad_length_beyond_the_content_is_refused) {
  const Suite suite = all_suites()[0];
  const SecretBytes key(20);
  const IkeCipher cipher(suite, key, SecretBytes());
  for (size_t size = 0; size < 300; size += size < 20 ? 1 : 31) {
    for (unsigned pad = 0; pad < 256; ++pad) {
      ByteVector plain = text(size);
      plain.push_back(static_cast<uint8_t>(pad));
      // IV, ciphertext, ICV under a key, salt and IV of zeros.
      ByteVector body(8 + plain.size() + 16);
      const std::array<uint8_t, 12> nonce{};
      EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
      int length = 0;
      EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), nullptr, key.data(), nonce.data());
      EVP_EncryptUpdate(context, body.data() + 8, &length, plain.data(),
                        static_cast<int>(plain.size()));
      EVP_EncryptFinal_ex(context, body.data() + 8 + length, &length);
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, body.data() + 8 + plain.size());
      EVP_CIPHER_CTX_free(context);
      const auto opened = cipher.open({}, body);
      ASSERT_EQ(opened.has_value(), pad <= size) << size << " " << pad;
      if (opened) {
        ASSERT_EQ(*opened, to_vector(Bytes(plain).first(size - pad)));
      }
    }
  }
}

TEST(IkeCipher, keys_of_a_wrong_size_make_it_unusable) {
  for (const Suite& suite : all_suites()) {
    const SecretBytes encryption(cipher_key_bytes(suite) + salt_bytes(suite));
    const SecretBytes integrity(integrity_key_bytes(suite.integrity));
    EXPECT_TRUE(IkeCipher(suite, encryption, integrity).usable());
    for (const size_t wrong : {encryption.size() - 1, encryption.size() + 1, size_t{0}}) {
      EXPECT_FALSE(IkeCipher(suite, SecretBytes(wrong), integrity).usable());
    }
    EXPECT_FALSE(IkeCipher(suite, encryption, SecretBytes(integrity.size() + 1)).usable());
  }
  EXPECT_FALSE(IkeCipher().usable());
  Suite odd = all_suites()[0];
  odd.key_bits = 192;
  EXPECT_FALSE(IkeCipher(odd, SecretBytes(28), SecretBytes()).usable());
  Suite bare = all_suites()[3];
  bare.integrity = IntegrityId::kNone;
  EXPECT_FALSE(IkeCipher(bare, SecretBytes(16), SecretBytes()).usable()) << "CBC needs integrity";
}

ChainBuilder long_chain(size_t bytes) {
  ChainBuilder chain;
  chain.notify(NotifyType::kInitialContact).vendor_id(text(bytes));
  return chain;
}

Header auth_header() {
  Header header;
  header.spi_initiator = 1;
  header.spi_responder = 2;
  header.exchange = ExchangeType::kIkeAuth;
  header.message_id = 1;
  return header;
}

TEST(SealMessage, whole_message_opens_and_parses) {
  TestRandom random;
  for (const Suite& suite : all_suites()) {
    IkeCipher cipher = cipher_for(suite);
    const auto messages = seal_message(cipher, random, auth_header(), long_chain(100), true, 1280);
    ASSERT_EQ(messages.size(), 1U);
    const auto message = parse_message(messages[0]);
    ASSERT_TRUE(message.ok()) << message.error().to_string();
    EXPECT_EQ(message->header.exchange, ExchangeType::kIkeAuth);
    const auto plain = open_payload(cipher, *message->payloads.encrypted);
    ASSERT_TRUE(plain.has_value());
    const auto inside = parse_chain(message->payloads.encrypted->first_inside, *plain);
    ASSERT_TRUE(inside.ok());
    EXPECT_EQ(inside->summary(), "[ N(INITIAL_CONTACT) V ]");
  }
}

TEST(SealMessage, empty_chain_is_a_message) {  // an INFORMATIONAL without payloads
  TestRandom random;
  IkeCipher cipher = cipher_for(all_suites()[0]);
  const auto messages = seal_message(cipher, random, auth_header(), {}, true, 1280);
  ASSERT_EQ(messages.size(), 1U);
  const auto message = parse_message(messages[0]);
  EXPECT_EQ(message->payloads.encrypted->first_inside, PayloadType::kNone);
  EXPECT_TRUE(open_payload(cipher, *message->payloads.encrypted)->empty());
}

TEST(SealMessage, fragments_fit_and_make_the_chain_again) {
  TestRandom random;
  for (const Suite& suite : all_suites()) {
    for (const size_t limit : {120, 200, 576, 1280}) {
      IkeCipher cipher = cipher_for(suite);
      const ChainBuilder chain = long_chain(3000);
      const auto messages = seal_message(cipher, random, auth_header(), chain, true, limit);
      ASSERT_GT(messages.size(), 1U);
      FragmentReassembler reassembler;
      for (const ByteVector& bytes : messages) {
        EXPECT_LE(bytes.size(), limit);
        const auto message = parse_message(bytes);
        ASSERT_TRUE(message.ok());
        const EncryptedPayload& sealed = *message->payloads.encrypted;
        EXPECT_EQ(sealed.fragments, messages.size());
        EXPECT_EQ(sealed.first_inside == PayloadType::kNone, sealed.fragment != 1);
        const auto plain = open_payload(cipher, sealed);
        ASSERT_TRUE(plain.has_value());
        reassembler.add(sealed.fragment, sealed.fragments, sealed.first_inside, *plain);
      }
      const auto whole = reassembler.take();
      ASSERT_TRUE(whole.has_value());
      EXPECT_EQ(whole->first, chain.first());
      EXPECT_TRUE(equal_bytes(whole->chain, chain.bytes()));
    }
  }
}

TEST(SealMessage, fragment_number_is_authenticated) {
  TestRandom random;
  IkeCipher cipher = cipher_for(all_suites()[0]);
  auto messages = seal_message(cipher, random, auth_header(), long_chain(500), true, 200);
  messages[0][kHeaderBytes + 5] = 2;
  const auto message = parse_message(messages[0]);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->payloads.encrypted->fragment, 2);
  EXPECT_FALSE(open_payload(cipher, *message->payloads.encrypted).has_value());
}

TEST(SealMessage, what_cannot_be_sent_is_nothing) {
  TestRandom random;
  IkeCipher cipher = cipher_for(all_suites()[0]);
  EXPECT_EQ(seal_message(cipher, random, auth_header(), long_chain(3000), false, 200).size(), 1U)
      << "a peer without fragmentation gets it whole";
  EXPECT_TRUE(seal_message(cipher, random, auth_header(), long_chain(3000), true, 40).empty());
  EXPECT_TRUE(seal_message(cipher, random, auth_header(), long_chain(65500), false, 200).empty());
  IkeCipher unusable;
  EXPECT_TRUE(seal_message(unusable, random, auth_header(), long_chain(10), true, 1280).empty());
}

}  // namespace
}  // namespace penstock::ike
