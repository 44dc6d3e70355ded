// The keys of connections.<conn>.children.<child>.
#include "controlplane/ike/crypto/proposals.h"
#include "controlplane/vici/drafts.h"
#include "controlplane/vici/values.h"
#include "gateway/base/text.h"

namespace penstock::vici {
namespace {

constexpr size_t kSelectorsMax = 64;
constexpr uint32_t kReplayWindowMin = 64, kReplayWindowMax = 16'384;

Status set_selectors(std::vector<ike::ConfiguredSelector>& selectors, const KeyInput& input) {
  if (input.values().size() > kSelectorsMax) {
    return errorf("more than %zu selectors", kSelectorsMax);
  }
  for (const std::string_view text : input.texts()) {
    PENSTOCK_TRY(auto selector, parse_selector(text));
    selectors.push_back(selector);
  }
  return {};
}

Status set_proposals(ChildDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(draft.config.proposals, ike::parse_proposals(ike::ProtocolId::kEsp, input.texts()));
  for (const std::string_view text : input.texts()) {
    if (!equal_ignoring_case(text, "default")) draft.config.literal_proposals = true;
  }
  return {};
}

template <class T>
Status set_time(T& time_ns, const KeyInput& input) {
  PENSTOCK_TRY(time_ns, parse_time(input.text()));
  return {};
}
template <class T>
Status set_volume(T& bytes, const KeyInput& input) {
  PENSTOCK_TRY(bytes, parse_volume(input.text()));
  return {};
}
template <class T>
Status set_count(T& count, const KeyInput& input) {
  PENSTOCK_TRY(count, parse_number(input.text()));
  return {};
}
Status set_flag(bool& flag, const KeyInput& input) {
  PENSTOCK_TRY(flag, parse_bool(input.text()));
  return {};
}
Status set_u32(uint32_t& value, const KeyInput& input) {
  PENSTOCK_TRY(const uint64_t number, parse_number(input.text(), UINT32_MAX));
  value = static_cast<uint32_t>(number);
  return {};
}

Status set_mode(ChildDraft& draft, const KeyInput& input) {
  const std::string_view mode = input.text();
  if (mode == "tunnel") {
    draft.config.mode = ike::ChildMode::kTunnel;
  } else if (mode == "pass") {
    draft.config.mode = ike::ChildMode::kPass;
  } else if (mode == "drop") {
    draft.config.mode = ike::ChildMode::kDrop;
  } else if (mode == "transport" || mode == "beet" || mode == "transport_proxy") {
    return errorf("%s mode is not supported: the gateway forwards packets of others, in tunnels",
                  std::string(mode).c_str());
  } else {
    return errorf("must be tunnel, pass or drop");
  }
  return {};
}

struct Actions {
  bool trap = false, start = false;
};
// charon's words, old and new: clear/none, route/trap/hold, restart/start, joined by '|'.
Result<Actions> parse_actions(std::string_view text) {
  Actions actions;
  for (const std::string_view word : split(text, '|')) {
    if (word == "trap" || word == "route" || word == "hold") {
      actions.trap = true;
    } else if (word == "start" || word == "restart") {
      actions.start = true;
    } else if (word != "none" && word != "clear") {
      return errorf("\"%s\" is no action", std::string(word.substr(0, 100)).c_str());
    }
  }
  return actions;
}

Status set_start_action(ChildDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(const Actions actions, parse_actions(input.text()));
  draft.config.start = actions.start;
  draft.config.trap = actions.trap;
  return {};
}

constexpr const char* kOneAction =
    "trap and start together are not supported here: set start_action = trap for the trap";

Status set_dpd_action(ChildDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(const Actions actions, parse_actions(input.text()));
  if (actions.trap && actions.start) return errorf("%s", kOneAction);
  draft.config.dpd_action = actions.start  ? ike::DpdAction::kRestart
                            : actions.trap ? ike::DpdAction::kTrap
                                           : ike::DpdAction::kClear;
  return {};
}

Status set_close_action(ChildDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(const Actions actions, parse_actions(input.text()));
  if (actions.trap && actions.start) return errorf("%s", kOneAction);
  draft.config.close_action = actions.start  ? ike::CloseAction::kStart
                              : actions.trap ? ike::CloseAction::kTrap
                                             : ike::CloseAction::kNone;
  return {};
}

Status set_replay_window(ChildDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(const uint64_t packets, parse_number(input.text(), kReplayWindowMax));
  uint32_t window = static_cast<uint32_t>(packets);
  if (window > 0 && window < kReplayWindowMin) window = kReplayWindowMin;
  draft.config.replay_window_packets = window;
  return {};
}

Status set_tfc_padding(ChildDraft& draft, const KeyInput& input) {
  if (input.text() == "mtu") {
    draft.config.tfc_padding = UINT16_MAX;
    return {};
  }
  PENSTOCK_TRY(const uint64_t bytes, parse_number(input.text(), UINT16_MAX - 1));
  draft.config.tfc_padding = static_cast<uint16_t>(bytes);
  return {};
}

Status set_copy_dscp(ChildDraft& draft, const KeyInput& input) {
  if (input.text() == "out") {
    draft.config.dscp = DscpMode::kCopy;
  } else if (input.text() == "no") {
    draft.config.dscp = DscpMode::kZero;
  } else {
    return errorf(
        "must be out or no: the outer header's DSCP, which anybody on the way may set, is not "
        "copied to the inner one");
  }
  return {};
}

using Draft = ChildDraft;
constexpr auto kValue = Shape::kValue;
constexpr auto kList = Shape::kList;
constexpr auto kHonoured = Handling::kHonoured;
constexpr auto kHarmless = Handling::kHarmless;
constexpr auto kRefused = Handling::kRefused;

constexpr std::string_view kNoMarks =
    "there are no netfilter marks: the gateway's packets do not pass through the kernel";
constexpr std::string_view kNoMark = "0|0/0|0x0|0/0x00000000|0x0/0x0|0x00000000/0x00000000";

constexpr Key<Draft> kKeys[] = {
    {{"ah_proposals", kList, kRefused, "", "AH is not supported, ESP is", ""}, nullptr},
    {{"esp_proposals", kList, kHonoured, "default",
      "algorithms joined by dashes, taken literally; default proposes perfect forward secrecy; "
      "transforms that RFC 8221 calls SHOULD NOT are refused by name",
      ""},
     set_proposals},
    {{"sha256_96", kValue, kRefused, "no", "truncation to 96 bits is not supported", "no"},
     nullptr},
    {{"local_ts", kList, kHonoured, "dynamic",
      "SUBNET[PROTOCOL/PORT], where SUBNET is a prefix, an address, a range or dynamic", ""},
     [](Draft& draft, const KeyInput& input) {
       return set_selectors(draft.config.local_ts, input);
     }},
    {{"remote_ts", kList, kHonoured, "dynamic", "as local_ts", ""},
     [](Draft& draft, const KeyInput& input) {
       return set_selectors(draft.config.remote_ts, input);
     }},
    {{"rekey_time", kValue, kHonoured, "1h", "a time; 0: never", ""},
     [](Draft& draft, const KeyInput& input) { return set_time(draft.rekey_ns, input); }},
    {{"life_time", kValue, kHonoured, "rekey_time + 10%", "a time; 0: none", ""},
     [](Draft& draft, const KeyInput& input) { return set_time(draft.life_ns, input); }},
    {{"rand_time", kValue, kHonoured, "life_time - rekey_time",
      "a time; at most half of rekey_time is used", ""},
     [](Draft& draft, const KeyInput& input) { return set_time(draft.random_ns, input); }},
    {{"rekey_bytes", kValue, kHonoured, "0", "bytes, or with k, m, g; 0: never", ""},
     [](Draft& draft, const KeyInput& input) { return set_volume(draft.rekey_bytes, input); }},
    {{"life_bytes", kValue, kHonoured, "rekey_bytes + 10%", "bytes; 0: none", ""},
     [](Draft& draft, const KeyInput& input) { return set_volume(draft.life_bytes, input); }},
    {{"rand_bytes", kValue, kHonoured, "life_bytes - rekey_bytes", "bytes", ""},
     [](Draft& draft, const KeyInput& input) { return set_volume(draft.random_bytes, input); }},
    {{"rekey_packets", kValue, kHonoured, "0", "packets; 0: never", ""},
     [](Draft& draft, const KeyInput& input) { return set_count(draft.rekey_packets, input); }},
    {{"life_packets", kValue, kHonoured, "rekey_packets + 10%", "packets; 0: none", ""},
     [](Draft& draft, const KeyInput& input) { return set_count(draft.life_packets, input); }},
    {{"rand_packets", kValue, kHonoured, "life_packets - rekey_packets", "packets", ""},
     [](Draft& draft, const KeyInput& input) { return set_count(draft.random_packets, input); }},
    {{"updown", kValue, kRefused, "",
      "the gateway runs no scripts: routes and policies are its own, and swanctl --monitor-sa and "
      "VICI's updown events tell others",
      ""},
     nullptr},
    {{"hostaccess", kValue, kHarmless, "no", "it is a variable for updown scripts", "no"}, nullptr},
    {{"mode", kValue, kHonoured, "tunnel", "tunnel, pass or drop; transport and beet are refused",
      ""},
     set_mode},
    {{"policies", kValue, kHonoured, "yes", "yes or no", ""},
     [](Draft& draft, const KeyInput& input) { return set_flag(draft.config.policies, input); }},
    {{"policies_fwd_out", kValue, kHarmless, "no",
      "forwarded packets meet one policy here, for both directions", "no"},
     nullptr},
    {{"dpd_action", kValue, kHonoured, "clear", "clear, trap or restart", ""}, set_dpd_action},
    {{"ipcomp", kValue, kRefused, "no", "compression (IPComp) is not supported", "no"}, nullptr},
    {{"inactivity", kValue, kHonoured, "0s", "a time; 0: never", ""},
     [](Draft& draft, const KeyInput& input) {
       return set_time(draft.config.inactivity_ns, input);
     }},
    {{"reqid", kValue, kHonoured, "0", "a number, shown in listings; 0: chosen", ""},
     [](Draft& draft, const KeyInput& input) { return set_u32(draft.config.reqid, input); }},
    {{"priority", kValue, kHonoured, "0", "a number, lower wins; 0: by the size of the selectors",
      ""},
     [](Draft& draft, const KeyInput& input) { return set_u32(draft.config.priority, input); }},
    {{"interface", kValue, kRefused, "",
      "policies hold on all ports: use if_id for a tunnel interface", ""},
     nullptr},
    {{"mark_in", kValue, kRefused, "0/0x00000000", kNoMarks, kNoMark}, nullptr},
    {{"mark_in_sa", kValue, kRefused, "no", kNoMarks, "no"}, nullptr},
    {{"mark_out", kValue, kRefused, "0/0x00000000", kNoMarks, kNoMark}, nullptr},
    {{"set_mark_in", kValue, kRefused, "0/0x00000000", kNoMarks, kNoMark}, nullptr},
    {{"set_mark_out", kValue, kRefused, "0/0x00000000", kNoMarks, kNoMark}, nullptr},
    {{"if_id_in", kValue, kHonoured, "0",
      "a number: the [ipsec.NAME] section with this if_id; the same as if_id_out; %unique is "
      "refused",
      ""},
     [](Draft& draft, const KeyInput& input) { return set_u32(draft.if_id_in, input); }},
    {{"if_id_out", kValue, kHonoured, "0", "the same as if_id_in", ""},
     [](Draft& draft, const KeyInput& input) { return set_u32(draft.if_id_out, input); }},
    {{"require_pfs", kValue, kHonoured, "require_pfs of [ipsec]",
      "yes or no; penstock's own: but for the child that comes with the IKE SA, one without a key "
      "exchange group is refused",
      ""},
     [](Draft& draft, const KeyInput& input) { return set_flag(draft.config.require_pfs, input); }},
    {{"label", kValue, kRefused, "", "security labels are not supported", ""}, nullptr},
    {{"label_mode", kValue, kHarmless, "system", "without a label it has nothing to do",
      "system|simple"},
     nullptr},
    {{"tfc_padding", kValue, kHonoured, "0", "bytes, or mtu", ""}, set_tfc_padding},
    {{"replay_window", kValue, kHonoured, "1024",
      "packets, up to 16384; 1 to 63 are taken as 64; 0 switches the check off", ""},
     set_replay_window},
    {{"hw_offload", kValue, kRefused, "no",
      "offload to the network card is not supported; the CPU's instructions are always used",
      "no|~auto"},
     nullptr},
    {{"copy_df", kValue, kHonoured, "no",
      "yes or no; no path MTU is learnt outside, so outer packets may be fragmented unless yes",
      ""},
     [](Draft& draft, const KeyInput& input) { return set_flag(draft.config.copy_df, input); }},
    {{"copy_ecn", kValue, kRefused, "yes", "congestion marks always follow RFC 6040", "yes"},
     nullptr},
    {{"copy_dscp", kValue, kHonoured, "out", "out or no; in and yes are refused", ""},
     set_copy_dscp},
    {{"start_action", kValue, kHonoured, "none", "none, trap, start or trap|start", ""},
     set_start_action},
    {{"close_action", kValue, kHonoured, "none", "none, trap or start", ""}, set_close_action},
};

}  // namespace

constinit const std::span<const Key<ChildDraft>> kChildKeys = kKeys;

}  // namespace penstock::vici
