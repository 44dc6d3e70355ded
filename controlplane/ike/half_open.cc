#include "controlplane/ike/half_open.h"

#include <sodium.h>

namespace penstock::ike {
namespace {

constexpr size_t kMacBytes = 16;

IpPrefix network_of(const IpAddress& address) {
  return IpPrefix::make(address, address.is_v4() ? 32 : 64);
}

}  // namespace

void HalfOpenGuard::rotate(Nanoseconds now_ns) {
  const bool fresh = secret_made_ns_ >= 0;
  if (fresh && now_ns - secret_made_ns_ < options_.cookie_secret_lifetime_ns) return;
  previous_ = secret_;
  // Nothing of an age of two lifetimes is taken any more.
  const bool forgotten =
      !fresh || now_ns - secret_made_ns_ >= 2 * options_.cookie_secret_lifetime_ns;
  if (forgotten) random_.fill(previous_.mutable_bytes());
  random_.fill(secret_.mutable_bytes());
  ++version_;
  secret_made_ns_ = now_ns;
}

ByteVector HalfOpenGuard::cookie_under(const Secret<32>& secret, uint8_t version,
                                       const Endpoint& source, uint64_t spi_initiator,
                                       Bytes nonce) const {
  std::array<uint8_t, 11> fixed{};
  Writer writer(fixed);
  writer.u8(static_cast<uint8_t>(source.address.family()));
  writer.be16(source.port);
  writer.be64(spi_initiator);
  ByteVector cookie(1 + kMacBytes);
  cookie[0] = version;
  crypto_generichash_state state;
  crypto_generichash_init(&state, secret.data(), Secret<32>::size(), kMacBytes);
  crypto_generichash_update(&state, fixed.data(), fixed.size());
  const Bytes address = source.address.bytes();
  crypto_generichash_update(&state, address.data(), address.size());
  crypto_generichash_update(&state, nonce.data(), nonce.size());
  crypto_generichash_final(&state, cookie.data() + 1, kMacBytes);
  wipe(&state, sizeof state);
  return cookie;
}

ByteVector HalfOpenGuard::make_cookie(Nanoseconds now_ns, const Endpoint& source,
                                      uint64_t spi_initiator, Bytes nonce) {
  rotate(now_ns);
  return cookie_under(secret_, version_, source, spi_initiator, nonce);
}

bool HalfOpenGuard::cookie_is_valid(Nanoseconds now_ns, const Endpoint& source,
                                    uint64_t spi_initiator, Bytes nonce, Bytes cookie) {
  rotate(now_ns);
  if (cookie.size() != 1 + kMacBytes) return false;
  const uint8_t age = static_cast<uint8_t>(version_ - cookie[0]);
  if (age > 1) return false;
  const Secret<32>& secret = age == 0 ? secret_ : previous_;
  return equal_constant_time(cookie_under(secret, cookie[0], source, spi_initiator, nonce), cookie);
}

bool HalfOpenGuard::has_room(const IpAddress& source) const {
  if (count_ >= options_.half_open) return false;
  const auto found = sources_.find(network_of(source));
  return found == sources_.end() || found->second < options_.half_open_per_source;
}

void HalfOpenGuard::add(const IpAddress& source) {
  ++count_;
  ++sources_[network_of(source)];
}

void HalfOpenGuard::remove(const IpAddress& source) {
  const auto found = sources_.find(network_of(source));
  if (found == sources_.end()) return;
  --count_;
  if (--found->second == 0) sources_.erase(found);
}

}  // namespace penstock::ike
