#include "controlplane/ike/auth/secret_index.h"

#include <compare>
#include <set>
#include <tuple>

namespace penstock::ike {

using secret_tree::Entry;
using secret_tree::Node;
using secret_tree::NodePtr;
using secret_tree::Place;

namespace {

// Where a search is: before an entry, after it, or at it.
std::strong_ordering compare(Place place, const std::string& owner, const Entry& entry) {
  if (place != entry.place) return place <=> entry.place;
  return owner <=> entry.owner;
}

bool before(const Entry& a, const Entry& b) {
  const auto order = compare(a.place, a.owner, b);
  if (order != 0) return order < 0;
  const size_t owners_a = a.secret->owners.size(), owners_b = b.secret->owners.size();
  return owners_a != owners_b ? owners_a < owners_b : goes_first(*a.secret, *b.secret);
}

// In order. The depth of the tree is some 2 log n, whoever chose the names: so is the recursion's.
void collect(const Node* node, Place place, const std::string& owner, SecretView::List& found) {
  if (node == nullptr) return;
  const auto order = compare(place, owner, *node->entry);
  if (order <= 0) collect(node->left.get(), place, owner, found);
  if (order == 0) found.push_back(node->entry->secret.get());
  if (order >= 0) collect(node->right.get(), place, owner, found);
}

const SharedSecret* first(const Node* node, Place place, const std::string& owner) {
  const SharedSecret* found = nullptr;
  while (node != nullptr) {
    const auto order = compare(place, owner, *node->entry);
    if (order == 0) found = node->entry->secret.get();
    node = order <= 0 ? node->left.get() : node->right.get();
  }
  return found;
}

// splitmix64 (Steele, Lea, Flood). Priorities need no secrecy: only an operator loads secrets.
uint64_t scrambled(uint64_t number) {
  number *= 0x9e3779b97f4a7c15;
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
  number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
  return number ^ (number >> 31);
}

std::vector<Entry> entries_of(const SharedSecretPtr& secret) {
  std::vector<Entry> entries{{Place::kAll, {}, secret}};
  bool wide = secret->owners.empty();
  std::set<std::string> named;  // an identity may be there twice
  for (const Identity& owner : secret->owners) {
    if (owner.has_wildcards()) {
      wide = true;
    } else {
      named.insert(owner.key());
    }
  }
  if (wide) entries.push_back({Place::kWide, {}, secret});
  for (const std::string& owner : named) entries.push_back({Place::kNaming, owner, secret});
  return entries;
}

}  // namespace

bool goes_first(const SharedSecret& a, const SharedSecret& b) {
  return std::tie(a.id, a.number) < std::tie(b.id, b.number);
}

SecretView::List SecretView::naming(const Identity& identity) const {
  List found;
  collect(root_.get(), Place::kNaming, identity.key(), found);
  return found;
}

const SharedSecret* SecretView::first_naming(const Identity& identity) const {
  return first(root_.get(), Place::kNaming, identity.key());
}

SecretView::List SecretView::wide() const {
  List found;
  collect(root_.get(), Place::kWide, {}, found);
  return found;
}

const SharedSecret* SecretView::fewest_owners() const {
  return first(root_.get(), Place::kAll, {});
}

void SecretIndex::add(const SharedSecretPtr& secret) {
  for (Entry& entry : entries_of(secret)) {
    auto fresh = std::make_shared<Node>();
    fresh->entry = std::make_shared<const Entry>(std::move(entry));
    fresh->priority = scrambled(++nodes_made_);
    fresh->edition = edition_;
    root_ = insert(std::move(root_), std::move(fresh));
  }
}

void SecretIndex::remove(const SharedSecretPtr& secret) {
  for (const Entry& entry : entries_of(secret)) root_ = erase(std::move(root_), entry);
}

SecretView SecretIndex::view() {
  ++edition_;
  SecretView view;
  view.root_ = root_;
  return view;
}

// The node itself, if no view has it, or a copy.
NodePtr SecretIndex::own(NodePtr node) const {
  if (node->edition == edition_) return node;
  auto copy = std::make_shared<Node>(*node);
  copy->edition = edition_;
  return copy;
}

NodePtr SecretIndex::insert(NodePtr node, NodePtr fresh) {
  if (node == nullptr) return fresh;
  if (fresh->priority > node->priority) {
    std::tie(fresh->left, fresh->right) = split(std::move(node), *fresh->entry);
    return fresh;
  }
  node = own(std::move(node));
  NodePtr& side = before(*fresh->entry, *node->entry) ? node->left : node->right;
  side = insert(std::move(side), std::move(fresh));
  return node;
}

NodePtr SecretIndex::erase(NodePtr node, const Entry& entry) {
  if (node == nullptr) return nullptr;
  const bool left = before(entry, *node->entry);
  if (!left && !before(*node->entry, entry)) return merge(node->left, node->right);
  node = own(std::move(node));
  NodePtr& side = left ? node->left : node->right;
  side = erase(std::move(side), entry);
  return node;
}

// What goes before `entry`, and the rest.
std::pair<NodePtr, NodePtr> SecretIndex::split(NodePtr node, const Entry& entry) {
  if (node == nullptr) return {};
  node = own(std::move(node));
  if (before(*node->entry, entry)) {
    auto [low, high] = split(std::move(node->right), entry);
    node->right = std::move(low);
    return {std::move(node), std::move(high)};
  }
  auto [low, high] = split(std::move(node->left), entry);
  node->left = std::move(high);
  return {std::move(low), std::move(node)};
}

// Every entry of `low` goes before those of `high`.
NodePtr SecretIndex::merge(NodePtr low, NodePtr high) {
  if (low == nullptr) return high;
  if (high == nullptr) return low;
  if (low->priority > high->priority) {
    low = own(std::move(low));
    low->right = merge(std::move(low->right), std::move(high));
    return low;
  }
  high = own(std::move(high));
  high->left = merge(std::move(low), std::move(high->left));
  return high;
}

}  // namespace penstock::ike
