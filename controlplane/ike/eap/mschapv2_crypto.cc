#include "controlplane/ike/eap/mschapv2_crypto.h"

#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/sha.h>

#include <optional>

#include "controlplane/ike/auth/openssl_ptr.h"

namespace penstock::ike::mschapv2 {
namespace {

using CipherContextPtr = std::unique_ptr<EVP_CIPHER_CTX, OpensslFree<EVP_CIPHER_CTX_free>>;
using Sha1 = Secret<20>;

// Loaded once and kept until the process ends.
struct Legacy {
  EVP_MD* md4 = nullptr;
  EVP_CIPHER* des3 = nullptr;
};
const Legacy& legacy() {
  static const Legacy kLoaded = [] {
    Legacy loaded;
    // A context of its own: nothing else in the process finds these algorithms by name.
    OSSL_LIB_CTX* context = OSSL_LIB_CTX_new();
    if (context == nullptr || OSSL_PROVIDER_load(context, "legacy") == nullptr ||
        OSSL_PROVIDER_load(context, "default") == nullptr) {
      return loaded;
    }
    loaded.md4 = EVP_MD_fetch(context, "MD4", nullptr);
    loaded.des3 = EVP_CIPHER_fetch(context, "DES-EDE3-ECB", nullptr);
    return loaded;
  }();
  return kLoaded;
}

bool md4(Bytes text, NtHash& out) {
  unsigned size = 0;
  return EVP_Digest(text.data(), text.size(), out.data(), &size, legacy().md4, nullptr) == 1 &&
         size == out.size();
}

Sha1 sha1(std::initializer_list<Bytes> parts) {
  SecretBytes text;
  for (const Bytes part : parts) text.append(part);
  Sha1 out;
  SHA1(text.data(), text.size(), out.data());
  return out;
}

// DES with a key of 56 bits, whose parity bits are put in between; as triple DES under equal keys.
bool des(Bytes key7, const std::array<uint8_t, 8>& block, uint8_t* out) {
  Secret<24> key;
  uint64_t bits = 0;
  for (const uint8_t byte : key7) bits = bits << 8 | byte;
  for (size_t i = 0; i < 8; ++i) {
    const auto seven = static_cast<uint8_t>(bits >> (49 - 7 * i) & 0x7f);
    for (const size_t copy : {0U, 8U, 16U}) key.data()[copy + i] = static_cast<uint8_t>(seven << 1);
  }
  wipe(&bits, sizeof bits);
  const CipherContextPtr context(EVP_CIPHER_CTX_new());
  int size = 0;
  return context &&
         EVP_EncryptInit_ex2(context.get(), legacy().des3, key.data(), nullptr, nullptr) == 1 &&
         EVP_CIPHER_CTX_set_padding(context.get(), 0) == 1 &&
         EVP_EncryptUpdate(context.get(), out, &size, block.data(), 8) == 1 && size == 8;
}

// The next character of UTF-8 text, or nothing where it is none.
std::optional<uint32_t> take_character(Reader& reader) {
  const uint8_t first = reader.u8();
  if (first < 0x80) return first;
  const int more = first >= 0xf0 && first < 0xf5 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 0;
  if (more == 0 || first >= 0xf5) return std::nullopt;
  uint32_t character = first & (0x3fU >> more);
  for (int i = 0; i < more; ++i) {
    const uint8_t next = reader.u8();
    if ((next & 0xc0) != 0x80) return std::nullopt;
    character = character << 6 | (next & 0x3fU);
  }
  constexpr std::array<uint32_t, 4> kLeast = {0, 0x80, 0x800, 0x10000};
  const bool surrogate = character >= 0xd800 && character < 0xe000;
  if (character < kLeast.at(static_cast<size_t>(more)) || character > 0x10ffff || surrogate) {
    return std::nullopt;
  }
  return character;
}

void append_unit(SecretBytes& text, uint32_t unit) {
  const std::array<uint8_t, 2> bytes = {static_cast<uint8_t>(unit),
                                        static_cast<uint8_t>(unit >> 8)};
  text.append(bytes);
}

SecretBytes utf16(Bytes password) {
  SecretBytes text;
  Reader reader(password);
  while (reader.ok() && !reader.at_end()) {
    const auto character = take_character(reader);
    if (!character) {
      text.clear();
      for (const uint8_t byte : password) append_unit(text, byte);
      return text;
    }
    if (*character < 0x10000) {
      append_unit(text, *character);
    } else {
      append_unit(text, 0xd800 + ((*character - 0x10000) >> 10));
      append_unit(text, 0xdc00 + ((*character - 0x10000) & 0x3ff));
    }
  }
  return text;
}

// RFC 2759 section 9.2.
bool known_answer() {
  const Challenge authenticator = {0x5b, 0x5d, 0x7c, 0x7d, 0x7b, 0x3f, 0x2f, 0x3e,
                                   0x3c, 0x2c, 0x60, 0x21, 0x32, 0x26, 0x26, 0x28};
  const Challenge peer = {0x21, 0x40, 0x23, 0x24, 0x25, 0x5e, 0x26, 0x2a,
                          0x28, 0x29, 0x5f, 0x2b, 0x3a, 0x33, 0x7c, 0x7e};
  const NtResponse expected = {0x82, 0x30, 0x9e, 0xcd, 0x8d, 0x70, 0x8b, 0x5e,
                               0xa0, 0x8f, 0xaa, 0x39, 0x81, 0xcd, 0x83, 0x54,
                               0x42, 0x33, 0x11, 0x4a, 0x3d, 0x85, 0xd6, 0xdf};
  const auto challenge = challenge_hash(peer, authenticator, "User");
  return nt_response(challenge, nt_password_hash(bytes_of("clientPass"))) == expected;
}

}  // namespace

bool available() {
  static const bool kWorks = [] {
    const ErrorQueueGuard guard;
    return legacy().md4 != nullptr && legacy().des3 != nullptr && known_answer();
  }();
  return kWorks;
}

NtHash nt_password_hash(Bytes password) {
  NtHash hash;
  (void)md4(utf16(password).bytes(), hash);
  return hash;
}

std::array<uint8_t, 8> challenge_hash(const Challenge& peer, const Challenge& authenticator,
                                      std::string_view user_name) {
  const Sha1 digest = sha1({peer, authenticator, bytes_of(user_name)});
  std::array<uint8_t, 8> out{};
  std::copy_n(digest.data(), out.size(), out.begin());
  return out;
}

NtResponse nt_response(const std::array<uint8_t, 8>& challenge, const NtHash& hash) {
  Secret<21> padded;  // five zero bytes at the end
  std::copy_n(hash.data(), hash.size(), padded.data());
  NtResponse response{};
  for (const size_t i : {0U, 1U, 2U}) {
    (void)des(padded.bytes().subspan(7 * i, 7), challenge, response.data() + 8 * i);
  }
  return response;
}

std::string authenticator_response(const NtHash& hash, const NtResponse& response,
                                   const std::array<uint8_t, 8>& challenge) {
  static constexpr std::string_view kMagic1 = "Magic server to client signing constant";
  static constexpr std::string_view kMagic2 = "Pad to make it do more than one iteration";
  NtHash hash_hash;
  (void)md4(hash.bytes(), hash_hash);
  const Sha1 first = sha1({hash_hash.bytes(), response, bytes_of(kMagic1)});
  const Sha1 second = sha1({first.bytes(), challenge, bytes_of(kMagic2)});
  std::string text = "S=";
  for (const uint8_t byte : second.bytes()) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

SecretBytes master_session_key(const NtHash& hash, const NtResponse& response) {
  static constexpr std::string_view kMaster = "This is the MPPE Master Key";
  static constexpr std::string_view kServerReceives =
      "On the client side, this is the send key; on the server side, it is the receive key.";
  static constexpr std::string_view kServerSends =
      "On the client side, this is the receive key; on the server side, it is the send key.";
  static constexpr std::array<uint8_t, 40> kPad1{};
  static constexpr auto kPad2 = [] {
    std::array<uint8_t, 40> pad{};
    pad.fill(0xf2);
    return pad;
  }();
  NtHash hash_hash;
  (void)md4(hash.bytes(), hash_hash);
  const Sha1 master = sha1({hash_hash.bytes(), response, bytes_of(kMaster)});
  SecretBytes msk;
  for (const std::string_view magic : {kServerReceives, kServerSends}) {
    const Sha1 key = sha1({master.bytes().first(16), kPad1, bytes_of(magic), kPad2});
    msk.append(key.bytes().first(16));
  }
  msk.resize(64);
  return msk;
}

}  // namespace penstock::ike::mschapv2
