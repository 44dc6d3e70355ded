#include "bench/path/raw_cipher.h"

#include <cstdio>
#include <cstdlib>

#include "dataplane/wire/esp.h"

namespace penstock::bench {
namespace {

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "bench: %s\n", what);
  std::exit(1);
}

const uint8_t kAad[16] = {};

uint32_t aad_bytes(const WorldOptions& options) {
  return options.protocol == TunnelProtocol::kEsp ? sizeof(EspHeader) : 0;
}

}  // namespace

RawCipher::RawCipher(World& world, bool encrypt)
    : world_(world),
      encrypt_(encrypt),
      offset_(payload_offset(world.options(), !encrypt)),
      manager_(alloc_mb_mgr(0)) {
  if (manager_ == nullptr) fail("no memory for ipsec-mb");
  init_mb_mgr_auto(manager_, nullptr);
  if (is_cbc(world.options().algorithm)) {
    auto engine = make_ipsec_mb_engine(world.options().algorithm);
    if (!engine.ok()) fail(engine.error().text.c_str());
    cbc_ = std::move(*engine);
  }
}

RawCipher::~RawCipher() { free_mb_mgr(manager_); }

void RawCipher::choose_keys(const std::vector<Item>& items) {
  TunnelTables& tunnels = *world_.tables().tunnels;
  const bool wireguard = world_.options().protocol == TunnelProtocol::kWireguard;
  keys_.clear();
  for (const Item& item : items) {
    const PeerKeys& peer = world_.peers()[item.peer];
    OutboundSa& outbound = tunnels.outbound(peer.outbound.slot);
    if (wireguard) {
      keys_.push_back(encrypt_ ? outbound.key : tunnels.inbound_slot_of(peer.receiver_index).key);
    } else {
      keys_.push_back(encrypt_ ? tunnels.outbound_key(outbound)
                               : tunnels.inbound_key(peer.receiver_index));
    }
  }
}

uint8_t* RawCipher::payload_of(const Item& item) const {
  return static_cast<uint8_t*>(item.mbuf->buf_addr) + RTE_PKTMBUF_HEADROOM + offset_;
}

void RawCipher::run(const std::vector<Item>& items, size_t first) {
  if (world_.options().algorithm == SaAlgorithm::kChacha20Poly1305) {
    run_chacha20_poly1305(items, first);
  } else if (cbc_ != nullptr) {
    run_cbc(items, first);
  } else {
    run_gcm(items, first);
  }
}

void RawCipher::run_chacha20_poly1305(const std::vector<Item>& items, size_t first) {
  IMB_JOB* jobs[kBurst];
  uint8_t nonces[kBurst][12];
  IMB_GET_NEXT_BURST(manager_, kBurst, jobs);
  for (size_t i = 0; i < kBurst; ++i) {
    const Item& item = items[first + i];
    IMB_JOB& job = *jobs[i];
    std::memset(nonces[i], 0, 12);
    job.cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job.hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job.cipher_direction = encrypt_ ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
    job.chain_order = encrypt_ ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job.key_len_in_bytes = 32;
    job.enc_keys = job.dec_keys = keys_[first + i];
    job.src = job.dst = payload_of(item);
    job.cipher_start_src_offset_in_bytes = 0;
    job.hash_start_src_offset_in_bytes = 0;
    job.msg_len_to_cipher_in_bytes = job.msg_len_to_hash_in_bytes =
        payload_bytes(world_.options(), item);
    job.iv = nonces[i];
    job.iv_len_in_bytes = 12;
    job.u.CHACHA20_POLY1305.aad = kAad;
    job.u.CHACHA20_POLY1305.aad_len_in_bytes = aad_bytes(world_.options());
    job.auth_tag_output = tags_[i];
    job.auth_tag_output_len_in_bytes = 16;
  }
  if (IMB_SUBMIT_BURST_NOCHECK(manager_, kBurst, jobs) != kBurst) {
    fail("ipsec-mb did not complete a burst");
  }
}

void RawCipher::run_gcm(const std::vector<Item>& items, size_t first) {
  const bool short_key = world_.options().algorithm == SaAlgorithm::kAes128Gcm16;
  const aes_gcm_enc_dec_t call = encrypt_
                                     ? (short_key ? manager_->gcm128_enc : manager_->gcm256_enc)
                                     : (short_key ? manager_->gcm128_dec : manager_->gcm256_dec);
  alignas(64) gcm_context_data context;
  uint8_t nonce[12] = {};
  for (size_t i = 0; i < kBurst; ++i) {
    const Item& item = items[first + i];
    uint8_t* data = payload_of(item);
    call(reinterpret_cast<const gcm_key_data*>(keys_[first + i]), &context, data, data,
         payload_bytes(world_.options(), item), nonce, kAad, aad_bytes(world_.options()), tags_[i],
         16);
  }
}

void RawCipher::run_cbc(const std::vector<Item>& items, size_t first) {
  AeadJob jobs[kBurst];
  for (size_t i = 0; i < kBurst; ++i) {
    const Item& item = items[first + i];
    jobs[i].key = keys_[first + i];
    jobs[i].data = payload_of(item);
    jobs[i].length = payload_bytes(world_.options(), item);
    jobs[i].tag = jobs[i].data + jobs[i].length;
    jobs[i].aad_length = sizeof(EspHeader) + kCbcIvBytes;
  }
  if (encrypt_) {
    cbc_->seal(jobs);
  } else {
    cbc_->open(jobs);
  }
}

}  // namespace penstock::bench
