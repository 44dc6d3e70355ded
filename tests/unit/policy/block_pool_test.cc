#include "dataplane/policy/block_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace penstock {
namespace {

struct alignas(64) Block {
  ~Block() { ++destroyed; }
  uint64_t words[8] = {};
  static inline size_t destroyed = 0;
};

constexpr size_t kOfFirstChunk = BlockPool<Block>::kFirstChunkBytes / sizeof(Block);
constexpr size_t kOfChunk = BlockPool<Block>::kChunkBytes / sizeof(Block);

TEST(BlockPool, GivesEachObjectRoomOfItsOwn) {
  BlockPool<Block> pool;
  std::set<Block*> blocks;
  for (size_t i = 0; i < kOfFirstChunk + kOfChunk + 1; ++i) {
    Block* block = pool.make();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % alignof(Block), 0U);
    for (uint64_t& word : block->words) word = i;
    ASSERT_TRUE(blocks.insert(block).second);
  }
  std::set<uint64_t> seen;
  for (const Block* block : blocks) {
    EXPECT_TRUE(std::all_of(block->words, block->words + 8,
                            [block](uint64_t word) { return word == block->words[0]; }));
    seen.insert(block->words[0]);
  }
  EXPECT_EQ(seen.size(), blocks.size());
  for (Block* block : blocks) pool.destroy(block);
}

TEST(BlockPool, GivesBackAnewWhatWasDestroyed) {
  BlockPool<Block> pool;
  Block* first = pool.make();
  first->words[3] = 1;
  Block::destroyed = 0;
  pool.destroy(first);
  EXPECT_EQ(Block::destroyed, 1U);
  Block* second = pool.make();
  EXPECT_EQ(second, first);
  EXPECT_EQ(second->words[3], 0U);
  pool.destroy(second);
}

// A few thousand lie within one huge page, the first of which begins one.
TEST(BlockPool, KeepsManyTogether) {
  BlockPool<Block> pool;
  std::vector<Block*> blocks;
  for (size_t i = 0; i < kOfFirstChunk + kOfChunk; ++i) blocks.push_back(pool.make());
  const auto address = [&](size_t i) { return reinterpret_cast<uintptr_t>(blocks[i]); };
  const uintptr_t huge = address(kOfFirstChunk);
  EXPECT_EQ(huge % BlockPool<Block>::kChunkBytes, 0U);
  for (size_t i = kOfFirstChunk; i < blocks.size(); ++i) {
    EXPECT_EQ(address(i) / BlockPool<Block>::kChunkBytes, huge / BlockPool<Block>::kChunkBytes);
  }
  for (Block* block : blocks) pool.destroy(block);
}

}  // namespace
}  // namespace penstock
