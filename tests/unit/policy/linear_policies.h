// The slow reference: all policies in a row, compared one by one.
#pragma once

#include <optional>
#include <vector>

#include "dataplane/policy/policy_table.h"

namespace penstock {

class LinearPolicies {
 public:
  void add(PolicyId id, const PolicySpec& spec) { policies_.push_back({id, spec}); }
  void remove(PolicyId id) {
    std::erase_if(policies_, [id](const Policy& policy) { return policy.id == id; });
  }
  [[nodiscard]] size_t size() const { return policies_.size(); }
  [[nodiscard]] PolicyId id_at(size_t i) const { return policies_[i].id; }

  [[nodiscard]] PolicyMatch find(const IpAddress& local, const IpAddress& remote, const Flow& flow,
                                 PolicySender sender) const {
    const Policy* match = nullptr;
    const Policy* might = nullptr;
    for (const Policy& policy : policies_) {
      const Answer answer = compare(policy.spec, local, remote, flow, sender);
      if (answer == Answer::kYes && (match == nullptr || !precedes(*match, policy))) {
        match = &policy;
      }
      if (answer == Answer::kPortsHidden && policy.spec.action != PolicyAction::kBypass &&
          (might == nullptr || !precedes(*might, policy))) {
        might = &policy;
      }
    }
    if (might != nullptr && (match == nullptr || (match->spec.action == PolicyAction::kBypass &&
                                                  precedes(*might, *match)))) {
      return {might->id, UINT32_MAX, PolicyDecision::kHiddenPorts};
    }
    if (match == nullptr) return {};
    const bool protects = match->spec.action == PolicyAction::kProtect;
    return {match->id, protects ? match->spec.tunnel.value : UINT32_MAX,
            protects                                      ? PolicyDecision::kProtect
            : match->spec.action == PolicyAction::kBypass ? PolicyDecision::kBypass
                                                          : PolicyDecision::kDiscard};
  }

 private:
  struct Policy {
    PolicyId id;
    PolicySpec spec;
  };
  enum class Answer { kNo, kYes, kPortsHidden };
  enum class Port { kKnown, kNotLookedAt, kAbsent, kHidden };

  static bool within(const TrafficSelector& selector, const IpAddress& address) {
    return address.family() == selector.first.family() && selector.first <= address &&
           address <= selector.last;
  }
  static uint8_t protocol_of(const PolicySpec& spec) {
    return spec.selectors.local.protocol != 0 ? spec.selectors.local.protocol
                                              : spec.selectors.remote.protocol;
  }

  static Answer compare_port(const TrafficSelector& selector, Port state, uint16_t port) {
    const bool any =
        !selector.opaque_ports && selector.first_port == 0 && selector.last_port == 65535;
    if (any || state == Port::kNotLookedAt) return Answer::kYes;
    if (state == Port::kKnown) {
      const bool in = selector.first_port <= port && port <= selector.last_port;
      return in && !selector.opaque_ports ? Answer::kYes : Answer::kNo;
    }
    if (selector.opaque_ports) return Answer::kYes;
    return state == Port::kHidden ? Answer::kPortsHidden : Answer::kNo;
  }

  static Answer compare(const PolicySpec& spec, const IpAddress& local, const IpAddress& remote,
                        const Flow& flow, PolicySender sender) {
    if (!within(spec.selectors.local, local) || !within(spec.selectors.remote, remote)) {
      return Answer::kNo;
    }
    const uint8_t protocol = protocol_of(spec);
    if (protocol != 0 && flow.ports == Flow::Ports::kUnreadable) return Answer::kPortsHidden;
    if (protocol != 0 && protocol != flow.protocol) return Answer::kNo;
    Port of_sender = Port::kKnown, of_receiver = Port::kKnown;
    if (flow.ports == Flow::Ports::kSender) of_receiver = Port::kNotLookedAt;
    if (flow.ports == Flow::Ports::kNone) of_sender = of_receiver = Port::kAbsent;
    if (flow.ports == Flow::Ports::kHidden || flow.ports == Flow::Ports::kUnreadable) {
      of_sender = of_receiver = Port::kHidden;
    }
    const bool from_local = sender == PolicySender::kLocal;
    const Answer local_port =
        compare_port(spec.selectors.local, from_local ? of_sender : of_receiver,
                     from_local ? flow.sender_port : flow.receiver_port);
    const Answer remote_port =
        compare_port(spec.selectors.remote, from_local ? of_receiver : of_sender,
                     from_local ? flow.receiver_port : flow.sender_port);
    if (local_port == Answer::kNo || remote_port == Answer::kNo) return Answer::kNo;
    return local_port == Answer::kYes && remote_port == Answer::kYes ? Answer::kYes
                                                                     : Answer::kPortsHidden;
  }

  static int common_bits(const TrafficSelector& selector) {
    const Bytes a = selector.first.bytes(), b = selector.last.bytes();
    int bits = 0;
    for (size_t i = 0; i < a.size() * 8; ++i, ++bits) {
      if ((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1) break;
    }
    return bits;
  }
  static int port_narrowness(const TrafficSelector& selector) {
    if (selector.opaque_ports) return 1;
    int narrowness = 16;
    for (int ports = selector.last_port - selector.first_port + 1; ports > 1; ports /= 2) {
      --narrowness;
    }
    return narrowness;
  }

  // Of two, the one added last stands last.
  static bool precedes(const Policy& a, const Policy& b) {
    const auto key = [](const Policy& policy) {
      const SelectorPair& pair = policy.spec.selectors;
      return std::make_tuple(-static_cast<int64_t>(policy.spec.priority),
                             common_bits(pair.local) + common_bits(pair.remote),
                             protocol_of(policy.spec) != 0 ? 1 : 0,
                             port_narrowness(pair.local) + port_narrowness(pair.remote));
    };
    return key(a) > key(b);
  }

  std::vector<Policy> policies_;
};

}  // namespace penstock
