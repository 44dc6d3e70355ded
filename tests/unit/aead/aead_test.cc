// The ipsec-mb engine, on every instruction set that this CPU has, against the reference.
#include "dataplane/crypto/aead.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tuple>
#include <vector>

#include "gateway/base/bytes.h"
#include "tests/unit/aead/packets.h"

namespace penstock {
namespace {

using Parameters = std::tuple<AeadPath, SaAlgorithm>;

class Aead : public testing::TestWithParam<Parameters> {
 protected:
  void SetUp() override {
    auto engine = make_ipsec_mb_engine(algorithm(), std::get<AeadPath>(GetParam()));
    if (!engine.ok()) {
      ASSERT_NE(std::get<AeadPath>(GetParam()), AeadPath::kBest) << engine.error().text;
      GTEST_SKIP() << engine.error().text;
    }
    engine_ = std::move(*engine);
    auto reference = make_reference_engine(algorithm());
    ASSERT_TRUE(reference.ok()) << reference.error().text;
    reference_ = std::move(*reference);
  }

  static SaAlgorithm algorithm() { return std::get<SaAlgorithm>(GetParam()); }

  // Seals with both, compares, opens again.
  void expect_same_as_reference(std::vector<Packet> packets) {
    const std::vector<Packet> clear = packets;
    std::vector<Packet> expected = packets;
    Keyed keyed(*engine_, algorithm()), expected_keyed(*reference_, algorithm());
    auto jobs = keyed.jobs_of(packets);
    auto expected_jobs = expected_keyed.jobs_of(expected);
    engine_->seal(jobs);
    reference_->seal(expected_jobs);
    for (size_t i = 0; i < packets.size(); ++i) {
      ASSERT_TRUE(jobs[i].ok);
      ASSERT_TRUE(expected_jobs[i].ok);
      ASSERT_EQ(packets[i].buffer, expected[i].buffer) << i << " of " << packets.size();
    }
    for (AeadJob& job : jobs) job.ok = false;
    engine_->open(jobs);
    for (size_t i = 0; i < packets.size(); ++i) {
      ASSERT_TRUE(jobs[i].ok);
      const size_t text = packets[i].front + packets[i].length;
      ASSERT_TRUE(
          equal_bytes(Bytes(packets[i].buffer).first(text), Bytes(clear[i].buffer).first(text)));
      ASSERT_TRUE(equal_bytes(Bytes(packets[i].buffer).subspan(text),
                              Bytes(expected[i].buffer).subspan(text)))
          << "open leaves the packet's tag alone";
    }
  }

  std::unique_ptr<AeadEngine> engine_;
  std::unique_ptr<AeadEngine> reference_;
};

TEST_P(Aead, every_length_to_2048_same_as_reference) {
  Random random(1);
  const size_t step = is_cbc(algorithm()) ? kCbcBlockBytes : 1;
  for (size_t first = 0; first <= 2048; first += kAeadMaxBurst * step) {
    std::vector<Packet> packets;
    for (size_t length = first; length < first + kAeadMaxBurst * step && length <= 2048;
         length += step) {
      packets.push_back(random_packet(random, algorithm(), length, 8));
    }
    expect_same_as_reference(std::move(packets));
  }
}

TEST_P(Aead, every_burst_size_same_as_reference) {
  Random random(7);
  for (size_t count = 1; count <= kAeadMaxBurst; ++count) {
    std::vector<Packet> packets;
    for (size_t i = 0; i < count; ++i) {
      packets.push_back(random_packet(random, algorithm(), random() % 300, 8));
    }
    expect_same_as_reference(std::move(packets));
  }
}

TEST_P(Aead, random_bursts_with_aad_same_as_reference) {
  Random random(2);
  for (int round = 0; round < 200; ++round) {
    std::vector<Packet> packets;
    const size_t count = 1 + random() % kAeadMaxBurst;
    for (size_t i = 0; i < count; ++i) {
      const size_t length = random() % 8 == 0 ? random() % 9000 : random() % 1500;
      const size_t aad_length = random() % 3 == 0 ? 0 : random() % 70;
      packets.push_back(
          random_packet(random, algorithm(), random() % 16 == 0 ? 0 : length, aad_length));
    }
    expect_same_as_reference(std::move(packets));
  }
}

// An open burst between seal bursts, and packets of one key among others.
TEST_P(Aead, burst_of_one_key_same_as_reference) {
  Random random(8);
  std::vector<Packet> packets;
  for (size_t i = 0; i < kAeadMaxBurst; ++i) {
    packets.push_back(random_packet(random, algorithm(), random() % 200, 8));
    packets.back().keys = packets.front().keys;
  }
  expect_same_as_reference(std::move(packets));
}

TEST_P(Aead, empty_burst_does_nothing) {
  engine_->seal({});
  engine_->open({});
}

// What a forger changed.
enum class Forgery { kTag, kData, kAad, kNonce, kKey, kSequenceHigh, kCount };

void forge(Packet& packet, SaAlgorithm algorithm, Forgery what, Random& random) {
  const auto flip = [&random](MutableBytes bytes) {
    bytes[random() % bytes.size()] ^= static_cast<uint8_t>(1U << random() % 8);
  };
  const bool cbc = is_cbc(algorithm);
  switch (what) {
    case Forgery::kTag:
      return flip({packet.tag(), kAeadTagBytes});
    case Forgery::kData:
      return flip({packet.data(), packet.length});
    case Forgery::kAad:
      if (!cbc) return flip(packet.aad);
      return flip({packet.buffer.data(), packet.front - kCbcIvBytes});
    case Forgery::kNonce:
      if (!cbc) return flip(packet.nonce);
      return flip({packet.data() - kCbcIvBytes, kCbcIvBytes});
    case Forgery::kKey:
      if (!cbc) return flip(packet.keys.cipher_key.mutable_bytes().first(16));
      return flip(packet.keys.auth_key.mutable_bytes());
    case Forgery::kSequenceHigh:
      if (packet.appends) {
        packet.sequence_high ^= 1U << random() % 32;
      } else if (cbc) {
        packet.appends = true;  // shifts the end of the message
      } else {
        flip({packet.tag(), kAeadTagBytes});
      }
      return;
    case Forgery::kCount:
      return;
  }
}

TEST_P(Aead, forged_packet_at_every_index_of_every_burst_refused_alone) {
  Random random(3);
  std::vector<Packet> sealed;
  for (size_t i = 0; i < kAeadMaxBurst; ++i) {
    sealed.push_back(random_packet(random, algorithm(), 1 + random() % 200, 1 + random() % 20));
  }
  const std::vector<Packet> clear = sealed;
  Keyed reference_keyed(*reference_, algorithm());
  auto seal_jobs = reference_keyed.jobs_of(sealed);
  reference_->seal(seal_jobs);
  for (size_t count = 1; count <= kAeadMaxBurst; ++count) {
    for (size_t forged = 0; forged < count; ++forged) {
      std::vector<Packet> packets(sealed.begin(), sealed.begin() + static_cast<long>(count));
      const auto what = static_cast<Forgery>(random() % static_cast<size_t>(Forgery::kCount));
      forge(packets[forged], algorithm(), what, random);
      Keyed keyed(*engine_, algorithm());
      auto jobs = keyed.jobs_of(packets);
      engine_->open(jobs);
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(jobs[i].ok, i != forged) << forged << " of " << count;
        if (i == forged) continue;
        ASSERT_TRUE(equal_bytes({packets[i].data(), packets[i].length},
                                Bytes(clear[i].buffer).subspan(clear[i].front, clear[i].length)))
            << forged << " of " << count;
      }
    }
  }
}

TEST_P(Aead, every_bit_of_the_tag_counts) {
  Random random(4);
  Packet packet = random_packet(random, algorithm(), 64, 8);
  Keyed reference_keyed(*reference_, algorithm());
  AeadJob job = reference_keyed.job_of(packet);
  reference_->seal({&job, 1});
  const Packet sealed = packet;
  Keyed keyed(*engine_, algorithm());
  for (size_t bit = 0; bit < kAeadTagBytes * 8; ++bit) {
    packet = sealed;
    packet.tag()[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    job = keyed.job_of(packet);
    engine_->open({&job, 1});
    ASSERT_FALSE(job.ok) << bit;
  }
}

// A page that ends where memory ends: a read or write past a buffer put at its end faults.
class GuardedPages {
 public:
  explicit GuardedPages(size_t size) {
    page_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_ = (size + page_ - 1) / page_ * page_;
    all_ = static_cast<uint8_t*>(
        mmap(nullptr, size_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(all_ + page_, size_, PROT_READ | PROT_WRITE);
  }
  ~GuardedPages() { munmap(all_, size_ + 2 * page_); }
  GuardedPages(const GuardedPages&) = delete;
  GuardedPages& operator=(const GuardedPages&) = delete;
  uint8_t* first() { return all_ + page_; }
  uint8_t* ending(size_t length) { return all_ + page_ + size_ - length; }

 private:
  size_t page_;
  size_t size_;
  uint8_t* all_;
};

// Every buffer of a packet ends (or begins) at the edge of memory, whatever its length, but for the
// room stated in aead.h: of the data that is the tag behind it.
TEST_P(Aead, buffers_at_the_edge_of_memory_no_fault) {
  Random random(5);
  const size_t key_bytes = expanded_key_bytes(algorithm());
  GuardedPages packet_pages(4096), aad_pages(64), key_pages(key_bytes);
  for (const bool at_end : {true, false}) {
    for (size_t length = 0; length <= 1600; ++length) {
      Packet packet = random_packet(random, algorithm(), length, length % 65);
      const auto place = [at_end](GuardedPages& pages, Bytes bytes) {
        uint8_t* to = at_end ? pages.ending(bytes.size()) : pages.first();
        std::copy(bytes.begin(), bytes.end(), to);
        return to;
      };
      Keyed keyed(*engine_, algorithm());
      AeadJob job = keyed.job_of(packet);
      job.key = place(key_pages, {static_cast<const uint8_t*>(job.key), key_bytes});
      job.data = place(packet_pages, packet.buffer) + packet.front;
      job.tag = job.data + packet.length;
      job.aad = place(aad_pages, packet.aad);
      engine_->seal({&job, 1});
      ASSERT_TRUE(job.ok);
      engine_->open({&job, 1});
      ASSERT_TRUE(job.ok);
      ASSERT_TRUE(equal_bytes({job.data, packet.length}, {packet.data(), packet.length})) << length;
    }
  }
}

TEST_P(Aead, bytes_around_the_packet_stay_as_they_were) {
  Random random(6);
  for (size_t length = 0; length <= 600; ++length) {
    Packet packet = random_packet(random, algorithm(), length, 12);
    ByteVector around(packet.buffer.size() + 128, 0xa5);
    Keyed keyed(*engine_, algorithm());
    AeadJob job = keyed.job_of(packet);
    std::copy(packet.buffer.begin(), packet.buffer.end(), around.begin() + 64);
    job.data = around.data() + 64 + packet.front;
    job.tag = job.data + packet.length;
    engine_->seal({&job, 1});
    engine_->open({&job, 1});
    ASSERT_TRUE(job.ok);
    ASSERT_TRUE(equal_bytes(Bytes(around).subspan(64, packet.front),
                            Bytes(packet.buffer).first(packet.front)));
    for (size_t i = 0; i < 64; ++i) {
      ASSERT_EQ(around[i], 0xa5);
      ASSERT_EQ(around[around.size() - 1 - i], 0xa5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, Aead,
                         testing::Combine(testing::Values(AeadPath::kBest, AeadPath::kSse,
                                                          AeadPath::kAvx, AeadPath::kAvx2,
                                                          AeadPath::kAvx512),
                                          testing::ValuesIn(kAlgorithms)),
                         [](const auto& parameters) {
                           return name_of(std::get<SaAlgorithm>(parameters.param)) + "_" +
                                  name_of(std::get<AeadPath>(parameters.param));
                         });

// A ChaCha20 key lies among an SA's other fields.
TEST(AeadKey, chacha20_key_of_32_bytes_at_the_edge_of_memory_no_fault) {
  constexpr auto kAlgorithm = SaAlgorithm::kChacha20Poly1305;
  constexpr size_t kKeyBytes = 32 + kAeadReadPastKeyBytes;
  Random random(10);
  GuardedPages key_pages(kKeyBytes);
  for (const AeadPath path : {AeadPath::kBest, AeadPath::kSse, AeadPath::kAvx, AeadPath::kAvx2}) {
    auto engine = make_ipsec_mb_engine(kAlgorithm, path);
    if (!engine.ok()) continue;
    for (size_t length = 0; length <= 600; ++length) {
      Packet packet = random_packet(random, kAlgorithm, length, 0);
      Keyed keyed(**engine, kAlgorithm);
      AeadJob job = keyed.job_of(packet);
      std::memcpy(key_pages.ending(kKeyBytes), packet.keys.cipher_key.data(), 32);
      job.key = key_pages.ending(kKeyBytes);
      (*engine)->seal({&job, 1});
      (*engine)->open({&job, 1});
      ASSERT_TRUE(job.ok);
    }
  }
}

TEST(AeadKey, expand_key_by_itself_makes_the_key_of_the_best_path) {
  Random random(9);
  for (const SaAlgorithm algorithm : kAlgorithms) {
    auto engine = make_ipsec_mb_engine(algorithm);
    auto reference = make_reference_engine(algorithm);
    ASSERT_TRUE(engine.ok() && reference.ok());
    Packet packet = random_packet(random, algorithm, 100, 8);
    Packet expected = packet;
    Keyed keyed(**engine, algorithm), reference_keyed(**reference, algorithm);
    AeadJob job = keyed.job_of(packet);
    ExpandedKey key;
    ASSERT_TRUE(expand_key(algorithm, packet.keys, key.bytes).ok());
    job.key = key.bytes;
    (*engine)->seal({&job, 1});
    AeadJob expected_job = reference_keyed.job_of(expected);
    (*reference)->seal({&expected_job, 1});
    EXPECT_EQ(packet.buffer, expected.buffer);
  }
}

}  // namespace
}  // namespace penstock
