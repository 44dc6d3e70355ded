#include "controlplane/wireguard/compute.h"

#include "controlplane/crypto/x25519.h"

namespace penstock::wireguard {
namespace {

StaticResult run(const StaticJob& job) {
  StaticResult result;
  result.ok = x25519(job.our_private, job.peer_public, result.static_static);
  return result;
}

InitiateResult run(const InitiateJob& job) {
  InitiateResult result;
  result.ephemeral_public = x25519_public(job.ephemeral_private);
  NoiseState& noise = result.noise;
  noise = start_wireguard(job.peer_public);                          // <- s (known before)
  noise.e(result.ephemeral_public);                                  // -> e
  if (!noise.dh(job.ephemeral_private, job.peer_public)) return {};  // es
  noise.seal(job.our_public, result.encrypted_static);               // s
  if (!noise.mix_shared(job.static_static)) return {};               // ss
  noise.seal(job.timestamp, result.encrypted_timestamp);             // {time stamp}
  result.ok = true;
  return result;
}

OpenInitiationResult run(const OpenInitiationJob& job) {
  OpenInitiationResult result;
  NoiseState& noise = result.noise;
  noise = start_wireguard(job.our_public);
  noise.e(job.ephemeral);                                                // <- e
  if (!noise.dh(job.our_private, job.ephemeral)) return {};              // es
  if (!noise.open(job.encrypted_static, result.peer_public)) return {};  // s
  result.ok = true;  // ss and {time stamp} follow on the machine, with the cached secret
  return result;
}

RespondResult run(const RespondJob& job) {
  RespondResult result;
  result.ephemeral_public = x25519_public(job.ephemeral_private);
  NoiseState noise = job.noise;
  noise.e(result.ephemeral_public);                                     // <- e
  if (!noise.dh(job.ephemeral_private, job.peer_ephemeral)) return {};  // ee
  if (!noise.dh(job.ephemeral_private, job.peer_public)) return {};     // se
  noise.psk(job.preshared_key);                                         // psk
  noise.seal({}, result.encrypted_nothing);                             // {}
  result.keys = noise.split();
  result.ok = true;
  return result;
}

ConsumeResponseResult run(const ConsumeResponseJob& job) {
  ConsumeResponseResult result;
  NoiseState noise = job.noise;
  noise.e(job.peer_ephemeral);                                          // <- e
  if (!noise.dh(job.ephemeral_private, job.peer_ephemeral)) return {};  // ee
  if (!noise.dh(job.our_private, job.peer_ephemeral)) return {};        // se
  noise.psk(job.preshared_key);                                         // psk
  if (!noise.open(job.encrypted_nothing, {})) return {};                // {}
  result.keys = noise.split();
  result.ok = true;
  return result;
}

}  // namespace

ComputeResult run_compute(const ComputeJob& job) {
  return std::visit([](const auto& one) { return ComputeResult(run(one)); }, job);
}

}  // namespace penstock::wireguard
