// Every key of penstock.conf, once: its name, shape, default, meaning, and where its value goes.
// The options_description of Boost.Program_options made from it serves the file, the command line
// and the manual alike.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gateway/config/config.h"

namespace penstock::config {

// The name in the manual of what an operator names: "port.NAME.device".
inline constexpr const char* kNamePlaceholder = "NAME";

class Keys {
 public:
  // One set of keys for every port and interface that `config` has now. Values go into `config`,
  // which must outlive this, and whose ports and interfaces must not move.
  explicit Keys(Config& config);

  [[nodiscard]] bool known(const std::string& name) const;
  [[nodiscard]] bool repeatable(const std::string& name) const;
  Status set(const std::string& name, const std::string& value);
  // The names without their section: "device", "role", ... for "port.outside".
  [[nodiscard]] std::vector<std::string> names_in(const std::string& section) const;
  [[nodiscard]] std::vector<std::string> all_names() const;

  // In groups with captions, for the command line and for the manual.
  [[nodiscard]] const boost::program_options::options_description& options() const {
    return options_;
  }

 private:
  void add_general(Config& config);
  void add_machine(Config& config);
  void add_port(PortConfig& port);
  void add_wireguard(WireguardConfig& interface);
  void add_ipsec(IpsecConfig& ipsec);
  void add_ipsec_interface(IpsecInterfaceConfig& interface);
  void add_limits(LimitConfig& limits);
  void add_timers(TimerConfig& timers);

  [[nodiscard]] const boost::program_options::option_description* find(
      const std::string& name) const;

  boost::program_options::options_description options_;
  // Boost searches its list; a file with many routes asks often.
  std::unordered_map<std::string, const boost::program_options::option_description*> by_name_;
};

// "port.outside.mtu" names the port "outside"; empty for other names.
struct NamedSection {
  std::string kind;  // "port", "wireguard" or "ipsec"
  std::string name;
};
NamedSection named_section(std::string_view section);

// Adds a port or interface for each such section that `config` lacks. False: the name is no name,
// or there are too many.
Status add_named_section(Config& config, const NamedSection& section);

}  // namespace penstock::config
