#include <boost/program_options/errors.hpp>
#include <boost/program_options/parsers.hpp>
#include <sstream>

#include "gateway/config/keys.h"
#include "gateway/config/scan.h"
#include "gateway/config/values.h"

namespace penstock::config {

namespace po = boost::program_options;

namespace {

void add_own_options(po::options_description& options) {
  options.add_options()(
      "config,c", po::value<std::string>()->value_name("PATH (=" + std::string(kDefaultPath) + ")"),
      "the configuration file")(
      "check", "read and check the whole configuration, name every mistake, and stop")(
      "help,h", "print this manual")("version,V", "print the version");
}

// Ports and interfaces that only the command line names need their keys before Boost parses it.
void add_named_sections(Config& config, int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    if (!argument.starts_with("--")) continue;
    argument = argument.substr(2, argument.find('=') - 2);
    const NamedSection named = named_section(section_of(argument));
    if (named.kind.empty()) continue;
    // A bad name leaves the option unknown, which is reported below.
    (void)add_named_section(config, named);
  }
}

void take_option(const po::option& option, const Keys& keys, CommandLine& out) {
  const auto error = [&out](const std::string& key, std::string text) {
    out.diagnostics.push_back({Severity::kError, "command line", 0, key, std::move(text)});
  };
  const std::string& name = option.string_key;
  if (option.position_key >= 0) {
    error(option.value.empty() ? "" : option.value.front(), "unexpected argument");
  } else if (option.unregistered) {
    const std::string written =
        option.original_tokens.empty() ? name : option.original_tokens.front();
    const std::string key = written.substr(0, written.find('='));
    auto names = keys.all_names();
    names.insert(names.end(), {"config", "check", "help", "version"});
    const size_t dashes = std::min(key.find_first_not_of('-'), key.size());
    error(key, "unknown option" + hint(key.substr(dashes), names));
  } else if (name == "check") {
    out.check = true;
  } else if (name == "help") {
    out.help = true;
  } else if (name == "version") {
    out.version = true;
  } else if (name == "config") {
    out.config_path = option.value.front();
    out.config_path_given = true;
  } else {
    out.overrides.push_back({name, option.value.front()});
  }
}

}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv) {
  CommandLine out;
  Config config;
  add_named_sections(config, argc, argv);
  const Keys keys(config);
  po::options_description all;
  add_own_options(all);
  all.add(keys.options());
  namespace style = po::command_line_style;
  // No guessing: an abbreviation that works today would be ambiguous after the next key.
  constexpr int kStyle = style::unix_style & ~style::allow_guessing;
  try {
    const auto parsed =
        po::command_line_parser(argc, argv).options(all).style(kStyle).allow_unregistered().run();
    for (const po::option& option : parsed.options) take_option(option, keys, out);
  } catch (const po::error& problem) {
    out.diagnostics.push_back({Severity::kError, "command line", 0, "", problem.what()});
  }
  return out;
}

std::string help_text() {
  Config config;
  config.ports.emplace_back().name = kNamePlaceholder;
  config.wireguards.emplace_back().name = kNamePlaceholder;
  config.ipsec.interfaces.emplace_back().name = kNamePlaceholder;
  const Keys keys(config);
  po::options_description own("Options", 100, 58);
  add_own_options(own);
  std::ostringstream text;
  text << "Usage: penstockd [--config PATH] [--check] [--KEY=VALUE ...]\n\n"
          "Penstock is a VPN gateway that takes its ports from the kernel through DPDK.\n\n"
          "The configuration file has lines KEY = VALUE, sections [SECTION], and comments that\n"
          "begin with #. In a section a key stands without the section's name: \"device\" in\n"
          "[port.outside] is \"port.outside.device\" on the command line. What the command line\n"
          "says wins over the file; for a repeatable key it replaces all of the file's lines.\n"
          "Nothing is applied unless all of it is right; every mistake is listed.\n\n"
       << own << "\n"
       << keys.options();
  return text.str();
}

}  // namespace penstock::config
