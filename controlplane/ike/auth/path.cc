// The path to a trust anchor, verified by OpenSSL.
#include <openssl/x509_vfy.h>

#include "controlplane/ike/auth/chain_parts.h"
#include "controlplane/ike/auth/openssl_ptr.h"

namespace penstock::ike {
namespace {

// The stacks here only borrow what they hold.
using StackPtr =
    std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * stack) { sk_X509_free(stack); })>;
using ContextPtr = std::unique_ptr<X509_STORE_CTX, OpensslFree<X509_STORE_CTX_free>>;
using ObjectPtr = std::unique_ptr<ASN1_OBJECT, OpensslFree<ASN1_OBJECT_free>>;

StackPtr stack_of(const std::vector<CertificatePtr>& certificates) {
  StackPtr stack(sk_X509_new_null());
  for (const CertificatePtr& certificate : certificates) {
    if (stack) sk_X509_push(stack.get(), certificate->native());
  }
  return stack;
}

ChainVerdict verdict_of(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return ChainVerdict::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return ChainVerdict::kNotYetValid;
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
    case X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY:
    case X509_V_ERR_SIGNATURE_ALGORITHM_MISMATCH:
    case X509_V_ERR_UNSUPPORTED_SIGNATURE_ALGORITHM:
      return ChainVerdict::kBadSignature;
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
      return ChainVerdict::kWrongUsage;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
      return ChainVerdict::kKeyTooWeak;
    // What constrains in a way that we do not understand fails closed.
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
    case X509_V_ERR_SUBTREE_MINMAX:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX:
    case X509_V_ERR_UNSUPPORTED_NAME_SYNTAX:
      return ChainVerdict::kNameConstraint;
    case X509_V_ERR_NO_EXPLICIT_POLICY:
    case X509_V_ERR_INVALID_POLICY_EXTENSION:
      return ChainVerdict::kPolicyMismatch;
    case X509_V_ERR_INVALID_EXTENSION:
    case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
    case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
      return ChainVerdict::kMalformed;
    default:  // no issuer, self-signed, path too long, whatever else keeps it from an anchor
      return ChainVerdict::kUntrustedIssuer;
  }
}

bool set_parameters(X509_STORE_CTX* context, const std::vector<std::string>& policies, bool partial,
                    Nanoseconds wall_time_ns) {
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_time(parameters, wall_time_ns / kSecond);
  X509_VERIFY_PARAM_set_depth(parameters, static_cast<int>(kChainDepthMax));
  // 112 bits: RSA of 2048 and more, no SHA-1.
  X509_VERIFY_PARAM_set_auth_level(parameters, 2);
  unsigned long flags = X509_V_FLAG_TRUSTED_FIRST;
  if (partial) flags |= X509_V_FLAG_PARTIAL_CHAIN;
  for (const std::string& policy : policies) {
    ObjectPtr object(OBJ_txt2obj(policy.c_str(), 1));
    if (!object || X509_VERIFY_PARAM_add0_policy(parameters, object.get()) != 1) return false;
    (void)object.release();
    flags |= X509_V_FLAG_POLICY_CHECK | X509_V_FLAG_EXPLICIT_POLICY;
  }
  return X509_VERIFY_PARAM_set_flags(parameters, flags) == 1;
}

std::string detail_of(X509_STORE_CTX* context, int error) {
  std::string detail = X509_verify_cert_error_string(error);
  const X509* current = X509_STORE_CTX_get_current_cert(context);
  if (current == nullptr) return detail;
  const unsigned char* der = nullptr;
  size_t size = 0;
  if (X509_NAME_get0_der(X509_get_subject_name(current), &der, &size) != 1) return detail;
  const auto subject = Identity::from_name({der, size});
  if (subject.ok()) detail += ": " + subject->to_string();
  return detail;
}

CertificatePtr owner_of(const X509* native, const CertificatePtr& leaf,
                        const std::vector<CertificatePtr>& others,
                        const std::vector<CertificatePtr>& anchors) {
  if (native == leaf->native()) return leaf;
  for (const auto* list : {&anchors, &others}) {
    for (const CertificatePtr& certificate : *list) {
      if (certificate->native() == native) return certificate;
    }
  }
  return nullptr;
}

Finding build(const CertificatePtr& leaf, const std::vector<CertificatePtr>& others,
              const std::vector<CertificatePtr>& anchors, const std::vector<std::string>& policies,
              bool partial, Nanoseconds wall_time_ns, std::vector<CertificatePtr>& path) {
  const ErrorQueueGuard guard;
  const StackPtr untrusted = stack_of(others);
  const StackPtr trusted = stack_of(anchors);
  const ContextPtr context(X509_STORE_CTX_new());
  if (!untrusted || !trusted || !context ||
      X509_STORE_CTX_init(context.get(), nullptr, leaf->native(), untrusted.get()) != 1) {
    return {ChainVerdict::kMalformed, "out of memory"};
  }
  X509_STORE_CTX_set0_trusted_stack(context.get(), trusted.get());
  if (!set_parameters(context.get(), policies, partial, wall_time_ns)) {
    return {ChainVerdict::kPolicyMismatch, "cert_policy is no object identifier"};
  }
  if (X509_verify_cert(context.get()) != 1) {
    const int error = X509_STORE_CTX_get_error(context.get());
    return {verdict_of(error), detail_of(context.get(), error)};
  }
  path.clear();
  const STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    CertificatePtr certificate = owner_of(sk_X509_value(chain, i), leaf, others, anchors);
    if (!certificate) return {ChainVerdict::kMalformed, "a path of unknown certificates"};
    path.push_back(std::move(certificate));
  }
  return {};
}

}  // namespace

Finding build_path(const CertificatePtr& leaf, const std::vector<CertificatePtr>& others,
                   const std::vector<CertificatePtr>& anchors,
                   const std::vector<std::string>& policies, Nanoseconds wall_time_ns,
                   std::vector<CertificatePtr>& path) {
  // Up to the root if it is there, so that a connection may name any CA on the way. Otherwise a CA
  // that is loaded is trusted even if it is not the root.
  Finding finding = build(leaf, others, anchors, policies, false, wall_time_ns, path);
  if (finding.verdict != ChainVerdict::kUntrustedIssuer) return finding;
  return build(leaf, others, anchors, policies, true, wall_time_ns, path);
}

}  // namespace penstock::ike
