// IKE_SA_INIT and IKE_AUTH of 256 initiators into one engine, to the installed child SAs. One half
// of them begins while the other half ends, as clients do that come at different times. The
// initiators are another engine, which computes between the measured phases.
// In the case established:N the responder has N IKE SAs of other peers already, each with a child.
#include <malloc.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstdio>
#include <cstdlib>

#include "bench/handshake/ike_configuration.h"
#include "bench/handshake/scenario.h"
#include "controlplane/crypto/x25519.h"
#include "controlplane/ike/engine.h"
#include "tests/unit/ike_auth/test_pki.h"

namespace penstock::bench {
namespace {

using namespace ike;

constexpr size_t kPerTurn = 32;  // datagrams that one turn of the loop takes

void require(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "bench: %s\n", status.error().text.c_str());
  std::exit(1);
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
    if (ending_.empty()) begin_second_half();
    PhaseTimes times = phase(stage, 0, ok);
    times += phase(stage, 1, ok);
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
  static constexpr size_t kHalf = kBatch / 2;

  // IKE_SA_INITs of one half of the clients, IKE_AUTHs of the other.
  PhaseTimes phase(Stage& stage, size_t half, bool& ok) {
    advance(kSecond);
    gateway_children_ = client_children_ = 0;
    if (authentication_ == Authentication::kNewCertificate) {
      gateway_store_.snapshot()->cache().flush();
    }
    initiate(half);
    weave_in(ending_);
    const PhaseTimes times = stage.run(
        [&] { return turn(stage); }, [this] { return done_ == to_gateway_.size() && jobs_ == 0; });
    answer_clients();
    ending_ = std::move(to_gateway_);
    ok = ok && ending_.size() == kHalf && gateway_children_ == kHalf && client_children_ == kHalf;
    forget(1 - half);
    return times;
  }

  void initiate(size_t half) {
    for (size_t i = 0; i < kHalf; ++i) {
      clients_.initiate(now_, 0, client_name(half * kHalf + i), "net");
    }
    drain_clients();
  }

  // What the first phase needs of one before it.
  void begin_second_half() {
    initiate(1);
    for (const SendDatagram& datagram : to_gateway_) {
      gateway_.on_datagram(now_, datagram.local, datagram.remote, WorkerId{0},
                           message_of(datagram));
      drain_gateway(nullptr);
    }
    answer_clients();
    ending_ = std::move(to_gateway_);
    to_gateway_.clear();
  }

  // Each of `others` behind one of those to send.
  void weave_in(std::vector<SendDatagram>& others) {
    std::vector<SendDatagram> both;
    const size_t most = std::max(others.size(), to_gateway_.size());
    for (size_t i = 0; i < most; ++i) {
      if (i < to_gateway_.size()) both.push_back(std::move(to_gateway_[i]));
      if (i < others.size()) both.push_back(std::move(others[i]));
    }
    to_gateway_ = std::move(both);
    others.clear();
  }

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

  // Both sides forget the SAs of a half; what they say to each other about it is lost.
  void forget(size_t half) {
    for (size_t i = 0; i < kHalf; ++i) {
      clients_.terminate(now_, 0, {.ike = client_name(half * kHalf + i), .child = {}}, true);
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
  std::vector<SendDatagram> ending_;  // IKE_AUTHs of the half that began in the phase before
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
