// libFuzzer target: the EAP authenticator. The first byte says how it is set up and who answers:
//
//   a stranger    responses out of the input: two bytes length, type, data; the identifier is put
//                 right, so that they get past the first check
//   a client      the real one of the unit tests, of whose n-th response the input changes bytes
//
// Checks beside crashes: a stranger never succeeds; without success there is no key; it ends.
#include <cstdlib>

#include "tests/unit/ike_eap/eap_peer.h"

using namespace penstock;
using namespace penstock::ike;
using test::Entity;
using test::kNow;

namespace {

struct World {
  CredentialStore store;
  Entity root = Entity::root("root");
  Entity gateway = root.issue({});
  Entity client = root.issue({});
  EapServerOptions options;

  World() {
    SharedSecret secret;
    secret.id = "s";
    secret.type = SecretType::kEap;
    secret.value = SecretBytes(24);
    SystemRandom().fill(secret.value.mutable_bytes());
    secret.owners = {Identity::fqdn("alice")};
    if (!store.load_shared(std::move(secret)).ok() ||
        !store.load_cert("X509", "CA", root.der()).ok() ||
        !store.load_key("any", gateway.key().der()).ok()) {
      std::abort();
    }
    options.credentials = store.snapshot();
    options.tls_certificate = gateway.certificate();
  }
};

const World& world() {
  static const World made;
  return made;
}

EapServer make_server(uint8_t setup) {
  static SystemRandom random;
  EapServerOptions options = world().options;
  options.methods = {EapType::kMschapv2, EapType::kTls};
  if ((setup & 1) != 0) std::swap(options.methods[0], options.methods[1]);
  options.ask_identity = (setup & 2) != 0;
  options.tls13 = (setup & 4) != 0;
  return {std::move(options), random};
}

void check_end(const EapServer& server, const EapStep& step) {
  if (step.kind == EapStep::Kind::kRequest) std::abort();  // the caller stopped: it must have ended
  if (server.succeeded() != (step.kind == EapStep::Kind::kSuccess)) std::abort();
  if (server.succeeded() == server.msk().empty()) std::abort();
}

void stranger(EapServer server, Bytes input) {
  Reader reader(input);
  EapStep step = server.start();
  for (;;) {
    const uint16_t length = reader.be16();
    const uint8_t type = reader.u8();
    const Bytes data = reader.take(std::min<size_t>(length, reader.remaining()));
    if (!reader.ok() || step.kind != EapStep::Kind::kRequest) break;
    const uint8_t identifier = test::parts_of(step.packet).identifier;
    step = server.on_response(test::eap_response(identifier, type, data), kNow);
  }
  if (step.kind == EapStep::Kind::kSuccess || server.succeeded() || !server.msk().empty()) {
    std::abort();
  }
  (void)server.on_response(input, kNow);
}

// Each change: round, offset (two bytes), what is put there.
void client(EapServer server, bool tls13, Bytes changes) {
  test::TlsPeerOptions options;
  options.certificate = &world().client;
  options.server_root = &world().root;
  options.tls13 = tls13;
  test::TlsPeer tls(options);
  size_t round = 0;
  EapStep step = server.start();
  while (step.kind == EapStep::Kind::kRequest && round < 100) {
    const test::EapParts request = test::parts_of(step.packet);
    ByteVector answer = to_vector(bytes_of("alice"));
    uint8_t type = request.type;
    if (type == 13) answer = tls.answer(request.data);
    if (type == 26) {
      type = 3;
      answer = {13};
    }
    for (Reader reader(changes); reader.remaining() >= 4;) {
      const uint8_t at_round = reader.u8();
      const uint16_t offset = reader.be16();
      const uint8_t value = reader.u8();
      if (at_round == round && offset < answer.size()) answer[offset] = value;
    }
    ++round;
    step = server.on_response(test::eap_response(request.identifier, type, answer), kNow);
    if (step.kind == EapStep::Kind::kIgnored) return;
  }
  check_end(server, step);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const Bytes rest(data + 1, size - 1);
  if ((data[0] & 8) != 0) {
    client(make_server(data[0]), (data[0] & 4) != 0, rest);
  } else {
    stranger(make_server(data[0]), rest);
  }
  return 0;
}
