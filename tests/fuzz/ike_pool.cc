// libFuzzer target: the keys of a swanctl.conf pool, a line each: `addrs` first, then `KEY VALUE`.
//
// Checks beside crashes: bounds are of one family and in order, the first and last address can be
// leased, values have a size that the CP payload can carry.
#include <cstdlib>

#include "controlplane/ike/pool/pool.h"
#include "gateway/base/text.h"

using namespace penstock;
using namespace penstock::ike;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto lines = split(text_of(Bytes(data, size)), '\n');
  auto config = PoolConfig::parse_addresses("pool", lines.front());
  if (!config.ok()) {
    if (config.error().text.empty()) std::abort();
    return 0;
  }
  if (config->last < config->first) std::abort();
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t blank = std::min(lines[i].find(' '), lines[i].size());
    const auto value = blank < lines[i].size() ? lines[i].substr(blank + 1) : std::string_view();
    (void)config->add_attribute(lines[i].substr(0, blank), value);
  }
  for (const PoolAttribute& attribute : config->attributes) {
    if (attribute.type == 0 || attribute.type > 0x7fff || attribute.value.size() > 1024) {
      std::abort();
    }
  }
  Pool pool(*config);
  const auto last = pool.acquire({"a", {}}, config->last);
  if (last != config->last || pool.counters().size == 0) std::abort();
  const auto first = pool.acquire({"b", {}});
  if (first.has_value() != (config->first != config->last)) std::abort();
  if (first && first != config->first) std::abort();
  return 0;
}
