// Revocation by CRL (RFC 5280 section 6.3, done by OpenSSL) and OCSP (RFC 6960).
#include <openssl/ocsp.h>
#include <openssl/sha.h>
#include <openssl/x509_vfy.h>

#include "controlplane/ike/auth/chain_parts.h"
#include "controlplane/ike/auth/openssl_ptr.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

using Path = std::vector<CertificatePtr>;
using StackPtr =
    std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * stack) { sk_X509_free(stack); })>;
using CrlStackPtr =
    std::unique_ptr<STACK_OF(X509_CRL),
                    decltype([](STACK_OF(X509_CRL) * stack) { sk_X509_CRL_free(stack); })>;
using ContextPtr = std::unique_ptr<X509_STORE_CTX, OpensslFree<X509_STORE_CTX_free>>;
using StorePtr = std::unique_ptr<X509_STORE, OpensslFree<X509_STORE_free>>;
using ResponsePtr = std::unique_ptr<OCSP_RESPONSE, OpensslFree<OCSP_RESPONSE_free>>;
using BasicPtr = std::unique_ptr<OCSP_BASICRESP, OpensslFree<OCSP_BASICRESP_free>>;
using CertIdPtr = std::unique_ptr<OCSP_CERTID, OpensslFree<OCSP_CERTID_free>>;
using RequestPtr = std::unique_ptr<OCSP_REQUEST, OpensslFree<OCSP_REQUEST_free>>;

constexpr Nanoseconds kClockSkew = 300 * kSecond;
constexpr Nanoseconds kOcspLifetime = 3600 * kSecond;  // of a response without nextUpdate

// A digest that does not carry signatures any more.
bool is_weak_signature(int signature_nid) {
  int digest = NID_undef;
  int key = NID_undef;
  if (OBJ_find_sigid_algs(signature_nid, &digest, &key) != 1) return true;
  switch (digest) {
    case NID_sha256:
    case NID_sha384:
    case NID_sha512:
      return false;
    case NID_undef:  // Ed25519, and PSS, whose digest stands in its parameters
      return signature_nid != NID_ED25519 && signature_nid != NID_rsassaPss;
    default:
      return true;
  }
}

// What the run over the CRLs said about each certificate of the path.
struct CrlRun {
  struct Entry {
    bool revoked = false;
    bool doubtful = false;  // there is no CRL of which one could believe what it says
    std::string problem;    // why the certificate is not known to be good
  };
  const Path* path = nullptr;
  std::vector<Entry> entries;
};

int note_crl_error(int ok, X509_STORE_CTX* context) {
  if (ok == 1) return 1;
  auto* run = static_cast<CrlRun*>(X509_STORE_CTX_get_app_data(context));
  const X509* current = X509_STORE_CTX_get_current_cert(context);
  const int error = X509_STORE_CTX_get_error(context);
  for (size_t i = 0; i < run->path->size(); ++i) {
    if ((*run->path)[i]->native() != current) continue;
    CrlRun::Entry& entry = run->entries[i];
    if (error == X509_V_ERR_CERT_REVOKED) {
      entry.revoked = true;
      continue;
    }
    // Who was revoked stays revoked when the CRL is old.
    if (error != X509_V_ERR_CRL_HAS_EXPIRED) entry.doubtful = true;
    if (entry.problem.empty()) entry.problem = X509_verify_cert_error_string(error);
  }
  return 1;  // go on: every certificate gets its own answer
}

// The path has been verified already; a look at the CRLs need not do that again.
int path_is_verified(X509_STORE_CTX* /*context*/) { return 1; }

// `until`: when the first of them grows old.
CrlStackPtr crls_for(const CredentialSnapshot& snapshot, const Path& path, Nanoseconds& until) {
  CrlStackPtr crls(sk_X509_CRL_new_null());
  until = kNever;
  for (const CrlPtr& crl : snapshot.crls()) {
    const bool wanted = std::any_of(path.begin(), path.end() - 1, [&](const CertificatePtr& c) {
      return c->issuer() == crl->issuer();
    });
    if (crls && wanted && !is_weak_signature(X509_CRL_get_signature_nid(crl->native()))) {
      sk_X509_CRL_push(crls.get(), crl->native());
      if (crl->next_update_wall_ns() != 0) until = std::min(until, crl->next_update_wall_ns());
    }
  }
  return crls;
}

StackPtr stack_of(Path::const_iterator from, Path::const_iterator to) {
  StackPtr stack(sk_X509_new_null());
  for (; stack && from != to; ++from) sk_X509_push(stack.get(), (*from)->native());
  return stack;
}

void ask_crls(const CredentialSnapshot& snapshot, const Path& path, Nanoseconds wall_time_ns,
              std::vector<RevocationStatus>& out) {
  Nanoseconds until = 0;
  const CrlStackPtr crls = crls_for(snapshot, path, until);
  const StackPtr between = stack_of(path.begin() + 1, path.end() - 1);
  const StackPtr anchor = stack_of(path.end() - 1, path.end());
  const ContextPtr context(X509_STORE_CTX_new());
  if (!crls || sk_X509_CRL_num(crls.get()) == 0 || !between || !anchor || !context ||
      X509_STORE_CTX_init(context.get(), nullptr, path.front()->native(), between.get()) != 1) {
    return;
  }
  CrlRun run{&path, std::vector<CrlRun::Entry>(path.size())};
  X509_STORE_CTX_set0_trusted_stack(context.get(), anchor.get());
  X509_STORE_CTX_set0_crls(context.get(), crls.get());
  X509_STORE_CTX_set_app_data(context.get(), &run);
  X509_STORE_CTX_set_verify_cb(context.get(), note_crl_error);
  X509_STORE_CTX_set_verify(context.get(), path_is_verified);
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(parameters, wall_time_ns / kSecond);
  X509_VERIFY_PARAM_set_depth(parameters, static_cast<int>(kChainDepthMax));
  X509_VERIFY_PARAM_set_flags(
      parameters, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  const bool ran = X509_verify_cert(context.get()) == 1;
  for (size_t i = 0; i < out.size(); ++i) {
    const CrlRun::Entry& entry = run.entries[i];
    if (entry.revoked && !entry.doubtful) {
      out[i] = {Revocation::kRevoked, "listed in the CRL of its issuer", 0, false};
    } else if (ran && entry.problem.empty() && !entry.revoked) {
      out[i] = {Revocation::kGood, {}, until, false};
    } else {
      out[i] = {Revocation::kUnknown, entry.problem, 0, false};
    }
  }
}

CertIdPtr certificate_id(const Certificate& certificate, const Certificate& issuer) {
  return CertIdPtr(OCSP_cert_to_id(EVP_sha1(), certificate.native(), issuer.native()));
}

std::string ocsp_key(const Certificate& certificate, const Certificate& issuer) {
  return to_hex(issuer.fingerprint()) + ":" + to_hex(certificate.serial());
}

// Whether the response was signed by the issuer, by a responder to whom the issuer delegated it
// (RFC 6960 section 4.2.2.2), or by a certificate loaded for this purpose.
bool response_is_signed(OCSP_BASICRESP* basic, const CredentialSnapshot& snapshot,
                        const Certificate& issuer, Nanoseconds wall_time_ns) {
  const X509_ALGOR* algorithm = OCSP_resp_get0_tbs_sigalg(basic);
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, algorithm);
  if (is_weak_signature(OBJ_obj2nid(object))) return false;
  const StorePtr store(X509_STORE_new());
  const StackPtr issuers(sk_X509_new_null());
  const StackPtr signers(sk_X509_new_null());
  if (!store || !issuers || !signers || X509_STORE_add_cert(store.get(), issuer.native()) != 1) {
    return false;
  }
  X509_VERIFY_PARAM* parameters = X509_STORE_get0_param(store.get());
  X509_VERIFY_PARAM_set_time(parameters, wall_time_ns / kSecond);
  X509_VERIFY_PARAM_set_auth_level(parameters, 2);
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
  sk_X509_push(issuers.get(), issuer.native());
  if (OCSP_basic_verify(basic, issuers.get(), store.get(), 0) == 1) return true;
  for (const StoredCertificate& stored : snapshot.certificates()) {
    if (stored.flag != CertificateFlag::kOcsp ||
        wall_time_ns > stored.certificate->not_after_wall_ns()) {
      continue;
    }
    sk_X509_push(signers.get(), stored.certificate->native());
  }
  return sk_X509_num(signers.get()) > 0 &&
         OCSP_basic_verify(basic, signers.get(), store.get(), OCSP_TRUSTOTHER) == 1;
}

RevocationStatus unknown(const char* why) { return {Revocation::kUnknown, why, 0, false}; }

RevocationStatus ask_ocsp(const CredentialSnapshot& snapshot, const Certificate& certificate,
                          const Certificate& issuer, Nanoseconds wall_time_ns) {
  const ByteVector* der = snapshot.ocsp(ocsp_key(certificate, issuer));
  if (der == nullptr) return {};
  const uint8_t* at = der->data();
  const ResponsePtr response(d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(der->size())));
  if (!response || at != der->data() + der->size() ||
      OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    return unknown("the OCSP response is no answer");
  }
  const BasicPtr basic(OCSP_response_get1_basic(response.get()));
  const CertIdPtr id = certificate_id(certificate, issuer);
  if (!basic || !id || !response_is_signed(basic.get(), snapshot, issuer, wall_time_ns)) {
    return unknown("the OCSP response is not signed for this CA");
  }
  int status = V_OCSP_CERTSTATUS_UNKNOWN;
  ASN1_GENERALIZEDTIME* this_update = nullptr;
  ASN1_GENERALIZEDTIME* next_update = nullptr;
  if (OCSP_resp_find_status(basic.get(), id.get(), &status, nullptr, nullptr, &this_update,
                            &next_update) != 1) {
    return unknown("the OCSP response is about other certificates");
  }
  if (status == V_OCSP_CERTSTATUS_REVOKED)
    return {Revocation::kRevoked, "revoked by OCSP", 0, true};
  Nanoseconds from = 0;
  Nanoseconds until = 0;
  if (!wall_time_of(this_update, from)) return unknown("OCSP without a time");
  if (next_update == nullptr) {
    until = from + kOcspLifetime;
  } else if (!wall_time_of(next_update, until)) {
    return unknown("OCSP without a time");
  }
  if (wall_time_ns + kClockSkew < from || wall_time_ns > until + kClockSkew) {
    return unknown("the OCSP response is not current");
  }
  return status == V_OCSP_CERTSTATUS_GOOD
             ? RevocationStatus{Revocation::kGood, {}, until, true}
             : RevocationStatus{Revocation::kUnknown, "OCSP does not know the certificate", 0,
                                true};
}

bool is_http(std::string_view uri) {
  return uri.starts_with("http://") || uri.starts_with("https://");
}

void add_place(std::vector<StatusFetch>& places, StatusFetch place) {
  const bool there = std::any_of(places.begin(), places.end(), [&](const StatusFetch& other) {
    return other.kind == place.kind && other.url == place.url;
  });
  if (!there && places.size() < 2 * kUrisMax && is_http(place.url)) {
    places.push_back(std::move(place));
  }
}

// RFC 6960 section 4.1. No nonce: answers are kept until their nextUpdate.
ByteVector ocsp_request(const Certificate& certificate, const Certificate& issuer) {
  const RequestPtr request(OCSP_REQUEST_new());
  CertIdPtr id = certificate_id(certificate, issuer);
  if (!request || !id || OCSP_request_add0_id(request.get(), id.get()) == nullptr) return {};
  (void)id.release();  // the request has it now
  return der_of(i2d_OCSP_REQUEST, request.get());
}

}  // namespace

std::vector<RevocationStatus> revocation_of(const CredentialSnapshot& snapshot, const Path& path,
                                            Nanoseconds wall_time_ns) {
  const ErrorQueueGuard guard;
  std::vector<RevocationStatus> out(path.size() - 1);
  if (out.empty()) return out;
  ask_crls(snapshot, path, wall_time_ns, out);
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i].status == Revocation::kRevoked) continue;
    RevocationStatus answer = ask_ocsp(snapshot, *path[i], *path[i + 1], wall_time_ns);
    // Either source can prove either thing; a revocation weighs more.
    const bool answered = answer.ocsp_answered;
    if (answer.status == Revocation::kRevoked ||
        (out[i].status == Revocation::kUnknown && !answer.why.empty()) ||
        (out[i].status == Revocation::kUnknown && answer.status == Revocation::kGood)) {
      out[i] = std::move(answer);
    }
    out[i].ocsp_answered = answered;
  }
  return out;
}

std::vector<StatusFetch> status_places(const CredentialSnapshot& snapshot,
                                       const Certificate& certificate, const Certificate& issuer) {
  std::vector<std::string> ocsp = certificate.ocsp_uris();
  std::vector<std::string> crl = certificate.crl_uris();
  for (const Authority& authority : snapshot.authorities()) {
    if (authority.ca->fingerprint() != issuer.fingerprint()) continue;
    ocsp.insert(ocsp.end(), authority.ocsp_uris.begin(), authority.ocsp_uris.end());
    crl.insert(crl.end(), authority.crl_uris.begin(), authority.crl_uris.end());
  }
  std::vector<StatusFetch> places;
  for (const std::string& url : ocsp) {
    ByteVector request = ocsp_request(certificate, issuer);
    if (request.empty()) break;
    add_place(places,
              {StatusFetch::Kind::kOcsp, url, std::move(request), ocsp_key(certificate, issuer)});
  }
  for (const std::string& url : crl) add_place(places, {StatusFetch::Kind::kCrl, url, {}, url});
  return places;
}

}  // namespace penstock::ike
