// IKE_SA_INIT (RFC 7296 1.2), the peer's requests: cookies (2.6), limits, proposals,
// Diffie-Hellman.
#include <algorithm>

#include "controlplane/ike/core.h"
#include "controlplane/ike/crypto/dh.h"

namespace penstock::ike {

void Engine::Core::refuse_init(const Arrival& arrival, const Header& header,
                               const Refusal& refusal) {
  log_peer(arrival.source, LogLevel::kWarning, refusal.reason, refusal.text);
  Header answer;
  answer.spi_initiator = header.spi_initiator;
  answer.exchange = ExchangeType::kIkeSaInit;
  answer.response = true;
  ChainBuilder chain;
  if (refusal.notify == NotifyType::kInvalidKePayload) {
    chain.notify_u16(refusal.notify, refusal.group);
  } else {
    chain.notify(refusal.notify);
  }
  count(nullptr, Counter::kIkeInitOutResp);
  send_unprotected(arrival, build_message(answer, chain));
}

// What costs nothing: repeated requests, cookies, limits. True: go on.
bool Engine::Core::admit_init(const Arrival& arrival, Bytes bytes, const Message& message) {
  const Header& header = message.header;
  const auto repeated = by_init_.find({header.spi_initiator, arrival.source});
  if (repeated != by_init_.end()) {
    IkeSa& sa = *sas_[repeated->second];
    // The same request gets the same response; another one under the same SPI gets none.
    if (sa.phase == Phase::kAuthAwaited && equal_bytes(sa.handshake->init_request, bytes)) {
      count(&sa, Counter::kIkeInitOutResp);
      send_raw(arrival.destination, arrival.source, sa.handshake->init_response, 0);
    }
    return false;
  }
  if (guard_.wants_cookie()) {
    const NotifyPayload* const cookie = message.payloads.find(NotifyType::kCookie);
    if (cookie == nullptr ||
        !guard_.cookie_is_valid(now_.boot_ns, arrival.source, header.spi_initiator,
                                *message.payloads.nonce, cookie->data)) {
      // <-- HDR, N(COOKIE)
      Header answer;
      answer.spi_initiator = header.spi_initiator;
      answer.exchange = ExchangeType::kIkeSaInit;
      answer.response = true;
      ChainBuilder chain;
      chain.notify(NotifyType::kCookie,
                   guard_.make_cookie(now_.boot_ns, arrival.source, header.spi_initiator,
                                      *message.payloads.nonce));
      ++totals_.cookies_sent;
      emit(CountDrop{DropReason::kHandshakeNeedsCookie, 1});
      send_unprotected(arrival, build_message(answer, chain));
      return false;
    }
  }
  if (!guard_.has_room(arrival.source.address) || jobs_.size() >= options_.compute_jobs) {
    ++totals_.half_open_refused;
    emit(CountDrop{DropReason::kHandshakeRateLimited, 1});
    log_peer(arrival.source, LogLevel::kInfo, Reason::kUnderLoad,
             "IKE_SA_INIT is dropped: too many half-open IKE SAs");
    return false;
  }
  return true;
}

// --> HDR, SAi1, KEi, Ni
void Engine::Core::on_init_request(const Arrival& arrival, Bytes bytes, const Message& message) {
  const Payloads& payloads = message.payloads;
  if (!payloads.sa || !payloads.key_exchange || !payloads.nonce) {
    ++totals_.malformed;
    count(nullptr, Counter::kInvalid);
    emit(CountDrop{DropReason::kIkeMalformed, 1});
    log_peer(arrival.source, LogLevel::kInfo, Reason::kInvalidSyntax,
             "IKE_SA_INIT is dropped: it lacks a payload");
    return;
  }
  if (!admit_init(arrival, bytes, message)) return;
  const auto candidates = candidates_for(arrival.destination.address, arrival.source.address);
  if (candidates.empty()) {
    refuse_init(arrival, message.header,
                {NotifyType::kNoProposalChosen, Reason::kNoConnection,
                 "no connection for " + arrival.destination.address.to_string() + "..." +
                     arrival.source.address.to_string()});
    return;
  }
  // The proposals of all that may be meant: which it is turns out in IKE_AUTH.
  std::optional<Selection> selection;
  std::string no_choice;
  SelectOptions options;
  options.ke_group = payloads.group();
  for (const ConnectionPtr& each : candidates) {
    auto chosen =
        select_proposal(ProtocolId::kIke, payloads.sa->proposals, each->proposals, options);
    if (chosen.ok()) {
      selection = *chosen;
      break;
    }
    if (no_choice.empty()) no_choice = chosen.error().text;
  }
  if (!selection) {
    remember_error(candidates.front()->name, arrival.source, no_choice);
    refuse_init(arrival, message.header,
                {NotifyType::kNoProposalChosen, Reason::kNoProposalChosen, no_choice});
    return;
  }
  if (const auto group = invalid_ke_answer(selection->suite, payloads.group())) {
    refuse_init(arrival, message.header,
                {NotifyType::kInvalidKePayload, Reason::kInvalidKeGroup,
                 "KE payload of group " + std::to_string(payloads.key_exchange->group) +
                     ": asking for " + group_name(static_cast<uint16_t>(*group)),
                 static_cast<uint16_t>(*group)});
    return;
  }
  accept_init(arrival, bytes, message, *selection, candidates);
}

void Engine::Core::accept_init(const Arrival& arrival, Bytes bytes, const Message& message,
                               const Selection& selection,
                               const std::vector<ConnectionPtr>& candidates) {
  const Payloads& payloads = message.payloads;
  IkeSa* const made = make_sa(false);
  if (made == nullptr) return;
  IkeSa& sa = *made;
  sa.phase = Phase::kInitResponding;
  sa.spi_initiator = message.header.spi_initiator;
  sa.local = arrival.destination;
  sa.remote = arrival.source;
  sa.worker = arrival.worker;
  sa.suite = selection.suite;
  sa.expected_id = 1;
  register_spi(sa, fresh_spi());
  sa.handshake = std::make_unique<Handshake>();
  Handshake& handshake = *sa.handshake;
  handshake.serial = ++next_serial_;
  handshake.candidates = candidates;
  handshake.group = selection.suite.group;
  handshake.init_request = to_vector(bytes);
  handshake.nonce_initiator = to_vector(*payloads.nonce);
  handshake.nonce_responder = nonce();
  handshake.guarded = true;
  handshake.init_source = arrival.source;
  handshake.arrival = arrival;
  handshake.chosen = to_proposal(selection.suite, selection.number, 0, 0);
  take_init_notifies(sa, payloads);
  (void)detect_nat(sa, payloads, arrival, sa.spi_initiator, 0);
  guard_.add(arrival.source.address);
  by_init_[{sa.spi_initiator, arrival.source}] = sa.slot;
  set_timer(sa, Timer::kHalfOpen, now_.boot_ns + options_.half_open_timeout_ns);
  DhJob job;
  job.group = handshake.group;
  job.private_key = dh_private_key(handshake.group, random_);
  job.peer_public = to_vector(payloads.key_exchange->data);
  submit(sa, JobKind::kInitRespond, std::move(job));
}

// <-- HDR, SAr1, KEr, Nr, [CERTREQ], N(NAT_DETECTION_...), N(...)
void Engine::Core::on_init_respond(IkeSa& sa, DhResult result) {
  Handshake& handshake = *sa.handshake;
  const Arrival arrival = handshake.arrival;
  if (!result.ok) {
    Header header;
    header.spi_initiator = sa.spi_initiator;
    refuse_init(arrival, header,
                {NotifyType::kInvalidSyntax, Reason::kDhFailed,
                 "the peer's KE payload is refused: " + result.error});
    ++totals_.failed;
    destroy(sa, Reason::kDhFailed, "");
    return;
  }
  derive(sa, result.shared.bytes());
  ChainBuilder chain;
  chain.sa(handshake.chosen)
      .key_exchange(handshake.group, result.public_value)
      .nonce(handshake.nonce_responder);
  const bool encap = std::any_of(handshake.candidates.begin(), handshake.candidates.end(),
                                 [](const ConnectionPtr& each) { return each->encap; });
  add_nat_detection(chain, sa.spi_initiator, sa.spi_responder, arrival.destination, arrival.source,
                    encap);
  sa.nat_faked = encap;
  add_cert_request(handshake.candidates, chain);
  add_init_notifies(chain, false);
  const Header header = header_of(sa, ExchangeType::kIkeSaInit, true, 0);
  handshake.init_response = build_message(header, chain);
  sa.phase = Phase::kAuthAwaited;
  count(&sa, Counter::kIkeInitOutResp);
  send_raw(arrival.destination, arrival.source, handshake.init_response, 0);
}

}  // namespace penstock::ike
