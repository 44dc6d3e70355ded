// EAP clients for the tests, written against the RFCs with OpenSSL alone: they share no code with
// the authenticator.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "controlplane/ike/eap/eap_server.h"
#include "gateway/base/bytes.h"
#include "tests/unit/ike_auth/test_pki.h"

struct ssl_st;
struct ssl_ctx_st;

namespace penstock::ike::test {

struct EapParts {
  uint8_t code = 0;
  uint8_t identifier = 0;
  uint8_t type = 0;
  ByteVector data;
};
EapParts parts_of(Bytes packet);  // aborts where it is no packet
ByteVector eap_response(uint8_t identifier, uint8_t type, Bytes data);

// A method on the client's side: the data of the response to the data of a request.
class PeerMethod {
 public:
  virtual ~PeerMethod() = default;
  virtual uint8_t type() const = 0;
  virtual ByteVector answer(Bytes request) = 0;
  virtual ByteVector msk() = 0;
};

class Mschapv2Peer final : public PeerMethod {
 public:
  Mschapv2Peer(std::string name, std::string hashed_name, std::string password)
      : name_(std::move(name)),
        hashed_name_(std::move(hashed_name)),
        password_(std::move(password)) {}
  uint8_t type() const override { return 26; }
  ByteVector answer(Bytes request) override;
  ByteVector msk() override { return msk_; }

  bool server_proved = false;
  bool refuse_proof = false;
  std::string failure;

 private:
  std::string name_, hashed_name_, password_;
  std::string expected_proof_;
  ByteVector msk_;
};

struct TlsPeerOptions {
  const Entity* certificate = nullptr;  // null: none is shown
  std::vector<const Entity*> chain;
  const Entity* server_root = nullptr;
  bool tls13 = true;
  size_t fragment_max = 1000;
  bool expect_certificate_request = true;
};
class TlsPeer final : public PeerMethod {
 public:
  explicit TlsPeer(const TlsPeerOptions& options);
  ~TlsPeer() override;
  uint8_t type() const override { return 13; }
  ByteVector answer(Bytes request) override;
  ByteVector msk() override;

  bool handshake_done = false;
  bool commitment_seen = false;
  bool failed = false;
  size_t fragments_sent = 0;
  size_t fragments_received = 0;
  int version = 0;

 private:
  ByteVector next_fragment();
  TlsPeerOptions options_;
  ssl_ctx_st* context_ = nullptr;
  ssl_st* ssl_ = nullptr;
  ByteVector incoming_;
  ByteVector outgoing_;
  size_t sent_ = 0;
};

// Runs an exchange to its end: the identity, then the method; a NAK if the server proposes another.
struct Run {
  EapStep last;
  size_t requests = 0;
  bool naked = false;
};
Run run_exchange(EapServer& server, PeerMethod& peer, const std::string& identity,
                 Nanoseconds now = kNow);

}  // namespace penstock::ike::test
