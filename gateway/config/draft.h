// A configuration while it is being read and checked: the values so far, where each was said, and
// what is wrong.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "gateway/config/config.h"
#include "gateway/config/scan.h"

namespace penstock::config {

// An address of the gateway, whoever has it, for the checks across ports and interfaces.
struct OwnAddress {
  InterfaceAddress address;
  std::string owner;  // "port outside", "interface wg0"
  bool of_port = false;
  Location location;
};

class Draft {
 public:
  Config config;
  Diagnostics diagnostics;
  std::vector<OwnAddress> own_addresses;

  void error(const Location& location, std::string text) {
    say(Severity::kError, location, std::move(text));
  }
  void warn(const Location& location, std::string text) {
    say(Severity::kWarning, location, std::move(text));
  }

  // An entry was there, good or bad.
  void note_given(const std::string& name, const Location& location);
  [[nodiscard]] bool given(const std::string& name) const { return given_.count(name) != 0; }
  [[nodiscard]] Location first_given(const std::string& name) const;
  // An entry was good: value number n of a repeatable key has location number n.
  void note_taken(const std::string& name, const Location& location);
  [[nodiscard]] bool taken(const std::string& name) const { return taken_.count(name) != 0; }
  // Of the value, or of the section, or of the file.
  [[nodiscard]] Location where(const std::string& name, size_t index = 0) const;
  void note_section(const Section& section);
  [[nodiscard]] Location whole() const { return {config.path, 0, ""}; }

  PortConfig* port(const std::string& name);
  [[nodiscard]] std::vector<std::string> port_names() const;
  [[nodiscard]] std::vector<std::string> interface_names() const;

 private:
  void say(Severity severity, const Location& location, std::string text);

  std::map<std::string, Location> given_;
  std::map<std::string, std::vector<Location>> taken_;
  std::map<std::string, Location> sections_;
};

}  // namespace penstock::config
