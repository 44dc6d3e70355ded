// The memory that the nodes of one PrefixTrie live in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "gateway/base/result.h"

namespace penstock::trie {

// One stretch of reserved address space, handed out in 64-byte units and never moved, so that a
// 30-bit unit number names a block and readers need no table to find it. Pages are taken from the
// system when a block is first used. For the control thread; readers only follow references.
class Arena {
 public:
  static Result<std::shared_ptr<Arena>> create(size_t capacity_bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  static constexpr uint32_t kNoUnit = UINT32_MAX;
  // A block of `units`, its contents unspecified, or kNoUnit: full. Sizes are few: freed blocks are
  // used again for the same size only.
  uint32_t allocate(uint32_t units);
  void release(uint32_t unit, uint32_t units);

  [[nodiscard]] uint8_t* base() const { return base_; }
  [[nodiscard]] size_t used_bytes() const;

 private:
  Arena(uint8_t* base, size_t bytes) : base_(base), bytes_(bytes) {}

  struct FreeList {
    uint32_t units = 0;
    std::vector<uint32_t> blocks;
  };
  FreeList& free_list(uint32_t units);

  uint8_t* base_;
  size_t bytes_;
  uint32_t next_unit_ = 0;
  size_t used_units_ = 0;
  std::vector<FreeList> free_;
};

}  // namespace penstock::trie
