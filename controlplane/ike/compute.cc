#include "controlplane/ike/compute.h"

#include "controlplane/ike/crypto/dh.h"

namespace penstock::ike {
namespace {

DhResult run(const DhJob& job) {
  DhResult result;
  if (job.make_public) {
    auto made = dh_public_value(job.group, job.private_key);
    if (!made.ok()) {
      result.error = to_string(made.error());
      return result;
    }
    result.public_value = std::move(*made);
  }
  if (!job.peer_public.empty() || !job.make_public) {
    auto shared = dh_shared_secret(job.group, job.private_key, job.peer_public);
    if (!shared.ok()) {
      result.error = to_string(shared.error());
      return result;
    }
    result.shared = std::move(*shared);
  }
  result.ok = true;
  return result;
}

SignResult run(const SignJob& job) {
  SignResult result;
  auto made = sign_auth(*job.key, job.constraints, job.peer_hashes, job.octets);
  if (!made.ok()) {
    result.error = made.error().text;
    return result;
  }
  result.ok = true;
  result.method = made->method;
  result.data = std::move(made->data);
  return result;
}

VerifyResult run(const VerifyJob& job) {
  VerifyResult result;
  result.chain = verify_chain(*job.credentials, job.certificates, job.policy, job.wall_ns);
  const bool worth_it = result.chain.verdict == ChainVerdict::kGood ||
                        result.chain.verdict == ChainVerdict::kRevocationUnknown;
  const PublicKey* const key =
      worth_it && result.chain.leaf != nullptr ? result.chain.leaf->public_key() : nullptr;
  if (key != nullptr) {
    result.signature =
        verify_auth(*key, job.constraints, job.announced_hashes, job.method, job.data, job.octets);
  }
  return result;
}

EapResult run(const EapJob& job) { return {job.server->on_response(job.response, job.wall_ns)}; }

}  // namespace

ComputeResult run_compute(const ComputeJob& job) {
  return std::visit([](const auto& each) -> ComputeResult { return run(each); }, job);
}

}  // namespace penstock::ike
