// Room for many small objects of one type that workers read: close together, and all but the first
// few in huge pages, so that a look-up among thousands does not wait for a page table too.
//
// Threads: one at a time.
#pragma once

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace penstock {

template <class T>
class BlockPool {
 public:
  static constexpr size_t kFirstChunkBytes = size_t{16} << 10;
  static constexpr size_t kChunkBytes = size_t{2} << 20;  // a huge page

  BlockPool() = default;
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  // All objects must be gone.
  ~BlockPool() = default;

  // A new object. Throws std::bad_alloc, as `new` does.
  T* make() {
    if (free_.empty()) grow();
    T* block = free_.back();
    free_.pop_back();
    ASAN_UNPOISON_MEMORY_REGION(block, sizeof(T));
    return new (block) T();
  }

  void destroy(T* object) {
    object->~T();
    ASAN_POISON_MEMORY_REGION(object, sizeof(T));
    free_.push_back(object);  // has room since grow()
  }

 private:
  struct Free {
    void operator()(void* chunk) const { std::free(chunk); }
  };

  void grow() {
    const bool first = chunks_.empty();
    const size_t bytes = first ? kFirstChunkBytes : kChunkBytes;
    const size_t count = bytes / sizeof(T);
    chunks_.reserve(chunks_.size() + 1);
    free_.reserve(blocks_ + count);
    void* chunk = std::aligned_alloc(first ? alignof(T) : kChunkBytes, bytes);
    if (chunk == nullptr) throw std::bad_alloc();
    if (!first) (void)madvise(chunk, bytes, MADV_HUGEPAGE);  // a wish
    chunks_.emplace_back(chunk);
    blocks_ += count;
    ASAN_POISON_MEMORY_REGION(chunk, bytes);
    T* begin = static_cast<T*>(chunk);
    for (size_t i = count; i > 0; --i) free_.push_back(begin + i - 1);  // the lowest one first
  }

  std::vector<std::unique_ptr<void, Free>> chunks_;
  std::vector<T*> free_;
  size_t blocks_ = 0;
};

}  // namespace penstock
