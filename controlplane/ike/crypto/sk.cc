#include "controlplane/ike/crypto/sk.h"

#include <algorithm>

#include "controlplane/ike/crypto/hmac.h"
#include "controlplane/ike/crypto/openssl_handles.h"

namespace penstock::ike {
namespace {

using openssl::Owned;

constexpr size_t kAeadIvBytes = 8;  // RFC 5282 3.1, RFC 7634 2
constexpr size_t kAeadIcvBytes = 16;
constexpr size_t kCbcBlockBytes = 16;
constexpr size_t kGenericHeaderBytes = 4;
constexpr size_t kFragmentBytes = 4;  // RFC 7383 2.5: number and total

// Fetching costs microseconds: each thread does it once.
struct Ciphers {
  Owned<EVP_CIPHER> gcm128{EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)};
  Owned<EVP_CIPHER> gcm256{EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr)};
  Owned<EVP_CIPHER> chacha{EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr)};
  Owned<EVP_CIPHER> cbc128{EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr)};
  Owned<EVP_CIPHER> cbc192{EVP_CIPHER_fetch(nullptr, "AES-192-CBC", nullptr)};
  Owned<EVP_CIPHER> cbc256{EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr)};
};

// nullptr: OpenSSL does not have it, or the suite is none of ours.
const EVP_CIPHER* cipher_of(const Suite& suite) {
  thread_local const Ciphers ciphers;
  switch (suite.encryption) {
    case EncryptionId::kAesGcm16:
      if (suite.key_bits == 128) return ciphers.gcm128.get();
      return suite.key_bits == 256 ? ciphers.gcm256.get() : nullptr;
    case EncryptionId::kChacha20Poly1305:
      return suite.key_bits == 0 ? ciphers.chacha.get() : nullptr;
    case EncryptionId::kAesCbc:
      if (suite.key_bits == 128) return ciphers.cbc128.get();
      if (suite.key_bits == 192) return ciphers.cbc192.get();
      return suite.key_bits == 256 ? ciphers.cbc256.get() : nullptr;
    case EncryptionId::kNone:
      break;
  }
  return nullptr;
}

HashId hash_of(IntegrityId integrity) {
  switch (integrity) {
    case IntegrityId::kHmacSha384_192:
      return HashId::kSha384;
    case IntegrityId::kHmacSha512_256:
      return HashId::kSha512;
    default:
      return HashId::kSha256;
  }
}

int as_int(size_t size) { return static_cast<int>(size); }  // sizes here are below 64 KiB

// RFC 5282 4, RFC 7634 2: salt, then IV.
std::array<uint8_t, 12> aead_nonce(Bytes salt, Bytes iv) {
  std::array<uint8_t, 12> nonce{};
  std::copy_n(salt.begin(), 4, nonce.begin());
  std::copy_n(iv.begin(), kAeadIvBytes, nonce.begin() + 4);
  return nonce;
}

bool aead_seal(const EVP_CIPHER* cipher, Bytes key, Bytes nonce, Bytes associated, Bytes plain,
               MutableBytes sealed, MutableBytes icv) {
  const Owned<EVP_CIPHER_CTX> context(EVP_CIPHER_CTX_new());
  EVP_CIPHER_CTX* c = context.get();
  int length = 0;
  return c != nullptr && EVP_EncryptInit_ex2(c, cipher, key.data(), nonce.data(), nullptr) == 1 &&
         EVP_EncryptUpdate(c, nullptr, &length, associated.data(), as_int(associated.size())) ==
             1 &&
         EVP_EncryptUpdate(c, sealed.data(), &length, plain.data(), as_int(plain.size())) == 1 &&
         EVP_EncryptFinal_ex(c, sealed.data() + length, &length) == 1 &&
         EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, as_int(icv.size()), icv.data()) == 1;
}

bool aead_open(const EVP_CIPHER* cipher, Bytes key, Bytes nonce, Bytes associated, Bytes sealed,
               Bytes icv, MutableBytes plain) {
  const Owned<EVP_CIPHER_CTX> context(EVP_CIPHER_CTX_new());
  EVP_CIPHER_CTX* c = context.get();
  ByteVector tag = to_vector(icv);
  int length = 0;
  return c != nullptr && EVP_DecryptInit_ex2(c, cipher, key.data(), nonce.data(), nullptr) == 1 &&
         EVP_DecryptUpdate(c, nullptr, &length, associated.data(), as_int(associated.size())) ==
             1 &&
         EVP_DecryptUpdate(c, plain.data(), &length, sealed.data(), as_int(sealed.size())) == 1 &&
         EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, as_int(tag.size()), tag.data()) == 1 &&
         EVP_DecryptFinal_ex(c, plain.data() + length, &length) == 1;  // compares the tag
}

bool cbc(const EVP_CIPHER* cipher, bool encrypt, Bytes key, Bytes iv, Bytes in, MutableBytes out) {
  const Owned<EVP_CIPHER_CTX> context(EVP_CIPHER_CTX_new());
  EVP_CIPHER_CTX* c = context.get();
  int length = 0;
  return c != nullptr &&
         EVP_CipherInit_ex2(c, cipher, key.data(), iv.data(), encrypt ? 1 : 0, nullptr) == 1 &&
         EVP_CIPHER_CTX_set_padding(c, 0) == 1 &&
         EVP_CipherUpdate(c, out.data(), &length, in.data(), as_int(in.size())) == 1 &&
         length == as_int(in.size());
}

// 3.14: payloads, padding, pad length. False: the pad length does not fit.
bool strip_padding(ByteVector& plain) {
  if (plain.empty() || plain.back() >= plain.size()) return false;
  plain.resize(plain.size() - 1 - plain.back());
  return true;
}

}  // namespace

IkeCipher::IkeCipher(const Suite& suite, const SecretBytes& encryption_key,
                     const SecretBytes& integrity_key)
    : suite_(suite), encryption_key_(encryption_key), integrity_key_(integrity_key) {
  const bool protected_by_one = suite.is_aead() == (suite.integrity == IntegrityId::kNone);
  usable_ = cipher_of(suite) != nullptr && protected_by_one &&
            encryption_key.size() == cipher_key_bytes(suite) + salt_bytes(suite) &&
            integrity_key.size() == integrity_key_bytes(suite.integrity);
}

size_t IkeCipher::body_bytes(size_t plain_bytes) const {
  if (suite_.is_aead()) return kAeadIvBytes + plain_bytes + 1 + kAeadIcvBytes;
  const size_t padded = (plain_bytes + 1 + kCbcBlockBytes - 1) / kCbcBlockBytes * kCbcBlockBytes;
  return kCbcBlockBytes + padded + integrity_icv_bytes(suite_.integrity);
}

size_t IkeCipher::plain_capacity(size_t body_bytes) const {
  const size_t around = suite_.is_aead() ? kAeadIvBytes + kAeadIcvBytes
                                         : kCbcBlockBytes + integrity_icv_bytes(suite_.integrity);
  if (body_bytes <= around) return 0;
  size_t room = body_bytes - around;
  if (!suite_.is_aead()) room = room / kCbcBlockBytes * kCbcBlockBytes;
  return room == 0 ? 0 : room - 1;
}

bool IkeCipher::seal(Bytes associated, Bytes plain, RandomSource& random, MutableBytes body) {
  if (!usable_ || body.size() != body_bytes(plain.size())) return false;
  const Bytes key = encryption_key_.bytes().first(cipher_key_bytes(suite_));
  const size_t iv_bytes = suite_.is_aead() ? kAeadIvBytes : kCbcBlockBytes;
  const size_t icv_bytes = suite_.is_aead() ? kAeadIcvBytes : integrity_icv_bytes(suite_.integrity);
  const MutableBytes iv = body.first(iv_bytes);
  const MutableBytes sealed = body.subspan(iv_bytes, body.size() - iv_bytes - icv_bytes);
  const MutableBytes icv = body.last(icv_bytes);

  // Padding is zeros; its length is the last byte.
  ByteVector padded(sealed.size());
  std::copy(plain.begin(), plain.end(), padded.begin());
  padded.back() = static_cast<uint8_t>(padded.size() - plain.size() - 1);

  if (suite_.is_aead()) {
    if (next_iv_ == UINT64_MAX) return false;
    store_unaligned(iv.data(), Be64(next_iv_++));
    const auto nonce = aead_nonce(encryption_key_.bytes().last(4), iv);
    return aead_seal(cipher_of(suite_), key, nonce, associated, padded, sealed, icv);
  }
  random.fill(iv);  // unpredictable, as CBC must have it
  if (!cbc(cipher_of(suite_), true, key, iv, padded, sealed)) return false;
  Hmac hmac(hash_of(suite_.integrity));  // 3.14: over the whole message up to the ICV
  hmac.begin(integrity_key_.bytes());
  hmac.add(associated);
  hmac.add(body.first(body.size() - icv_bytes));
  hmac.end(icv);
  return true;
}

std::optional<ByteVector> IkeCipher::open(Bytes associated, Bytes body) const {
  if (!usable_ || body.size() < body_bytes(0)) return std::nullopt;
  const Bytes key = encryption_key_.bytes().first(cipher_key_bytes(suite_));
  const size_t iv_bytes = suite_.is_aead() ? kAeadIvBytes : kCbcBlockBytes;
  const size_t icv_bytes = suite_.is_aead() ? kAeadIcvBytes : integrity_icv_bytes(suite_.integrity);
  const Bytes iv = body.first(iv_bytes);
  const Bytes sealed = body.subspan(iv_bytes, body.size() - iv_bytes - icv_bytes);
  const Bytes icv = body.last(icv_bytes);

  ByteVector plain(sealed.size());
  if (suite_.is_aead()) {
    const auto nonce = aead_nonce(encryption_key_.bytes().last(4), iv);
    if (!aead_open(cipher_of(suite_), key, nonce, associated, sealed, icv, plain)) {
      return std::nullopt;
    }
  } else {
    uint8_t room[32];  // the longest ICV
    const MutableBytes expected = MutableBytes(room).first(icv_bytes);
    Hmac hmac(hash_of(suite_.integrity));
    hmac.begin(integrity_key_.bytes());
    hmac.add(associated);
    hmac.add(body.first(body.size() - icv_bytes));
    hmac.end(expected);
    if (!equal_constant_time(expected, icv)) return std::nullopt;
    if (sealed.size() % kCbcBlockBytes != 0 ||
        !cbc(cipher_of(suite_), false, key, iv, sealed, plain)) {
      return std::nullopt;
    }
  }
  if (!strip_padding(plain)) return std::nullopt;
  return plain;
}

namespace {

// One message with an SK payload, or an SKF payload where `fragments` is not 0.
ByteVector seal_one(IkeCipher& cipher, RandomSource& random, const Header& header,
                    PayloadType first_inside, Bytes plain, uint16_t fragment, uint16_t fragments) {
  const bool is_fragment = fragments != 0;
  const size_t fields = kGenericHeaderBytes + (is_fragment ? kFragmentBytes : 0);
  const size_t body = cipher.body_bytes(plain.size());
  const size_t length = kHeaderBytes + fields + body;
  ByteVector message = build_header(
      header, is_fragment ? PayloadType::kEncryptedFragment : PayloadType::kEncrypted, length);
  message.resize(length);
  Writer writer(MutableBytes(message).subspan(kHeaderBytes, fields));
  writer.u8(static_cast<uint8_t>(first_inside));
  writer.u8(0);
  writer.be16(static_cast<uint16_t>(fields + body));
  if (is_fragment) {
    writer.be16(fragment);
    writer.be16(fragments);
  }
  const MutableBytes all(message);
  const size_t before = kHeaderBytes + fields;
  if (!cipher.seal(all.first(before), plain, random, all.subspan(before))) return {};
  return message;
}

}  // namespace

std::vector<ByteVector> seal_message(IkeCipher& cipher, RandomSource& random, const Header& header,
                                     const ChainBuilder& chain, bool may_fragment,
                                     size_t max_message_bytes) {
  if (!chain.ok()) return {};
  const size_t around = kHeaderBytes + kGenericHeaderBytes;
  const size_t whole = around + cipher.body_bytes(chain.bytes().size());
  std::vector<ByteVector> messages;
  if (whole <= max_message_bytes || !may_fragment) {
    if (whole > kMaxMessageBytes) return {};
    messages.push_back(seal_one(cipher, random, header, chain.first(), chain.bytes(), 0, 0));
    if (messages.back().empty()) return {};
    return messages;
  }
  // RFC 7383 2.5: each fragment is a message of its own under the same message ID; only the first
  // one says what the chain begins with.
  const size_t fragment_around = around + kFragmentBytes;
  if (max_message_bytes <= fragment_around) return {};
  const size_t step = cipher.plain_capacity(max_message_bytes - fragment_around);
  if (step == 0) return {};
  const size_t count = (chain.bytes().size() + step - 1) / step;
  if (count > UINT16_MAX) return {};
  Bytes rest = chain.bytes();
  for (size_t i = 1; i <= count; ++i) {
    const Bytes part = rest.first(std::min(step, rest.size()));
    rest = rest.subspan(part.size());
    messages.push_back(seal_one(cipher, random, header, i == 1 ? chain.first() : PayloadType::kNone,
                                part, static_cast<uint16_t>(i), static_cast<uint16_t>(count)));
    if (messages.back().empty()) return {};
  }
  return messages;
}

}  // namespace penstock::ike
