#include "controlplane/ike/crypto/keywords.h"

#include <algorithm>
#include <iterator>

namespace penstock::ike {
namespace {

using enum TransformType;

struct Keyword {
  std::string_view text;
  TransformType type;
  uint16_t id;
  uint16_t key_bits = 0;
};

// Of several that mean the same, the first is the one that is shown.
constexpr Keyword kSupported[] = {
    {"aes128", kEncryption, 12, 128},
    {"aes192", kEncryption, 12, 192},
    {"aes256", kEncryption, 12, 256},
    {"aes", kEncryption, 12, 128},
    {"aes128gcm16", kEncryption, 20, 128},
    {"aes256gcm16", kEncryption, 20, 256},
    {"aes128gcm128", kEncryption, 20, 128},
    {"aes256gcm128", kEncryption, 20, 256},
    {"aes128gcm", kEncryption, 20, 128},
    {"aes256gcm", kEncryption, 20, 256},
    {"chacha20poly1305", kEncryption, 28},
    {"sha256", kIntegrity, 12},
    {"sha384", kIntegrity, 13},
    {"sha512", kIntegrity, 14},
    {"sha2_256", kIntegrity, 12},
    {"sha2_384", kIntegrity, 13},
    {"sha2_512", kIntegrity, 14},
    {"prfsha256", kPrf, 5},
    {"prfsha384", kPrf, 6},
    {"prfsha512", kPrf, 7},
    {"modpnone", kKeyExchange, 0},
    {"none", kKeyExchange, 0},
    {"modp2048", kKeyExchange, 14},
    {"modp3072", kKeyExchange, 15},
    {"modp4096", kKeyExchange, 16},
    {"ecp256", kKeyExchange, 19},
    {"ecp384", kKeyExchange, 20},
    {"ecp521", kKeyExchange, 21},
    {"x25519", kKeyExchange, 31},
    {"curve25519", kKeyExchange, 31},
    {"noesn", kSequenceNumbers, 0},
    {"esn", kSequenceNumbers, 1},
};

struct Refused {
  std::string_view text;
  const char* why;
};

constexpr const char* kNoCipher = "it does not encrypt";
constexpr const char* kBroken = "it is too weak (RFC 8247, RFC 8221)";
constexpr const char* kShortGroup = "the group is too small (RFC 8247)";
constexpr const char* kOddGroup = "a group of unexplained origin, SHOULD NOT be used (RFC 8247)";
constexpr const char* kTruncated = "a truncation that no standard has";
constexpr const char* kNotHere = "this gateway does not have it";
constexpr const char* kShortTag = "this gateway has AES-GCM with the full tag of 16 bytes only";

constexpr Refused kRefused[] = {
    {"null", kNoCipher},
    {"aes128gmac", kNoCipher},
    {"aes192gmac", kNoCipher},
    {"aes256gmac", kNoCipher},
    {"des", kBroken},
    {"3des", kBroken},
    {"cast128", kBroken},
    {"md5", kBroken},
    {"md5_128", kBroken},
    {"sha", kBroken},
    {"sha1", kBroken},
    {"sha1_160", kBroken},
    {"prfmd5", kBroken},
    {"prfsha1", kBroken},
    {"sha256_96", kTruncated},
    {"sha2_256_96", kTruncated},
    {"modpnull", kShortGroup},
    {"modp768", kShortGroup},
    {"modp1024", kShortGroup},
    {"modp1536", kShortGroup},
    {"ecp192", kShortGroup},
    {"ecp224", kShortGroup},
    {"ecp224bp", kShortGroup},
    {"modp1024s160", kOddGroup},
    {"modp2048s224", kOddGroup},
    {"modp2048s256", kOddGroup},
    {"chacha20poly1305compat", kNotHere},
    {"aes192gcm", kNotHere},
    {"aes192gcm16", kNotHere},
    {"aes192gcm128", kNotHere},
    {"aesxcbc", kNotHere},
    {"aescmac", kNotHere},
    {"camelliaxcbc", kNotHere},
    {"prfaesxcbc", kNotHere},
    {"prfaescmac", kNotHere},
    {"prfcamelliaxcbc", kNotHere},
    {"modp6144", kNotHere},
    {"modp8192", kNotHere},
    {"ecp256bp", kNotHere},
    {"ecp384bp", kNotHere},
    {"ecp512bp", kNotHere},
    {"curve448", kNotHere},
    {"x448", kNotHere},
    {"newhope128", kNotHere},
};

// Keywords that are a name with every size or variant behind it: "camellia256ccm12", "kyber3".
struct RefusedFamily {
  std::string_view prefix;
  std::string_view suffixes;  // separated by blanks; "-" is none
  const char* why;
};
constexpr RefusedFamily kRefusedFamilies[] = {
    {"aes128gcm", "8 64 12 96", kShortTag},
    {"aes192gcm", "8 64 12 96", kShortTag},
    {"aes256gcm", "8 64 12 96", kShortTag},
    {"aes128", "ctr ccm ccm8 ccm64 ccm12 ccm96 ccm16 ccm128", kNotHere},
    {"aes192", "ctr ccm ccm8 ccm64 ccm12 ccm96 ccm16 ccm128", kNotHere},
    {"aes256", "ctr ccm ccm8 ccm64 ccm12 ccm96 ccm16 ccm128", kNotHere},
    {"camellia", "- 128 192 256", kNotHere},
    {"camellia128", "ctr ccm ccm8 ccm64 ccm12 ccm96 ccm16 ccm128", kNotHere},
    {"camellia192", "ctr ccm ccm8 ccm64 ccm12 ccm96 ccm16 ccm128", kNotHere},
    {"camellia256", "ctr ccm ccm8 ccm64 ccm12 ccm96 ccm16 ccm128", kNotHere},
    {"blowfish", "- 128 192 256", kBroken},
    {"serpent", "- 128 192 256", kNotHere},
    {"twofish", "- 128 192 256", kNotHere},
    {"ntru", "112 128 192 256", kNotHere},
    {"kyber", "1 3 5", kNotHere},
    {"ntrup", "1 3 5", kNotHere},
    {"ntrur", "3", kNotHere},
    {"saber", "1 3 5", kNotHere},
    {"bike", "1 3 5", kNotHere},
    {"frodoa", "1 3 5", kNotHere},
    {"frodos", "1 3 5", kNotHere},
    {"hqc", "1 3 5", kNotHere},
    {"sike", "1 2 3 5", kNotHere},
};

bool has_suffix(std::string_view suffixes, std::string_view wanted) {
  if (wanted.empty()) wanted = "-";
  while (!suffixes.empty()) {
    const size_t blank = std::min(suffixes.find(' '), suffixes.size());
    if (suffixes.substr(0, blank) == wanted) return true;
    suffixes.remove_prefix(std::min(blank + 1, suffixes.size()));
  }
  return false;
}

const char* why_refused(std::string_view keyword) {
  for (const Refused& refused : kRefused) {
    if (refused.text == keyword) return refused.why;
  }
  for (const RefusedFamily& family : kRefusedFamilies) {
    if (keyword.substr(0, family.prefix.size()) == family.prefix &&
        has_suffix(family.suffixes, keyword.substr(family.prefix.size()))) {
      return family.why;
    }
  }
  return nullptr;
}

}  // namespace

Result<Transform> transform_of_keyword(std::string_view keyword) {
  for (const Keyword& known : kSupported) {
    if (known.text == keyword) return Transform{known.type, known.id, known.key_bits, false};
  }
  const int size = static_cast<int>(std::min<size_t>(keyword.size(), 40));
  if (const char* why = why_refused(keyword)) {
    return errorf("'%.*s' is refused: %s", size, keyword.data(), why);
  }
  return errorf("unknown algorithm '%.*s'", size, keyword.data());
}

std::string_view keyword_of(const Transform& transform) {
  for (const Keyword& known : kSupported) {
    if (Transform{known.type, known.id, known.key_bits, false} == transform) return known.text;
  }
  return {};
}

}  // namespace penstock::ike
