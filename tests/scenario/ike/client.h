// A peer made of the wire and crypto libraries alone, that a test leads by the hand: it says
// anything in any state. With it stand the personalities of clients that cannot run here.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/ike/crypto/key_derivation.h"
#include "controlplane/ike/crypto/proposals.h"
#include "controlplane/ike/crypto/sk.h"
#include "tests/scenario/ike/simulator.h"

namespace penstock::ike::simulation {

// A message of the engine, decrypted where it was sealed.
struct Heard {
  Header header;
  ByteVector bytes;  // as it came
  ByteVector chain;
  Payloads payloads;
  bool sealed = false;
};

class Client {
 public:
  // As initiator to `gateway`, or as responder that answers IKE_SA_INIT by itself.
  Client(World& world, const std::string& address, Node& gateway);
  ~Client();

  // --> IKE_SA_INIT, and the answer. False: there was none that made keys.
  bool init(const std::string& proposal = "aes256gcm16-prfsha256-x25519");
  // One request, and what comes back within a second; nullopt: nothing.
  std::optional<Heard> ask(ExchangeType type, const ChainBuilder& chain);
  // The same with all its fields at hand.
  void send(const Header& header, const ChainBuilder& chain, bool sealed = true);
  void send_bytes(Bytes message);
  [[nodiscard]] Header header(ExchangeType type, bool response, uint32_t id) const;
  std::optional<Heard> take();  // the oldest one that was not looked at
  // What the engine sent to us last.
  std::optional<Heard> wait(Nanoseconds time_ns = kSecond);

  // As responder: called for each protected request of the engine.
  std::function<void(const Heard&)> on_request;
  void answer(const Heard& request, const ChainBuilder& chain);

  // The bodies of IKE_AUTH.
  void set_id(IdType type, Bytes data);
  [[nodiscard]] ByteVector octets() const;  // that we sign
  [[nodiscard]] ByteVector shared_auth(Bytes secret) const;
  [[nodiscard]] ByteVector peer_shared_auth(Bytes secret, Bytes peer_id_body) const;
  // --> IDi, AUTH by PSK, SA, TSi, TSr
  ChainBuilder auth_psk(const std::string& secret);
  // SA with one ESP proposal, TSi, TSr.
  void add_child(ChainBuilder& chain, const std::string& esp, const std::string& tsi,
                 const std::string& tsr);

  World& world;
  Node& gateway;
  Dice random;
  Endpoint local, remote;
  bool initiator = true;
  uint64_t spi_i = 0, spi_r = 0;
  Suite suite;
  IkeKeys keys;
  IkeCipher out, in;
  ByteVector nonce_i, nonce_r, init_request, init_response;
  IdType id_type = IdType::kFqdn;
  ByteVector id_data;
  uint32_t next_id = 0;
  uint32_t esp_spi = 0x7000;
  std::deque<Heard> heard;
  bool with_nat_detection = true;

 private:
  void receive(const Packet& packet);
  void serve_init(const Heard& request);
  void derive(Bytes shared);
};

}  // namespace penstock::ike::simulation
