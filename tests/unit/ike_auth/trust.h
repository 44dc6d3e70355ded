// A small public key infrastructure under test: what its chains amount to.
#pragma once

#include <gtest/gtest.h>

#include "controlplane/ike/auth/chain.h"
#include "tests/unit/ike_auth/test_pki.h"

namespace penstock::ike::test {

inline Identity id(std::string_view text) { return Identity::parse(text).value(); }

inline Request client(const std::string& name) {
  Request request;
  request.subject = {{"C", "CH"}, {"O", "test"}, {"CN", name}};
  request.extensions = {{"subjectAltName", "DNS:" + name}};
  return request;
}

// root -> middle -> alice, with root trusted.
struct Trust {
  CredentialStore store;
  Entity root = Entity::root("root");
  Entity middle = root.intermediate("middle");
  Entity alice = middle.issue(client("alice"));
  ChainPolicy policy;
  Nanoseconds now = kNow;

  Trust() { EXPECT_TRUE(store.load_cert("X509", "CA", root.der()).ok()); }
  ChainResult verify(const std::vector<ByteVector>& certificates) {
    return verify_chain(*store.snapshot(), certificates, policy, now);
  }
  ChainVerdict verdict(const std::vector<ByteVector>& certificates) {
    return verify(certificates).verdict;
  }
  ChainVerdict of(const Entity& leaf) { return verdict({leaf.der(), middle.der()}); }
  ChainVerdict issued(const Request& request) { return of(middle.issue(request)); }
};

}  // namespace penstock::ike::test
