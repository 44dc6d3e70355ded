// libFuzzer target: fragments in any order into one reassembler, beside a model that keeps all it
// was given. Input: four bytes a fragment: number, total, length, first payload.
#include <cstdlib>
#include <map>

#include "controlplane/ike/wire/fragments.h"

using namespace penstock;
using namespace penstock::ike;

namespace {

constexpr FragmentReassembler::Limits kLimits{.fragments = 24, .bytes = 1000};

struct Model {
  unsigned total = 0;
  size_t bytes = 0;
  std::map<unsigned, ByteVector> parts;

  FragmentVerdict add(unsigned number, unsigned of, const ByteVector& part) {
    if (number == 0 || number > of) return FragmentVerdict::kInvalid;
    if (of > kLimits.fragments) return FragmentVerdict::kTooMany;
    if (of < total) return FragmentVerdict::kOldTotal;
    if (of > total) {
      parts.clear();
      bytes = 0;
      total = of;
    }
    if (parts.count(number) != 0) return FragmentVerdict::kDuplicate;
    if (bytes + part.size() > kLimits.bytes) return FragmentVerdict::kTooMany;
    parts[number] = part;
    bytes += part.size();
    return parts.size() == total ? FragmentVerdict::kComplete : FragmentVerdict::kWanted;
  }
  ByteVector whole() const {
    ByteVector all;
    for (const auto& [number, part] : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FragmentReassembler reassembler(kLimits);
  Model model;
  uint8_t fill = 0;
  for (; size >= 4; data += 4, size -= 4) {
    const ByteVector part(data[2], ++fill);
    const FragmentVerdict may = reassembler.may_add(data[0], data[1]);
    const FragmentVerdict did = reassembler.add(data[0], data[1], PayloadType{data[3]}, part);
    if (did != model.add(data[0], data[1], part)) std::abort();
    if (may != FragmentVerdict::kWanted && may != did) std::abort();
    if (reassembler.bytes() != model.bytes || reassembler.bytes() > kLimits.bytes) std::abort();
    if (did != FragmentVerdict::kComplete) {
      if (reassembler.take()) std::abort();
      continue;
    }
    const auto whole = reassembler.take();
    if (!whole || whole->chain != model.whole()) std::abort();
    model = {};
  }
  return 0;
}
