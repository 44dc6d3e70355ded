#include "gateway/base/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace penstock {

void SystemRandom::fill(MutableBytes out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      std::fputs("penstock: the kernel gives no random numbers\n", stderr);
      std::abort();
    }
    out = out.subspan(static_cast<size_t>(got));
  }
}

}  // namespace penstock
