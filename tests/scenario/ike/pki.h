// A certification authority for the nodes of a simulation.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/scenario/ike/simulator.h"
#include "tests/unit/ike_auth/test_pki.h"

namespace penstock::ike::simulation {

struct Pki {
  explicit Pki() : root(test::Entity::root("root " + std::to_string(++count()))) {}

  static test::Request request_of(const std::string& name,
                                  test::Algorithm algorithm = test::Algorithm::kP256) {
    test::Request request;
    request.subject = {{"C", "CH"}, {"O", "test"}, {"CN", name}};
    request.extensions = {{"subjectAltName", "DNS:" + name}};
    request.algorithm = algorithm;
    return request;
  }
  void trust(Node& node) const {
    EXPECT_TRUE(node.store.load_cert("X509", "CA", root.der()).ok());
    node.credentials_changed();
  }
  void give(Node& node, const test::Request& request) {
    test::Entity issuer = root;
    for (int i = 0; i < middles; ++i) {
      issuer = issuer.intermediate("middle " + std::to_string(i));
      EXPECT_TRUE(node.store.load_cert("X509", "NONE", issuer.der()).ok());
    }
    const test::Entity made = issuer.issue(request);
    const std::string name = request.subject.back().second;
    EXPECT_TRUE(node.store.load_key("any", made.key().der()).ok());
    const auto loaded = node.store.add_certificate(made.der(), CertificateFlag::kNone);
    EXPECT_TRUE(loaded.ok());
    if (loaded.ok()) issued[name] = *loaded;
    entities.insert_or_assign(name, made);
    trust(node);
  }
  void give(Node& node, const std::string& name,
            test::Algorithm algorithm = test::Algorithm::kP256) {
    give(node, request_of(name, algorithm));
  }
  void revoke(Node& at, const std::string& name) const {
    test::Entity::CrlRequest request;
    request.revoked = {&entities.at(name)};
    EXPECT_TRUE(at.store.load_cert("X509_CRL", "NONE", root.crl(request)).ok());
    at.credentials_changed();
  }

  test::Entity root;
  int middles = 0;
  std::map<std::string, CertificatePtr> issued;
  std::map<std::string, test::Entity> entities;

 private:
  static int& count() {
    static int made = 0;
    return made;
  }
};

}  // namespace penstock::ike::simulation
