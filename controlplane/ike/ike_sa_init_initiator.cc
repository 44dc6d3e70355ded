// IKE_SA_INIT (RFC 7296 1.2), our requests: proposals, Diffie-Hellman, cookies (2.6).
#include <algorithm>

#include "controlplane/ike/core.h"
#include "controlplane/ike/crypto/dh.h"

namespace penstock::ike {
namespace {

constexpr unsigned kRestartsMax = 4;  // COOKIE and INVALID_KE_PAYLOAD answers to one initiation

}  // namespace

IkeSa* Engine::Core::start_initiation(const ConnectionPtr& connection) {
  IkeSa* const sa = make_sa(true);
  if (sa == nullptr) return nullptr;
  sa->original_initiator = true;
  set_connection(*sa, connection);
  sa->handshake = std::make_unique<Handshake>();
  sa->handshake->serial = ++next_serial_;
  sa->phase = Phase::kResolving;
  return sa;
}

// The initiation goes on as soon as the peer's address is known. May end with the IKE SA destroyed.
void Engine::Core::begin_init(IkeSa& sa) {
  const ConnectionConfig& config = *sa.config;
  std::optional<IpAddress> remote;
  if (!sa.remote.address.is_unspecified()) remote = sa.remote.address;
  if (!remote) {
    const std::string* unresolved = nullptr;
    remote = remote_of(config, &unresolved);
    if (!remote && unresolved != nullptr) {
      if (resolving_.insert(*unresolved).second) emit(ResolveName{*unresolved});
      set_timer(sa, Timer::kHalfOpen, now_.boot_ns + options_.half_open_timeout_ns);
      return;
    }
  }
  std::optional<IpAddress> local;
  if (remote) {
    for (const AddressMatch& match : config.local_addresses) {
      if (!match.is_name() && match.first == match.last && !match.first.is_unspecified() &&
          match.first.family() == remote->family()) {
        local = match.first;
        break;
      }
    }
    if (!local) local = host_.source_address_for(*remote);
  }
  if (!remote || !local) {
    initiation_failed(sa, Reason::kNoAddress,
                      remote ? "there is no route to " + remote->to_string()
                             : "the connection has no remote address to initiate to");
    return;
  }
  const bool plain = config.remote_port == kIkePort && config.local_port == kIkePort;
  sa.remote = Endpoint{*remote, config.remote_port};
  sa.local = Endpoint{*local, plain ? kIkePort : kIkeNatTraversalPort};
  Handshake& handshake = *sa.handshake;
  if (sa.spi_initiator == 0) register_spi(sa, fresh_spi());
  handshake.nonce_initiator = nonce();
  handshake.offered = to_offer(config.proposals, 0, 0, {});
  handshake.group = first_group(config.proposals);
  sa.next_request_id = 0;
  generate_init_key(sa);
}

void Engine::Core::generate_init_key(IkeSa& sa) {
  Handshake& handshake = *sa.handshake;
  handshake.dh_private = dh_private_key(handshake.group, random_);
  sa.phase = Phase::kInitDh;
  DhJob job;
  job.group = handshake.group;
  job.private_key = handshake.dh_private;
  submit(sa, JobKind::kInitPublic, std::move(job));
}

void Engine::Core::on_init_public(IkeSa& sa, DhResult result) {
  if (!result.ok) {
    initiation_failed(sa, Reason::kDhFailed, "Diffie-Hellman failed: " + result.error);
    return;
  }
  sa.handshake->dh_public = std::move(result.public_value);
  log(&sa, LogLevel::kNotice, Reason::kNone,
      "initiating IKE_SA " + sa.config->name + "[" + std::to_string(sa.unique_id) + "] to " +
          sa.remote.address.to_string());
  send_init(sa);
}

// --> HDR, [N(COOKIE),] SAi1, KEi, Ni, N(NAT_DETECTION_...), N(...)
void Engine::Core::send_init(IkeSa& sa) {
  Handshake& handshake = *sa.handshake;
  ChainBuilder chain;
  chain.sa(handshake.offered)
      .key_exchange(handshake.group, handshake.dh_public)
      .nonce(handshake.nonce_initiator);
  add_nat_detection(chain, sa.spi_initiator, 0, sa.local, sa.remote, sa.config->encap);
  add_init_notifies(chain, true);
  const Header header = header_of(sa, ExchangeType::kIkeSaInit, false, 0);
  handshake.init_request = handshake.cookie.empty()
                               ? build_message(header, chain)
                               : build_message_with_cookie(header, handshake.cookie, chain);
  sa.exchange = std::make_unique<Exchange>();
  sa.exchange->task.kind = TaskKind::kIkeInit;
  sa.exchange->type = ExchangeType::kIkeSaInit;
  sa.exchange->sent = true;
  sa.exchange->datagrams = {handshake.init_request};
  sa.phase = Phase::kInitSent;
  transmit(sa);
}

// True: the response was an answer of its own kind, and has been dealt with.
bool Engine::Core::on_init_error(IkeSa& sa, const Message& message) {
  Handshake& handshake = *sa.handshake;
  const Payloads& payloads = message.payloads;
  // <-- HDR, N(COOKIE): the same message again, with the cookie in front (2.6).
  if (const NotifyPayload* const cookie = payloads.find(NotifyType::kCookie)) {
    if (++handshake.restarts > kRestartsMax || cookie->data.empty()) return true;
    handshake.cookie = to_vector(cookie->data);
    send_init(sa);
    return true;
  }
  // <-- HDR, N(INVALID_KE_PAYLOAD): with a group that we offered (1.2).
  if (const NotifyPayload* const invalid = payloads.find(NotifyType::kInvalidKePayload)) {
    const uint16_t group = invalid->data_u16();
    const auto known = dh_group_of(group);
    if (++handshake.restarts > kRestartsMax || !known || !has_group(sa.config->proposals, group) ||
        *known == handshake.group) {
      return true;
    }
    handshake.group = *known;
    stop_timer(sa, Timer::kRetransmit);
    sa.exchange.reset();
    generate_init_key(sa);
    return true;
  }
  if (const NotifyPayload* const error = payloads.first_error()) {
    const bool proposal = error->type == NotifyType::kNoProposalChosen;
    std::string text = "the peer refuses IKE_SA_INIT: " + to_string(error->type);
    if (proposal) text += "; offered: " + text_of_proposals(sa.config->proposals);
    initiation_failed(sa, proposal ? Reason::kNoProposalChosen : Reason::kPeerNotify, text);
    return true;
  }
  return false;
}

// <-- HDR, SAr1, KEr, Nr, [CERTREQ]
void Engine::Core::on_init_response(IkeSa& sa, const Arrival& arrival, Bytes bytes,
                                    const Message& message) {
  Handshake& handshake = *sa.handshake;
  const Payloads& payloads = message.payloads;
  if (on_init_error(sa, message)) return;
  // Not authenticated yet: what makes no sense is dropped, a better one may still come.
  if (message.header.spi_responder == 0 || !payloads.sa || !payloads.key_exchange ||
      !payloads.nonce) {
    log(&sa, LogLevel::kInfo, Reason::kInvalidSyntax, "IKE_SA_INIT response lacks a payload");
    return;
  }
  const auto answer = check_answer(ProtocolId::kIke, handshake.offered, payloads.sa->proposals, {});
  if (!answer.ok() || answer->suite.group != handshake.group ||
      payloads.key_exchange->group != static_cast<uint16_t>(handshake.group) ||
      payloads.key_exchange->data.size() != dh_public_bytes(handshake.group)) {
    log(&sa, LogLevel::kInfo, Reason::kNoProposalChosen,
        "IKE_SA_INIT response does not fit what was offered" +
            (answer.ok() ? std::string() : ": " + answer.error().text));
    return;
  }
  sa.spi_responder = message.header.spi_responder;
  sa.suite = answer->suite;
  sa.worker = arrival.worker;
  sa.last_inbound_ns = now_.boot_ns;
  handshake.nonce_responder = to_vector(*payloads.nonce);
  handshake.init_response = to_vector(bytes);
  take_init_notifies(sa, payloads);
  take_cert_requests(sa, payloads);
  const bool detects = detect_nat(sa, payloads, arrival, sa.spi_initiator, sa.spi_responder);
  sa.nat_faked = sa.config->encap;  // as we have told the peer
  // RFC 7296 2.23: port 4500 from here on if there is a NAT; RFC 4555 3.3: and with MOBIKE.
  if (detects && (sa.nat_local || sa.nat_remote || sa.nat_faked || sa.config->mobike) &&
      sa.local.port == kIkePort) {
    sa.local.port = kIkeNatTraversalPort;
    if (sa.remote.port == kIkePort) sa.remote.port = kIkeNatTraversalPort;
  }
  sa.exchange.reset();
  stop_timer(sa, Timer::kRetransmit);
  sa.next_request_id = 1;
  sa.phase = Phase::kInitFinish;
  set_timer(sa, Timer::kHalfOpen, now_.boot_ns + handshake_limit());
  DhJob job;
  job.group = handshake.group;
  job.private_key = std::move(handshake.dh_private);
  job.peer_public = to_vector(payloads.key_exchange->data);
  job.make_public = false;
  submit(sa, JobKind::kInitFinish, std::move(job));
}

void Engine::Core::on_init_finish(IkeSa& sa, DhResult result) {
  if (!result.ok) {
    initiation_failed(sa, Reason::kDhFailed, "the peer's KE payload is refused: " + result.error);
    return;
  }
  derive(sa, result.shared.bytes());
  begin_auth(sa);
}

// Tries again while keyingtries allow it, else everything that waits for this IKE SA has failed.
void Engine::Core::initiation_failed(IkeSa& sa, Reason reason, const std::string& text) {
  fail(sa, reason, text);
  const ConnectionConfig& config = *sa.config;
  const bool again = reason == Reason::kTimeout || reason == Reason::kHalfOpenTimeout;
  Handshake& handshake = *sa.handshake;
  if (!again || (config.keying_tries != 0 && handshake.keying_try >= config.keying_tries)) {
    give_up_initiation(sa, reason, text);
    return;
  }
  // A new attempt is a new IKE SA for the peer, and the same one for whoever waits here.
  log(&sa, LogLevel::kInfo, Reason::kNone,
      "trying again: attempt " + std::to_string(handshake.keying_try + 1));
  auto fresh = std::make_unique<Handshake>();
  fresh->serial = ++next_serial_;
  fresh->first_child = std::move(handshake.first_child);
  fresh->more_children = std::move(handshake.more_children);
  fresh->commands = std::move(handshake.commands);
  fresh->reauthenticates = handshake.reauthenticates;
  fresh->keying_try = handshake.keying_try + 1;
  if (handshake.child.spi != 0) host_.release_spi(handshake.child.spi);
  sa.handshake = std::move(fresh);
  sa.exchange.reset();
  sa.request_parts.reset();
  sa.response_parts.reset();
  sa.outbound = IkeCipher();
  sa.inbound = IkeCipher();
  by_spi_.erase(sa.spi_initiator);
  sa.spi_initiator = sa.spi_responder = 0;
  sa.nat_local = sa.nat_remote = false;
  sa.phase = Phase::kResolving;
  stop_timer(sa, Timer::kRetransmit);
  stop_timer(sa, Timer::kHalfOpen);
  const bool by_name = std::any_of(config.remote_addresses.begin(), config.remote_addresses.end(),
                                   [](const AddressMatch& each) { return each.is_name(); });
  if (by_name) sa.remote = {};
  begin_init(sa);
}

void Engine::Core::give_up_initiation(IkeSa& sa, Reason reason, const std::string& text) {
  const ConnectionPtr connection = sa.config;
  std::vector<ChildConfigPtr> restart;
  // A reauthentication that fails leaves nothing: what should be up is tried again later.
  if (reason == Reason::kTimeout || reason == Reason::kHalfOpenTimeout ||
      reason == Reason::kUnresolved || reason == Reason::kNoAddress) {
    for (const ChildConfigPtr& child : children_of(sa)) {
      const bool wanted = child->close_action == CloseAction::kStart ||
                          child->dpd_action == DpdAction::kRestart ||
                          sa.handshake->reauthenticates != 0;
      if (wanted && child->start) restart.push_back(child);
    }
  }
  destroy(sa, reason, text);
  for (const ChildConfigPtr& child : restart) {
    Task task;
    task.kind = TaskKind::kNewChild;
    task.child = child;
    restarts_.emplace(now_.boot_ns + options_.restart_ns, Initiation{connection, std::move(task)});
  }
}

}  // namespace penstock::ike
