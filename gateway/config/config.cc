#include "gateway/config/config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <set>

#include "gateway/config/check.h"
#include "gateway/config/keys.h"
#include "gateway/config/values.h"

namespace penstock::config {

namespace {

constexpr size_t kMaxFileBytes = 64u << 20;
constexpr const char* kCommandLine = "command line";

// Which sections may be there; creates the port or interface that a section names.
class SectionTable {
 public:
  explicit SectionTable(Draft& draft) : draft_(draft) {}

  // Reports a section that may not be there, once.
  void see(const std::string& section, const Location& where) {
    if (!seen_.insert(section).second || section.empty()) return;
    const NamedSection named = named_section(section);
    if (section == "ipsec" || named.kind == "ipsec") draft_.config.ipsec.enabled = true;
    if (!named.kind.empty()) {
      const Status status = add_named_section(draft_.config, named);
      if (status.ok()) return;
      draft_.error(where, status.error().text);
    } else if (kKnown.count(section) != 0) {
      return;
    } else {
      draft_.error(where, "unknown section" + hint(section, {kKnown.begin(), kKnown.end()}));
    }
    bad_.insert(section);
  }
  [[nodiscard]] bool bad(const std::string& section) const { return bad_.count(section) != 0; }

 private:
  inline static const std::set<std::string> kKnown = {
      "log",    "dpdk",  "pool",      "route",          "limits",
      "timers", "ipsec", "port.NAME", "wireguard.NAME", "ipsec.NAME"};
  Draft& draft_;
  std::set<std::string> seen_, bad_;
};

std::vector<Entry> entries_of(const std::vector<Override>& overrides) {
  std::vector<Entry> entries;
  for (const Override& option : overrides) {
    entries.push_back({section_of(option.name),
                       option.name,
                       option.value,
                       {kCommandLine, 0, "--" + option.name}});
  }
  return entries;
}

void apply_entry(Draft& draft, Keys& keys, const Entry& entry) {
  if (!keys.known(entry.name)) {
    const bool from_file = entry.location.line != 0;
    const std::string& written = from_file ? entry.location.key : entry.name;
    const bool dotted = written.find('.') != std::string::npos;
    return draft.error(
        entry.location,
        "unknown key" + hint(written, dotted ? keys.all_names() : keys.names_in(entry.section)));
  }
  if (!keys.repeatable(entry.name) && draft.given(entry.name)) {
    const size_t line = draft.first_given(entry.name).line;
    return draft.error(
        entry.location,
        "is said twice" + (line == 0 ? "" : ", also in line " + std::to_string(line)));
  }
  draft.note_given(entry.name, entry.location);
  const Status status = keys.set(entry.name, entry.value);
  if (status.ok()) {
    draft.note_taken(entry.name, entry.location);
  } else {
    draft.error(entry.location, status.error().text);
  }
}

// Options first, then the file, then the files that it names; each by line.
void sort_diagnostics(Diagnostics& diagnostics, const std::string& path) {
  std::map<std::string, size_t> ranks{{kCommandLine, 0}, {path, 1}};
  for (const Diagnostic& d : diagnostics) ranks.emplace(d.file, ranks.size());
  std::stable_sort(diagnostics.begin(), diagnostics.end(),
                   [&ranks](const Diagnostic& a, const Diagnostic& b) {
                     return std::pair(ranks[a.file], a.line) < std::pair(ranks[b.file], b.line);
                   });
}

}  // namespace

Outcome parse_config(std::string_view text, const std::string& path,
                     const std::vector<Override>& overrides, const Environment& environment) {
  Draft draft;
  draft.config.path = path;
  const Scan scan = scan_lines(text, path, draft.diagnostics);
  const std::vector<Entry> options = entries_of(overrides);
  SectionTable sections(draft);
  for (const Section& section : scan.sections) {
    sections.see(section.name, section.location);
    draft.note_section(section);
  }
  for (const auto* entries : {&scan.entries, &options}) {
    for (const Entry& entry : *entries) sections.see(entry.section, entry.location);
  }
  // From here on the ports and interfaces stay where they are.
  Keys keys(draft.config);
  std::set<std::string> overridden;
  for (const Entry& entry : options) overridden.insert(entry.name);
  for (const Entry& entry : scan.entries) {
    if (sections.bad(entry.section) || overridden.count(entry.name) != 0) continue;
    apply_entry(draft, keys, entry);
  }
  for (const Entry& entry : options) {
    if (!sections.bad(entry.section)) apply_entry(draft, keys, entry);
  }
  complete_and_check_scalars(draft);
  load_wireguards(draft, environment);
  check_ipsec(draft);
  check_network(draft);
  check_wireguards(draft);

  Outcome outcome;
  sort_diagnostics(draft.diagnostics, path);
  outcome.diagnostics = std::move(draft.diagnostics);
  if (!has_errors(outcome.diagnostics)) outcome.config = std::move(draft.config);
  return outcome;
}

Outcome load_config(const CommandLine& command_line, const Environment& environment) {
  Outcome outcome;
  Result<FileText> file = environment.read_file(command_line.config_path);
  if (file) {
    outcome =
        parse_config(file->text, command_line.config_path, command_line.overrides, environment);
  } else if (!command_line.config_path_given && !command_line.overrides.empty()) {
    outcome = parse_config("", "", command_line.overrides, environment);
  } else {
    outcome.diagnostics.push_back({Severity::kError, command_line.config_path, 0, "",
                                   "cannot read the file: " + file.error().text});
  }
  outcome.diagnostics.insert(outcome.diagnostics.begin(), command_line.diagnostics.begin(),
                             command_line.diagnostics.end());
  if (has_errors(outcome.diagnostics)) outcome.config.reset();
  return outcome;
}

Result<FileText> read_system_file(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return Error{std::strerror(errno)};
  struct stat info {};
  FileText result;
  Status status;
  if (fstat(file, &info) != 0) {
    status = Error{std::strerror(errno)};
  } else if (!S_ISREG(info.st_mode)) {
    status = Error{"not a regular file"};
  } else if (static_cast<uint64_t>(info.st_size) > kMaxFileBytes) {
    status = Error{"larger than 64 MiB"};
  } else {
    result.world_readable = (info.st_mode & S_IROTH) != 0;
    result.text.resize(static_cast<size_t>(info.st_size));
    size_t have = 0;
    while (have < result.text.size()) {
      const ssize_t got = read(file, result.text.data() + have, result.text.size() - have);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) status = Error{std::strerror(errno)};
      if (got <= 0) break;
      have += static_cast<size_t>(got);
    }
    result.text.resize(have);
  }
  close(file);
  if (!status.ok()) return status.error();
  return result;
}

std::string format_check(const Outcome& outcome, const std::string& path) {
  std::string text;
  size_t errors = 0;
  for (const Diagnostic& d : outcome.diagnostics) {
    text += d.to_string() + "\n";
    if (d.severity == Severity::kError) ++errors;
  }
  if (!outcome.config) {
    return text + path + ": " + std::to_string(errors) + (errors == 1 ? " mistake" : " mistakes") +
           ", nothing is applied\n";
  }
  size_t peers = 0;
  for (const WireguardConfig& interface : outcome.config->wireguards) {
    peers += interface.device.peers.size();
  }
  return text + path + ": good: " + std::to_string(outcome.config->ports.size()) + " ports, " +
         std::to_string(outcome.config->wireguards.size()) + " interfaces, " +
         std::to_string(peers) + " peers, " + std::to_string(outcome.config->routes.size()) +
         " routes\n";
}

}  // namespace penstock::config
