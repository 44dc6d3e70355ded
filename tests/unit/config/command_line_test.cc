#include <gtest/gtest.h>

#include "tests/unit/config/environment.h"

namespace penstock::config {
namespace {

CommandLine command_line(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "penstockd");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

TEST(CommandLine, nothing_said_is_the_default_file) {
  const CommandLine line = command_line({});
  EXPECT_EQ(line.config_path, "/etc/penstock/penstock.conf");
  EXPECT_FALSE(line.config_path_given || line.check || line.help || line.version);
  EXPECT_TRUE(line.overrides.empty() && line.diagnostics.empty());
}

TEST(CommandLine, own_options_and_keys_are_told_apart) {
  const CommandLine line =
      command_line({"--config", "/x.conf", "--check", "--workers", "2", "--port.out.device=tap:t0",
                    "--port.out.address", "10.0.0.1/24", "--port.out.address=10.1.0.1/24",
                    "--dpdk.eal=--iova-mode=va", "--route", "0.0.0.0/0 via 10.0.0.2", "-h", "-V"});
  EXPECT_TRUE(line.diagnostics.empty()) << lines_of(line.diagnostics)[0];
  EXPECT_EQ(line.config_path, "/x.conf");
  EXPECT_TRUE(line.config_path_given && line.check && line.help && line.version);
  ASSERT_EQ(line.overrides.size(), 6U);
  EXPECT_EQ(line.overrides[0].name + "=" + line.overrides[0].value, "workers=2");
  EXPECT_EQ(line.overrides[1].value, "tap:t0");
  EXPECT_EQ(line.overrides[3].value, "10.1.0.1/24");
  EXPECT_EQ(line.overrides[4].value, "--iova-mode=va");
  EXPECT_EQ(line.overrides[5].name, "route");
}

TEST(CommandLine, every_unknown_option_is_listed_with_a_hint) {
  const CommandLine line =
      command_line({"--worker=2", "--port.out.devise", "x", "--chekc", "stray"});
  EXPECT_EQ(
      lines_of(line.diagnostics),
      (std::vector<std::string>{
          "command line: --worker: unknown option, did you mean \"workers\"?",
          "command line: --port.out.devise: unknown option, did you mean \"port.out.device\"?",
          "command line: x: unexpected argument",
          "command line: --chekc: unknown option, did you mean \"check\"?",
          "command line: stray: unexpected argument"}));
}

TEST(CommandLine, missing_value_is_a_mistake) {
  EXPECT_TRUE(has_errors(command_line({"--workers"}).diagnostics));
  EXPECT_TRUE(has_errors(command_line({"--check=yes"}).diagnostics));
}

TEST(CommandLine, bad_value_of_an_option_is_named_as_such) {
  CommandLine line = command_line({"--workers=0", "--config=/p.conf"});
  const Outcome outcome =
      load_config(line, environment_of({{"/p.conf", {"workers = 7\n" + kTwoPorts, false}}}));
  EXPECT_FALSE(outcome.config.has_value());
  EXPECT_EQ(lines_of(outcome.diagnostics),
            (std::vector<std::string>{"command line: --workers: must be 1 to 64"}));
}

TEST(CommandLine, mistakes_of_line_and_file_are_listed_together) {
  CommandLine line = command_line({"--colour", "--config=/p.conf"});
  const Outcome outcome =
      load_config(line, environment_of({{"/p.conf", {"burst = 1\n" + kTwoPorts, false}}}));
  EXPECT_FALSE(outcome.config.has_value());
  EXPECT_EQ(lines_of(outcome.diagnostics),
            (std::vector<std::string>{"command line: --colour: unknown option",
                                      "/p.conf:1: burst: must be 4 to 64"}));
}

TEST(CommandLine, unknown_option_alone_refuses_a_good_file) {
  CommandLine line = command_line({"--colour", "--config=/p.conf"});
  EXPECT_FALSE(load_config(line, environment_of({{"/p.conf", {kTwoPorts, false}}})).config);
}

TEST(CommandLine, options_alone_make_a_gateway_without_a_file) {
  CommandLine line = command_line(
      {"--port.p.device=tap:t0", "--port.p.role=both", "--port.p.address=10.0.0.1/24"});
  const Outcome outcome = load_config(line, environment_of({}));
  ASSERT_TRUE(outcome.config.has_value()) << format_check(outcome, "options");
  EXPECT_EQ(outcome.config->ports[0].device, "tap:t0");
  EXPECT_EQ(outcome.config->path, "");
}

TEST(CommandLine, file_that_was_named_must_be_there) {
  CommandLine line = command_line({"--config=/none", "--workers=1"});
  EXPECT_EQ(lines_of(load_config(line, environment_of({})).diagnostics),
            (std::vector<std::string>{"/none: cannot read the file: No such file or directory"}));
  EXPECT_FALSE(load_config(command_line({}), environment_of({})).config);
}

TEST(HelpText, every_key_stands_there_once) {
  const std::string help = help_text();
  for (const std::string key : {"--config",
                                "--check",
                                "--help",
                                "--version",
                                "--workers",
                                "--lcores",
                                "--idle",
                                "--burst",
                                "--hooks",
                                "--state_dir",
                                "--control_socket",
                                "--log.level",
                                "--log.journald",
                                "--dpdk.in_memory",
                                "--dpdk.eal",
                                "--pool.buffers",
                                "--port.NAME.device",
                                "--port.NAME.role",
                                "--port.NAME.forward",
                                "--route",
                                "--wireguard.NAME.file",
                                "--wireguard.NAME.dscp",
                                "--limits.max_tunnels",
                                "--timers.rekey_after_s"}) {
    const size_t at = help.find(" " + key + " ");
    ASSERT_NE(at, std::string::npos) << key;
  }
  EXPECT_NE(help.find("N (=131072)"), std::string::npos);
  EXPECT_NE(help.find("[port.NAME]"), std::string::npos);
}

}  // namespace
}  // namespace penstock::config
