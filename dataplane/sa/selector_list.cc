#include "dataplane/sa/selector_list.h"

#include <bit>
#include <cstring>

namespace penstock {
namespace {

bool any_ports(const TrafficSelector& selector) {
  return !selector.opaque_ports && selector.first_port == 0 && selector.last_port == 65535;
}

// The mask of a range that is a prefix.
bool prefix_mask(const TrafficSelector& selector, uint32_t& mask) {
  const uint32_t differing = selector.first.v4().host() ^ selector.last.v4().host();
  if (!std::has_single_bit(uint64_t{differing} + 1)) return false;
  if ((selector.first.v4().host() & differing) != 0) return false;
  mask = Be32(~differing).raw();
  return true;
}

uint32_t raw(const IpAddress& address) { return load_unaligned<uint32_t>(address.bytes().data()); }

}  // namespace

template <size_t kBytes>
void SelectorList::add(std::vector<std::unique_ptr<Pair<kBytes>>>& pairs,
                       const SelectorPair& pair) {
  const auto value = [](const IpAddress& address) {
    return policy_detail::value_of<kBytes>(address.bytes().data());
  };
  auto made = std::make_unique<Pair<kBytes>>();
  made->local_first = value(pair.local.first);
  made->local_last = value(pair.local.last);
  auto& rest = made->rest;
  rest.other_first = value(pair.remote.first);
  rest.other_last = value(pair.remote.last);
  rest.protocol = pair.local.protocol != 0 ? pair.local.protocol : pair.remote.protocol;
  rest.local_first_port = pair.local.first_port;
  rest.local_last_port = pair.local.last_port;
  rest.remote_first_port = pair.remote.first_port;
  rest.remote_last_port = pair.remote.last_port;
  unsigned flags = 0;
  if (any_ports(pair.local)) flags |= policy_detail::kLocalAny;
  if (pair.local.opaque_ports) flags |= policy_detail::kLocalOpaque;
  if (any_ports(pair.remote)) flags |= policy_detail::kRemoteAny;
  if (pair.remote.opaque_ports) flags |= policy_detail::kRemoteOpaque;
  rest.flags = static_cast<uint8_t>(flags);
  rest.by_address_alone = rest.protocol == 0 && any_ports(pair.local) && any_ports(pair.remote);
  pairs.push_back(std::move(made));
}

void SelectorList::find_prefix_pair(const SelectorPair& pair) {
  if (has_pair_ || pair.local.protocol != 0 || pair.remote.protocol != 0) return;
  if (!any_ports(pair.local) || !any_ports(pair.remote)) return;
  PrefixPairV4 found;
  if (!prefix_mask(pair.local, found.local_mask) || !prefix_mask(pair.remote, found.remote_mask)) {
    return;
  }
  found.local_network = raw(pair.local.first);
  found.remote_network = raw(pair.remote.first);
  pair_ = found;
  has_pair_ = true;
}

Result<std::unique_ptr<SelectorList>> SelectorList::create(std::span<const SelectorPair> pairs) {
  if (pairs.size() > kMaximumPairs) {
    return errorf("%zu pairs of traffic selectors: at most %zu", pairs.size(), kMaximumPairs);
  }
  auto list = std::make_unique<SelectorList>();
  for (const SelectorPair& pair : pairs) {
    const Family family = pair.local.first.family();
    for (const TrafficSelector* one : {&pair.local, &pair.remote}) {
      if (one->first.family() != family || one->last.family() != family || one->last < one->first) {
        return errorf("traffic selector %s to %s is no range of one family",
                      one->first.to_string().c_str(), one->last.to_string().c_str());
      }
    }
    if (family == Family::kIpv4) {
      add<4>(list->v4_, pair);
      list->find_prefix_pair(pair);
    } else {
      add<16>(list->v6_, pair);
    }
  }
  return list;
}

}  // namespace penstock
