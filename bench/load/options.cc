#include "bench/load/options.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <memory>
#include <sstream>

#include "bench/load/option_keys.h"
#include "gateway/base/text.h"

namespace penstock::load {
namespace {

namespace po = boost::program_options;
using config::choice;

constexpr unsigned kColumns = 100, kTextColumns = 62;

// What only a tunnel can be asked for.
constexpr std::string_view kOfTunnels[] = {
    "esp-cipher", "esp-in-udp", "esp-esn",     "rekey-rate", "window",     "connect-rate",
    "outer",      "peers",      "listen-port", "seed",       "gateway-key"};

// Packets in clear have no outer header, keys or handshake.
Status check_clear(const Draft& draft) {
  if (draft.options.mode == Mode::kConnect) {
    return errorf(
        "connect: --protocol clear has no tunnels that come up; use the mode search, rate or soak");
  }
  for (const std::string& name : draft.given) {
    if (std::find(std::begin(kOfTunnels), std::end(kOfTunnels), name) == std::end(kOfTunnels)) {
      continue;
    }
    return errorf(
        "--%s: is of tunnels, which --protocol clear does not have; leave one of them out",
        name.c_str());
  }
  return {};
}

// What belongs together, once all is known.
Status complete(Draft& draft) {
  Options& options = draft.options;
  if (options.plan.protocol == Protocol::kClear) PENSTOCK_CHECK(check_clear(draft));
  options.plan.tunnels = *std::max_element(options.tunnels.begin(), options.tunnels.end());
  const uint16_t smallest = options.plan.inner_v6 ? 80 : 60;
  if (draft.sizes.empty())
    draft.sizes = options.plan.inner_v6 ? "80,512,1420,imix" : "64,512,1420,imix";
  for (const std::string_view part : split(draft.sizes, ',')) {
    auto mix = parse_size_mix(part, smallest);
    if (!mix.ok()) return errorf("--size %s", mix.error().text.c_str());
    options.sizes.push_back(*std::move(mix));
  }
  if (options.outside_device.empty() || options.inside_device.empty()) {
    return errorf(
        "--outside and --inside are required: the two ports that lead to the gateway, such as "
        "--outside memif:/run/out.sock --inside memif:/run/in.sock");
  }
  if (options.mode == Mode::kSearch && options.rate.value > 0) {
    return errorf("--rate: the mode search finds the rate itself; use the mode rate or soak");
  }
  std::sort(options.loss.begin(), options.loss.end());
  return {};
}

Status set_mode(Draft& draft, std::string_view text) {
  const Status set = choice(draft.options.mode, {{"search", Mode::kSearch},
                                                 {"rate", Mode::kRate},
                                                 {"soak", Mode::kSoak},
                                                 {"connect", Mode::kConnect}})(text);
  if (set.ok()) return {};
  return errorf("%s: the mode %s", std::string(text).c_str(), set.error().text.c_str());
}

}  // namespace

Result<Options> parse_options(int count, const char* const* arguments) {
  Draft draft;
  std::vector<Key> keys = keys_of(draft);
  po::options_description all;
  std::vector<std::string> names = {"help"};
  all.add_options()("help,h", "");
  for (const Key& key : keys) {
    all.add_options()(key.name, po::value<std::string>(), "");
    names.emplace_back(key.name);
  }
  namespace style = po::command_line_style;
  constexpr int kStyle = style::unix_style & ~style::allow_guessing;
  po::parsed_options parsed(&all);
  try {
    parsed = po::command_line_parser(count, arguments)
                 .options(all)
                 .style(kStyle)
                 .allow_unregistered()
                 .run();
  } catch (const po::error& problem) {
    return errorf("%s", problem.what());
  }
  bool mode_given = false;
  for (const po::option& option : parsed.options) {
    if (option.position_key >= 0) {
      if (mode_given) return errorf("%s: unexpected argument", option.value.front().c_str());
      PENSTOCK_CHECK(set_mode(draft, option.value.front()));
      mode_given = true;
      continue;
    }
    const auto key = std::find_if(keys.begin(), keys.end(),
                                  [&](const Key& one) { return option.string_key == one.name; });
    if (option.string_key == "help") {
      draft.options.help = true;
      return draft.options;
    }
    if (option.unregistered || key == keys.end()) {
      const std::string written = option.original_tokens.front();
      const std::string name = written.substr(0, written.find('='));
      const size_t dashes = std::min(name.find_first_not_of('-'), name.size());
      return errorf("%s: unknown option%s", name.c_str(),
                    config::hint(name.substr(dashes), names).c_str());
    }
    draft.given.emplace_back(key->name);
    const Status set = key->set(option.value.front());
    if (!set.ok()) {
      return errorf("--%s %s: %s", key->name, option.value.front().c_str(),
                    set.error().text.c_str());
    }
  }
  PENSTOCK_CHECK(complete(draft));
  if (!mode_given && draft.options.write_gateway_config.empty()) {
    return errorf("say what to do: search, rate, soak or connect");
  }
  return draft.options;
}

std::string help_text() {
  Draft draft;
  const std::vector<Key> keys = keys_of(draft);
  std::ostringstream text;
  text <<
      R"(Usage: penstock-load search|rate|soak|connect --outside DEVICE --inside DEVICE [OPTION...]
       penstock-load --write-gateway-config FOLDER --outside DEVICE --inside DEVICE [OPTION...]

Plays both sides of a VPN gateway: peers that come up with WireGuard or IKEv2 and send and receive
encrypted packets on its outside port, and hosts on its inside port. Every packet that comes back is
held against what was sent: tunnel, sequence, payload. With --protocol clear it measures plain
forwarding between the two ports in the same way.

  search   the highest rates without loss, and with a tolerated one, by packet size and tunnels
  rate     one trial at a fixed rate, or as fast as possible, for each size and number of tunnels
  soak     a fixed rate for a long time, a line per interval with what was lost
  connect  a connect storm: how many handshakes a second the gateway answers

A gateway on the same machine, over shared memory:

  penstock-load --write-gateway-config /tmp/gw --outside memif:/tmp/gw/out.sock --inside memif:/tmp/gw/in.sock
  penstockd --config /tmp/gw/penstock.conf &
  penstock-load search --outside memif:/tmp/gw/out.sock --inside memif:/tmp/gw/in.sock --html report.html

Give the gateway and this program different CPUs, and stop this program first.

)";
  const char* group = nullptr;
  std::unique_ptr<po::options_description> described;
  for (const Key& key : keys) {
    if (group == nullptr || std::string_view(group) != key.group) {
      if (described) text << *described << "\n";
      described = std::make_unique<po::options_description>(key.group, kColumns, kTextColumns);
      group = key.group;
    }
    auto* const value = po::value<std::string>()->value_name(key.shape);
    described->add_options()(key.name, value, key.help);
  }
  text << *described;
  return text.str();
}

}  // namespace penstock::load
