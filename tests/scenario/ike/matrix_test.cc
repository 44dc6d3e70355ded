// Every message in every state, and every way to spoil one: what is not awaited changes nothing.
#include <gtest/gtest.h>

#include <map>

#include "controlplane/ike/crypto/dh.h"
#include "tests/scenario/ike/client.h"
#include "tests/scenario/ike/pair.h"
#include "tests/scenario/ike/pki.h"
#include "tests/unit/ike_eap/eap_peer.h"

namespace penstock::ike::simulation {
namespace {

enum class State { kAuthAwaited, kAuthJob, kEapAwaited, kEapJob, kEapAuthAwaited, kUp, kDeleting };
constexpr std::array kStates{State::kAuthAwaited, State::kAuthJob,        State::kEapAwaited,
                             State::kEapJob,      State::kEapAuthAwaited, State::kUp,
                             State::kDeleting};
constexpr const char* kStateNames[] = {"auth awaited",     "auth job",    "eap awaited", "eap job",
                                       "eap auth awaited", "established", "deleting"};

// A gateway that wants EAP, and a client that has been led into a state.
struct Stage {
  Stage() : sun(world.add("sun", kSun)) {
    pki.give(sun, "sun.example");
    SharedSecret secret;
    secret.id = "alice";
    secret.type = SecretType::kEap;
    secret.value = SecretBytes::copy_of(bytes_of("wonder land"));
    secret.owners = {id_of("alice")};
    EXPECT_TRUE(sun.store.load_shared(std::move(secret)).ok());
    sun.credentials_changed();
    Side side = side_of("rw", kSun, "", "sun.example", "%any");
    side.connection.local.method = AuthClass::kPubkey;
    side.connection.remote.method = AuthClass::kEap;
    side.connection.remote.eap_methods = {EapType::kMschapv2};
    side.children.push_back(child_of("lan", {"10.2.0.0/16"}, {"10.1.0.0/16"}));
    side.children[0].proposals = esp_proposals({"aes256gcm16-x25519", "aes256gcm16"});
    sun.load(side.build());
    client = std::make_unique<Client>(world, "198.51.100.7", sun);
  }

  ChainBuilder without_auth() const {
    ChainBuilder chain;
    chain.id_initiator(client->id_type, client->id_data);
    client->add_child(chain, "aes256gcm16", "10.1.0.0/16", "10.2.0.0/16");
    return chain;
  }
  ByteVector eap_answer(const Heard& heard) {
    const test::EapParts request = test::parts_of(heard.payloads.eap->packet);
    identifier = static_cast<uint8_t>(request.identifier + 1);
    return request.type == 1
               ? test::eap_response(request.identifier, 1, bytes_of("alice"))
               : test::eap_response(request.identifier, 26, method.answer(request.data));
  }

  void lead_to(State state) {
    ASSERT_TRUE(client->init());
    if (state == State::kAuthAwaited) return;
    if (state == State::kAuthJob) sun.hold_jobs = true;
    auto heard = client->ask(ExchangeType::kIkeAuth, without_auth());
    if (state == State::kAuthJob) {
      ASSERT_FALSE(sun.held.empty());
      ++client->next_id;  // its number is used
      --client->next_id;
      return;
    }
    ASSERT_TRUE(heard && heard->payloads.eap);
    identifier = test::parts_of(heard->payloads.eap->packet).identifier;
    if (state == State::kEapAwaited) return;
    if (state == State::kEapJob) sun.hold_jobs = true;
    while (heard && heard->payloads.eap && heard->payloads.eap->code == EapCode::kRequest) {
      ChainBuilder chain;
      chain.eap(eap_answer(*heard));
      heard = client->ask(ExchangeType::kIkeAuth, chain);
    }
    if (state == State::kEapJob) return;
    ASSERT_TRUE(heard && heard->payloads.eap);
    if (state == State::kEapAuthAwaited) return;
    ChainBuilder chain;
    chain.auth(AuthMethod::kSharedKey, client->shared_auth(method.msk()));
    ASSERT_TRUE(client->ask(ExchangeType::kIkeAuth, chain)->payloads.auth);
    ASSERT_EQ(sun.established(), 1U);
    if (state == State::kUp) return;
    sun.terminate({"rw", "", 0, 0});
    world.run_for(10 * kMillisecond);
    while (client->take()) {
    }
  }

  World world;
  Node& sun;
  Pki pki;
  std::unique_ptr<Client> client;
  test::Mschapv2Peer method{"alice", "alice", "wonder land"};
  uint8_t identifier = 0;
};

struct Probe {
  const char* name;
  std::function<void(Stage&)> send;
};

Header next(Stage& stage, ExchangeType type) {
  return stage.client->header(type, false, stage.client->next_id);
}

const std::vector<Probe>& probes() {
  static const std::vector<Probe> all{
      {"IKE_SA_INIT",
       [](Stage& stage) {
         Client& client = *stage.client;
         Header header = client.header(ExchangeType::kIkeSaInit, false, 0);
         header.spi_responder = 0;
         const auto offered = ike_proposals();
         const SecretBytes secret = dh_private_key(DhGroup::kCurve25519, client.random);
         ChainBuilder chain;
         chain.sa(to_offer(offered, 0, 0, {}))
             .key_exchange(DhGroup::kCurve25519, *dh_public_value(DhGroup::kCurve25519, secret))
             .nonce(ByteVector(32, 3));
         client.send(header, chain, false);
       }},
      {"IKE_AUTH AUTH",
       [](Stage& stage) {
         stage.client->send(next(stage, ExchangeType::kIkeAuth),
                            stage.client->auth_psk("a secret"));
       }},
      {"IKE_AUTH",
       [](Stage& stage) {
         stage.client->send(next(stage, ExchangeType::kIkeAuth), stage.without_auth());
       }},
      {"IKE_AUTH EAP-Response",
       [](Stage& stage) {
         ChainBuilder chain;
         chain.eap(test::eap_response(stage.identifier, 1, bytes_of("alice")));
         stage.client->send(next(stage, ExchangeType::kIkeAuth), chain);
       }},
      {"IKE_AUTH EAP-Success",
       [](Stage& stage) {
         ChainBuilder chain;
         const std::array<uint8_t, 4> success{3, stage.identifier, 0, 4};
         chain.eap(success);
         stage.client->send(next(stage, ExchangeType::kIkeAuth), chain);
       }},
      {"IKE_AUTH empty",
       [](Stage& stage) { stage.client->send(next(stage, ExchangeType::kIkeAuth), {}); }},
      {"CREATE_CHILD_SA child",
       [](Stage& stage) {
         ChainBuilder chain;
         chain.nonce(ByteVector(32, 5));
         stage.client->add_child(chain, "aes256gcm16", "10.1.0.0/16", "10.2.0.0/16");
         stage.client->send(next(stage, ExchangeType::kCreateChildSa), chain);
       }},
      {"CREATE_CHILD_SA IKE",
       [](Stage& stage) {
         const SecretBytes secret = dh_private_key(DhGroup::kCurve25519, stage.client->random);
         ChainBuilder chain;
         chain.sa(to_offer(ike_proposals(), 8, 77, {}))
             .nonce(ByteVector(32, 5))
             .key_exchange(DhGroup::kCurve25519, *dh_public_value(DhGroup::kCurve25519, secret));
         stage.client->send(next(stage, ExchangeType::kCreateChildSa), chain);
       }},
      {"INFORMATIONAL",
       [](Stage& stage) { stage.client->send(next(stage, ExchangeType::kInformational), {}); }},
      {"INFORMATIONAL D",
       [](Stage& stage) {
         ChainBuilder chain;
         chain.delete_ike();
         stage.client->send(next(stage, ExchangeType::kInformational), chain);
       }},
      {"exchange 99",
       [](Stage& stage) { stage.client->send(next(stage, static_cast<ExchangeType>(99)), {}); }},
      {"IKE_AUTH as response",
       [](Stage& stage) {
         stage.client->send(
             stage.client->header(ExchangeType::kIkeAuth, true, stage.client->next_id),
             stage.client->auth_psk("a secret"));
       }},
      {"INFORMATIONAL from the future",
       [](Stage& stage) {
         ChainBuilder chain;
         chain.delete_ike();
         stage.client->send(
             stage.client->header(ExchangeType::kInformational, false, stage.client->next_id + 1),
             chain);
       }},
      {"INFORMATIONAL D in clear",
       [](Stage& stage) {
         ChainBuilder chain;
         chain.delete_ike();
         stage.client->send(next(stage, ExchangeType::kInformational), chain, false);
       }},
      {"IKE_AUTH in clear",
       [](Stage& stage) {
         stage.client->send(next(stage, ExchangeType::kIkeAuth), stage.client->auth_psk("a secret"),
                            false);
       }},
      {"INFORMATIONAL D under other keys",
       [](Stage& stage) {
         ChainBuilder chain;
         chain.delete_ike();
         SecretBytes key(36);
         IkeCipher other(stage.client->suite, key, {});
         const auto sealed =
             seal_message(other, stage.client->random, next(stage, ExchangeType::kInformational),
                          chain, false, 2000);
         stage.client->send_bytes(sealed.at(0));
       }},
  };
  return all;
}

// "-": no answer, nothing changed. "ok": an answer without error. "N(...)": an error. "!" the IKE
// SA is gone.
std::string outcome(Stage& stage, const Probe& probe) {
  const auto sas = [&] { return stage.sun.engine->totals().ike_sas; };
  const size_t before = sas();
  probe.send(stage);
  stage.world.run_for(20 * kMillisecond);
  stage.world.run_for(20 * kMillisecond);
  std::string seen = "-";
  while (const auto heard = stage.client->take()) {
    if (!heard->header.response) continue;  // a repeat of the gateway's own request
    const NotifyPayload* const error = heard->payloads.first_error();
    seen = error == nullptr ? "ok" : to_string(error->type);
    if (!heard->sealed && heard->header.exchange != ExchangeType::kIkeSaInit) seen += " in clear";
  }
  if (sas() < before) seen += "!";
  return seen;
}

TEST(Matrix, every_message_in_every_state_has_its_one_outcome) {
  const std::string kNo = "AUTHENTICATION_FAILED!", kBad = "INVALID_SYNTAX!",
                    kLater = "TEMPORARY_FAILURE";
  //                          auth awaited, auth job, eap awaited, eap job, eap auth awaited, up,
  //                          deleting
  const std::map<std::string, std::array<std::string, 7>> expected{
      {"IKE_SA_INIT", {"-", "-", "-", "-", "-", "ok", "ok"}},
      {"IKE_AUTH AUTH", {kNo, "-", kNo, "-", kNo, "-", "-"}},
      {"IKE_AUTH", {"ok", "-", kNo, "-", kNo, "-", "-"}},
      {"IKE_AUTH EAP-Response", {kBad, "-", "ok", "-", kNo, "-", "-"}},
      {"IKE_AUTH EAP-Success", {kBad, "-", "-", "-", kNo, "-", "-"}},
      {"IKE_AUTH empty", {kBad, "-", kNo, "-", kNo, "-", "-"}},
      {"CREATE_CHILD_SA child", {"-", "-", "-", "-", "-", "ok", kLater}},
      {"CREATE_CHILD_SA IKE", {"-", "-", "-", "-", "-", "ok", kLater}},
      {"INFORMATIONAL", {"-", "-", "-", "-", "-", "ok", "ok"}},
      {"INFORMATIONAL D", {"-", "-", "ok!", "-", "ok!", "ok!", "ok!"}},
      {"exchange 99", {"-", "-", "-", "-", "-", "-", "-"}},
      {"IKE_AUTH as response", {"-", "-", "-", "-", "-", "-", "-"}},
      {"INFORMATIONAL from the future", {"-", "-", "-", "-", "-", "-", "-"}},
      {"INFORMATIONAL D in clear", {"-", "-", "-", "-", "-", "-", "-"}},
      {"IKE_AUTH in clear", {"-", "-", "-", "-", "-", "-", "-"}},
      {"INFORMATIONAL D under other keys", {"-", "-", "-", "-", "-", "-", "-"}},
  };
  for (const State state : kStates) {
    for (const Probe& probe : probes()) {
      Stage stage;
      stage.lead_to(state);
      if (HasFatalFailure()) return;
      const size_t up = stage.sun.established();
      const size_t column = static_cast<size_t>(state);
      EXPECT_EQ(outcome(stage, probe), expected.at(probe.name)[column])
          << probe.name << " in state " << kStateNames[column] << "\n"
          << stage.sun.log_text();
      EXPECT_LE(stage.sun.established(), std::max<size_t>(up, state == State::kUp ? 2 : 0))
          << probe.name << " must not authenticate anybody";
      for (const std::string& mistake : stage.sun.mistakes) ADD_FAILURE() << mistake;
    }
  }
}

TEST(Matrix, repeated_requests_get_the_same_answer_in_every_state) {
  for (const State state : {State::kEapAwaited, State::kEapAuthAwaited, State::kUp}) {
    Stage stage;
    stage.lead_to(state);
    ASSERT_FALSE(HasFatalFailure());
    ByteVector last;
    stage.world.filter = [&](const Packet& packet) {
      if (packet.destination.address == address_of(kSun)) last = packet.payload;
      return true;
    };
    if (state == State::kUp) {
      ASSERT_TRUE(stage.client->ask(ExchangeType::kInformational, {}).has_value());
    } else {
      continue;
    }
    const auto before = stage.sun.sent.back().payload;
    Packet again;
    again.source = stage.client->local;
    again.destination = stage.client->remote;
    again.payload = last;
    stage.world.send(again);
    stage.world.run_for(kSecond);
    EXPECT_EQ(stage.sun.sent.back().payload, before);
  }
}

// Every exchange type with every bit of one copy flipped, delivered before the original.
TEST(Matrix, flipped_bits_are_dropped_in_silence) {
  Options options;
  options.half_open_bad_messages = UINT32_MAX;
  Pair pair(1, options);
  unsigned flipped = 0;
  pair.world.filter = [&](const Packet& packet) {
    const Bytes message = packet.ike();
    if (packet.is_esp() || message.size() < 29 || message[18] == 34) return true;
    Node& target = packet.destination.address == address_of(kSun) ? pair.sun : pair.moon;
    const size_t marker = packet.payload.size() - message.size();
    for (size_t bit = 0; bit < message.size() * 8; bit += 3) {
      Packet copy = packet;
      copy.payload[marker + bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
      target.engine->on_datagram(target.now(), copy.source, copy.destination, WorkerId{0},
                                 Bytes(copy.payload).subspan(marker));
      while (auto effect = target.engine->poll()) {
        const auto* const datagram = std::get_if<SendDatagram>(&*effect);
        EXPECT_FALSE(std::holds_alternative<InstallChildSa>(*effect));
        EXPECT_FALSE(std::holds_alternative<Compute>(*effect)) << "bit " << bit;
        // At most an unprotected hint.
        if (datagram != nullptr) {
          EXPECT_LT(datagram->payload.size(), 60U);
        }
      }
      ++flipped;
    }
    return true;
  };
  pair.up();
  pair.moon.engine->rekey(pair.moon.now(), {"", "lan", 0, 0}, false);
  pair.moon.drain();
  pair.world.run_for(10 * kSecond);
  pair.moon.engine->rekey(pair.moon.now(), {"net", "", 0, 0}, false);
  pair.moon.drain();
  pair.world.run_for(10 * kSecond);
  EXPECT_GT(flipped, 1000U);
  pair.world.filter = nullptr;
  pair.expect_one_of_each();
  pair.exchange();
}

// --- as initiator --------------------------------------------------------------------------------

struct InitiatorStage {
  InitiatorStage() : moon(world.add("moon", kMoon)), sun(world, kSun, moon) {
    sun.set_id(IdType::kFqdn, bytes_of("sun.example"));
    moon.add_psk("a secret");
    Side side = side_of("net", kMoon, kSun, "moon.example", "sun.example");
    side.children.push_back(child_of("lan", {"10.1.0.0/16"}, {"10.2.0.0/16"}));
    moon.load(side.build());
  }
  ChainBuilder good() {
    ChainBuilder chain;
    chain.id_responder(sun.id_type, sun.id_data)
        .auth(AuthMethod::kSharedKey, sun.shared_auth(bytes_of("a secret")));
    return chain;
  }
  // moon's state after this answer to its IKE_AUTH.
  std::string after(const std::function<void(const Heard&)>& answer) {
    sun.on_request = [&](const Heard& request) {
      if (request.header.exchange == ExchangeType::kIkeAuth) answer(request);
    };
    const CommandId command = moon.initiate("net", "lan");
    world.run_for(2 * kSecond);
    if (moon.established() == 1) return "up";
    return moon.end_of(command) ? "failed" : "waits";
  }
  World world;
  Node& moon;
  Client sun;
};

TEST(InitiatorMatrix, only_a_right_auth_makes_it_up) {
  using Answer = std::function<void(InitiatorStage&, const Heard&)>;
  const auto with_auth = [](const std::function<void(ByteVector&)>& change) -> Answer {
    return [change](InitiatorStage& stage, const Heard& request) {
      ByteVector auth = stage.sun.shared_auth(bytes_of("a secret"));
      change(auth);
      ChainBuilder chain;
      chain.id_responder(stage.sun.id_type, stage.sun.id_data).auth(AuthMethod::kSharedKey, auth);
      stage.sun.answer(request, chain);
    };
  };
  const std::array<uint8_t, 4> eap_success{3, 1, 0, 4};
  const std::vector<std::tuple<const char*, Answer, const char*>> rows{
      {"right", with_auth([](ByteVector&) {}), "up"},
      {"one bit wrong", with_auth([](ByteVector& auth) { auth[3] ^= 4; }), "failed"},
      {"shorter", with_auth([](ByteVector& auth) { auth.pop_back(); }), "failed"},
      {"longer", with_auth([](ByteVector& auth) { auth.push_back(0); }), "failed"},
      {"one byte", with_auth([](ByteVector& auth) { auth.resize(1); }), "failed"},
      {"early EAP-Success",
       [&](InitiatorStage& stage, const Heard& request) {
         ChainBuilder chain;
         chain.id_responder(stage.sun.id_type, stage.sun.id_data).eap(eap_success);
         stage.sun.answer(request, chain);
       },
       "failed"},
      {"nothing at all",
       [](InitiatorStage& stage, const Heard& request) { stage.sun.answer(request, {}); },
       "failed"},
      {"AUTHENTICATION_FAILED",
       [](InitiatorStage& stage, const Heard& request) {
         ChainBuilder chain;
         chain.notify(NotifyType::kAuthenticationFailed);
         stage.sun.answer(request, chain);
       },
       "failed"},
      {"another identity",
       [](InitiatorStage& stage, const Heard& request) {
         stage.sun.set_id(IdType::kFqdn, bytes_of("mars.example"));
         stage.sun.answer(request, stage.good());
       },
       "failed"},
      {"other method",
       [](InitiatorStage& stage, const Heard& request) {
         ChainBuilder chain;
         chain.id_responder(stage.sun.id_type, stage.sun.id_data)
             .auth(AuthMethod::kSignature, stage.sun.shared_auth(bytes_of("a secret")));
         stage.sun.answer(request, chain);
       },
       "failed"},
      {"another exchange",
       [](InitiatorStage& stage, const Heard& request) {
         stage.sun.send(
             stage.sun.header(ExchangeType::kInformational, true, request.header.message_id),
             stage.good());
       },
       "waits"},
      {"another message ID",
       [](InitiatorStage& stage, const Heard& request) {
         stage.sun.send(
             stage.sun.header(ExchangeType::kIkeAuth, true, request.header.message_id + 1),
             stage.good());
       },
       "waits"},
      {"in clear",
       [](InitiatorStage& stage, const Heard& request) {
         stage.sun.send(stage.sun.header(ExchangeType::kIkeAuth, true, request.header.message_id),
                        stage.good(), false);
       },
       "waits"},
      {"a DELETE of the peer's own",
       [](InitiatorStage& stage, const Heard&) {
         ChainBuilder chain;
         chain.delete_ike();
         stage.sun.send(stage.sun.header(ExchangeType::kInformational, false, 0), chain);
       },
       "waits"},
      {"a child of the peer's own",
       [](InitiatorStage& stage, const Heard&) {
         ChainBuilder chain;
         chain.nonce(ByteVector(32, 1));
         stage.sun.add_child(chain, "aes256gcm16", "10.2.0.0/16", "10.1.0.0/16");
         stage.sun.send(stage.sun.header(ExchangeType::kCreateChildSa, false, 0), chain);
       },
       "waits"},
  };
  for (const auto& [name, answer, expected] : rows) {
    InitiatorStage stage;
    EXPECT_EQ(stage.after([&, &how = answer](const Heard& request) { how(stage, request); }),
              expected)
        << name << "\n"
        << stage.moon.log_text();
    EXPECT_TRUE(stage.moon.sas_installed.empty()) << name;
  }
}

TEST(InitiatorMatrix, child_that_was_not_offered_is_deleted_again) {
  InitiatorStage stage;
  std::vector<ExchangeType> asked;
  stage.sun.on_request = [&](const Heard& request) {
    asked.push_back(request.header.exchange);
    ChainBuilder chain;
    if (request.header.exchange == ExchangeType::kIkeAuth) {
      chain = stage.good();
      const auto suite = select_proposal(ProtocolId::kEsp, request.payloads.sa->proposals,
                                         esp_proposals({"aes256gcm16"}), {});
      chain.sa(to_proposal(suite->suite, suite->number, 4, 0x9999));
      const std::vector<TrafficSelector> wide{selector_of("0.0.0.0/0").selector};
      chain.ts_initiator(wide).ts_responder(wide);
    }
    stage.sun.answer(request, chain);
  };
  const CommandId command = stage.moon.initiate("net", "lan");
  stage.world.run_for(2 * kSecond);
  EXPECT_FALSE(stage.moon.succeeded(command));
  EXPECT_EQ(stage.moon.established(), 1U);
  EXPECT_TRUE(stage.moon.sas_installed.empty()) << "wider selectors are never taken";
  EXPECT_TRUE(stage.moon.said("were not offered"));
  EXPECT_EQ(asked.back(), ExchangeType::kInformational) << "its DELETE";
}

}  // namespace
}  // namespace penstock::ike::simulation
