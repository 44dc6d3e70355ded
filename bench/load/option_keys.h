// The keys of penstock-load's command line: their names, what they take, what the manual says of
// them.
#pragma once

#include <string>
#include <vector>

#include "bench/load/options.h"
#include "gateway/config/values.h"

namespace penstock::load {

struct Key {
  const char* group;
  const char* name;
  const char* shape;  // empty: a switch
  config::Setter set;
  const char* help;
};

// Options and what is only understood once all are known.
struct Draft {
  Options options;
  std::string sizes;
  std::vector<std::string> given;  // names of the keys that were on the command line
};

// All keys, in the manual's order. They write into `draft`, which outlives them.
std::vector<Key> keys_of(Draft& draft);

}  // namespace penstock::load
