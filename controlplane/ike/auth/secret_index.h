// Shared secrets of one use, found by those whom they name: an ordered tree (a treap) whose nodes
// are shared by all its states. What is added or removed copies the way to it, some O(log n) nodes,
// so that thousands of secrets that come one by one cost the same each, though somebody who reads
// an earlier state may be looking at it all the time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controlplane/ike/auth/identity.h"
#include "gateway/base/result.h"
#include "gateway/base/secret.h"

namespace penstock::ike {

// The types of load-shared.
enum class SecretType : uint8_t { kIke, kEap, kNtlm };
// "IKE", "EAP", "NTLM"; XAUTH, PPK and others are refused by name.
Result<SecretType> parse_secret_type(std::string_view vici_name);

struct SharedSecret {
  std::string id;  // unique id of load-shared; empty: none, then it can only be cleared with all
  SecretType type = SecretType::kIke;
  SecretBytes value;  // kNtlm: the 16 bytes of the NT hash
  std::vector<Identity> owners;
  uint64_t number = 0;  // given by the store: unlike in every other one, growing
};
using SharedSecretPtr = std::shared_ptr<const SharedSecret>;

// Of two that fit as well, this one goes first: one without id, the older one, the lower id.
[[nodiscard]] bool goes_first(const SharedSecret& a, const SharedSecret& b);

namespace secret_tree {
// A secret is in the tree once for each place where it is looked for.
enum class Place : uint8_t { kAll, kWide, kNaming };
struct Entry {
  Place place = Place::kAll;
  std::string owner;  // kNaming: Identity::key()
  SharedSecretPtr secret;
};
struct Node {
  std::shared_ptr<const Entry> entry;
  uint64_t priority = 0;  // never below that of a child
  uint64_t edition = 0;   // of the index when it was made: unlike now, others may see it
  std::shared_ptr<Node> left, right;
};
using NodePtr = std::shared_ptr<Node>;
}  // namespace secret_tree

// One state of the index. Immutable; any thread. What it gives lives as long as it does.
class SecretView {
 public:
  using List = std::vector<const SharedSecret*>;
  // Those that name this identity without wildcards; those with the fewest owners first.
  [[nodiscard]] List naming(const Identity& identity) const;
  // The first of these; nullptr: nobody names it.
  [[nodiscard]] const SharedSecret* first_naming(const Identity& identity) const;
  // Those of everybody, or whose owners have wildcards.
  [[nodiscard]] List wide() const;
  // Of all the first one with the fewest owners; nullptr: there are none.
  [[nodiscard]] const SharedSecret* fewest_owners() const;

 private:
  friend class SecretIndex;
  std::shared_ptr<const secret_tree::Node> root_;
};

// What changes. One thread.
class SecretIndex {
 public:
  // A secret is added once, and removed only if it was.
  void add(const SharedSecretPtr& secret);
  void remove(const SharedSecretPtr& secret);
  void clear() { root_.reset(); }
  // The state of now. Constant time.
  [[nodiscard]] SecretView view();

 private:
  using NodePtr = secret_tree::NodePtr;
  using Entry = secret_tree::Entry;
  NodePtr own(NodePtr node) const;
  NodePtr insert(NodePtr node, NodePtr fresh);
  NodePtr erase(NodePtr node, const Entry& entry);
  std::pair<NodePtr, NodePtr> split(NodePtr node, const Entry& entry);
  NodePtr merge(NodePtr low, NodePtr high);

  NodePtr root_;
  uint64_t edition_ = 1;
  uint64_t nodes_made_ = 0;  // what priorities are drawn from
};

}  // namespace penstock::ike
