#include "controlplane/wireguard/noise.h"

#include "controlplane/crypto/aead.h"
#include "controlplane/crypto/blake2s.h"
#include "controlplane/crypto/x25519.h"

namespace penstock::wireguard {
namespace {

constexpr std::string_view kConstruction = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
constexpr std::string_view kIdentifier = "WireGuard v1 zx2c4 Jason@zx2c4.com";

}  // namespace

NoiseState NoiseState::start(Bytes prologue, Bytes responder_static) {
  NoiseState state;
  state.chaining_key_ = blake2s({bytes_of(kConstruction)});
  state.hash_ = state.chaining_key_;
  state.mix_hash(prologue);
  state.mix_hash(responder_static);
  return state;
}

NoiseState start_wireguard(Bytes responder_static) {
  return NoiseState::start(bytes_of(kIdentifier), responder_static);
}

void NoiseState::mix_hash(Bytes data) { hash_ = blake2s({hash_.bytes(), data}); }

void NoiseState::mix_key(Bytes input) {
  Secret<32>* const outputs[] = {&chaining_key_, &key_};
  kdf_blake2s(chaining_key_, input, outputs);
}

void NoiseState::e(Bytes ephemeral_public) {
  mix_hash(ephemeral_public);
  // The key this would also yield is never used: a DH token follows in both messages.
  Secret<32>* const outputs[] = {&chaining_key_};
  kdf_blake2s(chaining_key_, ephemeral_public, outputs);
}

bool NoiseState::dh(const Secret<32>& our_private, Bytes their_public) {
  X25519Public point{};
  if (their_public.size() != point.size()) return false;
  std::copy(their_public.begin(), their_public.end(), point.begin());
  Secret<32> shared;
  return x25519(our_private, point, shared) && mix_shared(shared);
}

bool NoiseState::mix_shared(const Secret<32>& shared) {
  if (shared.is_zero()) return false;
  mix_key(shared.bytes());
  return true;
}

void NoiseState::psk(const Secret<32>& preshared_key) {
  Secret<32> tau;
  Secret<32>* const outputs[] = {&chaining_key_, &tau, &key_};
  kdf_blake2s(chaining_key_, preshared_key.bytes(), outputs);
  mix_hash(tau.bytes());
}

// The nonce is always 0: in this pattern a MixKey() stands before each encryption, so no key is
// used twice.
void NoiseState::seal(Bytes plain, MutableBytes out) {
  chacha20_poly1305_seal(key_, 0, hash_.bytes(), plain, out);
  mix_hash(out);
}

bool NoiseState::open(Bytes sealed, MutableBytes out) {
  if (!chacha20_poly1305_open(key_, 0, hash_.bytes(), sealed, out)) return false;
  mix_hash(sealed);
  return true;
}

TransportKeys NoiseState::split() const {
  TransportKeys keys;
  Secret<32>* const outputs[] = {&keys.initiator_to_responder, &keys.responder_to_initiator};
  kdf_blake2s(chaining_key_, {}, outputs);
  return keys;
}

}  // namespace penstock::wireguard
