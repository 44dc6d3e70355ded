// The keys of connections.<conn>.local<suffix>, remote<suffix> and their certificate sections.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "controlplane/driver/event_loop.h"
#include "controlplane/vici/drafts.h"
#include "controlplane/vici/values.h"

namespace penstock::vici {

Result<ike::CertificatePtr> read_certificate(const std::string& path) {
  if (!path.starts_with('/')) return errorf("\"%s\" is no absolute path", path.c_str());
  // Non-blocking: a named pipe must not stop the control thread.
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return errorf("%s: %s", path.c_str(), std::strerror(errno));
  struct stat info {};
  if (fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return errorf("%s is not a regular file", path.c_str());
  }
  ByteVector bytes(ike::kCertificateMaxSize + 1);
  size_t used = 0;
  while (used < bytes.size()) {
    const ssize_t got = read(file.get(), bytes.data() + used, bytes.size() - used);
    if (got < 0) return errorf("%s: %s", path.c_str(), std::strerror(errno));
    if (got == 0) break;
    used += static_cast<size_t>(got);
  }
  if (used == bytes.size()) return errorf("%s is too large for a certificate", path.c_str());
  bytes.resize(used);
  auto certificate = ike::Certificate::parse(bytes);
  if (!certificate.ok()) return errorf("%s: %s", path.c_str(), certificate.error().text.c_str());
  return certificate;
}

namespace {

constexpr size_t kCertificatesPerSection = 64;
constexpr size_t kPoliciesMax = 16;

Status set_auth(AuthDraft& draft, const KeyInput& input) {
  draft.auth = input.text();
  return {};
}

Status set_id(AuthDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(draft.id, ike::Identity::parse(input.text()));
  return {};
}

Status set_eap_id(AuthDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(draft.eap_id, ike::Identity::parse(input.text()));
  return {};
}

Status add_certificates(std::vector<ike::CertificatePtr>& certificates, const KeyInput& input) {
  for (const Bytes bytes : input.values()) {
    if (certificates.size() >= kCertificatesPerSection) {
      return errorf("more than %zu certificates", kCertificatesPerSection);
    }
    PENSTOCK_TRY(auto certificate, ike::Certificate::parse(bytes));
    certificates.push_back(std::move(certificate));
  }
  return {};
}

Status add_certs(AuthDraft& draft, const KeyInput& input) {
  return add_certificates(draft.certs, input);
}

Status add_ca_certs(AuthDraft& draft, const KeyInput& input) {
  PENSTOCK_CHECK(add_certificates(draft.ca_certs, input));
  for (const auto& certificate : draft.ca_certs) {
    if (!certificate->is_ca()) {
      return errorf("the certificate of \"%s\" is not one of a CA",
                    certificate->subject().to_string().c_str());
    }
  }
  return {};
}

Status set_cert_policies(AuthDraft& draft, const KeyInput& input) {
  if (input.values().size() > kPoliciesMax) return errorf("more than %zu OIDs", kPoliciesMax);
  for (const std::string_view text : input.texts()) {
    if (text.empty() || text.find_first_not_of("0123456789.") != std::string_view::npos) {
      return errorf("\"%s\" is no OID in dotted numbers", std::string(text).c_str());
    }
    draft.cert_policies.emplace_back(text);
  }
  return {};
}

Status set_revocation(AuthDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(draft.revocation, ike::parse_revocation_policy(input.text()));
  return {};
}

Status set_file(CertificateDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(draft.certificate, read_certificate(std::string(input.text())));
  return {};
}

constexpr auto kValue = Shape::kValue;
constexpr auto kList = Shape::kList;
constexpr auto kFiles = Shape::kFiles;
constexpr auto kHonoured = Handling::kHonoured;
constexpr auto kHarmless = Handling::kHarmless;
constexpr auto kRefused = Handling::kRefused;

constexpr std::string_view kNoRounds =
    "there is one round of authentication on each side, so there is nothing to sort";
constexpr std::string_view kNoRawKeys =
    "raw public keys are not supported: use certificates, self-signed ones if need be";
constexpr std::string_view kNoXauth = "XAuth is of IKEv1";
constexpr std::string_view kNoTokens = "tokens and smart cards are not supported";

constexpr Key<AuthDraft> kLocal[] = {
    {{"round", kValue, kHarmless, "0", kNoRounds, "0"}, nullptr},
    {{"certs", kFiles, kHonoured, "", "certificates to choose from; private keys are found by them",
      ""},
     add_certs},
    {{"pubkeys", kFiles, kRefused, "", kNoRawKeys, ""}, nullptr},
    {{"auth", kValue, kHonoured, "pubkey",
      "psk, or pubkey, rsa, rsa/pss, ecdsa, ed25519 with key sizes and hashes as in "
      "pubkey-sha256-sha384 or ike:rsa/pss-sha256; eap is refused: the gateway shows a certificate "
      "or a PSK; xauth is refused (IKEv1)",
      ""},
     set_auth},
    {{"id", kValue, kHonoured, "",
      "an identity; default: the certificate's subject, or the address", ""},
     set_id},
    {{"eap_id", kValue, kHarmless, "", "the gateway does not authenticate itself by EAP", ""},
     nullptr},
    {{"aaa_id", kValue, kHarmless, "", "the gateway does not authenticate itself by EAP", ""},
     nullptr},
    {{"xauth_id", kValue, kRefused, "", kNoXauth, ""}, nullptr},
};

constexpr Key<AuthDraft> kRemote[] = {
    {{"round", kValue, kHarmless, "0", kNoRounds, "0"}, nullptr},
    {{"id", kValue, kHonoured, "%any", "an identity; wildcards are honoured", ""}, set_id},
    {{"eap_id", kValue, kHonoured, "%any",
      "%any asks the client; an identity is taken without asking", ""},
     set_eap_id},
    {{"groups", kList, kRefused, "",
      "group memberships (attribute certificates, AAA) are not supported", ""},
     nullptr},
    {{"cert_policy", kList, kHonoured, "", "OIDs, one of which the certificate must have", ""},
     set_cert_policies},
    {{"certs", kFiles, kHonoured, "", "the only certificates that are accepted", ""}, add_certs},
    {{"cacerts", kFiles, kHonoured, "",
      "CAs, one of which the chain must end in; where the peer's certificate has an extended key "
      "usage, that must be serverAuth or ipsecIKE for a peer that we call, or clientAuth too for "
      "one that calls us",
      ""},
     add_ca_certs},
    {{"ca_id", kValue, kRefused, "", "not supported: name the CA's certificate with cacerts", ""},
     nullptr},
    {{"pubkeys", kFiles, kRefused, "", kNoRawKeys, ""}, nullptr},
    {{"revocation", kValue, kHonoured, "relaxed", "relaxed, ifuri or strict", ""}, set_revocation},
    {{"auth", kValue, kHonoured, "pubkey",
      "psk; pubkey and the like as in local; eap-mschapv2, eap-tls (also eap-tls:CONSTRAINTS), eap "
      "or eap-dynamic for both; other EAP methods and xauth are refused",
      ""},
     set_auth},
};

constexpr Key<CertificateDraft> kCertificate[] = {
    {{"file", kValue, kHonoured, "", "an absolute path, read by penstockd", ""}, set_file},
    {{"handle", kValue, kRefused, "", kNoTokens, ""}, nullptr},
    {{"slot", kValue, kRefused, "", kNoTokens, ""}, nullptr},
    {{"module", kValue, kRefused, "", kNoTokens, ""}, nullptr},
};

}  // namespace

constinit const std::span<const Key<AuthDraft>> kLocalKeys = kLocal;
constinit const std::span<const Key<AuthDraft>> kRemoteKeys = kRemote;
constinit const std::span<const Key<CertificateDraft>> kCertificateKeys = kCertificate;

}  // namespace penstock::vici
