// EAP-TLS (RFC 5216; RFC 9190 for TLS 1.3), authenticator, with OpenSSL between two buffers:
//
//   <-- Start                        --> ClientHello
//   <-- ServerHello .. Finished ..   --> Certificate, CertificateVerify, Finished
//   TLS 1.2:  <-- Finished           --> empty
//   TLS 1.3:  <-- one zero byte      --> empty      (RFC 9190 section 2.1.1: no more handshake)
//
// No resumption and no tickets: who was allowed yesterday shows the certificate again.
#pragma once

#include <memory>

#include "controlplane/ike/eap/eap_method.h"
#include "controlplane/ike/eap/tls_fragments.h"

struct ssl_st;
struct ssl_ctx_st;
struct bio_st;
struct x509_store_ctx_st;

namespace penstock::ike {

class EapTls final : public EapMethod {
 public:
  EapTls(const EapServerOptions& options, ClaimedIdentity claimed);
  ~EapTls() override;
  EapTls(const EapTls&) = delete;
  EapTls& operator=(const EapTls&) = delete;

  MethodStep start() override;
  MethodStep on_response(Bytes data, Nanoseconds wall_time_ns) override;
  [[nodiscard]] const SecretBytes& msk() const override { return msk_; }
  [[nodiscard]] const Identity& identity() const override { return identity_; }
  [[nodiscard]] const ChainResult& chain_result() const { return chain_; }

 private:
  enum class State : uint8_t {
    kHandshake,  // messages of the handshake go both ways
    kFinished,   // our last message is sent: an empty response makes it a success
    kAlertSent,  // ours: whatever comes back, it is over
    kOver,
  };
  bool prepare();
  MethodStep on_message(Bytes message);
  MethodStep finish();
  MethodStep fail(std::string reason);
  MethodStep send_pending();
  bool export_msk();
  void take_identity();
  static int verify_client(x509_store_ctx_st* context, void* self);

  CredentialSnapshotPtr credentials_;
  CertificatePtr certificate_;
  std::vector<CertificatePtr> certificate_chain_;
  ChainPolicy policy_;
  ClaimedIdentity claimed_;
  bool tls13_;
  State state_ = State::kHandshake;
  ssl_ctx_st* context_ = nullptr;
  ssl_st* ssl_ = nullptr;
  bio_st* from_client_ = nullptr;  // both owned by ssl_
  bio_st* to_client_ = nullptr;
  TlsReassembly incoming_;
  TlsFragmenter outgoing_;
  Nanoseconds wall_time_ns_ = 0;
  ChainResult chain_;
  std::string failed_because_;
  Identity identity_;
  SecretBytes msk_;
};

}  // namespace penstock::ike
