// The slow part of a handshake as jobs: all inputs by value, no state shared with the device, so
// that any thread may run one. X25519 happens here and nowhere else.
#pragma once

#include <cstdint>
#include <variant>

#include "controlplane/wireguard/configuration.h"
#include "controlplane/wireguard/noise.h"
#include "gateway/base/secret.h"

namespace penstock::wireguard {

using ComputeId = uint64_t;

// DH(S_us, S_peer), once per peer and private key.
struct StaticJob {
  Secret<32> our_private;
  PublicKey peer_public{};
};
struct StaticResult {
  bool ok = false;  // false: the peer's key is a low-order point
  Secret<32> static_static;
};

// Initiator, first message: -> e, es, s, ss, {time stamp}
struct InitiateJob {
  Secret<32> our_private;
  PublicKey our_public{};
  PublicKey peer_public{};
  Secret<32> static_static;
  Secret<32> ephemeral_private;
  std::array<uint8_t, 12> timestamp{};
};
struct InitiateResult {
  bool ok = false;
  NoiseState noise;
  PublicKey ephemeral_public{};
  std::array<uint8_t, 48> encrypted_static{};
  std::array<uint8_t, 28> encrypted_timestamp{};
};

// Responder, first half of the first message: <- e, es, s
struct OpenInitiationJob {
  Secret<32> our_private;
  PublicKey our_public{};
  PublicKey ephemeral{};
  std::array<uint8_t, 48> encrypted_static{};
};
struct OpenInitiationResult {
  bool ok = false;
  NoiseState noise;
  PublicKey peer_public{};
};

// Responder, second message: -> e, ee, se, psk, {}
struct RespondJob {
  NoiseState noise;
  PublicKey peer_ephemeral{};
  PublicKey peer_public{};
  Secret<32> preshared_key;
  Secret<32> ephemeral_private;
};
struct RespondResult {
  bool ok = false;
  PublicKey ephemeral_public{};
  std::array<uint8_t, 16> encrypted_nothing{};
  TransportKeys keys;
};

// Initiator, second message: <- e, ee, se, psk, {}
struct ConsumeResponseJob {
  NoiseState noise;
  Secret<32> our_private;
  Secret<32> ephemeral_private;
  Secret<32> preshared_key;
  PublicKey peer_ephemeral{};
  std::array<uint8_t, 16> encrypted_nothing{};
};
struct ConsumeResponseResult {
  bool ok = false;
  TransportKeys keys;
};

using ComputeJob =
    std::variant<StaticJob, InitiateJob, OpenInitiationJob, RespondJob, ConsumeResponseJob>;
using ComputeResult = std::variant<StaticResult, InitiateResult, OpenInitiationResult,
                                   RespondResult, ConsumeResponseResult>;

// Any thread.
[[nodiscard]] ComputeResult run_compute(const ComputeJob& job);

}  // namespace penstock::wireguard
