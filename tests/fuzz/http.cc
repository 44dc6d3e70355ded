// libFuzzer target: an HTTP server's answer. The first byte says in what pieces it comes. Checks
// beside crashes: the pieces make no difference, and no document is larger than asked for.
#include <cstdlib>

#include "controlplane/wire/http.h"

using namespace penstock;

namespace {

constexpr size_t kBodyLimitBytes = 512;

Result<ByteVector> answer_in(std::string_view input, size_t piece_bytes) {
  HttpAnswer answer(kBodyLimitBytes);
  while (!input.empty()) {
    const std::string_view piece = input.substr(0, piece_bytes);
    input.remove_prefix(piece.size());
    const auto complete = answer.take(piece);
    if (!complete.ok()) return complete.error();
    if (*complete) break;
  }
  return answer.document();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  (void)HttpUrl::parse(input);
  const auto whole = answer_in(input, input.size() + 1);
  const auto pieces = answer_in(input, data[0] % 64 + 1U);
  if (whole.ok() && whole->size() > kBodyLimitBytes) std::abort();
  if (whole.ok() && (!pieces.ok() || *pieces != *whole)) std::abort();
  return 0;
}
