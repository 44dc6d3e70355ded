#include "controlplane/ike/crypto/suite.h"

#include <algorithm>
#include <iterator>
#include <span>

namespace penstock::ike {
namespace {

struct Name {
  uint16_t id;
  const char* text;
};

// Those that we have, and those that peers still offer: a log says what was refused.
constexpr Name kEncryption[] = {
    {0, "none"},        {2, "DES_CBC"},        {3, "3DES_CBC"},      {7, "BLOWFISH_CBC"},
    {11, "NULL"},       {12, "AES_CBC"},       {13, "AES_CTR"},      {14, "AES_CCM_8"},
    {15, "AES_CCM_12"}, {16, "AES_CCM_16"},    {18, "AES_GCM_8"},    {19, "AES_GCM_12"},
    {20, "AES_GCM_16"}, {21, "NULL_AES_GMAC"}, {23, "CAMELLIA_CBC"}, {28, "CHACHA20_POLY1305"},
};
constexpr Name kIntegrity[] = {
    {0, "none"},
    {1, "HMAC_MD5_96"},
    {2, "HMAC_SHA1_96"},
    {5, "AES_XCBC_96"},
    {8, "AES_CMAC_96"},
    {12, "HMAC_SHA2_256_128"},
    {13, "HMAC_SHA2_384_192"},
    {14, "HMAC_SHA2_512_256"},
};
constexpr Name kPrf[] = {
    {1, "PRF_HMAC_MD5"},      {2, "PRF_HMAC_SHA1"},     {4, "PRF_AES128_XCBC"},
    {5, "PRF_HMAC_SHA2_256"}, {6, "PRF_HMAC_SHA2_384"}, {7, "PRF_HMAC_SHA2_512"},
    {8, "PRF_AES128_CMAC"},
};
constexpr Name kGroups[] = {
    {0, "none"},           {1, "MODP_768"},       {2, "MODP_1024"},      {5, "MODP_1536"},
    {14, "MODP_2048"},     {15, "MODP_3072"},     {16, "MODP_4096"},     {17, "MODP_6144"},
    {18, "MODP_8192"},     {19, "ECP_256"},       {20, "ECP_384"},       {21, "ECP_521"},
    {22, "MODP_1024_160"}, {23, "MODP_2048_224"}, {24, "MODP_2048_256"}, {25, "ECP_192"},
    {26, "ECP_224"},       {27, "ECP_224_BP"},    {28, "ECP_256_BP"},    {29, "ECP_384_BP"},
    {30, "ECP_512_BP"},    {31, "CURVE_25519"},   {32, "CURVE_448"},
};

std::string name_of(std::span<const Name> names, uint16_t id) {
  for (const Name& name : names) {
    if (name.id == id) return name.text;
  }
  return "(" + std::to_string(id) + ")";
}

}  // namespace

std::string encryption_name(uint16_t id) { return name_of(kEncryption, id); }
std::string integrity_name(uint16_t id) { return name_of(kIntegrity, id); }
std::string prf_name(uint16_t id) { return name_of(kPrf, id); }
std::string group_name(uint16_t id) { return name_of(kGroups, id); }

size_t cipher_key_bytes(const Suite& suite) {
  return suite.encryption == EncryptionId::kChacha20Poly1305 ? 32 : suite.key_bits / 8U;
}

size_t salt_bytes(const Suite& suite) { return suite.is_aead() ? 4 : 0; }

size_t integrity_key_bytes(IntegrityId integrity) {  // RFC 4868 2.1: the output of the hash
  return 2 * integrity_icv_bytes(integrity);
}

size_t integrity_icv_bytes(IntegrityId integrity) {  // RFC 4868 2.1.1
  switch (integrity) {
    case IntegrityId::kNone:
      return 0;
    case IntegrityId::kHmacSha256_128:
      return 16;
    case IntegrityId::kHmacSha384_192:
      return 24;
    case IntegrityId::kHmacSha512_256:
      return 32;
  }
  return 0;
}

size_t prf_bytes(PrfId prf) {
  switch (prf) {
    case PrfId::kNone:
      return 0;
    case PrfId::kHmacSha256:
      return 32;
    case PrfId::kHmacSha384:
      return 48;
    case PrfId::kHmacSha512:
      return 64;
  }
  return 0;
}

Proposal to_proposal(const Suite& suite, uint8_t number, uint8_t spi_size, uint64_t spi) {
  Proposal proposal{number, suite.protocol, spi_size, spi, {}};
  const auto add = [&proposal](TransformType type, auto id, uint16_t key_bits = 0) {
    proposal.transforms.push_back({type, static_cast<uint16_t>(id), key_bits, false});
  };
  add(TransformType::kEncryption, suite.encryption, suite.key_bits);
  if (suite.integrity != IntegrityId::kNone) add(TransformType::kIntegrity, suite.integrity);
  if (suite.protocol == ProtocolId::kIke) add(TransformType::kPrf, suite.prf);
  if (suite.group != DhGroup::kNone) add(TransformType::kKeyExchange, suite.group);
  if (suite.protocol == ProtocolId::kEsp) add(TransformType::kSequenceNumbers, suite.esn ? 1 : 0);
  return proposal;
}

}  // namespace penstock::ike
