#include "controlplane/ike/auth/signature_algorithms.h"

#include <array>

#include "controlplane/ike/auth/der.h"

namespace penstock::ike {
namespace {

using namespace std::string_view_literals;

constexpr std::array kHashes = {SignatureHash::kSha256, SignatureHash::kSha384,
                                SignatureHash::kSha512};

std::string_view rsa_oid(SignatureHash hash) {  // sha256WithRSAEncryption ...
  switch (hash) {
    case SignatureHash::kSha384:
      return "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c"sv;
    case SignatureHash::kSha512:
      return "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d"sv;
    default:
      return "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"sv;
  }
}
std::string_view ecdsa_oid(SignatureHash hash) {  // ecdsa-with-SHA256 ...
  switch (hash) {
    case SignatureHash::kSha384:
      return "\x2a\x86\x48\xce\x3d\x04\x03\x03"sv;
    case SignatureHash::kSha512:
      return "\x2a\x86\x48\xce\x3d\x04\x03\x04"sv;
    default:
      return "\x2a\x86\x48\xce\x3d\x04\x03\x02"sv;
  }
}
std::string_view hash_oid(SignatureHash hash) {  // id-sha256 ...
  switch (hash) {
    case SignatureHash::kSha384:
      return "\x60\x86\x48\x01\x65\x03\x04\x02\x02"sv;
    case SignatureHash::kSha512:
      return "\x60\x86\x48\x01\x65\x03\x04\x02\x03"sv;
    default:
      return "\x60\x86\x48\x01\x65\x03\x04\x02\x01"sv;
  }
}
constexpr std::string_view kPssOid = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"sv;
constexpr std::string_view kMgf1Oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08"sv;
constexpr std::string_view kEd25519Oid = "\x2b\x65\x70"sv;
constexpr std::array<uint8_t, 2> kNull = {0x05, 0x00};

uint8_t hash_size(SignatureHash hash) {
  return hash == SignatureHash::kSha256 ? 32 : hash == SignatureHash::kSha384 ? 48 : 64;
}

void append(ByteVector& to, Bytes from) { to.insert(to.end(), from.begin(), from.end()); }

// AlgorithmIdentifier ::= SEQUENCE { OBJECT IDENTIFIER, parameters }
ByteVector identifier(std::string_view oid, Bytes parameters) {
  ByteVector content = der::wrap(der::kObjectIdentifier, bytes_of(oid));
  append(content, parameters);
  return der::wrap(der::kSequence, content);
}

// RSASSA-PSS-params (RFC 4055 section 3.1).
struct PssForm {
  bool hash_null = true;      // NULL as parameters of the hash
  bool mgf_hash_null = true;  // and of the hash inside MGF1
  bool trailer = false;       // trailerField 1 written out, though it is the default
};
ByteVector pss_identifier(SignatureHash hash, const PssForm& form) {
  const Bytes null(kNull);
  const ByteVector outer = identifier(hash_oid(hash), form.hash_null ? null : Bytes{});
  const ByteVector inner = identifier(hash_oid(hash), form.mgf_hash_null ? null : Bytes{});
  const std::array<uint8_t, 3> salt = {0x02, 0x01, hash_size(hash)};
  const std::array<uint8_t, 3> one = {0x02, 0x01, 0x01};
  ByteVector parameters = der::wrap(0xa0, outer);
  append(parameters, der::wrap(0xa1, identifier(kMgf1Oid, inner)));
  append(parameters, der::wrap(0xa2, salt));
  if (form.trailer) append(parameters, der::wrap(0xa3, one));
  return identifier(kPssOid, der::wrap(der::kSequence, parameters));
}

struct Known {
  ByteVector bytes;
  SignatureAlgorithm algorithm;
};

std::vector<Known> all_known() {
  std::vector<Known> known;
  for (const SignatureHash hash : kHashes) {
    known.push_back({identifier(rsa_oid(hash), kNull), {KeyType::kRsa, false, hash}});
    known.push_back({identifier(ecdsa_oid(hash), {}), {KeyType::kEcdsa, false, hash}});
    for (const unsigned bits : {0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U}) {
      const PssForm form{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
      known.push_back({pss_identifier(hash, form), {KeyType::kRsa, true, hash}});
    }
  }
  known.push_back(
      {identifier(kEd25519Oid, {}), {KeyType::kEd25519, false, SignatureHash::kIdentity}});
  return known;
}

}  // namespace

ByteVector algorithm_identifier(const SignatureAlgorithm& algorithm) {
  switch (algorithm.key) {
    case KeyType::kEcdsa:
      return identifier(ecdsa_oid(algorithm.hash), {});
    case KeyType::kEd25519:
      return identifier(kEd25519Oid, {});
    case KeyType::kRsa:
      break;
  }
  return algorithm.pss ? pss_identifier(algorithm.hash, {})
                       : identifier(rsa_oid(algorithm.hash), kNull);
}

std::optional<SignatureAlgorithm> find_algorithm(Bytes identifier_bytes) {
  static const std::vector<Known> kKnown = all_known();  // constant after its first use
  for (const Known& known : kKnown) {
    if (equal_bytes(known.bytes, identifier_bytes)) return known.algorithm;
  }
  return std::nullopt;
}

}  // namespace penstock::ike
