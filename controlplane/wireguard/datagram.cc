// What a handshake message must show before a curve is computed for it, cheapest first:
// length -> MAC1 -> under load: MAC2, else a cookie reply -> rate of its source (paper 5.3).
#include "controlplane/wireguard/core.h"

namespace penstock::wireguard {
namespace {

template <class Message>
const Message* message_of(MessageType type, Bytes payload) {
  if (payload.size() != sizeof(Message)) return nullptr;
  const auto* const message = header_at<Message>(payload);
  return message->type.get() == static_cast<uint32_t>(type) ? message : nullptr;
}

}  // namespace

void Device::Core::on_datagram(const Now& now, const Endpoint& source, const Endpoint& destination,
                               WorkerId worker, Bytes payload) {
  const Arrival arrival{source, destination, worker};
  if (const auto* const initiation =
          message_of<InitiationMessage>(MessageType::kInitiation, payload)) {
    if (admit(now, arrival, initiation->sender_index.get(), payload)) {
      on_initiation(arrival, *initiation);
    }
  } else if (const auto* const response =
                 message_of<ResponseMessage>(MessageType::kResponse, payload)) {
    if (admit(now, arrival, response->sender_index.get(), payload)) on_response(arrival, *response);
  } else if (const auto* const reply =
                 message_of<CookieReplyMessage>(MessageType::kCookieReply, payload)) {
    on_cookie_reply(now, *reply);
  } else {
    drop(DropReason::kHandshakeMalformed);
  }
}

bool Device::Core::admit(const Now& now, const Arrival& arrival, uint32_t sender_index,
                         Bytes message) {
  if (!private_key_) {
    drop(DropReason::kHandshakeUnknownPeer);
    return false;
  }
  if (!checker_.mac1_is_valid(message)) {
    drop(DropReason::kHandshakeBadMac);
    // Mostly a client with a wrong public key of ours; of a response nothing follows.
    if (message.size() == sizeof(InitiationMessage) &&
        strangers_.note(now.boot_ns, now.wall_ns, PublicKey{}, arrival.source)) {
      emit(Notify{Notify::Kind::kNotOurKey, {}, arrival.source, {}});
    }
    return false;
  }
  note_arrival(now.boot_ns);
  if (!under_load(now.boot_ns)) return true;

  if (!checker_.mac2_is_valid(now.boot_ns, arrival.source, message)) {
    if (datagrams_waiting_ >= limits_.datagrams_waiting) {
      drop(DropReason::kHandshakeQueueFull);
      return false;
    }
    const CookieReplyMessage reply =
        checker_.make_reply(now.boot_ns, arrival.source, sender_index, message);
    const auto* const bytes = reinterpret_cast<const uint8_t*>(&reply);
    emit(
        SendDatagram{arrival.destination, arrival.source, ByteVector(bytes, bytes + sizeof reply)});
    drop(DropReason::kHandshakeNeedsCookie);
    return false;
  }
  if (!rate_limiter_.allow(now.boot_ns, arrival.source.address)) {
    drop(DropReason::kHandshakeRateLimited);
    return false;
  }
  return true;
}

void Device::Core::note_arrival(Nanoseconds now_ns) {
  if (now_ns - window_began_ns_ >= kSecond) {
    window_began_ns_ = now_ns;
    arrivals_in_window_ = 0;
  }
  ++arrivals_in_window_;
}

bool Device::Core::under_load(Nanoseconds now_ns) {
  const bool busy = responding_ >= limits_.under_load_handshakes ||
                    arrivals_in_window_ > limits_.under_load_per_second;
  if (busy) {
    if (load_until_ns_ < 0) emit(Notify{Notify::Kind::kUnderLoad, {}, {}, {}});
    load_until_ns_ = now_ns + limits_.under_load_hold_ns;
  } else if (load_until_ns_ >= 0 && now_ns >= load_until_ns_) {
    load_until_ns_ = -1;
    emit(Notify{Notify::Kind::kLoadOver, {}, {}, {}});
  }
  return load_until_ns_ >= 0;
}

// A reply to an initiation of ours, or to a response: its index is the one we sent. It moves no
// endpoint and sends nothing: the cookie goes with the next handshake message (paper 5.4.7).
void Device::Core::on_cookie_reply(const Now& now, const CookieReplyMessage& reply) {
  Peer* const peer = find_index(reply.receiver_index.get());
  if (!peer) {
    drop(DropReason::kTunnelUnknownIndex);
  } else if (!peer->cookies.take_reply(now.boot_ns, reply)) {
    drop(DropReason::kHandshakeInvalid);
  } else {
    notify(Notify::Kind::kCookieReceived, *peer);
  }
}

}  // namespace penstock::wireguard
