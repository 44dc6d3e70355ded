#include "controlplane/ike/auth/credentials.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <random>

#include "gateway/base/text.h"
#include "tests/unit/ike_auth/test_pki.h"

namespace penstock::ike {
namespace {

using test::Algorithm;
using test::Entity;
using test::kDay;
using test::kNow;

Identity id(std::string_view text) { return Identity::parse(text).value(); }

SharedSecret secret(const char* name, const char* value, std::initializer_list<const char*> owners,
                    SecretType type = SecretType::kIke) {
  SharedSecret out;
  out.id = name;
  out.type = type;
  out.value = SecretBytes::copy_of(bytes_of(value));
  for (const char* owner : owners) out.owners.push_back(id(owner));
  return out;
}

std::string psk(CredentialStore& store, const char* mine, const char* peer) {
  const SharedSecret* found = store.snapshot()->psk(id(mine), id(peer));
  return found == nullptr ? "none" : found->id;
}

TEST(CredentialStore, second_load_returns_the_id_that_get_keys_lists) {
  CredentialStore store;
  const auto pair = test::make_key(Algorithm::kP256);
  const auto first = store.load_key("any", bytes_of(pair.pem()));
  const auto second = store.load_key("ecdsa", pair.der());
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(store.key_ids(), std::vector<std::string>{*first});
  EXPECT_EQ(first->size(), 40U);
  EXPECT_TRUE(store.unload_key(*first).ok());
  EXPECT_FALSE(store.unload_key(*first).ok());
  EXPECT_TRUE(store.key_ids().empty());
}

TEST(CredentialStore, what_is_not_supported_is_refused_by_name) {
  CredentialStore store;
  const auto key = store.load_key("bliss", test::make_key(Algorithm::kP256).der());
  ASSERT_FALSE(key.ok());
  EXPECT_NE(key.error().text.find("bliss"), std::string::npos);
  const ByteVector der = Entity::root("r").der();
  EXPECT_NE(store.load_cert("X509_AC", "NONE", der).error().text.find("X509_AC"),
            std::string::npos);
  EXPECT_NE(store.load_cert("X509", "AA", der).error().text.find("AA"), std::string::npos);
  EXPECT_FALSE(store.load_token("slot 1").ok());
  for (const auto* type : {"XAUTH", "PPK", "PIN", ""}) EXPECT_FALSE(parse_secret_type(type).ok());
  EXPECT_TRUE(parse_secret_type("IKE").ok() && parse_secret_type("eap").ok());
  EXPECT_FALSE(store.load_shared(secret("n", "short", {}, SecretType::kNtlm)).ok());
}

TEST(CredentialStore, psk_with_both_owners_goes_before_one_before_none) {
  CredentialStore store;
  ASSERT_TRUE(store.load_shared(secret("any", "1", {})).ok());
  EXPECT_EQ(psk(store, "moon", "sun"), "any");
  ASSERT_TRUE(store.load_shared(secret("mine", "2", {"moon"})).ok());
  EXPECT_EQ(psk(store, "moon", "sun"), "mine");
  ASSERT_TRUE(store.load_shared(secret("both", "3", {"sun", "moon"})).ok());
  ASSERT_TRUE(store.load_shared(secret("peer", "4", {"sun"})).ok());
  EXPECT_EQ(psk(store, "moon", "sun"), "both");
  EXPECT_EQ(psk(store, "moon", "mars"), "mine");
  EXPECT_EQ(psk(store, "venus", "sun"), "peer");
  EXPECT_EQ(psk(store, "venus", "mars"), "any");
  ASSERT_TRUE(store.unload_shared("any").ok());
  EXPECT_EQ(psk(store, "venus", "mars"), "none");
  EXPECT_FALSE(store.unload_shared("any").ok());
  EXPECT_EQ(store.shared_ids(), (std::vector<std::string>{"both", "mine", "peer"}));
}

TEST(CredentialStore, psk_of_an_exact_peer_goes_before_a_wildcard) {
  CredentialStore store;
  ASSERT_TRUE(store.load_shared(secret("wild", "1", {"*.x.org"})).ok());
  ASSERT_TRUE(store.load_shared(secret("exact", "2", {"a.x.org"})).ok());
  EXPECT_EQ(psk(store, "gw", "a.x.org"), "exact");
  EXPECT_EQ(psk(store, "gw", "b.x.org"), "wild");
  EXPECT_EQ(psk(store, "gw", "email:a.x.org"), "none");
  EXPECT_EQ(psk(store, "gw", "*.x.org"), "wild") << "a peer's wildcard is only letters";
}

// All secrets, one after the other: what the index has to find too.
std::string psk_by_search(const std::vector<SharedSecret>& secrets, const Identity& mine,
                          const Identity& peer) {
  const auto fit = [](const SharedSecret& secret, const Identity& identity) {
    int best = secret.owners.empty() || identity.is_any() ? kMatchAny : kMatchNone;
    for (const Identity& owner : secret.owners) {
      best = std::max(best, static_cast<int>(identity.match(owner)));
    }
    return best;
  };
  const SharedSecret* best = nullptr;
  std::array<int, 4> best_rank{};
  for (const SharedSecret& each : secrets) {
    const int ours = fit(each, mine);
    const int theirs = fit(each, peer);
    if (each.type != SecretType::kIke || (ours == kMatchNone && theirs == kMatchNone)) continue;
    const std::array rank = {(ours > kMatchAny ? 1 : 0) + (theirs > kMatchAny ? 1 : 0), theirs,
                             ours, -static_cast<int>(each.owners.size())};
    if (best != nullptr && rank <= best_rank) continue;
    best = &each;
    best_rank = rank;
  }
  return best == nullptr ? "none" : best->id;
}

TEST(CredentialStore, psk_is_the_one_that_a_search_of_all_finds) {
  const std::vector<const char*> names = {
      "moon",       "sun",           "MARS",  "a.x.org", "b.x.org",  "*.x.org",
      "*",          "%any",          "c@x",   "*@x",     "10.0.0.1", "C=CH, CN=sun",
      "C=CH, CN=*", "C=CH, CN=Moon", "#0102", "mars",    "keyid:sun"};
  std::mt19937 random(7);
  const auto name = [&] { return names[random() % names.size()]; };
  for (int round = 0; round < 300; ++round) {
    CredentialStore store;
    std::vector<SharedSecret> secrets;  // in the order of their ids, as the store lists them
    const size_t count = random() % 9;
    for (size_t i = 0; i < count; ++i) {
      const std::string number(1, static_cast<char>('a' + i));
      SharedSecret one = secret(number.c_str(), "x", {});
      if (random() % 5 == 0) one.type = SecretType::kEap;
      for (size_t owners = random() % 4; owners > 0; --owners) one.owners.push_back(id(name()));
      secrets.push_back(one);
      ASSERT_TRUE(store.load_shared(std::move(one)).ok());
    }
    for (const char* mine : names) {
      for (const char* peer : names) {
        EXPECT_EQ(psk(store, mine, peer), psk_by_search(secrets, id(mine), id(peer)))
            << round << ": " << mine << ", " << peer;
      }
    }
  }
}

TEST(CredentialStore, snapshots_keep_their_secrets_while_others_come_and_go) {
  const std::vector<const char*> names = {"moon", "sun", "mars", "*.x.org", "a.x.org", "%any"};
  std::mt19937 random(11);
  CredentialStore store;
  std::map<std::string, SharedSecret> loaded;
  struct State {
    CredentialSnapshotPtr snapshot;
    std::vector<SharedSecret> secrets;
  };
  std::vector<State> states;
  for (int round = 0; round < 400; ++round) {
    const std::string name = std::to_string(random() % 40);
    if (round % 100 == 99) {
      store.clear();
      loaded.clear();
    } else if (loaded.contains(name) && random() % 2 == 0) {
      ASSERT_TRUE(store.unload_shared(name).ok());
      loaded.erase(name);
    } else {
      SharedSecret one = secret(name.c_str(), "x", {});
      if (random() % 4 == 0) one.type = SecretType::kEap;
      for (size_t owners = random() % 4; owners > 0; --owners) {
        one.owners.push_back(id(names[random() % names.size()]));
      }
      loaded.insert_or_assign(name, one);
      ASSERT_TRUE(store.load_shared(std::move(one)).ok());
    }
    if (random() % 3 != 0) continue;
    State state{store.snapshot(), {}};
    for (const auto& [key, each] : loaded) state.secrets.push_back(each);
    states.push_back(std::move(state));
  }
  for (const State& state : states) {
    for (const char* mine : names) {
      for (const char* peer : names) {
        const SharedSecret* const found = state.snapshot->psk(id(mine), id(peer));
        EXPECT_EQ(found == nullptr ? "none" : found->id,
                  psk_by_search(state.secrets, id(mine), id(peer)))
            << mine << ", " << peer;
      }
    }
  }
}

TEST(CredentialStore, one_more_secret_beside_thousands_copies_none_of_them) {
  CredentialStore store;
  const auto load = [&](int number) {
    const std::string peer = "site" + std::to_string(number);
    ASSERT_TRUE(store.load_shared(secret(peer.c_str(), "x", {"gw", peer.c_str()})).ok());
  };
  constexpr int kThousands = 5000;
  for (int i = 0; i < kThousands; ++i) load(i);
  const auto before = store.snapshot();
  ASSERT_NE(before->psk(id("gw"), id("site7")), nullptr);
  const size_t heap_bytes = mallinfo2().uordblks;
  load(kThousands);
  const auto after = store.snapshot();
  EXPECT_NE(after->psk(id("gw"), id("site5000")), nullptr);
  EXPECT_EQ(before->psk(id("gw"), id("site5000"))->id, "site0") << "the old one is as it was";
  EXPECT_LT(mallinfo2().uordblks - heap_bytes, 5U * kThousands);
}

TEST(CredentialStore, eap_secret_is_not_a_psk_and_the_other_way_round) {
  CredentialStore store;
  ASSERT_TRUE(store.load_shared(secret("p", "1", {"alice"})).ok());
  EXPECT_EQ(store.snapshot()->eap_secret(id("alice")), nullptr);
  ASSERT_TRUE(store.load_shared(secret("e", "2", {"alice"}, SecretType::kEap)).ok());
  ASSERT_NE(store.snapshot()->eap_secret(id("alice")), nullptr);
  EXPECT_EQ(store.snapshot()->eap_secret(id("alice"))->id, "e");
  EXPECT_EQ(store.snapshot()->eap_secret(id("bob")), nullptr);
  EXPECT_EQ(store.snapshot()->eap_secret(Identity()), nullptr);
  EXPECT_EQ(psk(store, "gw", "alice"), "p");
}

TEST(CredentialStore, same_id_replaces_and_the_old_snapshot_stays) {
  CredentialStore store;
  ASSERT_TRUE(store.load_shared(secret("s", "old", {"sun"})).ok());
  const auto before = store.snapshot();
  EXPECT_EQ(before, store.snapshot()) << "nothing changed";
  ASSERT_TRUE(store.load_shared(secret("s", "new", {"sun"})).ok());
  const auto after = store.snapshot();
  EXPECT_EQ(text_of(before->psk(id("gw"), id("sun"))->value.bytes()), "old");
  EXPECT_EQ(text_of(after->psk(id("gw"), id("sun"))->value.bytes()), "new");
  EXPECT_NE(before->generation(), after->generation());
  store.clear();
  EXPECT_EQ(psk(store, "gw", "sun"), "none");
  EXPECT_TRUE(store.shared_ids().empty());
}

TEST(CredentialStore, certificate_that_is_no_ca_is_not_loaded_as_one) {
  CredentialStore store;
  EXPECT_FALSE(store.load_cert("X509", "CA", Entity::self_signed({}).der()).ok());
  const Entity root = Entity::root("r");
  EXPECT_TRUE(store.load_cert("X509", "NONE", root.der()).ok());
  EXPECT_TRUE(store.snapshot()->authorities_trusted().empty());
  EXPECT_TRUE(store.load_cert("X509", "CA", bytes_of(root.pem())).ok());
  EXPECT_EQ(store.snapshot()->authorities_trusted().size(), 1U);
  EXPECT_TRUE(store.load_cert("X509", "NONE", root.der()).ok());
  EXPECT_EQ(store.snapshot()->authorities_trusted().size(), 1U) << "a CA stays one";
  EXPECT_EQ(store.snapshot()->certificates().size(), 1U);
  const auto request = store.snapshot()->certificate_request();
  ASSERT_EQ(request.size(), 1U);
  EXPECT_EQ(request[0], root.certificate()->public_key()->spki_id());
}

TEST(CredentialStore, authority_makes_its_ca_trusted_until_it_is_unloaded) {
  CredentialStore store;
  const Entity root = Entity::root("r");
  EXPECT_FALSE(store.load_authority({"a", Entity::self_signed({}).certificate(), {}, {}}).ok());
  ASSERT_TRUE(store.load_authority({"a", root.certificate(), {"http://x/"}, {}}).ok());
  EXPECT_EQ(store.snapshot()->authorities_trusted().size(), 1U);
  EXPECT_TRUE(store.unload_authority("a").ok());
  EXPECT_FALSE(store.unload_authority("a").ok());
  EXPECT_TRUE(store.snapshot()->authorities_trusted().empty());
}

TEST(CredentialStore, newer_crl_takes_the_place_of_an_older_one) {
  CredentialStore store;
  const Entity root = Entity::root("r");
  Entity::CrlRequest request;
  ASSERT_TRUE(store.load_cert("X509_CRL", "", root.crl(request)).ok());
  request.this_update = kNow - 2 * kDay;
  ASSERT_TRUE(store.load_cert("X509_CRL", "", root.crl(request)).ok());
  ASSERT_EQ(store.snapshot()->crls().size(), 1U);
  EXPECT_EQ(store.snapshot()->crls()[0]->this_update_wall_ns(), kNow - kDay);
  EXPECT_FALSE(store.add_fetched_crl("http://x/", bytes_of("not a CRL")).ok());
  EXPECT_TRUE(store.add_fetched_crl("http://x/", root.crl({})).ok());
  EXPECT_EQ(store.snapshot()->crls().size(), 2U);
  store.flush_certs();
  EXPECT_EQ(store.snapshot()->crls().size(), 1U);
}

struct Own {
  CredentialStore store;
  Entity root_a = Entity::root("a");
  Entity root_b = Entity::root("b");
  Entity middle = root_a.intermediate("middle");

  Entity add(const Entity& issuer, const std::string& name, Nanoseconds not_after) {
    test::Request request;
    request.subject = {{"CN", "gw"}};
    request.extensions = {{"subjectAltName", "DNS:" + name}};
    request.not_after = not_after;
    Entity entity = issuer.issue(request);
    EXPECT_TRUE(store.load_cert("X509", "NONE", entity.der()).ok());
    EXPECT_TRUE(store.load_key("any", entity.key().der()).ok());
    return entity;
  }
  Own() {
    EXPECT_TRUE(store.load_cert("X509", "CA", root_a.der()).ok());
    EXPECT_TRUE(store.load_cert("X509", "CA", middle.der()).ok());
    EXPECT_TRUE(store.load_cert("X509", "CA", root_b.der()).ok());
  }
};

TEST(OwnCertificate, request_of_the_peer_then_validity_decides) {
  Own own;
  const Entity from_a = own.add(own.middle, "gw.x.org", kNow + 10 * kDay);
  const Entity from_b = own.add(own.root_b, "gw.x.org", kNow + 20 * kDay);
  const Entity old = own.add(own.root_b, "gw.x.org", kNow - kDay);
  const auto snapshot = own.store.snapshot();
  const auto pick = [&](std::vector<KeyId> cas) {
    return snapshot->own_certificate(id("gw.x.org"), {}, cas, kNow);
  };
  const auto ca_a = own.root_a.certificate()->public_key()->spki_id();
  EXPECT_EQ(to_vector(pick({})->certificate->der()), from_b.der());
  const auto chosen = pick({ca_a});
  EXPECT_EQ(to_vector(chosen->certificate->der()), from_a.der());
  ASSERT_EQ(chosen->chain.size(), 1U) << "the intermediate, without the root";
  EXPECT_EQ(to_vector(chosen->chain[0]->der()), own.middle.der());
  EXPECT_EQ(chosen->key->id(), from_a.certificate()->public_key()->id());
  EXPECT_FALSE(snapshot->own_certificate(id("other.x.org"), {}, {}, kNow));
  const auto only = snapshot->own_certificate(Identity(), {old.certificate()}, {ca_a}, kNow);
  EXPECT_EQ(to_vector(only->certificate->der()), old.der()) << "the only candidate";
  ASSERT_TRUE(own.store.unload_key(to_hex(chosen->key->id())).ok());
  EXPECT_EQ(to_vector(own.store.snapshot()
                          ->own_certificate(id("gw.x.org"), {}, {ca_a}, kNow)
                          ->certificate->der()),
            from_b.der());
}

TEST(OwnCertificate, one_that_is_not_loaded_any_more_still_serves_its_connection) {
  Own own;
  const Entity entity = own.add(own.middle, "gw.x.org", kNow + kDay);
  own.store.clear();
  EXPECT_TRUE(own.store.load_key("any", entity.key().der()).ok());
  const auto snapshot = own.store.snapshot();
  EXPECT_FALSE(snapshot->own_certificate(id("gw.x.org"), {}, {}, kNow));
  const auto chosen = snapshot->own_certificate(id("gw.x.org"), {entity.certificate()}, {}, kNow);
  ASSERT_TRUE(chosen);
  EXPECT_TRUE(chosen->chain.empty());
  // What is loaded now is there for the next one.
  EXPECT_TRUE(own.store.load_cert("X509", "CA", own.middle.der()).ok());
  EXPECT_EQ(own.store.snapshot()
                ->own_certificate(id("gw.x.org"), {entity.certificate()}, {}, kNow)
                ->chain.size(),
            1U);
}

TEST(OwnCertificate, hundreds_of_peers_beside_it_cost_nothing) {
  Own own;
  own.add(own.middle, "gw.x.org", kNow + kDay);
  const auto fastest_s = [&] {
    const auto snapshot = own.store.snapshot();
    const Identity gateway = id("gw.x.org");
    EXPECT_TRUE(snapshot->own_certificate(gateway, {}, {}, kNow));
    double best_s = 1e9;
    for (int round = 0; round < 9; ++round) {
      timespec began{}, ended{};
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began);
      for (int i = 0; i < 200; ++i) (void)snapshot->own_certificate(gateway, {}, {}, kNow);
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended);
      best_s = std::min(best_s, static_cast<double>(ended.tv_sec - began.tv_sec) +
                                    static_cast<double>(ended.tv_nsec - began.tv_nsec) * 1e-9);
    }
    return best_s;
  };
  const double alone_s = fastest_s();
  for (int i = 0; i < 800; ++i) {
    test::Request request;
    request.subject = {{"CN", "site" + std::to_string(i)}};
    EXPECT_TRUE(own.store.load_cert("X509", "NONE", own.middle.issue(request).der()).ok());
  }
  EXPECT_LT(fastest_s(), 4 * alone_s);
}

TEST(CertificateCache, size_is_bounded_and_entries_are_shared) {
  CertificateCache cache(8);
  const CertificatePtr anchor = Entity::root("r").certificate();
  std::vector<ByteVector> ders;
  for (uint8_t i = 0; i < 20; ++i) {
    ders.push_back(Entity::self_signed({}).der());
    const auto certificate = cache.parse(ders.back());
    ASSERT_TRUE(certificate.ok());
    EXPECT_NE(*certificate, *cache.parse(ders.back())) << "not verified, so not kept";
    cache.add_path({i}, {{*certificate, anchor}, 0, 0});
    EXPECT_EQ(cache.find_path({i}).certificates.size(), 2U);
    if (i < 4) {
      EXPECT_EQ(*certificate, *cache.parse(ders.back()));
    }
    EXPECT_LE(cache.size(), 8U);
  }
  EXPECT_FALSE(cache.parse(bytes_of("junk")).ok());
  EXPECT_EQ(cache.size(), 8U);
  cache.flush();
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_TRUE(cache.find_path({19}).certificates.empty());
}

}  // namespace
}  // namespace penstock::ike
