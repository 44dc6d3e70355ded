#include "controlplane/ike/auth/certificate.h"

#include <openssl/pem.h>

#include <ctime>

#include "controlplane/crypto/digest.h"
#include "controlplane/ike/auth/openssl_ptr.h"

namespace penstock::ike {
namespace {

using X509Ptr = std::unique_ptr<X509, OpensslFree<X509_free>>;
using CrlNativePtr = std::unique_ptr<X509_CRL, OpensslFree<X509_CRL_free>>;
using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;
using DistributionPointsPtr = std::unique_ptr<CRL_DIST_POINTS, OpensslFree<CRL_DIST_POINTS_free>>;
using AuthorityInfoPtr =
    std::unique_ptr<AUTHORITY_INFO_ACCESS, OpensslFree<AUTHORITY_INFO_ACCESS_free>>;
using IntegerPtr = std::unique_ptr<ASN1_INTEGER, OpensslFree<ASN1_INTEGER_free>>;

// The DER inside the first PEM block of one of two names, or the bytes themselves.
Result<ByteVector> der_in(Bytes bytes, size_t size_max, std::string_view name,
                          std::string_view other_name) {
  if (bytes.empty() || bytes.size() > size_max * 2) return Error{"of no usual size"};
  if (text_of(bytes).find("-----BEGIN ") == std::string_view::npos) {
    if (bytes.size() > size_max) return Error{"too long"};
    return to_vector(bytes);
  }
  const BioPtr bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  while (bio) {
    char* block = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(bio.get(), &block, &header, &data, &size) != 1) break;
    const bool wanted = name == block || other_name == block;
    ByteVector der;
    if (wanted) der.assign(data, data + size);
    OPENSSL_free(block);
    OPENSSL_free(header);
    OPENSSL_free(data);
    if (wanted && der.size() <= size_max) return der;
  }
  return Error{"no PEM block of that kind"};
}

Bytes bytes_of_string(const ASN1_STRING* text) {
  return {ASN1_STRING_get0_data(text), static_cast<size_t>(ASN1_STRING_length(text))};
}

Result<Identity> identity_of(const X509_NAME* name) {
  const unsigned char* der = nullptr;
  size_t size = 0;
  if (X509_NAME_get0_der(name, &der, &size) != 1) return Error{"a name without an encoding"};
  return Identity::from_name({der, size});
}

bool is_uri(std::string_view uri) {
  return !uri.empty() && uri.size() <= kUriMaxSize &&
         std::all_of(uri.begin(), uri.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

// Adds the URI of a general name if it is one.
void add_uri(std::vector<std::string>& uris, const GENERAL_NAME* name) {
  if (name->type != GEN_URI || uris.size() >= kUrisMax) return;
  const std::string_view uri = text_of(bytes_of_string(name->d.uniformResourceIdentifier));
  if (is_uri(uri)) uris.emplace_back(uri);
}

// An extension that is there once or not at all; false where it is broken or twice there.
template <class Pointer>
bool extension(const X509* certificate, int nid, Pointer& out) {
  int critical = 0;
  out.reset(static_cast<typename Pointer::pointer>(
      X509_get_ext_d2i(certificate, nid, &critical, nullptr)));
  return out != nullptr || critical == -1;  // -1: absent
}

}  // namespace

bool wall_time_of(const ASN1_TIME* time, Nanoseconds& out) {
  tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return false;
  const time_t seconds = timegm(&parts);
  constexpr time_t kMax = kNever / kSecond - 1;
  out = std::clamp<time_t>(seconds, -kMax, kMax) * kSecond;
  return true;
}

Status Certificate::read_names() {
  GeneralNamesPtr names;
  if (!extension(native_.get(), NID_subject_alt_name, names)) {
    return Error{"broken alternative names"};
  }
  const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
  if (static_cast<size_t>(count) > kAlternativeNamesMax) return Error{"too many alternative names"};
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    IdentityType type = IdentityType::kAny;
    Bytes data;
    switch (name->type) {
      case GEN_DNS:
        type = IdentityType::kFqdn;
        data = bytes_of_string(name->d.dNSName);
        break;
      case GEN_EMAIL:
        type = IdentityType::kRfc822Address;
        data = bytes_of_string(name->d.rfc822Name);
        break;
      case GEN_IPADD:
        data = bytes_of_string(name->d.iPAddress);
        type = data.size() == 4 ? IdentityType::kIpv4Address : IdentityType::kIpv6Address;
        break;
      case GEN_DIRNAME: {
        PENSTOCK_TRY(Identity directory_name, identity_of(name->d.directoryName));
        names_.push_back(std::move(directory_name));
        continue;
      }
      default:  // URIs, other names: no identities of IKEv2
        continue;
    }
    // A zero byte inside would look like another name to somebody: the certificate is refused.
    PENSTOCK_TRY(Identity identity, Identity::from_wire(static_cast<uint8_t>(type), data));
    names_.push_back(std::move(identity));
  }
  return {};
}

Status Certificate::read_uris() {
  DistributionPointsPtr points;
  AuthorityInfoPtr access;
  if (!extension(native_.get(), NID_crl_distribution_points, points) ||
      !extension(native_.get(), NID_info_access, access)) {
    return Error{"broken places of its status"};
  }
  for (int i = 0; points && i < sk_DIST_POINT_num(points.get()); ++i) {
    const DIST_POINT* point = sk_DIST_POINT_value(points.get(), i);
    if (point->distpoint == nullptr || point->distpoint->type != 0) continue;
    const GENERAL_NAMES* names = point->distpoint->name.fullname;
    for (int j = 0; j < sk_GENERAL_NAME_num(names); ++j) {
      add_uri(crl_uris_, sk_GENERAL_NAME_value(names, j));
    }
  }
  for (int i = 0; access && i < sk_ACCESS_DESCRIPTION_num(access.get()); ++i) {
    const ACCESS_DESCRIPTION* description = sk_ACCESS_DESCRIPTION_value(access.get(), i);
    if (OBJ_obj2nid(description->method) == NID_ad_OCSP) add_uri(ocsp_uris_, description->location);
  }
  return {};
}

Result<CertificatePtr> Certificate::parse(Bytes pem_or_der) {
  const ErrorQueueGuard guard;
  auto der = der_in(pem_or_der, kCertificateMaxSize, "CERTIFICATE", "X509 CERTIFICATE");
  if (!der.ok()) return errorf("no certificate: %s", der.error().text.c_str());
  std::shared_ptr<Certificate> out(new Certificate);
  out->der_ = std::move(der).value();
  const uint8_t* at = out->der_.data();
  X509Ptr native(d2i_X509(nullptr, &at, static_cast<long>(out->der_.size())));
  if (!native || at != out->der_.data() + out->der_.size()) {
    return Error{"no DER of a certificate"};
  }
  // One certificate, one encoding: lenient parsing would give a peer endless variants of it.
  if (der_of(i2d_X509, native.get()) != out->der_) return Error{"certificate that is not DER"};
  X509* x509 = native.get();
  out->native_ = std::shared_ptr<x509_st>(native.release(), X509_free);
  Digest::sha256().compute(out->der_, out->fingerprint_);
  // Reads all extensions once; invalid ones mark the certificate.
  (void)X509_check_purpose(x509, -1, 0);
  const uint32_t flags = X509_get_extension_flags(x509);
  if ((flags & EXFLAG_INVALID) != 0) return Error{"certificate with a broken extension"};
  PENSTOCK_TRY(out->subject_, identity_of(X509_get_subject_name(x509)));
  PENSTOCK_TRY(out->issuer_, identity_of(X509_get_issuer_name(x509)));
  out->serial_ = to_vector(bytes_of_string(X509_get0_serialNumber(x509)));
  if (!wall_time_of(X509_get0_notBefore(x509), out->not_before_) ||
      !wall_time_of(X509_get0_notAfter(x509), out->not_after_)) {
    return Error{"certificate with a broken time"};
  }
  out->is_ca_ = (flags & EXFLAG_CA) != 0;
  const uint32_t usage = X509_get_extended_key_usage(x509);  // all ones without the extension
  out->server_auth_ = (flags & EXFLAG_XKUSAGE) == 0 || (usage & (XKU_SSL_SERVER | XKU_ANYEKU)) != 0;
  PENSTOCK_CHECK(out->read_names());
  PENSTOCK_CHECK(out->read_uris());
  auto key = PublicKey::from_native(X509_get0_pubkey(x509),
                                    der_of(i2d_X509_PUBKEY, X509_get_X509_PUBKEY(x509)));
  if (key.ok()) {
    out->key_ = std::move(key).value();
  } else {
    out->key_error_ = key.error().text;
  }
  return CertificatePtr(std::move(out));
}

bool Certificate::confirms(const Identity& identity) const {
  if (identity.is_any()) return false;
  if (identity.type() == IdentityType::kKeyId) {
    // Hashes of the key; what the subject key identifier says is the issuer's choice.
    return key_ && (equal_bytes(identity.data(), key_->id()) ||
                    equal_bytes(identity.data(), key_->spki_id()));
  }
  // A name of no attributes names nobody (30 00 is its encoding).
  if (identity.type() == IdentityType::kDerAsn1Dn && identity.data().size() <= 2) return false;
  return subject_ == identity || std::find(names_.begin(), names_.end(), identity) != names_.end();
}

MatchStrength Certificate::match(const Identity& pattern) const {
  if (pattern.is_any()) return kMatchAny;
  if (pattern.type() == IdentityType::kKeyId) return confirms(pattern) ? kMatchExact : kMatchNone;
  MatchStrength best = subject_.match(pattern);
  for (const Identity& name : names_) best = std::max(best, name.match(pattern));
  return best;
}

Result<CrlPtr> Crl::parse(Bytes pem_or_der) {
  const ErrorQueueGuard guard;
  auto der = der_in(pem_or_der, kCrlMaxSize, "X509 CRL", "X509 CRL");
  if (!der.ok()) return errorf("no CRL: %s", der.error().text.c_str());
  std::shared_ptr<Crl> out(new Crl);
  out->der_ = std::move(der).value();
  const uint8_t* at = out->der_.data();
  CrlNativePtr native(d2i_X509_CRL(nullptr, &at, static_cast<long>(out->der_.size())));
  if (!native || at != out->der_.data() + out->der_.size()) return Error{"no DER of a CRL"};
  X509_CRL* crl = native.get();
  out->native_ = std::shared_ptr<X509_crl_st>(native.release(), X509_CRL_free);
  PENSTOCK_TRY(out->issuer_, identity_of(X509_CRL_get_issuer(crl)));
  if (!wall_time_of(X509_CRL_get0_lastUpdate(crl), out->this_update_)) {
    return Error{"CRL with a broken time"};
  }
  const ASN1_TIME* next = X509_CRL_get0_nextUpdate(crl);
  if (next != nullptr && !wall_time_of(next, out->next_update_)) {
    return Error{"CRL with a broken time"};
  }
  const IntegerPtr number(
      static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(crl, NID_crl_number, nullptr, nullptr)));
  if (number) out->number_ = to_vector(bytes_of_string(number.get()));
  for (const int nid : {NID_issuing_distribution_point, NID_delta_crl}) {
    const int at_extension = X509_CRL_get_ext_by_NID(crl, nid, -1);
    if (at_extension < 0) continue;
    const Bytes value =
        bytes_of_string(X509_EXTENSION_get_data(X509_CRL_get_ext(crl, at_extension)));
    out->scope_.push_back(nid == NID_delta_crl ? 1 : 0);
    out->scope_.insert(out->scope_.end(), value.begin(), value.end());
  }
  // Sorts the entries now: later look-ups come from several threads.
  X509_REVOKED* entry = nullptr;
  const IntegerPtr zero(ASN1_INTEGER_new());
  if (zero) (void)X509_CRL_get0_by_serial(crl, &entry, zero.get());
  return CrlPtr(std::move(out));
}

}  // namespace penstock::ike
