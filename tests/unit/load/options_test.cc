#include "bench/load/options.h"

#include <gtest/gtest.h>

namespace penstock::load {
namespace {

Result<Options> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "penstock-load");
  return parse_options(static_cast<int>(arguments.size()), arguments.data());
}

std::string error_of(std::vector<const char*> arguments) {
  arguments.insert(arguments.end(), {"--outside", "memif:/o", "--inside", "memif:/i"});
  const auto options = parse(std::move(arguments));
  return options.ok() ? "" : options.error().text;
}

TEST(LoadOptions, everything_is_taken) {
  const auto options =
      parse({"search", "--outside=memif:/o", "--inside", "0000:3b:00.0", "--tunnels", "1,1000,10",
             "--size", "64,imix", "--loss", "0.5,0", "--direction", "up", "--precision", "2"});
  ASSERT_TRUE(options.ok()) << options.error().text;
  EXPECT_EQ(options->mode, Mode::kSearch);
  EXPECT_EQ(options->plan.tunnels, 1000U);
  EXPECT_EQ(options->sizes.size(), 2U);
  EXPECT_EQ(options->loss, (std::vector<double>{0, 0.005}));
  EXPECT_EQ(options->direction, Direction::kUp);
  EXPECT_DOUBLE_EQ(options->precision, 0.02);
}

TEST(LoadOptions, mistakes_name_the_option_and_what_it_must_be) {
  const struct {
    std::vector<const char*> arguments;
    const char* words;
  } cases[] = {
      {{"rate", "--rate", "10"}, "--rate 10: '10': a rate is a number"},
      {{"rate", "--size", "59"}, "--size '59': a size is 60 to 9000"},
      {{"rate", "--inner", "6", "--size", "64"}, "--size '64': a size is 80 to 9000"},
      {{"rate", "--tunnels", "0"}, "--tunnels 0: must be 1 to 1000000"},
      {{"rate", "--direction", "left"}, "--direction left: must be up, down or both"},
      {{"rate", "--tunels", "1"}, "--tunels: unknown option, did you mean \"tunnels\"?"},
      {{"rate", "--trial", "soon"}, "--trial soon: must be a number from"},
      {{"search", "--rate", "1kpps"}, "--rate: the mode search finds the rate itself"},
      {{"walk"}, "walk: the mode must be search, rate, soak or connect"},
      {{"rate", "soak"}, "soak: unexpected argument"},
      {{"rate", "--gateway-key", "AAAA"}, "--gateway-key AAAA: must be a public key in base64"},
      {{"connect", "--protocol", "clear"}, "connect: --protocol clear has no tunnels that come up"},
      {{"rate", "--protocol", "clear", "--rekey-rate", "9"}, "--rekey-rate: is of tunnels"},
      {{"rate", "--esp-cipher", "aes256gcm16", "--protocol", "clear"},
       "--esp-cipher: is of tunnels"},
      {{"rate", "--protocol", "clear", "--outer", "6"}, "--outer: is of tunnels"},
      {{}, "say what to do: search, rate, soak or connect"},
  };
  for (const auto& one : cases) {
    const std::string error = error_of(one.arguments);
    EXPECT_EQ(error.find(one.words), 0U) << "got: " << error << "\nwanted: " << one.words;
  }
  EXPECT_NE(parse({"rate"}).error().text.find("--outside and --inside are required"),
            std::string::npos);
}

TEST(LoadOptions, rates_have_units) {
  const auto imix = parse_size_mix("imix", 60);
  ASSERT_TRUE(imix.ok());
  EXPECT_NEAR(imix->mean_bytes(), (7 * 64 + 4 * 570 + 1420) / 12.0, 0.01);
  EXPECT_DOUBLE_EQ(parse_rate("1.5Mpps")->packets_per_second(*imix), 1.5e6);
  EXPECT_DOUBLE_EQ(parse_rate("8Gbps")->packets_per_second(*parse_size_mix("1000", 60)), 1e6);
  for (const char* wrong : {"", "pps", "0pps", "-1kpps", "1Tpps", "1.2.3kpps", "1 Mpps", "1mpps"}) {
    EXPECT_FALSE(parse_rate(wrong).ok()) << wrong;
  }
}

TEST(LoadOptions, help_names_every_mode) {
  const std::string help = help_text();
  for (const char* word : {"search", "soak", "connect", "--write-gateway-config", "--latency-at"}) {
    EXPECT_NE(help.find(word), std::string::npos) << word;
  }
}

}  // namespace
}  // namespace penstock::load
