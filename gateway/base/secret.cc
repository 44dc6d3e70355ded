#include "gateway/base/secret.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

namespace penstock {

Result<SecretArena> SecretArena::create(size_t size_bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  const size_t rounded = (size_bytes + kHugePage - 1) & ~(kHugePage - 1);
  void* base = mmap(nullptr, rounded, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return errorf("cannot reserve %zu MiB for key tables: %s", rounded >> 20, std::strerror(errno));
  }
  SecretArena arena;
  arena.base_ = static_cast<uint8_t*>(base);
  arena.size_ = rounded;
  (void)madvise(base, rounded, MADV_HUGEPAGE);  // best effort: small pages work too
  (void)madvise(base, rounded, MADV_DONTDUMP);
  (void)madvise(base, rounded, MADV_DONTFORK);
  arena.locked_ = mlock2(base, rounded, MLOCK_ONFAULT) == 0;
  return arena;
}

SecretArena::SecretArena(SecretArena&& other) noexcept { *this = std::move(other); }

SecretArena& SecretArena::operator=(SecretArena&& other) noexcept {
  if (this != &other) {
    release();
    base_ = std::exchange(other.base_, nullptr);
    size_ = std::exchange(other.size_, 0);
    locked_ = other.locked_;
  }
  return *this;
}

SecretArena::~SecretArena() { release(); }

void SecretArena::release() {
  if (base_ == nullptr) return;
  // Dropping the pages of an anonymous mapping frees them; the kernel zeroes a page before it hands
  // it to anyone. Owners wipe their entries on removal, so this covers what is left at exit without
  // touching (and so faulting in) every page of a sparse table.
  (void)munlock(base_, size_);
  (void)madvise(base_, size_, MADV_DONTNEED);
  (void)munmap(base_, size_);
  base_ = nullptr;
}

}  // namespace penstock
