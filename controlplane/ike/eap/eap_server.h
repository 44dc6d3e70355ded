// The EAP authenticator inside IKE_AUTH (RFC 3748, RFC 7296 2.16): identity, MSCHAPv2 and TLS.
// Sans-IO: packets in, packets out. One exchange is used by one thread at a time, any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/ike/auth/chain.h"
#include "controlplane/ike/auth/credentials.h"
#include "gateway/base/random.h"
#include "gateway/base/secret.h"

namespace penstock::ike {

// "Method Types" of the EAP registry.
enum class EapType : uint8_t {
  kIdentity = 1,
  kNotification = 2,
  kNak = 3,
  kTls = 13,
  kMschapv2 = 26,
  kExpanded = 254,
};

inline constexpr size_t kEapPacketMaxSize = 16384;  // of one that we take
inline constexpr size_t kEapIdentityMaxSize = 253;  // what RADIUS could carry too
inline constexpr unsigned kEapRoundsMax = 64;       // requests in one exchange, fragments included

struct EapServerOptions {
  CredentialSnapshotPtr credentials;
  std::vector<EapType> methods;  // in order of preference: kMschapv2, kTls; not empty
  bool ask_identity = true;      // eap_id = %any
  // Where it is not asked: who the client seems to be (eap_id, IDi). A hint: identity() becomes it
  // only if the method proves it, otherwise what the method did prove.
  Identity identity;
  std::string server_name;  // in the challenge of MSCHAPv2; empty: the product's
  // EAP-TLS only.
  CertificatePtr tls_certificate;  // with its key in `credentials`
  std::vector<CertificatePtr> tls_chain;
  ChainPolicy tls_client_policy;   // for the client's certificate; its identity is set by us
  size_t tls_fragment_max = 1024;  // bytes of TLS data in one request
  bool tls13 = true;
};

// What MSCHAPv2 needs of OpenSSL (MD4 and DES). False: EAP-MSCHAPv2 is refused when a connection
// that wants it is loaded.
bool mschapv2_available();
// "eap-mschapv2", "eap-tls", "eap" or "eap-dynamic" (all of ours) of an `auth` key, with anything
// after a colon taken as constraints of TLS; others are refused by name.
Result<std::vector<EapType>> parse_eap_auth(std::string_view auth);

struct EapStep {
  enum class Kind : uint8_t {
    kRequest,  // send `packet`, wait for the response
    kSuccess,  // send `packet` (EAP-Success): the MSK now has to prove itself in AUTH
    kFailure,  // send `packet` (EAP-Failure): the exchange is over
    kIgnored,  // not the response that is awaited: nothing to send, state unchanged
  } kind = Kind::kIgnored;
  ByteVector packet;
  // Words for the log: kFailure, kIgnored; and kRequest where the request tells the client that it
  // has failed (the Failure of MSCHAPv2, a TLS alert), as many clients leave without an answer.
  std::string reason;
};

class EapServer {
 public:
  // The options must have passed check().
  EapServer(EapServerOptions options, RandomSource& random);
  ~EapServer();
  EapServer(EapServer&&) noexcept;
  EapServer& operator=(EapServer&&) noexcept;

  // What is missing, in words, if none of the methods can be offered. Those that cannot are left
  // out.
  static Status check(const EapServerOptions& options);

  EapStep start();  // the first request
  EapStep on_response(Bytes packet, Nanoseconds wall_time_ns);

  [[nodiscard]] bool succeeded() const;
  [[nodiscard]] const SecretBytes& msk() const;  // 64 bytes once succeeded
  // Who the client proved to be, once succeeded: the identity that it said if the name it logged in
  // with (without a domain) or its certificate agree, else that name or the certificate's subject.
  [[nodiscard]] const Identity& identity() const;
  [[nodiscard]] EapType method() const;                       // the one that is running or ran
  [[nodiscard]] const ChainResult& tls_chain_result() const;  // EAP-TLS: of the client's chain

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::ike
