// The packet ciphers: the engines over packets out of 256 buffers that stay in cache, or 8,192 that
// do not, under one key or under 10,000 in random order; and the library's other calls beside them.
#include <intel-ipsec-mb.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "bench/micro/cycles.h"
#include "dataplane/crypto/aead.h"
#include "gateway/base/random.h"

namespace penstock {
namespace {

constexpr size_t kBufferBytes = 2432;            // with the buffer's own header, as in a pool
constexpr size_t kHeaderBytes = 128 + 128 + 58;  // that header, headroom, Ethernet to ESP header
constexpr uint32_t kEspHeaderBytes = 8;

struct Algorithm {
  SaAlgorithm id;
  const char* name;
};
constexpr Algorithm kAlgorithms[] = {{SaAlgorithm::kChacha20Poly1305, "chacha20poly1305"},
                                     {SaAlgorithm::kAes128Gcm16, "aes128gcm"},
                                     {SaAlgorithm::kAes256Gcm16, "aes256gcm"},
                                     {SaAlgorithm::kAes128CbcSha256, "aes128cbc-sha256"},
                                     {SaAlgorithm::kAes256CbcSha256, "aes256cbc-sha256"}};

// Keys by slot, as the SA tables have them.
class Keys {
 public:
  Keys(const AeadEngine& engine, size_t count) : count_(count) {
    auto arena = SecretArena::create(count * kExpandedKeyStrideBytes);
    if (!arena.ok()) return;
    arena_ = std::move(*arena);
    SystemRandom random;
    for (size_t i = 0; i < count; ++i) {
      SaKeys keys;
      random.fill(keys.cipher_key.mutable_bytes());
      random.fill(keys.auth_key.mutable_bytes());
      engine.expand_key(keys, arena_.data() + i * kExpandedKeyStrideBytes);
    }
  }
  [[nodiscard]] bool ok() const { return arena_.data() != nullptr; }
  [[nodiscard]] const void* any(std::mt19937_64& random) const {
    return arena_.data() + random() % count_ * kExpandedKeyStrideBytes;
  }

 private:
  size_t count_;
  SecretArena arena_;
};

struct Traffic {
  std::vector<uint8_t> memory;
  std::vector<AeadJob> jobs;
  std::mt19937_64 random{1};

  Traffic(SaAlgorithm algorithm, size_t packets, size_t length)
      : memory(packets * kBufferBytes, 0x5a), jobs(packets) {
    for (size_t i = 0; i < packets; ++i) {
      AeadJob& job = jobs[i];
      job.data = memory.data() + i * kBufferBytes + kHeaderBytes;
      job.length = static_cast<uint32_t>(length);
      job.aad_length = kEspHeaderBytes;
      if (is_cbc(algorithm)) {
        job.length = (job.length + kCbcBlockBytes - 1) / kCbcBlockBytes * kCbcBlockBytes;
        job.aad_length += kCbcIvBytes;
      }
      job.aad = job.data - 16;
      job.tag = job.data + job.length;
      std::memcpy(job.nonce + 4, &i, sizeof i);
    }
  }
  void draw_keys(const Keys& keys) {
    for (AeadJob& job : jobs) job.key = keys.any(random);
  }
};

// Bursts divide it.
constexpr size_t kSlice = 64;

enum class Direction { kSeal, kOpen };

// Arguments: bytes, burst, keys, buffers.
void aead_engine(benchmark::State& state, SaAlgorithm algorithm, Direction direction) {
  auto created = make_ipsec_mb_engine(algorithm);
  if (!created.ok()) return state.SkipWithError(created.error().text.c_str());
  AeadEngine& engine = **created;
  const auto burst = static_cast<size_t>(state.range(1));
  const auto packets = static_cast<size_t>(state.range(3));
  const Keys keys(engine, static_cast<size_t>(state.range(2)));
  if (!keys.ok()) return state.SkipWithError("no memory for keys");
  Traffic traffic(algorithm, packets, static_cast<size_t>(state.range(0)));
  const std::span<AeadJob> all = traffic.jobs;
  const auto seal = [&](size_t first) {
    for (size_t at = first; at < first + kSlice; at += burst) engine.seal(all.subspan(at, burst));
  };
  const auto open = [&](size_t first) {
    for (size_t at = first; at < first + kSlice; at += burst) engine.open(all.subspan(at, burst));
  };
  if (direction == Direction::kSeal) {
    measure_cycles(
        state, packets, kSlice, [&] { traffic.draw_keys(keys); }, seal);
  } else {
    // With several keys, sealing would leave those of the last packets in cache: what is opened is
    // forged then, which costs as much.
    traffic.draw_keys(keys);
    const auto prepare = [&] {
      if (state.range(2) > 1) return traffic.draw_keys(keys);
      for (size_t at = 0; at < packets; at += kSlice) seal(at);
    };
    measure_cycles(state, packets, kSlice, prepare, open);
  }
  bool ok = true;
  for (const AeadJob& job : all) ok = ok && job.ok;
  if (!ok && (direction == Direction::kSeal || state.range(2) == 1)) {
    state.SkipWithError("a packet failed");
  }
  state.SetLabel(engine.description());
}

void set_constants(IMB_JOB& job, SaAlgorithm algorithm) {
  std::memset(static_cast<void*>(&job), 0, sizeof job);
  job.cipher_direction = IMB_DIR_ENCRYPT;
  job.chain_order = IMB_ORDER_CIPHER_HASH;
  job.auth_tag_output_len_in_bytes = kAeadTagBytes;
  job.iv_len_in_bytes = kAeadNonceBytes;
  job.key_len_in_bytes = cipher_key_bytes(algorithm);
  if (algorithm == SaAlgorithm::kChacha20Poly1305) {
    job.cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job.hash_alg = IMB_AUTH_CHACHA20_POLY1305;
  } else if (is_cbc(algorithm)) {
    job.cipher_mode = IMB_CIPHER_CBC;
    job.hash_alg = IMB_AUTH_HMAC_SHA_256;
    job.iv_len_in_bytes = kCbcIvBytes;
  } else {
    job.cipher_mode = IMB_CIPHER_GCM;
    job.hash_alg = IMB_AUTH_AES_GMAC;
  }
}

// The layout of a CBC key is that of dataplane/crypto/ipsec_mb.h.
void set_packet(IMB_JOB& job, const AeadJob& from, SaAlgorithm algorithm) {
  const auto* key = static_cast<const uint8_t*>(from.key);
  job.src = job.dst = from.data;
  job.enc_keys = job.dec_keys = key;
  job.msg_len_to_cipher_in_bytes = job.msg_len_to_hash_in_bytes = from.length;
  job.iv = from.nonce;
  job.auth_tag_output = from.tag;
  if (is_cbc(algorithm)) {
    job.u.HMAC._hashed_auth_key_xor_ipad = key;
    job.u.HMAC._hashed_auth_key_xor_opad = key + 32;
    job.enc_keys = key + 64;
    job.src = from.data - from.aad_length;
    job.cipher_start_src_offset_in_bytes = from.aad_length;
    job.msg_len_to_hash_in_bytes = from.aad_length + from.length;
    job.iv = from.data - kCbcIvBytes;
  } else {  // GCM and ChaCha20-Poly1305 have them in the same place
    job.u.GCM.aad = from.aad;
    job.u.GCM.aad_len_in_bytes = from.aad_length;
  }
}

// The library's job bursts over as many packets as it has jobs, each prepared once for good.
void aead_job_burst(benchmark::State& state, SaAlgorithm algorithm) {
  auto engine = make_ipsec_mb_engine(algorithm);
  IMB_MGR* manager = alloc_mb_mgr(0);
  if (manager == nullptr || !engine.ok()) return state.SkipWithError("no ipsec-mb");
  init_mb_mgr_auto(manager, nullptr);
  const Keys keys(**engine, 1);
  if (!keys.ok()) return state.SkipWithError("no memory for keys");
  Traffic traffic(algorithm, IMB_MAX_JOBS, static_cast<size_t>(state.range(0)));
  traffic.draw_keys(keys);
  const auto burst = static_cast<uint32_t>(state.range(1));
  for (size_t i = 0; i < IMB_MAX_JOBS; ++i) {
    set_constants(manager->jobs[i], algorithm);
    set_packet(manager->jobs[i], traffic.jobs[i], algorithm);
  }
  bool ok = true;
  measure_cycles(
      state, IMB_MAX_JOBS, kSlice, [] {},
      [&](size_t) {
        for (size_t at = 0; at < kSlice; at += burst) {
          IMB_JOB* jobs[kAeadMaxBurst];
          ok = IMB_GET_NEXT_BURST(manager, burst, jobs) == burst && ok;
          uint32_t done = IMB_SUBMIT_BURST_NOCHECK(manager, burst, jobs);
          while (done < burst) {
            const uint32_t more = IMB_FLUSH_BURST(manager, burst - done, jobs);
            if (more == 0) break;
            done += more;
          }
          ok = done == burst && ok;
        }
      });
  if (!ok) state.SkipWithError("a burst did not complete");
  free_mb_mgr(manager);
}

// The library's calls for one packet at a time.
void chacha20_poly1305_direct(benchmark::State& state) {
  IMB_MGR* manager = alloc_mb_mgr(0);
  if (manager == nullptr) return state.SkipWithError("no memory");
  init_mb_mgr_auto(manager, nullptr);
  Traffic traffic(SaAlgorithm::kChacha20Poly1305, IMB_MAX_JOBS,
                  static_cast<size_t>(state.range(0)));
  const uint8_t key[32 + kAeadReadPastKeyBytes] = {};
  chacha20_poly1305_context_data context;
  measure_cycles(
      state, IMB_MAX_JOBS, kSlice, [] {},
      [&](size_t first) {
        for (AeadJob& job : std::span(traffic.jobs).subspan(first, kSlice)) {
          IMB_CHACHA20_POLY1305_INIT(manager, key, &context, job.nonce, job.aad, job.aad_length);
          IMB_CHACHA20_POLY1305_ENC_UPDATE(manager, key, &context, job.data, job.data, job.length);
          IMB_CHACHA20_POLY1305_ENC_FINALIZE(manager, &context, job.tag, kAeadTagBytes);
        }
      });
  free_mb_mgr(manager);
}

void register_cases() {
  const auto settings = [](benchmark::internal::Benchmark* bench) {
    bench->ArgNames({"bytes", "burst", "keys", "buffers"})->MinTime(0.2)->UseManualTime();
  };
  for (const Algorithm& algorithm : kAlgorithms) {
    const SaAlgorithm id = algorithm.id;
    const std::string name = algorithm.name;
    for (const Direction direction : {Direction::kSeal, Direction::kOpen}) {
      auto* bench = benchmark::RegisterBenchmark(
          ((direction == Direction::kSeal ? "aead_seal/" : "aead_open/") + name).c_str(),
          [id, direction](benchmark::State& state) { aead_engine(state, id, direction); });
      settings(bench);
      for (const int64_t bytes : {64, 512, 1420}) {
        for (const int64_t keys : {1, 10'000}) {
          for (const int64_t buffers : {256, 8192}) bench->Args({bytes, 32, keys, buffers});
        }
        // How much the size of a burst matters.
        for (const int64_t burst : {1, 8, 16, 64}) bench->Args({bytes, burst, 1, 256});
      }
    }
    auto* raw =
        benchmark::RegisterBenchmark(("aead_job_burst_seal/" + name).c_str(),
                                     [id](benchmark::State& state) { aead_job_burst(state, id); });
    raw->ArgNames({"bytes", "burst"})->MinTime(0.2)->UseManualTime();
    for (const int64_t bytes : {64, 512, 1408}) raw->Args({bytes, 32});
  }
  benchmark::RegisterBenchmark("aead_direct_seal/chacha20poly1305", chacha20_poly1305_direct)
      ->ArgName("bytes")
      ->Arg(64)
      ->Arg(512)
      ->Arg(1420)
      ->UseManualTime();
}

[[maybe_unused]] const bool kRegistered = (register_cases(), true);

}  // namespace
}  // namespace penstock
