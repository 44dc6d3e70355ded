#include "controlplane/wireguard/cookie.h"

#include <cassert>

#include "controlplane/crypto/aead.h"

namespace penstock::wireguard {
namespace {

constexpr std::string_view kLabelMac1 = "mac1----";
constexpr std::string_view kLabelCookie = "cookie--";
constexpr size_t kMac2Offset = offsetof(MessageMacs, mac2);

// The trailing MACs and what each covers.
struct MacView {
  explicit MacView(Bytes message)
      : under_mac1(message.first(message.size() - sizeof(MessageMacs))),
        under_mac2(message.first(under_mac1.size() + kMac2Offset)),
        mac1(message.subspan(under_mac1.size(), sizeof(Mac128))),
        mac2(message.last(sizeof(Mac128))) {}
  Bytes under_mac1, under_mac2, mac1, mac2;
};

}  // namespace

void CookieChecker::set_public_key(const PublicKey& ours) {
  mac1_key_ = blake2s({bytes_of(kLabelMac1), ours});
  cookie_key_ = blake2s({bytes_of(kLabelCookie), ours});
}

bool CookieChecker::mac1_is_valid(Bytes message) const {
  const MacView view(message);
  return equal_constant_time(blake2s_mac128(mac1_key_.bytes(), view.under_mac1), view.mac1);
}

Mac128 CookieChecker::cookie_of(Nanoseconds now_ns, const Endpoint& source) {
  if (secret_made_ns_ < 0 || now_ns - secret_made_ns_ >= secret_lifetime_ns_) {
    random_.fill(secret_.mutable_bytes());
    secret_made_ns_ = now_ns;
  }
  uint8_t flat[18];
  Writer writer(flat);
  writer.bytes(source.address.bytes());
  writer.be16(source.port);
  return blake2s_mac128(secret_.bytes(), writer.written());
}

bool CookieChecker::mac2_is_valid(Nanoseconds now_ns, const Endpoint& source, Bytes message) {
  const MacView view(message);
  const Mac128 cookie = cookie_of(now_ns, source);
  return equal_constant_time(blake2s_mac128(cookie, view.under_mac2), view.mac2);
}

CookieReplyMessage CookieChecker::make_reply(Nanoseconds now_ns, const Endpoint& source,
                                             uint32_t receiver_index, Bytes message) {
  CookieReplyMessage reply{};
  reply.type.set(static_cast<uint32_t>(MessageType::kCookieReply));
  reply.receiver_index.set(receiver_index);
  random_.fill(reply.nonce);
  const Mac128 cookie = cookie_of(now_ns, source);
  xchacha20_poly1305_seal(cookie_key_, reply.nonce, MacView(message).mac1, cookie,
                          reply.encrypted_cookie);
  return reply;
}

CookieJar::CookieJar(const PublicKey& peer)
    : mac1_key_(blake2s({bytes_of(kLabelMac1), peer})),
      cookie_key_(blake2s({bytes_of(kLabelCookie), peer})) {}

void CookieJar::add_macs(Nanoseconds now_ns, Nanoseconds cookie_lifetime_ns, MutableBytes message) {
  const MacView view(message);
  last_mac1_ = blake2s_mac128(mac1_key_.bytes(), view.under_mac1);
  awaits_reply_ = true;
  std::copy(last_mac1_.begin(), last_mac1_.end(), message.end() - sizeof(MessageMacs));
  Mac128 mac2{};
  if (cookie_taken_ns_ >= 0 && now_ns - cookie_taken_ns_ < cookie_lifetime_ns) {
    mac2 = blake2s_mac128(cookie_, view.under_mac2);
  }
  std::copy(mac2.begin(), mac2.end(), message.end() - sizeof(Mac128));
}

bool CookieJar::take_reply(Nanoseconds now_ns, const CookieReplyMessage& reply) {
  if (!awaits_reply_) return false;
  Mac128 cookie{};
  if (!xchacha20_poly1305_open(cookie_key_, reply.nonce, last_mac1_, reply.encrypted_cookie,
                               cookie)) {
    return false;
  }
  cookie_ = cookie;
  cookie_taken_ns_ = now_ns;
  awaits_reply_ = false;
  return true;
}

}  // namespace penstock::wireguard
