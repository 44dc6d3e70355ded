#include "controlplane/vici/auth_configuration.h"

#include <algorithm>

#include "controlplane/ike/eap/eap_server.h"
#include "controlplane/vici/section_parser.h"

namespace penstock::vici {
namespace {

Status parse_certificate_section(const std::string& path, const Section& section,
                                 std::vector<ike::CertificatePtr>& certificates,
                                 std::vector<std::string>& warnings) {
  CertificateDraft draft;
  for (const auto& entry : section.entries()) {
    PENSTOCK_CHECK(apply_entry(path, kCertificateKeys, draft, entry));
  }
  if (!draft.certificate) return at(path, "", "names no file");
  take_warnings(warnings, path, draft.warnings);
  certificates.push_back(draft.certificate);
  return {};
}

Status finish_eap(const std::string& path, const AuthDraft& draft, ike::RemoteAuth& remote) {
  remote.method = ike::AuthClass::kEap;
  auto methods = ike::parse_eap_auth(draft.auth);
  if (!methods.ok()) return at(path, "auth", methods.error().text);
  remote.eap_methods = std::move(*methods);
  const bool mschapv2 = std::find(remote.eap_methods.begin(), remote.eap_methods.end(),
                                  ike::EapType::kMschapv2) != remote.eap_methods.end();
  if (mschapv2 && !ike::mschapv2_available()) {
    return at(path, "auth",
              "EAP-MSCHAPv2 needs MD4 of OpenSSL's legacy provider, which is not installed");
  }
  const size_t colon = draft.auth.find(':');
  if (colon != std::string::npos) {
    auto schemes = ike::parse_public_key_auth(std::string_view(draft.auth).substr(colon + 1));
    if (!schemes.ok()) return at(path, "auth", schemes.error().text);
    remote.schemes = *schemes;
  }
  return {};
}

}  // namespace

Result<AuthDraft> parse_auth_section(const std::string& path, const Section& section, bool local,
                                     std::vector<std::string>& warnings) {
  AuthDraft draft;
  for (const auto& entry : section.entries()) {
    if (!is_section(entry)) {
      PENSTOCK_CHECK(apply_entry(path, local ? kLocalKeys : kRemoteKeys, draft, entry));
      continue;
    }
    const std::string inner = path + "." + entry.name;
    if (entry.name.starts_with("cert")) {
      PENSTOCK_CHECK(parse_certificate_section(inner, section_of(entry), draft.certs, warnings));
    } else if (!local && entry.name.starts_with("cacert")) {
      PENSTOCK_CHECK(parse_certificate_section(inner, section_of(entry), draft.ca_certs, warnings));
      if (!draft.ca_certs.back()->is_ca()) return at(inner, "file", "is not one of a CA");
    } else {
      return at(path, entry.name, "is no section that penstock knows");
    }
  }
  take_warnings(warnings, path, draft.warnings);
  return draft;
}

Status finish_local(const std::string& path, const AuthDraft& draft, ike::LocalAuth& local) {
  local.id = draft.id;
  local.certs = draft.certs;
  if (draft.auth == "psk") {
    local.method = ike::AuthClass::kPsk;
    return {};
  }
  if (draft.auth.starts_with("eap")) {
    return at(path, "auth",
              "the gateway cannot authenticate itself by EAP: use pubkey or psk here, EAP in the "
              "remote section");
  }
  if (draft.auth.starts_with("xauth")) return at(path, "auth", "XAuth is of IKEv1");
  auto schemes = ike::parse_public_key_auth(draft.auth);
  if (!schemes.ok()) return at(path, "auth", schemes.error().text);
  local.schemes = *schemes;
  return {};
}

Status finish_remote(const std::string& path, const AuthDraft& draft, ike::RemoteAuth& remote) {
  remote.id = draft.id;
  remote.certs = draft.certs;
  remote.ca_certs = draft.ca_certs;
  remote.cert_policies = draft.cert_policies;
  remote.revocation = draft.revocation;
  remote.ask_eap_identity = !draft.eap_id || draft.eap_id->is_any();
  if (draft.eap_id) remote.eap_id = *draft.eap_id;
  if (draft.auth.starts_with("eap")) return finish_eap(path, draft, remote);
  if (draft.auth.starts_with("xauth")) return at(path, "auth", "XAuth is of IKEv1");
  if (draft.auth == "psk") {
    remote.method = ike::AuthClass::kPsk;
    return {};
  }
  auto schemes = ike::parse_public_key_auth(draft.auth);
  if (!schemes.ok()) return at(path, "auth", schemes.error().text);
  remote.schemes = *schemes;
  return {};
}

void check_server_certificate(const ike::ConnectionConfig& config,
                              std::vector<std::string>& warnings) {
  if (config.remote.method != ike::AuthClass::kEap || config.local.certs.empty()) return;
  const ike::Certificate& leaf = *config.local.certs.front();
  const std::string path = "connections." + config.name + ".local.certs: the certificate ";
  if (!config.local.id.is_any() && !leaf.confirms(config.local.id)) {
    warnings.push_back(shown(path + "does not have the identity " + config.local.id.to_string() +
                             " as subject or subjectAltName, which clients check"));
  }
  if (!leaf.has_server_auth()) {
    warnings.push_back(shown(
        path + "lacks the extended key usage serverAuth, without which Windows and Apple refuse"));
  }
}

}  // namespace penstock::vici
