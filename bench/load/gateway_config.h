// The configuration of a gateway that fits the generator's plan: penstock.conf and beside it what
// wg-quick or swanctl read, so that other gateways can be given the same.
#pragma once

#include <string>
#include <vector>

#include "bench/load/options.h"
#include "bench/load/plan.h"
#include "gateway/base/result.h"

namespace penstock::load {

struct WrittenFile {
  std::string name, text;
};
// `cpu`: of the gateway's worker. The private keys in it are as secret as the seed is.
Result<std::vector<WrittenFile>> gateway_files(const Options& options, const Plan& plan,
                                               const std::string& folder, unsigned cpu);
// Makes the folder where it is missing; files are readable by their owner only.
Status write_files(const std::vector<WrittenFile>& files, const std::string& folder);

}  // namespace penstock::load
