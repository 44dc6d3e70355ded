// Proposals: from the keywords of swanctl.conf, and the choice between what a peer offers and what
// is configured (RFC 7296 sections 2.7 and 3.3.6).
//
// The policy floor: there is no transform here that RFC 8247 or RFC 8221 call SHOULD NOT or worse.
// Keywords of such transforms are known, and refused by name.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "controlplane/ike/crypto/suite.h"
#include "gateway/base/result.h"

namespace penstock::ike {

// One proposal in swanctl's keyword syntax, such as "aes256gcm16-prfsha384-ecp384", for kIke or
// kEsp (kAh is refused). As charon does: an IKE proposal without a PRF takes it from its integrity
// algorithms; an AEAD drops integrity algorithms; an ESP one drops PRFs and is without ESN unless
// it says `esn`. Every keyword of strongSwan 5.9 is known: unsupported and weak ones are errors
// that say which and why, as is a proposal that could never work. "default" is not accepted here.
Result<Proposal> parse_proposal(ProtocolId protocol, std::string_view text);
// The list of a `proposals` or `esp_proposals` key; "default" stands for default_proposals().
// An empty list too.
Result<std::vector<Proposal>> parse_proposals(ProtocolId protocol,
                                              std::span<const std::string_view> list);
// AEADs first, then CBC with HMAC. ESP: with groups (perfect forward secrecy), none as the last
// choice; with ESN, none as the last choice.
std::vector<Proposal> default_proposals(ProtocolId protocol);
// As configured: "aes256gcm16-aes128gcm16-prfsha256-x25519-ecp256".
std::string to_string(const Proposal& proposal);

struct SelectOptions {
  // Responder: whose order counts. charon's prefer_configured_proposals.
  bool prefer_configured = true;
  // The group of the KE payload that came along. Where the chosen proposal allows that group it is
  // taken whatever the order says: a round trip is saved and nothing is lost, for both sides have
  // it.
  std::optional<uint16_t> ke_group;
  // The child SA of IKE_AUTH has no KE payload: groups on either side are ignored (RFC 7296 1.2).
  bool ignore_groups = false;
  // `require_pfs`: a choice without a group is none.
  bool require_group = false;
};

struct Selection {
  Suite suite;
  uint8_t number = 0;    // of the peer's proposal
  uint8_t spi_size = 0;  // and its SPI
  uint64_t spi = 0;
  // Old peers leave the ESN transform out where they mean 32 bits: the answer does so too.
  bool names_sequence_numbers = true;
  // What a responder answers with: the chosen transforms under the peer's number and our SPI.
  [[nodiscard]] Proposal answer(uint64_t own_spi) const;
};

// Why there was no choice, for the log: the first type of transform that no pair of proposals
// agrees in. NO_PROPOSAL_CHOSEN in any case.
struct NoProposal {
  std::string text;  // "no encryption algorithm in common: offered ..., configured ..."
};

// Responder: chooses from the peer's proposals of `protocol`. A proposal with an unknown transform
// type is passed over, a transform with an unknown attribute too (RFC 7296 3.3.6).
// Order of the configured proposals: "a group is offered" is satisfied by KE_NONE on both sides or
// by its absence on one where the other has KE_NONE.
Result<Selection, NoProposal> select_proposal(ProtocolId protocol,
                                              std::span<const Proposal> offered,
                                              std::span<const Proposal> configured,
                                              const SelectOptions& options);

// Initiator: the responder's answer must be one proposal with one transform of each type, all from
// the offer of that number (RFC 7296 2.7, 3.3.6).
Result<Selection, NoProposal> check_answer(ProtocolId protocol, std::span<const Proposal> sent,
                                           std::span<const Proposal> answer,
                                           const SelectOptions& options);

// What to send: the configured proposals numbered from 1 with our SPI. `without_groups`: for
// IKE_AUTH. KE_NONE is never sent beside groups: a proposal that has it is followed by its copy
// without groups, unless options.require_group.
std::vector<Proposal> to_offer(std::span<const Proposal> configured, uint8_t spi_size, uint64_t spi,
                               const SelectOptions& options);

// The group to send a KE payload of: the first one of the first proposal that has any; kNone where
// there is none.
DhGroup first_group(std::span<const Proposal> configured);
// Whether INVALID_KE_PAYLOAD's group may be retried with: it must be one that we offered.
bool has_group(std::span<const Proposal> configured, uint16_t group);

// RFC 7296 1.2, 1.3: a KE payload whose group is not the chosen one is answered by
// INVALID_KE_PAYLOAD with the chosen one. nullopt: the payload fits (or neither is there).
inline std::optional<DhGroup> invalid_ke_answer(const Suite& chosen,
                                                std::optional<uint16_t> ke_group) {
  if (chosen.group == DhGroup::kNone) return std::nullopt;  // a KE payload beside is ignored
  if (ke_group == static_cast<uint16_t>(chosen.group)) return std::nullopt;
  return chosen.group;
}

}  // namespace penstock::ike
