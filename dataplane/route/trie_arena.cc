#include "dataplane/route/trie_arena.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "dataplane/route/trie_node.h"

namespace penstock::trie {

Result<std::shared_ptr<Arena>> Arena::create(size_t capacity_bytes) {
  constexpr size_t kMostBytes = (size_t{1} << 30) * kUnitBytes;  // what a Reference can name
  if (capacity_bytes < sizeof(Node) || capacity_bytes > kMostBytes) {
    return errorf("prefix table of %zu bytes: must be %zu to %zu", capacity_bytes, sizeof(Node),
                  kMostBytes);
  }
  void* memory = mmap(nullptr, capacity_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return errorf("prefix table: cannot reserve %zu bytes: %s", capacity_bytes,
                  std::strerror(errno));
  }
  (void)madvise(memory, capacity_bytes, MADV_HUGEPAGE);  // a wish: fewer TLB misses in lookups
  return std::shared_ptr<Arena>(new Arena(static_cast<uint8_t*>(memory), capacity_bytes));
}

Arena::~Arena() { munmap(base_, bytes_); }

Arena::FreeList& Arena::free_list(uint32_t units) {
  for (FreeList& list : free_) {
    if (list.units == units) return list;
  }
  return free_.emplace_back(FreeList{units, {}});
}

uint32_t Arena::allocate(uint32_t units) {
  FreeList& list = free_list(units);
  uint32_t unit = kNoUnit;
  if (!list.blocks.empty()) {
    unit = list.blocks.back();
    list.blocks.pop_back();
  } else if ((size_t{next_unit_} + units) * kUnitBytes <= bytes_) {
    unit = next_unit_;
    next_unit_ += units;
  } else {
    return kNoUnit;
  }
  used_units_ += units;
  return unit;
}

void Arena::release(uint32_t unit, uint32_t units) {
  free_list(units).blocks.push_back(unit);
  used_units_ -= units;
}

size_t Arena::used_bytes() const { return used_units_ * kUnitBytes; }

}  // namespace penstock::trie
