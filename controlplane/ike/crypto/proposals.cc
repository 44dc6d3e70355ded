// Proposals from their keywords, the defaults, and how they are written.
#include "controlplane/ike/crypto/proposals.h"

#include <algorithm>
#include <array>

#include "controlplane/ike/crypto/keywords.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

using enum TransformType;

constexpr std::array kOrder = {kEncryption, kIntegrity, kPrf, kKeyExchange, kSequenceNumbers};
constexpr size_t kMaxConfigured = 24;  // of one connection or child; at most twice as many are sent

bool has_type(const Proposal& proposal, TransformType type) {
  return std::any_of(proposal.transforms.begin(), proposal.transforms.end(),
                     [type](const Transform& t) { return t.type == type; });
}

void remove_type(Proposal& proposal, TransformType type) {
  std::erase_if(proposal.transforms, [type](const Transform& t) { return t.type == type; });
}

bool is_aead(const Transform& t) {
  return t.type == kEncryption && t.id != static_cast<uint16_t>(EncryptionId::kAesCbc);
}

// charon: a proposal that names hashes for integrity only means them for the PRF too.
void add_prfs_of_integrity(Proposal& proposal) {
  if (has_type(proposal, kPrf)) return;
  const std::vector<Transform> named = proposal.transforms;
  for (const Transform& t : named) {
    if (t.type != kIntegrity) continue;
    // 12, 13, 14 are the HMACs of the hashes that PRFs 5, 6, 7 are made of.
    proposal.transforms.push_back({kPrf, static_cast<uint16_t>(t.id - 7), 0, false});
  }
}

// What a dataplane cipher suite exists for, beside what IKE itself can use.
Status check_esp(const Proposal& proposal) {
  for (const Transform& t : proposal.transforms) {
    if (t.type == kEncryption && t.key_bits == 192) {
      return errorf("'aes192' is for IKE only: ESP has aes128 and aes256 here");
    }
    if (t.type == kIntegrity && t.id != static_cast<uint16_t>(IntegrityId::kHmacSha256_128)) {
      const std::string_view keyword = keyword_of(t);
      return errorf("'%.*s' is for IKE only: ESP has sha256 here", static_cast<int>(keyword.size()),
                    keyword.data());
    }
  }
  return {};
}

Status complete(Proposal& proposal) {
  if (!has_type(proposal, kEncryption)) return errorf("it names no encryption algorithm");
  const auto encryption = [](const Transform& t) { return t.type == kEncryption; };
  const auto ciphers =
      std::count_if(proposal.transforms.begin(), proposal.transforms.end(), encryption);
  const auto aeads = std::count_if(proposal.transforms.begin(), proposal.transforms.end(), is_aead);
  if (aeads != 0 && aeads != ciphers) {
    return errorf("AEAD and other encryption algorithms need a proposal each");
  }
  const bool is_ike = proposal.protocol == ProtocolId::kIke;
  if (is_ike) add_prfs_of_integrity(proposal);
  if (aeads != 0) remove_type(proposal, kIntegrity);
  if (aeads == 0 && !has_type(proposal, kIntegrity)) {
    return errorf("it names no integrity algorithm, which AES-CBC needs");
  }
  if (is_ike) {
    if (!has_type(proposal, kPrf)) return errorf("it names no PRF (such as prfsha256)");
    if (has_group({&proposal, 1}, 0)) return errorf("'modpnone' is for ESP only");
    if (!has_type(proposal, kKeyExchange)) return errorf("it names no key exchange group");
    remove_type(proposal, kSequenceNumbers);
    return {};
  }
  remove_type(proposal, kPrf);
  if (!has_type(proposal, kSequenceNumbers)) {
    proposal.transforms.push_back({kSequenceNumbers, 0, 0, false});
  }
  return check_esp(proposal);
}

Proposal of_keywords(ProtocolId protocol, std::string_view text) {
  auto proposal = parse_proposal(protocol, text);
  return std::move(*proposal);  // the texts below are right, as a test says
}

}  // namespace

Result<Proposal> parse_proposal(ProtocolId protocol, std::string_view text) {
  if (protocol != ProtocolId::kIke && protocol != ProtocolId::kEsp) {
    return errorf("AH is not supported");
  }
  const int size = static_cast<int>(std::min<size_t>(text.size(), 200));
  Proposal proposal;
  proposal.protocol = protocol;
  for (const std::string_view keyword : split(text, '-')) {
    auto transform = transform_of_keyword(keyword);
    if (!transform.ok()) {
      return errorf("proposal '%.*s': %s", size, text.data(), transform.error().text.c_str());
    }
    auto& list = proposal.transforms;
    if (std::find(list.begin(), list.end(), *transform) == list.end()) list.push_back(*transform);
  }
  const Status status = complete(proposal);
  if (!status.ok()) {
    return errorf("proposal '%.*s': %s", size, text.data(), status.error().text.c_str());
  }
  std::stable_sort(proposal.transforms.begin(), proposal.transforms.end(),
                   [](const Transform& a, const Transform& b) {
                     return std::find(kOrder.begin(), kOrder.end(), a.type) <
                            std::find(kOrder.begin(), kOrder.end(), b.type);
                   });
  return proposal;
}

Result<std::vector<Proposal>> parse_proposals(ProtocolId protocol,
                                              std::span<const std::string_view> list) {
  std::vector<Proposal> proposals;
  for (const std::string_view text : list) {
    if (text == "default") {
      const std::vector<Proposal> defaults = default_proposals(protocol);
      proposals.insert(proposals.end(), defaults.begin(), defaults.end());
    } else {
      PENSTOCK_TRY(Proposal proposal, parse_proposal(protocol, text));
      proposals.push_back(std::move(proposal));
    }
    if (proposals.size() > kMaxConfigured) {
      return errorf("more than %zu proposals", kMaxConfigured);
    }
  }
  if (proposals.empty()) return default_proposals(protocol);
  return proposals;
}

std::vector<Proposal> default_proposals(ProtocolId protocol) {
  if (protocol == ProtocolId::kIke) {
    return {of_keywords(protocol,
                        "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-"
                        "x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048"),
            of_keywords(protocol,
                        "aes256-aes192-aes128-sha256-sha384-sha512-prfsha256-prfsha384-prfsha512-"
                        "x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048")};
  }
  return {of_keywords(protocol,
                      "aes256gcm16-aes128gcm16-chacha20poly1305-x25519-ecp256-ecp384-ecp521-"
                      "modp3072-modp4096-modp2048-modpnone-esn-noesn"),
          of_keywords(protocol,
                      "aes256-aes128-sha256-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-"
                      "modp2048-modpnone-esn-noesn")};
}

std::string to_string(const Proposal& proposal) {
  std::string text;
  for (const Transform& transform : proposal.transforms) {
    if (!text.empty()) text += '-';
    const std::string_view keyword = keyword_of(transform);
    if (!keyword.empty()) {
      text += keyword;
      continue;
    }
    switch (transform.type) {
      case kEncryption:
        text += encryption_name(transform.id);
        break;
      case kIntegrity:
        text += integrity_name(transform.id);
        break;
      case kPrf:
        text += prf_name(transform.id);
        break;
      case kKeyExchange:
        text += group_name(transform.id);
        break;
      default:
        text += "(" + std::to_string(static_cast<unsigned>(transform.type)) + ":" +
                std::to_string(transform.id) + ")";
    }
    if (transform.key_bits != 0) text += "_" + std::to_string(transform.key_bits);
  }
  return text;
}

std::string Suite::to_string() const {
  Proposal proposal = to_proposal(*this, 1, 0, 0);
  // That there is no ESN goes without saying.
  std::erase(proposal.transforms, Transform{kSequenceNumbers, 0, 0, false});
  return ike::to_string(proposal);
}

std::vector<Proposal> to_offer(std::span<const Proposal> configured, uint8_t spi_size, uint64_t spi,
                               const SelectOptions& options) {
  constexpr Transform kNoGroup{kKeyExchange, 0, 0, false};
  std::vector<Proposal> offer;
  const auto add = [&](Proposal proposal) {
    proposal.number = static_cast<uint8_t>(offer.size() + 1);
    proposal.spi_size = spi_size;
    proposal.spi = spi;
    offer.push_back(std::move(proposal));
  };
  const auto without_groups = [](Proposal proposal) {
    remove_type(proposal, kKeyExchange);
    return proposal;
  };
  for (const Proposal& each : configured) {
    if (offer.size() + 2 > 2 * kMaxConfigured) break;
    if (options.ignore_groups) {
      add(without_groups(each));
      continue;
    }
    Proposal with_groups = each;
    std::erase(with_groups.transforms, kNoGroup);
    const bool has_groups = has_type(with_groups, kKeyExchange);
    const bool none_too = !has_groups || with_groups.transforms.size() != each.transforms.size();
    if (has_groups) add(with_groups);
    const bool is_ike = each.protocol == ProtocolId::kIke;
    if (none_too && !is_ike && !options.require_group) add(without_groups(each));
  }
  return offer;
}

DhGroup first_group(std::span<const Proposal> configured) {
  for (const Proposal& proposal : configured) {
    for (const Transform& t : proposal.transforms) {
      if (t.type == kKeyExchange && t.id != 0) return DhGroup{t.id};
    }
  }
  return DhGroup::kNone;
}

bool has_group(std::span<const Proposal> configured, uint16_t group) {
  return std::any_of(configured.begin(), configured.end(), [group](const Proposal& proposal) {
    return std::any_of(
        proposal.transforms.begin(), proposal.transforms.end(),
        [group](const Transform& t) { return t.type == kKeyExchange && t.id == group; });
  });
}

}  // namespace penstock::ike
