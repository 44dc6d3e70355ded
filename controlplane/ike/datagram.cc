// What a datagram must show before it may change anything: a header, an IKE SA that knows it, a
// message ID that is awaited, an integrity check value that is right.
#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {
namespace {

Counter received_counter(ExchangeType type, bool response) {
  switch (type) {
    case ExchangeType::kIkeSaInit:
      return response ? Counter::kIkeInitInResp : Counter::kIkeInitInReq;
    case ExchangeType::kIkeAuth:
      return response ? Counter::kIkeAuthInResp : Counter::kIkeAuthInReq;
    case ExchangeType::kCreateChildSa:
      return response ? Counter::kCreateChildInResp : Counter::kCreateChildInReq;
    case ExchangeType::kInformational:
      break;
  }
  return response ? Counter::kInfoInResp : Counter::kInfoInReq;
}

bool deletes_ike(const Payloads& payloads) {
  return std::any_of(payloads.deletes.begin(), payloads.deletes.end(),
                     [](const DeletePayload& each) { return each.protocol == ProtocolId::kIke; });
}

}  // namespace

void Engine::Core::on_datagram(const Now& now, const Arrival& arrival, Bytes bytes) {
  now_ = now;
  const auto header = parse_header(bytes);
  if (!header.ok()) {
    ++totals_.malformed;
    count(nullptr, Counter::kInvalid);
    emit(CountDrop{DropReason::kIkeMalformed, 1});
    refuse_version(arrival, bytes, header.error());
    return;
  }
  if (header->exchange == ExchangeType::kIkeSaInit) {
    on_init_datagram(arrival, bytes, *header);
  } else {
    on_protected(arrival, bytes, *header);
  }
}

// RFC 7296 2.5: an unprotected INVALID_MAJOR_VERSION for a request of another major version.
void Engine::Core::refuse_version(const Arrival& arrival, Bytes bytes, const WireError& error) {
  if (error.fault != WireFault::kVersion || bytes.size() < kHeaderBytes) return;
  const bool response = (bytes[19] & 0x20) != 0;
  if (bytes[17] >> 4 < 2 || response || !take_hint()) return;
  Reader reader(bytes);
  Header header;
  header.spi_initiator = reader.be64();
  header.spi_responder = reader.be64();
  header.exchange = static_cast<ExchangeType>(bytes[18]);
  header.from_initiator = (bytes[19] & 0x08) == 0;
  header.response = true;
  reader.skip(4);
  header.message_id = reader.be32();
  ChainBuilder chain;
  chain.notify(NotifyType::kInvalidMajorVersion);
  send_unprotected(arrival, build_message(header, chain));
}

void Engine::Core::on_init_datagram(const Arrival& arrival, Bytes bytes, const Header& header) {
  const auto message = parse_message(bytes);
  if (!message.ok()) {
    ++totals_.malformed;
    count(nullptr, Counter::kInvalid);
    emit(CountDrop{DropReason::kIkeMalformed, 1});
    log_peer(arrival.source, LogLevel::kInfo, Reason::kInvalidSyntax,
             "IKE_SA_INIT is dropped: " + message.error().to_string());
    return;
  }
  if (header.response) {
    // Ours is the initiator's SPI; the message ID is 0 however often we started again (2.2).
    IkeSa* const sa = find_by_spi(header.spi_initiator);
    if (header.from_initiator || header.message_id != 0 || sa == nullptr || !sa->initiator ||
        sa->phase != Phase::kInitSent) {
      count(nullptr, Counter::kInvalidSpi);
      return;
    }
    count(sa, Counter::kIkeInitInResp);
    on_init_response(*sa, arrival, bytes, *message);
    return;
  }
  if (!header.from_initiator || header.message_id != 0 || header.spi_initiator == 0 ||
      header.spi_responder != 0) {
    ++totals_.malformed;
    count(nullptr, Counter::kInvalid);
    emit(CountDrop{DropReason::kIkeMalformed, 1});
    return;
  }
  count(nullptr, Counter::kIkeInitInReq);
  on_init_request(arrival, bytes, *message);
}

// At most some a second: what answers unauthenticated datagrams must not multiply them.
bool Engine::Core::take_hint() {
  if (now_.boot_ns - hints_from_ns_ >= kSecond) {
    hints_from_ns_ = now_.boot_ns;
    hints_sent_ = 0;
  }
  if (hints_sent_ >= options_.hints_per_second) return false;
  ++hints_sent_;
  ++totals_.hints_sent;
  return true;
}

// RFC 7296 2.21.4: a request for an IKE SA that we do not have gets an unprotected INVALID_IKE_SPI.
void Engine::Core::hint_unknown_spi(const Arrival& arrival, const Header& header) {
  count(nullptr, Counter::kInvalidSpi);
  if (header.response || !take_hint()) return;
  Header answer = header;
  answer.from_initiator = !header.from_initiator;
  answer.response = true;
  ChainBuilder chain;
  chain.notify(NotifyType::kInvalidIkeSpi);
  send_unprotected(arrival, build_message(answer, chain));
}

// RFC 7296 2.21.4, 1.5: INVALID_SPI in an unprotected INFORMATIONAL request, a hint and no more.
void Engine::Core::on_unknown_spi(const Now& now, const Endpoint& source,
                                  const Endpoint& destination, uint32_t spi) {
  now_ = now;
  if (!take_hint()) return;
  Header header;
  header.spi_initiator = fresh_spi();
  header.exchange = ExchangeType::kInformational;
  header.from_initiator = true;
  std::array<uint8_t, 4> data{};
  store_unaligned(data.data(), Be32(spi));
  ChainBuilder chain;
  chain.notify(NotifyType::kInvalidSpi, data);
  Arrival arrival{source, destination, {}};
  if (arrival.source.port == 0) arrival.source.port = kIkePort;
  if (arrival.destination.port == 0) arrival.destination.port = kIkePort;
  send_unprotected(arrival, build_message(header, chain));
}

void Engine::Core::on_protected(const Arrival& arrival, Bytes bytes, const Header& header) {
  const uint64_t own = header.from_initiator ? header.spi_responder : header.spi_initiator;
  const uint64_t peer = header.from_initiator ? header.spi_initiator : header.spi_responder;
  IkeSa* const sa = find_by_spi(own);
  if (sa == nullptr || sa->peer_spi() != peer || sa->initiator == header.from_initiator) {
    hint_unknown_spi(arrival, header);
    return;
  }
  // Before there are keys nothing protected can be meant for this IKE SA.
  if (!sa->inbound.usable()) return;
  const auto message = parse_message(bytes);
  if (!message.ok()) {
    ++totals_.malformed;
    count(sa, Counter::kInvalid);
    return;
  }
  if (!message->payloads.encrypted) {
    on_unprotected_hint(*sa, message->payloads);
    return;
  }
  if (header.response) {
    on_response(*sa, arrival, header, *message->payloads.encrypted);
  } else {
    on_request(*sa, arrival, header, *message->payloads.encrypted);
  }
}

// RFC 7296 2.21.4: what anybody may have sent is at most a reason to ask the peer.
void Engine::Core::on_unprotected_hint(IkeSa& sa, const Payloads& payloads) {
  const bool hint =
      payloads.has(NotifyType::kInvalidIkeSpi) || payloads.has(NotifyType::kInvalidSpi);
  constexpr Nanoseconds kProbeEvery = 10 * kSecond;
  if (!hint || sa.phase != Phase::kEstablished || sa.exchange != nullptr || !sa.queue.empty() ||
      now_.boot_ns - sa.last_inbound_ns < kProbeEvery ||
      now_.boot_ns - sa.last_outbound_ns < kProbeEvery) {
    return;
  }
  Task probe;
  probe.kind = TaskKind::kProbe;
  enqueue(sa, std::move(probe));
}

std::optional<Opened> Engine::Core::open(IkeSa& sa, const EncryptedPayload& sealed,
                                         std::unique_ptr<FragmentReassembler>& parts,
                                         std::optional<WireError>& error) {
  if (sealed.is_fragment()) {
    if (!sa.fragmentation) return std::nullopt;
    if (parts != nullptr &&
        parts->may_add(sealed.fragment, sealed.fragments) != FragmentVerdict::kWanted) {
      return std::nullopt;
    }
  }
  auto plain = open_payload(sa.inbound, sealed);
  if (!plain) {
    ++totals_.decrypt_failures;
    if (sa.handshake != nullptr) ++sa.handshake->bad_messages;
    return std::nullopt;
  }
  Opened opened;
  PayloadType first = sealed.first_inside;
  if (sealed.is_fragment()) {
    if (parts == nullptr) parts = std::make_unique<FragmentReassembler>();
    if (parts->add(sealed.fragment, sealed.fragments, first, *plain) !=
        FragmentVerdict::kComplete) {
      return std::nullopt;
    }
    auto whole = parts->take();
    if (!whole) return std::nullopt;
    first = whole->first;
    opened.chain = std::move(whole->chain);
  } else {
    opened.chain = std::move(*plain);
  }
  auto payloads = parse_chain(first, opened.chain);
  if (payloads.ok()) {
    opened.payloads = std::move(*payloads);
  } else {
    error = payloads.error();
  }
  return opened;
}

void Engine::Core::on_request(IkeSa& sa, const Arrival& arrival, const Header& header,
                              const EncryptedPayload& sealed) {
  if (header.message_id + 1 == sa.expected_id && !sa.last_response.empty()) {
    // A retransmission: the same answer again. Of fragments the first one asks for it (RFC 7383
    // 2.6.1).
    if (sealed.is_fragment() && sealed.fragment != 1) return;
    if (!open_payload(sa.inbound, sealed)) return;
    repeat_response(sa, arrival, header.exchange);
    return;
  }
  if (header.message_id != sa.expected_id || sa.passive != nullptr) return;
  std::optional<WireError> error;
  auto opened = open(sa, sealed, sa.request_parts, error);
  if (!opened) {
    drop_if_hammered(sa);
    return;
  }
  count(&sa, received_counter(header.exchange, false));
  sa.last_inbound_ns = now_.boot_ns;
  if (error) {
    refuse_syntax(sa, arrival, header, *error);
    return;
  }
  follow(sa, arrival);
  sa.worker = arrival.worker;
  dispatch_request(sa, arrival, header, std::move(*opened));
}

// RFC 8019 4.2: whoever sees the SPIs of a half-open IKE SA may not make us decrypt for ever.
void Engine::Core::drop_if_hammered(IkeSa& sa) {
  if (sa.handshake == nullptr || sa.initiator ||
      sa.handshake->bad_messages < options_.half_open_bad_messages) {
    return;
  }
  fail(sa, Reason::kLimit, "too many IKE_AUTH messages that cannot be decrypted");
  destroy(sa, Reason::kLimit, "");
}

void Engine::Core::dispatch_request(IkeSa& sa, const Arrival& arrival, const Header& header,
                                    Opened opened) {
  const bool auth = header.exchange == ExchangeType::kIkeAuth;
  switch (sa.phase) {
    case Phase::kAuthAwaited:
      if (auth) on_auth_request(sa, arrival, header, std::move(opened));
      return;
    case Phase::kEapAwaited:
    case Phase::kEapAuthAwaited:
      if (header.exchange == ExchangeType::kInformational) {
        on_eap_abandoned(sa, arrival, header, opened.payloads);
      } else if (auth && sa.phase == Phase::kEapAwaited) {
        on_eap_request(sa, arrival, header, std::move(opened));
      } else if (auth) {
        on_eap_auth(sa, arrival, header, std::move(opened));
      }
      return;
    case Phase::kEstablished:
    case Phase::kDeleting:
      if (sa.unsettled != 0 && !deletes_ike(opened.payloads)) settle_by_use(sa);
      if (header.exchange == ExchangeType::kCreateChildSa) {
        on_create_child_request(sa, arrival, header, std::move(opened));
      } else if (header.exchange == ExchangeType::kInformational) {
        on_informational_request(sa, arrival, header, std::move(opened));
      }
      return;
    // A job is at work on the request with this ID, or we are the initiator and have not finished:
    // the peer will ask again.
    case Phase::kResolving:
    case Phase::kInitDh:
    case Phase::kInitSent:
    case Phase::kInitFinish:
    case Phase::kAuthSigning:
    case Phase::kAuthSent:
    case Phase::kAuthVerifying:
    case Phase::kInitResponding:
    case Phase::kAuthJob:
    case Phase::kEapJob:
      return;
  }
}

void Engine::Core::on_response(IkeSa& sa, const Arrival& arrival, const Header& header,
                               const EncryptedPayload& sealed) {
  Exchange* const exchange = sa.exchange.get();
  if (exchange == nullptr || !exchange->sent || exchange->message_id != header.message_id ||
      exchange->type != header.exchange || exchange->answered) {
    return;
  }
  std::optional<WireError> error;
  auto opened = open(sa, sealed, sa.response_parts, error);
  if (!opened) return;
  count(&sa, received_counter(header.exchange, true));
  sa.last_inbound_ns = now_.boot_ns;
  if (error) {
    log(&sa, LogLevel::kWarning, Reason::kInvalidSyntax,
        "malformed response: " + error->to_string());
    if (is_half_open(sa.phase)) {
      initiation_failed(sa, Reason::kInvalidSyntax, "malformed response: " + error->to_string());
    } else {
      peer_is_dead(sa, Reason::kInvalidSyntax, "malformed response: " + error->to_string());
    }
    return;
  }
  follow(sa, arrival);
  stop_timer(sa, Timer::kRetransmit);
  exchange->answered = true;
  dispatch_response(sa, arrival, std::move(*opened));
}

void Engine::Core::dispatch_response(IkeSa& sa, const Arrival& arrival, Opened opened) {
  if (sa.phase == Phase::kAuthSent) {
    on_auth_response(sa, arrival, std::move(opened));
  } else if (sa.exchange->type == ExchangeType::kCreateChildSa) {
    on_create_child_response(sa, arrival, std::move(opened));
  } else if (sa.exchange->type == ExchangeType::kInformational) {
    on_informational_response(sa, arrival, std::move(opened));
  }
}

// RFC 7296 2.21.2, 2.21.3: an authenticated peer that makes no sense. INVALID_SYNTAX ends the IKE
// SA; a critical payload that we do not know ends the exchange, in IKE_AUTH the IKE SA too.
void Engine::Core::refuse_syntax(IkeSa& sa, const Arrival& arrival, const Header& header,
                                 const WireError& error) {
  const std::string text = "malformed request: " + error.to_string();
  ChainBuilder chain;
  const bool critical = error.fault == WireFault::kCritical;
  if (critical) {
    const uint8_t type = static_cast<uint8_t>(error.payload);
    chain.notify(NotifyType::kUnsupportedCriticalPayload, {&type, 1});
  } else {
    chain.notify(NotifyType::kInvalidSyntax);
  }
  const bool half_open = is_half_open(sa.phase);
  // A handshake that a job is at work on, or that we lead, is not ended by a request beside it.
  if (half_open && (sa.initiator || sa.phase == Phase::kAuthJob || sa.phase == Phase::kEapJob)) {
    return;
  }
  respond(sa, arrival, header.message_id, header.exchange, chain);
  if (critical && !half_open) {
    log(&sa, LogLevel::kWarning, Reason::kUnsupportedCriticalPayload, text);
    return;
  }
  if (half_open) {
    fail(sa, critical ? Reason::kUnsupportedCriticalPayload : Reason::kInvalidSyntax, text);
    destroy(sa, Reason::kInvalidSyntax, text);
  } else {
    peer_is_dead(sa, Reason::kInvalidSyntax, text);
  }
}

}  // namespace penstock::ike
