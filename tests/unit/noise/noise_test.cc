// The Noise_IKpsk2 vector, driven through the same tokens as a WireGuard handshake.
#include "controlplane/wireguard/noise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "controlplane/crypto/aead.h"
#include "controlplane/crypto/x25519.h"
#include "controlplane/wireguard/compute.h"
#include "gateway/base/text.h"

namespace penstock::wireguard {
namespace {

ByteVector hex(const nlohmann::json& field) { return *from_hex(field.get<std::string>()); }
Secret<32> secret(const nlohmann::json& field) { return Secret<32>::copy_of(hex(field)); }
ByteVector joined(std::initializer_list<Bytes> parts) {
  ByteVector out;
  for (const Bytes part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

TEST(Noise, ikpsk2_vector_matches_in_both_roles) {
  std::ifstream file(std::string(PENSTOCK_VECTORS) + "/noise/ikpsk2_25519_chachapoly_blake2s.json");
  const auto vector = nlohmann::json::parse(file)["vectors"][0];
  const ByteVector prologue = hex(vector["init_prologue"]);
  const Secret<32> psk = secret(vector["init_psks"][0]);
  const Secret<32> is = secret(vector["init_static"]);
  const Secret<32> ie = secret(vector["init_ephemeral"]);
  const Secret<32> rs = secret(vector["resp_static"]);
  const Secret<32> re = secret(vector["resp_ephemeral"]);
  const X25519Public is_pub = x25519_public(is);
  const X25519Public ie_pub = x25519_public(ie);
  const X25519Public rs_pub = x25519_public(rs);
  const X25519Public re_pub = x25519_public(re);
  ASSERT_TRUE(equal_bytes(rs_pub, hex(vector["init_remote_static"])));

  // -> e, es, s, ss, {payload}
  const ByteVector payload1 = hex(vector["messages"][0]["payload"]);
  NoiseState initiator = NoiseState::start(prologue, rs_pub);
  ByteVector sealed_s(48);
  ByteVector sealed1(payload1.size() + 16);
  initiator.e(ie_pub);
  ASSERT_TRUE(initiator.dh(ie, rs_pub));
  initiator.seal(is_pub, sealed_s);
  ASSERT_TRUE(initiator.dh(is, rs_pub));
  initiator.seal(payload1, sealed1);
  EXPECT_EQ(joined({ie_pub, sealed_s, sealed1}), hex(vector["messages"][0]["ciphertext"]));

  NoiseState responder = NoiseState::start(prologue, rs_pub);
  ByteVector opened_s(32);
  ByteVector opened1(payload1.size());
  responder.e(ie_pub);
  ASSERT_TRUE(responder.dh(rs, ie_pub));
  ASSERT_TRUE(responder.open(sealed_s, opened_s));
  EXPECT_TRUE(equal_bytes(opened_s, is_pub));
  ASSERT_TRUE(responder.dh(rs, is_pub));
  ASSERT_TRUE(responder.open(sealed1, opened1));
  EXPECT_EQ(opened1, payload1);

  // <- e, ee, se, psk, {payload}
  const ByteVector payload2 = hex(vector["messages"][1]["payload"]);
  ByteVector sealed2(payload2.size() + 16);
  responder.e(re_pub);
  ASSERT_TRUE(responder.dh(re, ie_pub));
  ASSERT_TRUE(responder.dh(re, is_pub));
  responder.psk(psk);
  responder.seal(payload2, sealed2);
  EXPECT_EQ(joined({re_pub, sealed2}), hex(vector["messages"][1]["ciphertext"]));

  ByteVector opened2(payload2.size());
  initiator.e(re_pub);
  ASSERT_TRUE(initiator.dh(ie, re_pub));
  ASSERT_TRUE(initiator.dh(is, re_pub));
  initiator.psk(psk);
  ASSERT_TRUE(initiator.open(sealed2, opened2));
  EXPECT_EQ(opened2, payload2);

  EXPECT_TRUE(initiator.hash() == secret(vector["handshake_hash"]));
  EXPECT_TRUE(responder.hash() == initiator.hash());

  // Transport messages, alternating from the initiator on.
  const TransportKeys keys = initiator.split();
  uint64_t counter[2] = {0, 0};
  for (size_t i = 2; i < vector["messages"].size(); ++i) {
    const ByteVector payload = hex(vector["messages"][i]["payload"]);
    const size_t direction = i % 2;
    const Secret<32>& key =
        direction == 0 ? keys.initiator_to_responder : keys.responder_to_initiator;
    ByteVector sealed(payload.size() + 16);
    chacha20_poly1305_seal(key, counter[direction]++, {}, payload, sealed);
    EXPECT_EQ(sealed, hex(vector["messages"][i]["ciphertext"])) << i;
  }
}

TEST(Noise, jobs_of_both_roles_agree_on_keys) {
  Secret<32> initiator_key;
  Secret<32> responder_key;
  initiator_key.data()[0] = 8;
  responder_key.data()[0] = 16;
  const PublicKey initiator_public = x25519_public(initiator_key);
  const PublicKey responder_public = x25519_public(responder_key);
  const auto ss = std::get<StaticResult>(run_compute(StaticJob{initiator_key, responder_public}));
  ASSERT_TRUE(ss.ok);

  InitiateJob initiate{initiator_key, initiator_public, responder_public, ss.static_static, {}, {}};
  initiate.ephemeral_private.data()[1] = 1;
  const auto first = std::get<InitiateResult>(run_compute(initiate));
  ASSERT_TRUE(first.ok);
  auto opened = std::get<OpenInitiationResult>(run_compute(OpenInitiationJob{
      responder_key, responder_public, first.ephemeral_public, first.encrypted_static}));
  ASSERT_TRUE(opened.ok);
  EXPECT_EQ(opened.peer_public, initiator_public);
  std::array<uint8_t, 12> timestamp{1};
  ASSERT_TRUE(opened.noise.mix_shared(ss.static_static));
  ASSERT_TRUE(opened.noise.open(first.encrypted_timestamp, timestamp));
  EXPECT_EQ(timestamp, initiate.timestamp);

  RespondJob respond{opened.noise, first.ephemeral_public, initiator_public, {}, {}};
  respond.ephemeral_private.data()[2] = 1;
  const auto second = std::get<RespondResult>(run_compute(respond));
  ASSERT_TRUE(second.ok);
  ConsumeResponseJob consume{first.noise, initiator_key,           initiate.ephemeral_private,
                             {},          second.ephemeral_public, second.encrypted_nothing};
  const auto done = std::get<ConsumeResponseResult>(run_compute(consume));
  ASSERT_TRUE(done.ok);
  EXPECT_TRUE(done.keys.initiator_to_responder == second.keys.initiator_to_responder);
  EXPECT_TRUE(done.keys.responder_to_initiator == second.keys.responder_to_initiator);
  EXPECT_FALSE(done.keys.responder_to_initiator == done.keys.initiator_to_responder);

  consume.preshared_key.data()[0] = 1;
  EXPECT_FALSE(std::get<ConsumeResponseResult>(run_compute(consume)).ok);
}

TEST(Noise, low_order_points_fail_every_job) {
  Secret<32> key;
  key.data()[0] = 8;
  const PublicKey zero{};
  EXPECT_FALSE(std::get<StaticResult>(run_compute(StaticJob{key, zero})).ok);
  EXPECT_FALSE(std::get<OpenInitiationResult>(
                   run_compute(OpenInitiationJob{key, x25519_public(key), zero, {}}))
                   .ok);
  EXPECT_FALSE(std::get<RespondResult>(run_compute(RespondJob{{}, zero, zero, {}, key})).ok);
  EXPECT_FALSE(
      std::get<ConsumeResponseResult>(run_compute(ConsumeResponseJob{{}, key, key, {}, zero, {}}))
          .ok);
  EXPECT_FALSE(std::get<InitiateResult>(run_compute(InitiateJob{key, zero, zero, {}, key, {}})).ok);
}

}  // namespace
}  // namespace penstock::wireguard
