// penstock-load: plays the other side of a VPN gateway, and measures it.
//
// Exit codes: 0 after a measurement, 1 where it could not be made or a packet came back wrong, 2
// for a wrong command line.
#include <cstdio>
#include <exception>

#include "bench/load/gateway_config.h"
#include "bench/load/measure.h"
#include "bench/load/options.h"
#include "gateway/base/log.h"

namespace penstock::load {
namespace {

enum ExitCode { kDone = 0, kFailed = 1, kUsage = 2 };

int complain(const Error& error, ExitCode code) {
  std::fprintf(stderr, "penstock-load: %s\n", error.text.c_str());
  return code;
}

int write_gateway_config(const Options& options) {
  const auto plan = Plan::make(options.plan);
  if (!plan.ok()) return complain(plan.error(), kUsage);
  const std::string& folder = options.write_gateway_config;
  const auto files = gateway_files(options, *plan, folder, gateway_cpu(options));
  if (!files.ok()) return complain(files.error(), kUsage);
  if (const Status written = write_files(*files, folder); !written.ok()) {
    return complain(written.error(), kFailed);
  }
  for (const WrittenFile& file : *files) {
    std::printf("%s/%s\n", folder.c_str(), file.name.c_str());
  }
  std::printf("\nStart the gateway:\n  penstockd --config %s/penstock.conf\n", folder.c_str());
  if (options.plan.protocol == Protocol::kEsp) {
    std::printf("  swanctl --load-all --file %s/swanctl.conf --uri unix://%s/vici.sock\n",
                folder.c_str(), folder.c_str());
  }
  std::printf("Then run penstock-load with the same options and search, rate%s.\n",
              options.plan.protocol == Protocol::kClear ? " or soak" : ", soak or connect");
  return kDone;
}

int run(int count, const char* const* arguments) {
  const auto options = parse_options(count, arguments);
  if (!options.ok()) {
    complain(options.error(), kUsage);
    std::fputs("see penstock-load --help\n", stderr);
    return kUsage;
  }
  if (options->help) {
    std::fputs(help_text().c_str(), stdout);
    return kDone;
  }
  log_configure(LogLevel::kWarning, false);
  if (!options->write_gateway_config.empty()) return write_gateway_config(*options);
  const auto plan = Plan::make(options->plan);
  if (!plan.ok()) return complain(plan.error(), kUsage);
  const auto good = measure(*options, *plan);
  if (!good.ok()) return complain(good.error(), kFailed);
  return *good ? kDone : kFailed;
}

}  // namespace
}  // namespace penstock::load

int main(int count, char** arguments) {
  try {
    return penstock::load::run(count, arguments);
  } catch (const std::exception& error) {  // out of memory, mostly
    std::fprintf(stderr, "penstock-load: %s\n", error.what());
    return 1;
  }
}
