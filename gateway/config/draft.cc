#include "gateway/config/draft.h"

namespace penstock::config {

void Draft::say(Severity severity, const Location& location, std::string text) {
  diagnostics.push_back({severity, location.file, location.line, location.key, std::move(text)});
}

void Draft::note_given(const std::string& name, const Location& location) {
  given_.emplace(name, location);
}

Location Draft::first_given(const std::string& name) const {
  const auto found = given_.find(name);
  return found != given_.end() ? found->second : whole();
}

void Draft::note_taken(const std::string& name, const Location& location) {
  taken_[name].push_back(location);
}

Location Draft::where(const std::string& name, size_t index) const {
  const auto taken = taken_.find(name);
  if (taken != taken_.end() && index < taken->second.size()) return taken->second[index];
  if (given(name)) return first_given(name);
  const auto section = sections_.find(sections_.count(name) != 0 ? name : section_of(name));
  return section != sections_.end() ? section->second : whole();
}

void Draft::note_section(const Section& section) {
  sections_.emplace(section.name, section.location);
}

PortConfig* Draft::port(const std::string& name) {
  for (PortConfig& port : config.ports) {
    if (port.name == name) return &port;
  }
  return nullptr;
}

std::vector<std::string> Draft::port_names() const {
  std::vector<std::string> names;
  for (const PortConfig& port : config.ports) names.push_back(port.name);
  return names;
}

std::vector<std::string> Draft::interface_names() const {
  std::vector<std::string> names;
  for (const WireguardConfig& interface : config.wireguards) names.push_back(interface.name);
  for (const IpsecInterfaceConfig& one : config.ipsec.interfaces) names.push_back(one.name);
  return names;
}

}  // namespace penstock::config
