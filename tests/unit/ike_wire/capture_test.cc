// Exchanges of others, captured: the clear part parses, the sealed part opens with the key that
// came along and parses too.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "tests/unit/ike_wire/pcap.h"
#include "tests/unit/ike_wire/samples.h"

namespace penstock::ike {
namespace {

TEST(Capture, every_message_of_a_whole_exchange_parses) {
  const auto messages = ike_messages_of("ikev2four.pcap");
  EXPECT_EQ(messages.size(), 21U);
  size_t sealed = 0;
  for (const ByteVector& bytes : messages) {
    const auto message = parse_message(bytes);
    ASSERT_TRUE(message.ok()) << message.error().to_string();
    if (message->payloads.encrypted) ++sealed;
  }
  EXPECT_EQ(sealed, 17U);
  const auto refused = parse_message(messages[1]);
  EXPECT_TRUE(refused->payloads.has(NotifyType::kInvalidKePayload) ||
              refused->payloads.has(NotifyType::kCookie))
      << refused->payloads.summary();
}

TEST(Capture, sealed_message_opens_with_its_key_and_parses) {
  const auto messages = ike_messages_of("ikev2pI2.pcap");
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_TRUE(parse_message(messages[0]).ok());
  const auto message = parse_message(messages[1]);
  ASSERT_TRUE(message.ok()) << message.error().to_string();
  const EncryptedPayload& sealed = *message->payloads.encrypted;

  // ikev2pI2-secrets.txt: AES-128-CBC, and HMAC-SHA1-96, whose key there is not that of the ICV.
  constexpr size_t kIcv = 12;
  const ByteVector cipher_key = *from_hex("3f44bf47cafd8150591deb088199fcbf");
  const Bytes cipher_text = sealed.body.subspan(16, sealed.body.size() - 16 - kIcv);
  ByteVector plain(cipher_text.size());
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  int length = 0;
  EVP_DecryptInit_ex(context, EVP_aes_128_cbc(), nullptr, cipher_key.data(), sealed.body.data());
  EVP_CIPHER_CTX_set_padding(context, 0);
  EVP_DecryptUpdate(context, plain.data(), &length, cipher_text.data(),
                    static_cast<int>(cipher_text.size()));
  EVP_CIPHER_CTX_free(context);
  plain.resize(plain.size() - 1 - plain.back());

  const auto inside = parse_chain(sealed.first_inside, plain);
  ASSERT_TRUE(inside.ok()) << inside.error().to_string();
  EXPECT_EQ(inside->summary(), "[ IDi AUTH ]");
}

TEST(Capture, malformed_messages_are_refused_by_name) {
  for (const ByteVector& bytes : ike_messages_of("isakmp-pointer-loop.pcap")) {
    const auto message = parse_message(bytes);
    ASSERT_FALSE(message.ok());
    EXPECT_FALSE(message.error().to_string().empty());
  }
}

}  // namespace
}  // namespace penstock::ike
