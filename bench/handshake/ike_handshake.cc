// IKE_SA_INIT and IKE_AUTH of 256 initiators into one engine, to the installed child SAs. All
// groups are X25519. The initiators are another engine, which computes between the measured phases.
// In the case established:N the responder has N IKE SAs of other peers already, each with a child.
#include <malloc.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstdio>
#include <cstdlib>

#include "bench/handshake/scenario.h"
#include "controlplane/crypto/x25519.h"
#include "controlplane/ike/crypto/proposals.h"
#include "controlplane/ike/engine.h"
#include "tests/unit/ike_auth/test_pki.h"

namespace penstock::bench {
namespace {

using namespace ike;

constexpr size_t kPerTurn = 32;  // datagrams that one turn of the loop takes

enum class Authentication { kPsk, kKnownCertificate, kNewCertificate };

void require(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "bench: %s\n", status.error().text.c_str());
  std::exit(1);
}

class Spis final : public Host {
 public:
  explicit Spis(std::vector<IpAddress> addresses) : addresses_(std::move(addresses)) {}
  Result<uint32_t> reserve_spi() override { return ++last_; }
  void release_spi(uint32_t) override {}
  [[nodiscard]] std::optional<IpAddress> source_address_for(const IpAddress&) const override {
    return addresses_.front();
  }
  [[nodiscard]] std::vector<IpAddress> local_addresses() const override { return addresses_; }

 private:
  std::vector<IpAddress> addresses_;
  uint32_t last_ = 0x1000;
};

IpAddress client_address(size_t i) {
  return Ipv4Address::from_host(0xc6120000 + static_cast<uint32_t>(i));  // 198.18.0.0/15
}
IpAddress client_network(size_t i) {
  return Ipv4Address::from_host(0x0a800000 + static_cast<uint32_t>(i));
}
std::string client_name(size_t i) { return "client" + std::to_string(i) + ".example"; }
const IpAddress kGateway = Ipv4Address::from_host(0xc0000201);
constexpr const char* kGatewayName = "gateway.example";

Options options_of_many() {
  Options options;
  options.cookie_threshold = 4 * kBatch;
  options.half_open = 4 * kBatch;
  return options;
}

std::vector<Proposal> one_proposal(ProtocolId protocol, std::string_view text) {
  return parse_proposals(protocol, {&text, 1}).value();
}

AddressMatches at(const IpAddress& address) {
  AddressMatch match;
  match.first = match.last = address;
  return {match};
}

std::shared_ptr<ConnectionConfig> connection_of(Authentication authentication,
                                                const std::string& name, const std::string& local,
                                                const std::string& remote) {
  auto connection = std::make_shared<ConnectionConfig>();
  connection->name = name;
  connection->proposals = one_proposal(ProtocolId::kIke, "aes256gcm16-prfsha256-x25519");
  const AuthClass method =
      authentication == Authentication::kPsk ? AuthClass::kPsk : AuthClass::kPubkey;
  connection->local.method = connection->remote.method = method;
  connection->local.id = Identity::parse(local).value();
  if (!remote.empty()) connection->remote.id = Identity::parse(remote).value();
  return connection;
}

std::shared_ptr<const ChildConfig> child_of(const IpPrefix& local, const IpPrefix& remote) {
  const auto selector_of = [](const IpPrefix& prefix) {
    ConfiguredSelector selector;
    selector.selector.first = selector.selector.last = prefix.address;
    if (!prefix.is_host()) {
      const uint32_t host_bits = ~uint32_t{0} >> prefix.length;
      selector.selector.last = Ipv4Address::from_host(prefix.address.v4().host() | host_bits);
    }
    return selector;
  };
  auto child = std::make_shared<ChildConfig>();
  child->name = "net";
  child->proposals = one_proposal(ProtocolId::kEsp, "aes256gcm16-x25519");
  child->local_ts = {selector_of(local)};
  child->remote_ts = {selector_of(remote)};
  return child;
}

class IkeResponder final : public Scenario {
 public:
  explicit IkeResponder(Authentication authentication, size_t established = 0)
      : authentication_(authentication),
        root_(ike::test::Entity::root("bench")),
        gateway_host_({kGateway}),
        client_host_(client_addresses()),
        gateway_(random_, gateway_host_, options_of_many()),
        clients_(random_, client_host_, options_of_many()) {
    load_credentials(established);
    auto served = connection_of(authentication, "net", kGatewayName, "");
    served->local_addresses = at(kGateway);
    served->children = {
        child_of(*IpPrefix::parse("10.0.0.0/16"), *IpPrefix::parse("10.128.0.0/9"))};
    require(gateway_.load_connection(now_, served));
    load_clients(0);
    drain_gateway(nullptr);
    drain_clients();
    if (established != 0) establish(established);
  }

  PhaseTimes batch(Stage& stage, bool& ok) override {
    advance(kSecond);
    gateway_children_ = client_children_ = 0;
    if (authentication_ == Authentication::kNewCertificate) {
      gateway_store_.snapshot()->cache().flush();
    }
    for (size_t i = 0; i < kBatch; ++i) clients_.initiate(now_, 0, client_name(i), "net");
    drain_clients();
    // IKE_SA_INIT
    PhaseTimes times = stage.run([&] { return turn(stage); },
                                 [this] { return to_clients_.size() == kBatch && jobs_ == 0; });
    answer_clients();
    // IKE_AUTH
    times += stage.run([&] { return turn(stage); },
                       [this] { return done_ == to_gateway_.size() && jobs_ == 0; });
    answer_clients();
    ok = ok && gateway_children_ == kBatch && client_children_ == kBatch;
    forget_all();
    return times;
  }

  [[nodiscard]] double bytes_per_sa() const override { return bytes_per_sa_; }

  void primitives() override {
    Secret<32> ephemeral;
    Secret<32> shared;
    random_.fill(ephemeral.mutable_bytes());
    (void)x25519_public(ephemeral);
    (void)x25519(ephemeral, peer_public_, shared);
    if (authentication_ == Authentication::kPsk) return;
    const size_t i = next_primitive_++ % kBatch;
    ByteVector signature = sign_with(gateway_entity_->key().native.get());
    if (authentication_ == Authentication::kNewCertificate) {
      // A certificate that nobody has seen: decoded, its key too, and verified against the root.
      const uint8_t* der = client_entities_[i].der().data();
      X509* const leaf =
          d2i_X509(nullptr, &der, static_cast<long>(client_entities_[i].der().size()));
      (void)X509_verify(leaf, root_.key().native.get());
      verify_with(X509_get0_pubkey(leaf), client_signatures_[i]);
      X509_free(leaf);
    } else {
      verify_with(client_entities_[i].key().native.get(), client_signatures_[i]);
    }
  }

 private:
  // The configuration of kBatch clients, the first of which has this number.
  void load_clients(size_t first) {
    for (size_t i = first; i < first + kBatch; ++i) {
      auto asked = connection_of(authentication_, client_name(i), client_name(i), kGatewayName);
      asked->local_addresses = at(client_address(i));
      asked->remote_addresses = at(kGateway);
      asked->children = {
          child_of(IpPrefix::host(client_network(i)), *IpPrefix::parse("10.0.0.0/16"))};
      require(clients_.load_connection(now_, asked));
    }
  }

  // As many as `count`, rounded up to whole batches, of peers that are not in the measured batch.
  // The clients' side is forgotten at once.
  void establish(size_t count) {
    const size_t before = mallinfo2().uordblks;
    size_t done = 0;
    for (; done < count; done += kBatch) {
      const size_t first = kBatch + done;
      load_clients(first);
      for (size_t i = first; i < first + kBatch; ++i) {
        clients_.initiate(now_, 0, client_name(i), "net");
      }
      drain_clients();
      for (int exchange = 0; exchange < 2; ++exchange) {
        for (const SendDatagram& datagram : to_gateway_) {
          gateway_.on_datagram(now_, datagram.local, datagram.remote, WorkerId{0},
                               message_of(datagram));
          drain_gateway(nullptr);
        }
        answer_clients();
      }
      for (size_t i = first; i < first + kBatch; ++i) {
        clients_.terminate(now_, 0, {.ike = client_name(i), .child = {}}, true);
        clients_.unload_connection(now_, client_name(i));
      }
      drain_clients();
      to_gateway_.clear();
    }
    if (gateway_children_ != done) {
      std::fprintf(stderr, "bench: %zu of %zu are up\n", gateway_children_, done);
      std::exit(1);
    }
    up_.clear();
    bytes_per_sa_ = static_cast<double>(mallinfo2().uordblks - before) / static_cast<double>(done);
  }

  static std::vector<IpAddress> client_addresses() {
    std::vector<IpAddress> addresses;
    for (size_t i = 0; i < kBatch; ++i) addresses.push_back(client_address(i));
    return addresses;
  }

  ike::test::Entity issue(const std::string& name) {
    ike::test::Request request;
    request.subject = {{"C", "CH"}, {"CN", name}};
    request.extensions = {{"subjectAltName", "DNS:" + name}};
    return root_.issue(request);
  }

  // With pre-shared keys each client has one of its own.
  void load_credentials(size_t established) {
    peer_public_[0] = 9;
    if (authentication_ == Authentication::kPsk) {
      const auto give_secret = [](CredentialStore& store, const std::string& owner) {
        SharedSecret secret;
        secret.id = owner;
        secret.value = SecretBytes::copy_of(bytes_of("of both sides"));
        if (!owner.empty()) secret.owners.push_back(Identity::fqdn(owner));
        require(store.load_shared(std::move(secret)));
      };
      give_secret(client_store_, "");
      for (size_t i = 0; i < 2 * kBatch + established; ++i) {
        give_secret(gateway_store_, client_name(i));
      }
    } else {
      gateway_entity_ = issue(kGatewayName);
      give(gateway_store_, *gateway_entity_);
      for (size_t i = 0; i < kBatch; ++i) {
        client_entities_.push_back(issue(client_name(i)));
        give(client_store_, client_entities_.back());
        client_signatures_.push_back(sign_with(client_entities_.back().key().native.get()));
      }
    }
    gateway_.set_credentials(gateway_store_.snapshot());
    clients_.set_credentials(client_store_.snapshot());
  }

  void give(CredentialStore& store, const ike::test::Entity& entity) {
    require(store.load_cert("X509", "CA", root_.der()));
    require(store.load_cert("X509", "NONE", entity.der()));
    const auto key = store.load_key("any", entity.key().der());
    if (!key.ok()) require(key.error());
  }

  // ECDSA over SHA2-256 of as many bytes as AUTH covers.
  ByteVector sign_with(EVP_PKEY* key) {
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    ByteVector signature(80);
    size_t size = signature.size();
    const bool done =
        EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key) == 1 &&
        EVP_DigestSign(context, signature.data(), &size, octets_.data(), octets_.size()) == 1;
    EVP_MD_CTX_free(context);
    if (!done) std::exit(1);
    signature.resize(size);
    return signature;
  }
  void verify_with(EVP_PKEY* key, const ByteVector& signature) {
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    const bool good = EVP_DigestVerifyInit(context, nullptr, EVP_sha256(), nullptr, key) == 1 &&
                      EVP_DigestVerify(context, signature.data(), signature.size(), octets_.data(),
                                       octets_.size()) == 1;
    EVP_MD_CTX_free(context);
    if (!good) std::exit(1);
  }

  bool turn(Stage& stage) {
    const size_t last = std::min(done_ + kPerTurn, to_gateway_.size());
    const bool worked = done_ < last;
    for (; done_ < last; ++done_) {
      const SendDatagram& datagram = to_gateway_[done_];
      gateway_.on_datagram(now_, datagram.local, datagram.remote, WorkerId{0},
                           message_of(datagram));
      drain_gateway(&stage);
    }
    return worked;
  }

  // Away from port 500 the non-ESP marker comes first.
  static Bytes message_of(const SendDatagram& datagram) {
    const Bytes all = datagram.payload;
    return datagram.local.port == 500 || all.size() < 4 ? all : all.subspan(4);
  }

  void answer_clients() {
    to_gateway_.clear();
    done_ = 0;
    for (const SendDatagram& datagram : to_clients_) {
      clients_.on_datagram(now_, datagram.local, datagram.remote, WorkerId{0},
                           message_of(datagram));
      drain_clients();
    }
    to_clients_.clear();
  }

  // Without a stage jobs are done at once.
  void drain_gateway(Stage* stage) {
    while (auto effect = gateway_.poll()) {
      if (auto* const compute = std::get_if<Compute>(&*effect)) {
        start(stage, std::move(*compute));
      } else if (auto* const datagram = std::get_if<SendDatagram>(&*effect)) {
        to_clients_.push_back(std::move(*datagram));
      } else if (std::get_if<InstallChildSa>(&*effect) != nullptr) {
        ++gateway_children_;
      } else if (const auto* const notify = std::get_if<Notify>(&*effect);
                 notify != nullptr && notify->kind == Notify::Kind::kIkeUp) {
        up_.push_back(notify->ike_id);
      }
    }
  }

  void start(Stage* stage, Compute compute) {
    if (stage == nullptr) {
      gateway_.on_compute(now_, compute.id, run_compute(compute.job));
      return;
    }
    ++jobs_;
    auto job = std::make_shared<Compute>(std::move(compute));
    stage->compute([this, stage, job]() -> EventLoop::Task {
      auto result = std::make_shared<ComputeResult>(run_compute(job->job));
      return [this, stage, id = job->id, result] {
        --jobs_;
        gateway_.on_compute(now_, id, std::move(*result));
        drain_gateway(stage);
      };
    });
  }

  void drain_clients() {
    while (auto effect = clients_.poll()) {
      if (auto* const compute = std::get_if<Compute>(&*effect)) {
        clients_.on_compute(now_, compute->id, run_compute(compute->job));
      } else if (auto* const datagram = std::get_if<SendDatagram>(&*effect)) {
        to_gateway_.push_back(std::move(*datagram));
      } else if (std::get_if<InstallChildSa>(&*effect) != nullptr) {
        ++client_children_;
      }
    }
  }

  void advance(Nanoseconds by_ns) {
    now_.boot_ns += by_ns;
    now_.wall_ns += by_ns;
  }

  // Both sides forget the SAs of the batch; what they say to each other about it is lost.
  void forget_all() {
    for (size_t i = 0; i < kBatch; ++i) {
      clients_.terminate(now_, 0, {.ike = client_name(i), .child = {}}, true);
    }
    for (const uint32_t id : up_) {
      gateway_.terminate(now_, 0, {.ike = {}, .child = {}, .ike_id = id}, true);
    }
    up_.clear();
    advance(kSecond);
    clients_.on_timeout(now_);
    gateway_.on_timeout(now_);
    drain_clients();
    drain_gateway(nullptr);
    to_clients_.clear();
    to_gateway_.clear();
    done_ = 0;
  }

  Authentication authentication_;
  ike::test::Entity root_;
  SystemRandom random_;
  Spis gateway_host_, client_host_;
  CredentialStore gateway_store_, client_store_;
  Engine gateway_, clients_;
  Now now_{1000 * kSecond, ike::test::kNow};
  std::vector<SendDatagram> to_gateway_, to_clients_;
  size_t done_ = 0, jobs_ = 0, gateway_children_ = 0, client_children_ = 0, next_primitive_ = 0;
  std::vector<uint32_t> up_;  // the gateway's IKE SAs of the batch
  double bytes_per_sa_ = 0;

  X25519Public peer_public_{};
  ByteVector octets_ = ByteVector(400);
  std::optional<ike::test::Entity> gateway_entity_;
  std::vector<ike::test::Entity> client_entities_;
  std::vector<ByteVector> client_signatures_;
};

}  // namespace

std::vector<ScenarioFactory> ike_scenarios() {
  const auto make = [](Authentication authentication, size_t established = 0) {
    return [authentication, established] {
      return std::make_unique<IkeResponder>(authentication, established);
    };
  };
  return {{"ike/psk", make(Authentication::kPsk)},
          {"ike/p256", make(Authentication::kKnownCertificate)},
          {"ike/p256/new", make(Authentication::kNewCertificate)},
          {"ike/psk/established:100000", make(Authentication::kPsk, 100'000)}};
}

}  // namespace penstock::bench
