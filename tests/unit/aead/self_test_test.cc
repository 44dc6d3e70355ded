// What the self-test refuses, the engines of a worker, and the source of initialisation vectors.
#include <gtest/gtest.h>

#include <array>
#include <set>

#include "dataplane/crypto/aead.h"
#include "dataplane/crypto/cbc_iv.h"
#include "tests/unit/aead/packets.h"

namespace penstock {
namespace {

TEST(AeadEngines, create_one_of_each_algorithm) {
  auto engines = AeadEngines::create();
  ASSERT_TRUE(engines.ok()) << engines.error().text;
  for (const SaAlgorithm algorithm : kAlgorithms) {
    EXPECT_TRUE(aead_self_test(engines->of(algorithm), algorithm).ok());
  }
}

// An engine that works but for one thing, so that the self-test is seen to refuse it.
class FlawedEngine final : public AeadEngine {
 public:
  enum class Flaw { kNone, kTagNotChecked, kOnePacketSkipped, kNotDeciphered };
  FlawedEngine(AeadEngine& right, Flaw flaw) : right_(right), flaw_(flaw) {}

  void seal(std::span<AeadJob> jobs) override {
    const bool skip = flaw_ == Flaw::kOnePacketSkipped && jobs.size() == kAeadMaxBurst;
    right_.seal(jobs.first(jobs.size() - (skip ? 1 : 0)));
    if (skip) jobs.back().ok = true;
  }
  void open(std::span<AeadJob> jobs) override {
    if (flaw_ != Flaw::kNotDeciphered) right_.open(jobs);
    for (AeadJob& job : jobs) {
      if (flaw_ == Flaw::kTagNotChecked) job.ok = true;
    }
  }
  void expand_key(const SaKeys& keys, void* to) const override { right_.expand_key(keys, to); }
  [[nodiscard]] std::string description() const override { return "flawed"; }

 private:
  AeadEngine& right_;
  Flaw flaw_;
};

TEST(AeadSelfTest, flawed_engine_refused) {
  using Flaw = FlawedEngine::Flaw;
  for (const SaAlgorithm algorithm : kAlgorithms) {
    auto right = make_reference_engine(algorithm);
    ASSERT_TRUE(right.ok());
    for (const Flaw flaw :
         {Flaw::kNone, Flaw::kTagNotChecked, Flaw::kOnePacketSkipped, Flaw::kNotDeciphered}) {
      FlawedEngine engine(**right, flaw);
      EXPECT_EQ(aead_self_test(engine, algorithm).ok(), flaw == Flaw::kNone);
    }
  }
}

TEST(AeadSelfTest, engine_of_another_algorithm_refused) {
  for (const SaAlgorithm algorithm : kAlgorithms) {
    auto engine = make_reference_engine(algorithm);
    ASSERT_TRUE(engine.ok());
    for (const SaAlgorithm other : kAlgorithms) {
      if (is_cbc(algorithm) != is_cbc(other)) continue;  // their jobs are laid out differently
      EXPECT_EQ(aead_self_test(**engine, other).ok(), other == algorithm)
          << name_of(algorithm) << " as " << name_of(other);
    }
  }
}

TEST(CbcIv, two_sources_and_many_vectors_all_different) {
  SystemRandom random;
  CbcIvSource one(random), other(random);
  std::set<std::array<uint8_t, kCbcIvBytes>> seen;
  constexpr size_t kCount = 10'000;
  for (size_t i = 0; i < kCount; ++i) {
    for (CbcIvSource* source : {&one, &other}) {
      std::array<uint8_t, kCbcIvBytes> iv{};
      source->next(iv.data());
      seen.insert(iv);
    }
  }
  EXPECT_EQ(seen.size(), 2 * kCount);
}

// CVE-2022-46397: a vector that can be foretold. Every bit is about as often set as not, and as
// often equal to that of the vector before as not.
TEST(CbcIv, bits_neither_lean_nor_follow_the_vector_before) {
  SystemRandom random;
  CbcIvSource source(random);
  constexpr int kCount = 20'000;
  std::array<int, kCbcIvBytes * 8> set{}, same{};
  std::array<uint8_t, kCbcIvBytes> before{};
  for (int i = 0; i < kCount; ++i) {
    std::array<uint8_t, kCbcIvBytes> iv{};
    source.next(iv.data());
    for (size_t bit = 0; bit < set.size(); ++bit) {
      const int now = iv[bit / 8] >> bit % 8 & 1;
      set[bit] += now;
      same[bit] += now == (before[bit / 8] >> bit % 8 & 1) ? 1 : 0;
    }
    before = iv;
  }
  for (size_t bit = 0; bit < set.size(); ++bit) {
    // Seven standard deviations.
    EXPECT_NEAR(set[bit], kCount / 2, 495) << bit;
    EXPECT_NEAR(same[bit], kCount / 2, 495) << bit;
  }
}

}  // namespace
}  // namespace penstock
