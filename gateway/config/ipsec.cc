#include <map>

#include "gateway/config/check.h"

namespace penstock::config {

namespace {

void settle_mtu(Draft& draft, IpsecInterfaceConfig& interface) {
  const std::string name = "ipsec." + interface.name + ".mtu";
  const uint16_t outside = smallest_outside_mtu(draft.config);
  if (outside == 0) return;  // no such port: reported elsewhere
  const uint16_t fits = esp_mtu(outside);
  if (!draft.taken(name)) {
    interface.mtu = fits;
  } else if (interface.mtu > fits) {
    draft.warn(draft.where(name), "the outside MTU of " + std::to_string(outside) +
                                      " leaves room for " + std::to_string(fits) +
                                      ": larger packets may be fragmented or dropped outside");
  }
}

bool is_wireguard(const Config& config, const std::string& name) {
  for (const WireguardConfig& one : config.wireguards) {
    if (one.name == name) return true;
  }
  return false;
}

}  // namespace

void check_ipsec(Draft& draft) {
  std::map<uint32_t, std::string> owners;
  IpsecConfig& ipsec = draft.config.ipsec;
  if (ipsec.half_open > ipsec.max_ike_sas) {
    const bool half_open_said = draft.given("ipsec.half_open");
    draft.error(draft.where(half_open_said ? "ipsec.half_open" : "ipsec.max_ike_sas"),
                "half_open (" + std::to_string(ipsec.half_open) + ") is more than max_ike_sas (" +
                    std::to_string(ipsec.max_ike_sas) + ")");
  }
  for (IpsecInterfaceConfig& interface : ipsec.interfaces) {
    const std::string section = "ipsec." + interface.name;
    if (is_wireguard(draft.config, interface.name)) {
      draft.error(draft.where(section), "a WireGuard interface has this name");
    }
    if (!draft.given(section + ".if_id")) {
      draft.error(draft.where(section), "the interface has no if_id");
    } else if (draft.taken(section + ".if_id")) {
      const auto [owner, first] = owners.emplace(interface.if_id, interface.name);
      if (!first) {
        draft.error(draft.where(section + ".if_id"), std::to_string(interface.if_id) +
                                                         " is already the if_id of interface " +
                                                         owner->second);
      }
    }
    settle_mtu(draft, interface);
    for (size_t i = 0; i < interface.addresses.size(); ++i) {
      draft.own_addresses.push_back({interface.addresses[i], "interface " + interface.name, false,
                                     draft.where(section + ".address", i)});
    }
  }
}

}  // namespace penstock::config
