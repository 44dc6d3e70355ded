// The choice between proposals: RFC 7296 sections 2.7 and 3.3.6.
#include <gtest/gtest.h>

#include "controlplane/ike/crypto/proposals.h"

namespace penstock::ike {
namespace {

std::vector<Proposal> list_of(ProtocolId protocol, std::initializer_list<const char*> texts) {
  std::vector<Proposal> list;
  for (const char* text : texts) {
    auto proposal = parse_proposal(protocol, text);
    EXPECT_TRUE(proposal.ok()) << proposal.error().text;
    proposal->number = static_cast<uint8_t>(list.size() + 1);
    if (protocol == ProtocolId::kEsp) {
      proposal->spi_size = 4;
      proposal->spi = 0xc0000000U + list.size();
    }
    list.push_back(*proposal);
  }
  return list;
}
std::vector<Proposal> ike(std::initializer_list<const char*> texts) {
  return list_of(ProtocolId::kIke, texts);
}
std::vector<Proposal> esp(std::initializer_list<const char*> texts) {
  return list_of(ProtocolId::kEsp, texts);
}

std::string chosen(const std::vector<Proposal>& offered, const std::vector<Proposal>& configured,
                   const SelectOptions& options = {}) {
  const ProtocolId protocol = configured.front().protocol;
  const auto selection = select_proposal(protocol, offered, configured, options);
  if (!selection.ok()) return "none: " + selection.error().text;
  return std::to_string(selection->number) + " " + selection->suite.to_string();
}

SelectOptions with_ke(uint16_t group) {
  SelectOptions options;
  options.ke_group = group;
  return options;
}

TEST(SelectProposal, order_is_the_configured_one_unless_told_otherwise) {
  const auto offered = ike({"aes128-sha256-modp2048", "aes128gcm16-aes256gcm16-prfsha256-ecp256"});
  const auto configured =
      ike({"aes256gcm16-aes128gcm16-prfsha256-x25519-ecp256", "aes128-sha256-modp2048"});
  EXPECT_EQ(chosen(offered, configured), "2 aes256gcm16-prfsha256-ecp256");
  SelectOptions theirs;
  theirs.prefer_configured = false;
  EXPECT_EQ(chosen(offered, configured, theirs), "1 aes128-sha256-prfsha256-modp2048");
}

TEST(SelectProposal, group_of_the_ke_payload_saves_a_round_trip) {
  const auto both = ike({"aes128gcm16-prfsha256-x25519-ecp256-modp2048"});
  EXPECT_EQ(chosen(both, both), "1 aes128gcm16-prfsha256-x25519");
  EXPECT_EQ(chosen(both, both, with_ke(14)), "1 aes128gcm16-prfsha256-modp2048");
  EXPECT_EQ(chosen(both, both, with_ke(2)), "1 aes128gcm16-prfsha256-x25519");
  // A better proposal is not given up for the guess.
  const auto configured = ike({"aes128gcm16-prfsha256-x25519", "aes128-sha256-modp2048"});
  EXPECT_EQ(chosen(configured, configured, with_ke(14)), "1 aes128gcm16-prfsha256-x25519");
}

TEST(SelectProposal, invalid_ke_payload_names_the_chosen_group) {
  Suite suite;
  suite.group = DhGroup::kEcp384;
  EXPECT_EQ(invalid_ke_answer(suite, 14), DhGroup::kEcp384);
  EXPECT_EQ(invalid_ke_answer(suite, std::nullopt), DhGroup::kEcp384);
  EXPECT_EQ(invalid_ke_answer(suite, 20), std::nullopt);
  suite.group = DhGroup::kNone;
  EXPECT_EQ(invalid_ke_answer(suite, 14), std::nullopt);
  EXPECT_EQ(invalid_ke_answer(suite, std::nullopt), std::nullopt);
}

TEST(SelectProposal, words_say_what_there_is_not_in_common) {
  const auto configured = ike({"aes256gcm16-prfsha384-x25519-ecp256"});
  EXPECT_EQ(chosen(ike({"aes128-sha256-modp2048"}), configured),
            "none: no encryption algorithm in common: offered aes128; configured aes256gcm16");
  EXPECT_EQ(chosen(ike({"aes256gcm16-prfsha256-ecp256"}), configured),
            "none: no PRF in common: offered prfsha256; configured prfsha384");
  Proposal windows = ike({"aes256gcm16-prfsha384-modp2048"})[0];
  windows.transforms.back().id = 2;
  EXPECT_EQ(chosen({windows}, configured),
            "none: no key exchange group in common: offered MODP_1024; configured x25519, ecp256");
  EXPECT_EQ(chosen(esp({"aes128gcm16"}), configured),
            "none: no IKE proposal that could be chosen was offered");
}

// Each transform of a good proposal left out, alone and with others.
TEST(SelectProposal, every_subset_of_transforms_is_judged) {
  const Proposal whole = ike({"aes128-sha256-modp2048"})[0];
  for (unsigned mask = 0; mask < 16; ++mask) {
    Proposal part = whole;
    part.transforms.clear();
    for (unsigned i = 0; i < 4; ++i) {
      if (mask & (1U << i)) part.transforms.push_back(whole.transforms[i]);
    }
    EXPECT_EQ(select_proposal(ProtocolId::kIke, {&part, 1}, {&whole, 1}, {}).ok(), mask == 15)
        << mask;
  }
}

TEST(SelectProposal, aead_goes_with_no_integrity_or_with_none) {
  const auto configured = ike({"aes128gcm16-prfsha256-modp2048"});
  auto offered = configured;
  offered[0].transforms.push_back({TransformType::kIntegrity, 12, 0, false});
  EXPECT_EQ(chosen(offered, configured).substr(0, 4), "none");
  offered[0].transforms.push_back({TransformType::kIntegrity, 0, 0, false});
  EXPECT_EQ(chosen(offered, configured), "1 aes128gcm16-prfsha256-modp2048");
}

TEST(SelectProposal, cbc_with_integrity_none_is_refused) {
  auto offered = ike({"aes128-sha256-modp2048"});
  const auto configured = offered;
  for (Transform& t : offered[0].transforms) {
    if (t.type == TransformType::kIntegrity) t.id = 0;
  }
  EXPECT_EQ(chosen(offered, configured).substr(0, 4), "none");
}

TEST(SelectProposal, key_length_must_be_there_and_the_same) {
  const auto configured = ike({"aes128-sha256-modp2048"});
  for (const uint16_t bits : {0, 127, 192, 256}) {
    auto offered = configured;
    offered[0].transforms[0].key_bits = bits;
    EXPECT_EQ(chosen(offered, configured).substr(0, 4), "none") << bits;
  }
}

TEST(SelectProposal, unknown_attribute_spoils_a_transform_unknown_type_a_proposal) {
  const auto configured = ike({"aes256gcm16-aes128gcm16-prfsha256-modp2048"});
  auto offered = configured;
  offered[0].transforms[0].unknown_attribute = true;
  EXPECT_EQ(chosen(offered, configured), "1 aes128gcm16-prfsha256-modp2048");
  offered = ike({"aes256gcm16-prfsha256-modp2048", "aes128gcm16-prfsha256-modp2048"});
  offered[0].transforms.push_back({TransformType{6}, 35, 0, false});  // RFC 9370
  EXPECT_EQ(chosen(offered, configured), "2 aes128gcm16-prfsha256-modp2048");
}

// Not to be chosen is not to be absent: the choice would lack what the peer asked for.
TEST(SelectProposal, transforms_that_may_not_be_chosen_still_count_as_offered) {
  const auto configured = esp({"aes128gcm16-x25519-modpnone"});
  auto offered = esp({"aes128gcm16-x25519"});
  for (Transform& t : offered[0].transforms) {
    t.unknown_attribute = t.type == TransformType::kKeyExchange;
  }
  EXPECT_EQ(chosen(offered, configured).substr(0, 4), "none");
  offered = esp({"aes128gcm16"});
  offered[0].transforms.push_back({TransformType::kIntegrity, 12, 0, true});
  EXPECT_EQ(chosen(offered, configured).substr(0, 4), "none");
  offered = esp({"aes128gcm16"});
  offered[0].transforms.back().unknown_attribute = true;
  EXPECT_EQ(chosen(offered, configured).substr(0, 4), "none");
}

TEST(SelectProposal, reserved_spis_are_refused) {
  const auto configured = esp({"aes128gcm16"});
  for (const uint64_t spi : {0, 1, 255, 256}) {
    auto offered = configured;
    offered[0].spi = spi;
    EXPECT_EQ(select_proposal(ProtocolId::kEsp, offered, configured, {}).ok(), spi >= 256) << spi;
  }
  auto rekey = ike({"aes128-sha256-modp2048"});
  rekey[0].spi_size = 8;
  EXPECT_FALSE(select_proposal(ProtocolId::kIke, rekey, rekey, {}).ok());
  rekey[0].spi = 5;
  EXPECT_EQ(select_proposal(ProtocolId::kIke, rekey, rekey, {})->spi, 5U);
}

TEST(SelectProposal, esp_in_ike_auth_ignores_groups) {
  SelectOptions options;
  options.ignore_groups = true;
  EXPECT_EQ(chosen(esp({"aes128gcm16-modp2048"}), esp({"aes128gcm16-x25519"}), options),
            "1 aes128gcm16");
  EXPECT_EQ(chosen(esp({"aes128gcm16"}), esp({"aes128gcm16-x25519"}), options), "1 aes128gcm16");
}

TEST(SelectProposal, default_esp_prefers_a_group_and_accepts_none) {
  const auto configured = default_proposals(ProtocolId::kEsp);
  // iOS: one with and one without.
  const auto ios = esp({"aes256gcm16", "aes256gcm16-ecp256"});
  EXPECT_EQ(chosen(ios, configured, with_ke(19)), "2 aes256gcm16-ecp256");
  EXPECT_EQ(chosen(esp({"aes256gcm16"}), configured), "1 aes256gcm16") << "macOS: no KE at all";
  EXPECT_EQ(chosen(esp({"aes256gcm16-modp2048-modpnone"}), configured), "1 aes256gcm16");
  EXPECT_EQ(chosen(esp({"aes256gcm16-modp2048"}), configured, with_ke(19)),
            "1 aes256gcm16-modp2048")
      << "which INVALID_KE_PAYLOAD then asks for";
  EXPECT_EQ(chosen(esp({"aes256gcm16-modp2048"}), configured), "1 aes256gcm16-modp2048");
}

TEST(SelectProposal, require_group_accepts_no_other) {
  const auto configured = default_proposals(ProtocolId::kEsp);
  SelectOptions options = with_ke(19);
  options.require_group = true;
  EXPECT_EQ(chosen(esp({"aes256gcm16"}), configured, options).substr(0, 4), "none");
  EXPECT_EQ(chosen(esp({"aes256gcm16", "aes256gcm16-ecp256"}), configured, options),
            "2 aes256gcm16-ecp256");
}

TEST(SelectProposal, loaded_esp_proposals_are_taken_literally) {
  EXPECT_EQ(chosen(esp({"aes128gcm16"}), esp({"aes128gcm16-x25519"}), {}).substr(0, 4), "none");
  EXPECT_EQ(chosen(esp({"aes128gcm16-x25519"}), esp({"aes128gcm16"}), with_ke(31)).substr(0, 4),
            "none");
}

TEST(SelectProposal, sequence_numbers_agree_and_absence_means_32_bits) {
  EXPECT_EQ(chosen(esp({"aes128gcm16-esn-noesn"}), esp({"aes128gcm16-noesn-esn"})),
            "1 aes128gcm16");
  EXPECT_EQ(chosen(esp({"aes128gcm16-noesn-esn"}), esp({"aes128gcm16-esn-noesn"})),
            "1 aes128gcm16-esn");
  EXPECT_EQ(chosen(esp({"aes128gcm16-noesn"}), esp({"aes128gcm16-esn"})).substr(0, 4), "none");
  auto old = esp({"aes128gcm16"});
  old[0].transforms.pop_back();
  EXPECT_EQ(chosen(old, esp({"aes128gcm16-esn-noesn"})), "1 aes128gcm16");
  const auto selection = select_proposal(ProtocolId::kEsp, old, esp({"aes128gcm16"}), {});
  EXPECT_EQ(to_string(selection->answer(0xc0000009)), "aes128gcm16") << "only what was offered";
  EXPECT_EQ(chosen(old, esp({"aes128gcm16-esn"})).substr(0, 4), "none");
}

TEST(CheckAnswer, one_of_each_from_the_offer_is_taken) {
  const auto sent =
      ike({"aes256gcm16-aes128gcm16-prfsha256-x25519-modp2048", "aes128-sha256-modp2048"});
  auto answer = ike({"aes128gcm16-prfsha256-modp2048"});
  const auto selection = check_answer(ProtocolId::kIke, sent, answer, {});
  ASSERT_TRUE(selection.ok()) << selection.error().text;
  EXPECT_EQ(selection->suite.to_string(), "aes128gcm16-prfsha256-modp2048");
  answer[0].transforms.push_back({TransformType::kIntegrity, 0, 0, false});
  EXPECT_TRUE(check_answer(ProtocolId::kIke, sent, answer, {}).ok()) << "NONE beside an AEAD";
}

TEST(CheckAnswer, anything_else_is_refused) {
  const auto sent =
      ike({"aes256gcm16-aes128gcm16-prfsha256-x25519-modp2048", "aes128-sha256-modp2048"});
  const auto refused = [&sent](const std::vector<Proposal>& answer) {
    return !check_answer(ProtocolId::kIke, sent, answer, {}).ok();
  };
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(refused(ike({"aes128gcm16-prfsha256-modp2048", "aes128-sha256-modp2048"})));
  EXPECT_TRUE(refused(ike({"aes256gcm16-aes128gcm16-prfsha256-modp2048"}))) << "two of one type";
  EXPECT_TRUE(refused(ike({"aes128gcm16-prfsha384-modp2048"}))) << "not offered";
  EXPECT_TRUE(refused(ike({"aes128-sha256-modp2048"}))) << "of another number";
  auto answer = ike({"aes128-sha256-modp2048"});
  answer[0].number = 2;
  EXPECT_FALSE(refused(answer));
  answer[0].number = 3;
  EXPECT_TRUE(refused(answer));
  answer[0].number = 2;
  answer[0].protocol = ProtocolId::kEsp;
  EXPECT_TRUE(refused(answer));
  auto spi = ike({"aes128gcm16-prfsha256-modp2048"});
  spi[0].spi_size = 8;
  spi[0].spi = 7;
  EXPECT_TRUE(refused(spi));
  auto incomplete = ike({"aes128gcm16-prfsha256-modp2048"});
  incomplete[0].transforms.pop_back();
  EXPECT_TRUE(refused(incomplete)) << "no group";
}

TEST(CheckAnswer, a_group_is_chosen_where_groups_were_offered_and_only_there) {
  const auto sent = to_offer(default_proposals(ProtocolId::kEsp), 4, 0xc0000001, {});
  auto with = esp({"aes256gcm16-x25519-esn"});
  EXPECT_TRUE(check_answer(ProtocolId::kEsp, sent, with, with_ke(31)).ok());
  auto without = esp({"aes256gcm16-esn"});
  EXPECT_FALSE(check_answer(ProtocolId::kEsp, sent, without, with_ke(31)).ok());
  without[0].number = 2;
  EXPECT_TRUE(check_answer(ProtocolId::kEsp, sent, without, with_ke(31)).ok());
  with[0].number = 2;
  EXPECT_FALSE(check_answer(ProtocolId::kEsp, sent, with, with_ke(31)).ok());
  // Of an offer that has NONE beside its groups, either.
  const auto either = esp({"aes256gcm16-x25519-modpnone"});
  EXPECT_TRUE(check_answer(ProtocolId::kEsp, either, esp({"aes256gcm16"}), {}).ok());
  EXPECT_TRUE(check_answer(ProtocolId::kEsp, either, esp({"aes256gcm16-x25519"}), {}).ok());
}

}  // namespace
}  // namespace penstock::ike
