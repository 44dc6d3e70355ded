#include "tests/scenario/ike/client.h"

#include <gtest/gtest.h>

#include "controlplane/ike/crypto/dh.h"
#include "tests/scenario/ike/pair.h"

namespace penstock::ike::simulation {

Client::Client(World& world_, const std::string& address, Node& gateway_)
    : world(world_), gateway(gateway_), random(99) {
  local = Endpoint{address_of(address), 4500};
  remote = Endpoint{gateway.addresses.front(), 4500};
  id_data = to_vector(bytes_of("client.example"));
  world.strangers[local.address] = [this](const Packet& packet) { receive(packet); };
}

Client::~Client() { world.strangers.erase(local.address); }

Header Client::header(ExchangeType type, bool response, uint32_t id) const {
  Header header;
  header.spi_initiator = spi_i;
  header.spi_responder = spi_r;
  header.exchange = type;
  header.from_initiator = initiator;
  header.response = response;
  header.message_id = id;
  return header;
}

void Client::send_bytes(Bytes message) {
  Packet packet;
  packet.source = local;
  packet.destination = remote;
  if (local.port != kIkePort) packet.payload.resize(4);
  packet.payload.insert(packet.payload.end(), message.begin(), message.end());
  world.send(std::move(packet));
}

void Client::send(const Header& header, const ChainBuilder& chain, bool sealed) {
  if (!sealed) {
    send_bytes(build_message(header, chain));
    return;
  }
  for (const ByteVector& each : seal_message(out, random, header, chain, false, 65000)) {
    send_bytes(each);
  }
}

void Client::receive(const Packet& packet) {
  const Bytes bytes = packet.ike();
  auto message = parse_message(bytes);
  if (!message.ok()) return;
  Heard one;
  one.header = message->header;
  one.bytes = to_vector(bytes);
  if (message->payloads.encrypted) {
    auto plain = open_payload(in, *message->payloads.encrypted);
    if (!plain) {
      ADD_FAILURE() << "a message that cannot be decrypted";
      return;
    }
    one.sealed = true;
    one.chain = std::move(*plain);
    auto payloads = parse_chain(message->payloads.encrypted->first_inside, one.chain);
    ASSERT_TRUE(payloads.ok()) << payloads.error().to_string();
    one.payloads = std::move(*payloads);
  } else {
    one.payloads = parse_message(one.bytes)->payloads;  // views into our own copy
  }
  if (!one.header.response && one.header.exchange == ExchangeType::kIkeSaInit) {
    remote = packet.source;
    local.port = packet.destination.port;
    serve_init(one);
  } else if (!one.header.response && on_request) {
    remote = packet.source;
    local.port = packet.destination.port;
    on_request(one);
  } else {
    heard.push_back(std::move(one));
  }
}

std::optional<Heard> Client::take() {
  if (heard.empty()) return std::nullopt;
  std::optional<Heard> one(std::in_place, std::move(heard.front()));
  heard.pop_front();
  return one;
}

std::optional<Heard> Client::wait(Nanoseconds time_ns) {
  world.run_for(time_ns);
  std::optional<Heard> last;
  while (auto one = take()) last = std::move(one);
  return last;
}

void Client::derive(Bytes shared) {
  const SecretBytes seed = skeyseed(suite.prf, nonce_i, nonce_r, shared);
  keys = derive_ike_keys(suite, seed.bytes(), nonce_i, nonce_r, spi_i, spi_r);
  IkeCipher from_i(suite, keys.ei, keys.ai), from_r(suite, keys.er, keys.ar);
  out = std::move(initiator ? from_i : from_r);
  in = std::move(initiator ? from_r : from_i);
}

bool Client::init(const std::string& proposal) {
  const auto offered = ike_proposals({proposal});
  const DhGroup group = first_group(offered);
  spi_i = random.u64();
  nonce_i.resize(32);
  random.fill(nonce_i);
  const SecretBytes secret = dh_private_key(group, random);
  ChainBuilder chain;
  chain.sa(to_offer(offered, 0, 0, {}))
      .key_exchange(group, *dh_public_value(group, secret))
      .nonce(nonce_i);
  init_request = build_message(header(ExchangeType::kIkeSaInit, false, 0), chain);
  send_bytes(init_request);
  const auto answer = wait();
  if (!answer || !answer->payloads.key_exchange) return false;
  spi_r = answer->header.spi_responder;
  init_response = answer->bytes;
  nonce_r = to_vector(*answer->payloads.nonce);
  suite = check_answer(ProtocolId::kIke, to_offer(offered, 0, 0, {}),
                       answer->payloads.sa->proposals, {})
              .value()
              .suite;
  derive(dh_shared_secret(group, secret, answer->payloads.key_exchange->data)->bytes());
  next_id = 1;
  return true;
}

void Client::serve_init(const Heard& request) {
  initiator = false;
  spi_i = request.header.spi_initiator;
  spi_r = random.u64();
  init_request = request.bytes;
  nonce_i = to_vector(*request.payloads.nonce);
  nonce_r.resize(32);
  random.fill(nonce_r);
  const auto selection =
      select_proposal(ProtocolId::kIke, request.payloads.sa->proposals, ike_proposals(), {});
  ASSERT_TRUE(selection.ok());
  suite = selection->suite;
  const SecretBytes secret = dh_private_key(suite.group, random);
  ChainBuilder chain;
  chain.sa(to_proposal(suite, selection->number, 0, 0))
      .key_exchange(suite.group, *dh_public_value(suite.group, secret))
      .nonce(nonce_r);
  init_response = build_message(header(ExchangeType::kIkeSaInit, true, 0), chain);
  derive(dh_shared_secret(suite.group, secret, request.payloads.key_exchange->data)->bytes());
  send_bytes(init_response);
}

std::optional<Heard> Client::ask(ExchangeType type, const ChainBuilder& chain) {
  const uint32_t id = next_id;
  send(header(type, false, id), chain);
  world.run_for(kSecond);
  while (auto one = take()) {
    if (one->header.response && one->header.message_id == id) {
      ++next_id;
      return one;
    }
  }
  return std::nullopt;
}

void Client::answer(const Heard& request, const ChainBuilder& chain) {
  send(header(request.header.exchange, true, request.header.message_id), chain);
}

void Client::set_id(IdType type, Bytes data) {
  id_type = type;
  id_data = to_vector(data);
}

ByteVector Client::octets() const {
  const ByteVector body = id_body(id_type, id_data);
  return initiator ? auth_octets(suite.prf, init_request, nonce_r, keys.pi.bytes(), body)
                   : auth_octets(suite.prf, init_response, nonce_i, keys.pr.bytes(), body);
}

ByteVector Client::shared_auth(Bytes secret) const {
  return to_vector(shared_key_auth(suite.prf, secret, octets()).bytes());
}

ByteVector Client::peer_shared_auth(Bytes secret, Bytes peer_id_body) const {
  const ByteVector signed_bytes =
      initiator ? auth_octets(suite.prf, init_response, nonce_i, keys.pr.bytes(), peer_id_body)
                : auth_octets(suite.prf, init_request, nonce_r, keys.pi.bytes(), peer_id_body);
  return to_vector(shared_key_auth(suite.prf, secret, signed_bytes).bytes());
}

void Client::add_child(ChainBuilder& chain, const std::string& esp, const std::string& tsi,
                       const std::string& tsr) {
  chain.sa(to_offer(esp_proposals({esp}), 4, ++esp_spi, {}));
  const std::vector<TrafficSelector> first{selector_of(tsi).selector};
  const std::vector<TrafficSelector> second{selector_of(tsr).selector};
  chain.ts_initiator(first).ts_responder(second);
}

ChainBuilder Client::auth_psk(const std::string& secret) {
  ChainBuilder chain;
  chain.id_initiator(id_type, id_data).auth(AuthMethod::kSharedKey, shared_auth(bytes_of(secret)));
  add_child(chain, "aes256gcm16", "10.1.0.0/16", "10.2.0.0/16");
  return chain;
}

}  // namespace penstock::ike::simulation
