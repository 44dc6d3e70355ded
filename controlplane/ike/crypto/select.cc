// The choice between proposals (RFC 7296 sections 2.7 and 3.3.6).
#include <algorithm>

#include "controlplane/ike/crypto/proposals.h"

namespace penstock::ike {
namespace {

using enum TransformType;

constexpr uint32_t kFirstSpi = 256;  // RFC 4303 2.1: what is below is reserved

using Ids = std::vector<Transform>;

// The transforms of one type that may be chosen, in order.
Ids usable(const Proposal& proposal, TransformType type) {
  Ids ids;
  std::copy_if(proposal.transforms.begin(), proposal.transforms.end(), std::back_inserter(ids),
               [type](const Transform& t) { return t.type == type && !t.unknown_attribute; });
  return ids;
}

bool contains(const Ids& ids, const Transform& wanted) {
  return std::find(ids.begin(), ids.end(), wanted) != ids.end();
}
bool contains(const Ids& ids, TransformType type, uint16_t id) {
  return contains(ids, Transform{type, id, 0, false});
}

bool has_type(const Proposal& proposal, TransformType type) {
  return std::any_of(proposal.transforms.begin(), proposal.transforms.end(),
                     [type](const Transform& t) { return t.type == type; });
}

// Whether a proposal goes without a transform of this type: it names none at all (those that we may
// not choose count), or names 0, which is NONE, or sequence numbers of 32 bits.
bool goes_without(const Proposal& proposal, TransformType type) {
  return !has_type(proposal, type) || contains(usable(proposal, type), type, 0);
}

// 3.3.6: a proposal with a type of transform that we do not know is passed over as a whole.
bool types_known(const Proposal& proposal) {
  const bool is_ike = proposal.protocol == ProtocolId::kIke;
  return std::all_of(proposal.transforms.begin(), proposal.transforms.end(),
                     [is_ike](const Transform& t) {
                       switch (t.type) {
                         case kEncryption:
                         case kIntegrity:
                         case kKeyExchange:
                           return true;
                         case kPrf:
                           return is_ike;
                         case kSequenceNumbers:
                           return !is_ike;
                       }
                       return false;
                     });
}

bool spi_good(const Proposal& proposal) {
  if (proposal.protocol == ProtocolId::kEsp) return proposal.spi >= kFirstSpi;
  return proposal.spi_size == 0 || proposal.spi != 0;
}

enum class GroupRule : uint8_t { kIgnore, kRequire, kNone };

// Finds the first combination of two proposals; remembers which type of transform stood in the way.
class Matcher {
 public:
  Matcher(const Proposal& offered, const Proposal& configured, const SelectOptions& options)
      : offered_(offered), configured_(configured), options_(options) {}

  std::optional<Suite> match(GroupRule rule) {
    suite_ = {};
    suite_.protocol = configured_.protocol;
    if (!cipher()) return std::nullopt;
    if (suite_.protocol == ProtocolId::kIke && !prf()) return std::nullopt;
    if (!group(rule)) return std::nullopt;
    if (suite_.protocol == ProtocolId::kEsp && !sequence_numbers()) return std::nullopt;
    return suite_;
  }
  [[nodiscard]] TransformType obstacle() const { return obstacle_; }

 private:
  // Those of `type` that both have, in the order that counts.
  Ids common(TransformType type) const {
    const Ids theirs = usable(offered_, type);
    const Ids ours = usable(configured_, type);
    const Ids& first = options_.prefer_configured ? ours : theirs;
    const Ids& second = options_.prefer_configured ? theirs : ours;
    Ids both;
    std::copy_if(first.begin(), first.end(), std::back_inserter(both),
                 [&second](const Transform& t) { return contains(second, t); });
    return both;
  }

  bool fail(TransformType type) {
    obstacle_ = type;
    return false;
  }

  bool cipher() {
    const Ids ciphers = common(kEncryption);
    if (ciphers.empty()) return fail(kEncryption);
    const Ids integrity = common(kIntegrity);
    // 3.3: an AEAD goes without integrity algorithms, or with NONE.
    const bool aead_possible = goes_without(offered_, kIntegrity);
    for (const Transform& t : ciphers) {
      suite_.encryption = EncryptionId{t.id};
      suite_.key_bits = t.key_bits;
      if (suite_.is_aead() && aead_possible) return true;
      if (!suite_.is_aead() && !integrity.empty()) {
        suite_.integrity = IntegrityId{integrity.front().id};
        return true;
      }
    }
    return fail(kIntegrity);
  }

  bool prf() {
    const Ids both = common(kPrf);
    if (both.empty()) return fail(kPrf);
    suite_.prf = PrfId{both.front().id};
    return true;
  }

  bool group(GroupRule rule) {
    if (rule == GroupRule::kIgnore) return true;
    if (rule == GroupRule::kNone) {
      return (goes_without(offered_, kKeyExchange) && goes_without(configured_, kKeyExchange)) ||
             fail(kKeyExchange);
    }
    Ids both = common(kKeyExchange);
    std::erase(both, Transform{kKeyExchange, 0, 0, false});
    if (both.empty()) return fail(kKeyExchange);
    const bool guessed = options_.ke_group && contains(both, kKeyExchange, *options_.ke_group);
    suite_.group = DhGroup{guessed ? *options_.ke_group : both.front().id};
    return true;
  }

  bool sequence_numbers() {
    // Old peers leave the transform out where they mean 32 bits.
    if (!has_type(offered_, kSequenceNumbers) || !has_type(configured_, kSequenceNumbers)) {
      return (goes_without(offered_, kSequenceNumbers) &&
              goes_without(configured_, kSequenceNumbers)) ||
             fail(kSequenceNumbers);
    }
    const Ids both = common(kSequenceNumbers);
    if (both.empty()) return fail(kSequenceNumbers);
    suite_.esn = both.front().id == 1;
    return true;
  }

  const Proposal& offered_;
  const Proposal& configured_;
  const SelectOptions& options_;
  Suite suite_;
  TransformType obstacle_ = kEncryption;
};

const char* type_words(TransformType type) {
  switch (type) {
    case kEncryption:
      return "encryption algorithm";
    case kPrf:
      return "PRF";
    case kIntegrity:
      return "integrity algorithm";
    case kKeyExchange:
      return "key exchange group";
    case kSequenceNumbers:
      return "kind of sequence numbers";
  }
  return "transform";
}

std::string names(const Proposal& proposal, TransformType type) {
  constexpr size_t kShown = 10;
  std::string text;
  size_t count = 0;
  for (const Transform& t : usable(proposal, type)) {
    if (count++ == kShown) return text + ", ...";
    if (!text.empty()) text += ", ";
    text += to_string(Proposal{1, proposal.protocol, 0, 0, {t}});
  }
  return text.empty() ? "none" : text;
}

// How far a pair of proposals got: the later the obstacle, the more it tells.
int progress(TransformType type) {
  switch (type) {
    case kEncryption:
      return 0;
    case kIntegrity:
      return 1;
    case kPrf:
      return 2;
    case kKeyExchange:
      return 3;
    case kSequenceNumbers:
      return 4;
  }
  return 0;
}

class Selector {
 public:
  Selector(ProtocolId protocol, std::span<const Proposal> offered,
           std::span<const Proposal> configured, const SelectOptions& options)
      : protocol_(protocol), offered_(offered), configured_(configured), options_(options) {
    error_.text = "no " + ike::to_string(protocol) + " proposal that could be chosen was offered";
  }

  std::optional<Selection> pass(GroupRule rule) {
    const bool ours_first = options_.prefer_configured;
    const size_t outer = ours_first ? configured_.size() : offered_.size();
    const size_t inner = ours_first ? offered_.size() : configured_.size();
    for (size_t i = 0; i < outer; ++i) {
      for (size_t j = 0; j < inner; ++j) {
        const Proposal& ours = configured_[ours_first ? i : j];
        const Proposal& theirs = offered_[ours_first ? j : i];
        if (auto selection = pair(theirs, ours, rule)) return selection;
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] const NoProposal& error() const { return error_; }

 private:
  std::optional<Selection> pair(const Proposal& theirs, const Proposal& ours, GroupRule rule) {
    if (theirs.protocol != protocol_ || ours.protocol != protocol_ || !types_known(theirs) ||
        !spi_good(theirs)) {
      return std::nullopt;
    }
    Matcher matcher(theirs, ours, options_);
    if (const auto suite = matcher.match(rule)) {
      return Selection{*suite, theirs.number, theirs.spi_size, theirs.spi,
                       has_type(theirs, kSequenceNumbers)};
    }
    const TransformType obstacle = matcher.obstacle();
    if (progress(obstacle) > progress_) {
      progress_ = progress(obstacle);
      error_.text = std::string("no ") + type_words(obstacle) + " in common: offered " +
                    names(theirs, obstacle) + "; configured " + names(ours, obstacle);
    }
    return std::nullopt;
  }

  ProtocolId protocol_;
  std::span<const Proposal> offered_;
  std::span<const Proposal> configured_;
  const SelectOptions& options_;
  NoProposal error_;
  int progress_ = -1;
};

}  // namespace

Proposal Selection::answer(uint64_t own_spi) const {
  Proposal proposal = to_proposal(suite, number, spi_size, own_spi);
  if (!names_sequence_numbers) {
    std::erase(proposal.transforms, Transform{kSequenceNumbers, 0, 0, false});
  }
  return proposal;
}

Result<Selection, NoProposal> select_proposal(ProtocolId protocol,
                                              std::span<const Proposal> offered,
                                              std::span<const Proposal> configured,
                                              const SelectOptions& options) {
  Selector selector(protocol, offered, configured, options);
  std::vector<GroupRule> passes;
  if (protocol == ProtocolId::kIke) {
    passes = {GroupRule::kRequire};
  } else if (options.ignore_groups) {
    passes = {GroupRule::kIgnore};
  } else if (options.require_group) {
    passes = {GroupRule::kRequire};
  } else if (options.ke_group) {
    passes = {GroupRule::kRequire, GroupRule::kNone};
  } else {
    // Without a KE payload a group would cost the peer another round trip: only if it must be.
    passes = {GroupRule::kNone, GroupRule::kRequire};
  }
  for (const GroupRule rule : passes) {
    if (auto selection = selector.pass(rule)) return *selection;
  }
  return selector.error();
}

Result<Selection, NoProposal> check_answer(ProtocolId protocol, std::span<const Proposal> sent,
                                           std::span<const Proposal> answer,
                                           const SelectOptions& options) {
  if (answer.size() != 1) return NoProposal{"the answer is not one proposal"};
  const Proposal& chosen = answer.front();
  for (const TransformType type : {kEncryption, kIntegrity, kPrf, kKeyExchange, kSequenceNumbers}) {
    const auto count = std::count_if(chosen.transforms.begin(), chosen.transforms.end(),
                                     [type](const Transform& t) { return t.type == type; });
    if (count > 1) {
      return NoProposal{std::string("the answer has more than one ") + type_words(type)};
    }
  }
  const auto offer = std::find_if(sent.begin(), sent.end(), [&chosen](const Proposal& proposal) {
    return proposal.number == chosen.number;
  });
  if (offer == sent.end()) return NoProposal{"the answer has the number of no proposal of ours"};
  if (chosen.spi_size != offer->spi_size) return NoProposal{"the answer's SPI has another size"};
  for (const Transform& t : chosen.transforms) {
    const bool is_none =
        t.id == 0 && t.key_bits == 0 && (t.type == kIntegrity || t.type == kKeyExchange);
    const bool ignored = options.ignore_groups && t.type == kKeyExchange;
    if (!is_none && !ignored && !contains(offer->transforms, t)) {
      return NoProposal{std::string("the answer has an ") + "algorithm that was not offered: " +
                        to_string(Proposal{1, protocol, 0, 0, {t}})};
    }
  }
  // Where groups were offered without NONE beside them, one of them has to be chosen.
  const std::span<const Proposal> offered(&*offer, 1);
  SelectOptions exact = options;
  exact.require_group =
      first_group(offered) != DhGroup::kNone && !has_group(offered, 0) && !options.ignore_groups;
  return select_proposal(protocol, answer, offered, exact);
}

}  // namespace penstock::ike
