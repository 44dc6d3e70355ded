// Requests of our own, one at a time (window size 1, RFC 7296 2.3), their retransmission (2.1), and
// responses, which are kept as sent: a retransmitted request gets the same bytes again.
#include <algorithm>
#include <cmath>

#include "controlplane/ike/core.h"

namespace penstock::ike {
namespace {

constexpr size_t kQueueLimit = 512;  // of one IKE SA: children, rekeys, probes
constexpr size_t kUdpBytes = 8, kMarkerBytes = 4;

Counter sent_counter(ExchangeType type, bool response) {
  switch (type) {
    case ExchangeType::kIkeSaInit:
      return response ? Counter::kIkeInitOutResp : Counter::kIkeInitOutReq;
    case ExchangeType::kIkeAuth:
      return response ? Counter::kIkeAuthOutResp : Counter::kIkeAuthOutReq;
    case ExchangeType::kCreateChildSa:
      return response ? Counter::kCreateChildOutResp : Counter::kCreateChildOutReq;
    case ExchangeType::kInformational:
      break;
  }
  return response ? Counter::kInfoOutResp : Counter::kInfoOutReq;
}

}  // namespace

std::string_view text_of(TaskKind kind) {
  switch (kind) {
    case TaskKind::kIkeInit:
      return "IKE_VENDOR IKE_INIT";
    case TaskKind::kIkeAuth:
      return "IKE_AUTH";
    case TaskKind::kNewChild:
      return "CHILD_CREATE";
    case TaskKind::kRekeyChild:
      return "CHILD_REKEY";
    case TaskKind::kRekeyIke:
      return "IKE_REKEY";
    case TaskKind::kDeleteChild:
      return "CHILD_DELETE";
    case TaskKind::kDeleteIke:
      return "IKE_DELETE";
    case TaskKind::kProbe:
      return "IKE_DPD";
    case TaskKind::kMoveAddress:
    case TaskKind::kCheckPath:
      return "IKE_MOBIKE";
  }
  return "";
}

// --- the queue -----------------------------------------------------------------------------------

void Engine::Core::enqueue(IkeSa& sa, Task task, bool first) {
  if (sa.queue.size() >= kQueueLimit) {
    command_failed(task.command, Reason::kLimit, "too much waits for this IKE SA", sa.remote);
    release_trap(task);
    return;
  }
  if (first) {
    sa.queue.push_front(std::move(task));
  } else {
    sa.queue.push_back(std::move(task));
  }
  start_next(sa);
}

void Engine::Core::start_next(IkeSa& sa) {
  if (sa.unsettled != 0) return;  // it may be the one that goes
  while (sa.exchange == nullptr && sa.phase == Phase::kEstablished) {
    const auto due = std::find_if(sa.queue.begin(), sa.queue.end(), [&](const Task& task) {
      return task.not_before_ns <= now_.boot_ns &&
             (!sa.superseded || task.kind == TaskKind::kDeleteIke);
    });
    if (due == sa.queue.end()) {
      Nanoseconds earliest = kNever;
      for (const Task& task : sa.queue) {
        if (task.not_before_ns > now_.boot_ns) {
          earliest = std::min(earliest, task.not_before_ns);
        }
      }
      set_timer(sa, Timer::kRetry, earliest);
      return;
    }
    Task task = std::move(*due);
    sa.queue.erase(due);
    sa.exchange = std::make_unique<Exchange>();
    sa.exchange->task = std::move(task);
    if (!start_task(sa)) sa.exchange.reset();
  }
}

bool Engine::Core::start_task(IkeSa& sa) {
  switch (sa.exchange->task.kind) {
    case TaskKind::kIkeInit:
    case TaskKind::kIkeAuth:
      return false;  // never queued
    case TaskKind::kNewChild:
      return start_new_child(sa);
    case TaskKind::kRekeyChild:
      return start_rekey_child(sa);
    case TaskKind::kRekeyIke:
      return start_rekey_ike(sa);
    case TaskKind::kDeleteChild:
      return start_delete_child(sa);
    case TaskKind::kDeleteIke:
      start_delete_ike(sa);
      return true;
    case TaskKind::kProbe:
      send_request(sa, ExchangeType::kInformational, ChainBuilder());
      return true;
    case TaskKind::kMoveAddress:
      start_move_address(sa);
      return true;
    case TaskKind::kCheckPath: {
      sa.exchange->cookie2.resize(16);
      random_.fill(sa.exchange->cookie2);
      ChainBuilder chain;
      chain.notify(NotifyType::kCookie2, sa.exchange->cookie2);
      send_request(sa, ExchangeType::kInformational, chain);
      return true;
    }
  }
  return false;
}

void Engine::Core::end_exchange(IkeSa& sa) {
  sa.exchange.reset();
  sa.response_parts.reset();
  stop_timer(sa, Timer::kRetransmit);
  start_next(sa);
}

void Engine::Core::retry_later(IkeSa& sa, Task task) {
  ++task.tries;
  const auto jitter = static_cast<uint64_t>(options_.retry_ns);
  task.not_before_ns = now_.boot_ns + options_.retry_ns +
                       static_cast<Nanoseconds>(jitter == 0 ? 0 : random_.u64() % jitter);
  sa.queue.push_back(std::move(task));
}

// --- bytes ---------------------------------------------------------------------------------------

Header Engine::Core::header_of(const IkeSa& sa, ExchangeType type, bool response,
                               uint32_t message_id) const {
  Header header;
  header.spi_initiator = sa.spi_initiator;
  header.spi_responder = sa.spi_responder;
  header.exchange = type;
  header.from_initiator = sa.initiator;
  header.response = response;
  header.message_id = message_id;
  return header;
}

size_t Engine::Core::max_message_bytes(const Endpoint& local, const Endpoint& remote) const {
  const size_t ip = remote.address.is_v4() ? 20 : 40;
  const size_t marker = local.port == kIkePort ? 0 : kMarkerBytes;
  return options_.fragment_size - ip - kUdpBytes - marker;
}

std::vector<ByteVector> Engine::Core::seal(IkeSa& sa, const Header& header,
                                           const ChainBuilder& chain) {
  return seal_message(sa.outbound, random_, header, chain, sa.fragmentation,
                      max_message_bytes(sa.local, sa.remote));
}

void Engine::Core::send_raw(const Endpoint& local, const Endpoint& remote, Bytes message,
                            uint8_t dscp) {
  SendDatagram datagram;
  datagram.local = local;
  datagram.remote = remote;
  datagram.dscp = dscp;
  // RFC 3948 2.2: four zero bytes in front of IKE wherever it shares its port with ESP.
  if (local.port != kIkePort) datagram.payload.resize(kMarkerBytes);
  datagram.payload.insert(datagram.payload.end(), message.begin(), message.end());
  emit(std::move(datagram));
}

void Engine::Core::send_unprotected(const Arrival& arrival, const ByteVector& message) {
  if (datagrams_waiting_ >= options_.datagrams_waiting) return;
  send_raw(arrival.destination, arrival.source, message, 0);
}

// --- requests ------------------------------------------------------------------------------------

void Engine::Core::send_request(IkeSa& sa, ExchangeType type, const ChainBuilder& chain) {
  Exchange& exchange = *sa.exchange;
  exchange.type = type;
  exchange.message_id = sa.next_request_id;
  exchange.datagrams = seal(sa, header_of(sa, type, false, exchange.message_id), chain);
  ++sa.next_request_id;
  exchange.sent = true;
  exchange.repeats = 0;
  transmit(sa);
}

void Engine::Core::transmit(IkeSa& sa) {
  Exchange& exchange = *sa.exchange;
  count(&sa, sent_counter(exchange.type, false));
  for (const ByteVector& datagram : exchange.datagrams) {
    send_raw(sa.local, sa.remote, datagram, sa.config->dscp);
  }
  sa.last_outbound_ns = now_.boot_ns;
  const double wait = static_cast<double>(options_.retransmit_timeout_ns) *
                      std::pow(options_.retransmit_base, exchange.repeats);
  set_timer(sa, Timer::kRetransmit, now_.boot_ns + static_cast<Nanoseconds>(wait));
}

void Engine::Core::retransmit(IkeSa& sa) {
  if (sa.exchange == nullptr || !sa.exchange->sent) return;
  if (sa.exchange->repeats >= options_.retransmit_tries) {
    exchange_timed_out(sa);
    return;
  }
  ++sa.exchange->repeats;
  ++totals_.retransmits;
  log(&sa, LogLevel::kInfo, Reason::kNone,
      "retransmit " + std::to_string(sa.exchange->repeats) + " of request " +
          std::to_string(sa.exchange->message_id));
  transmit(sa);
}

void Engine::Core::exchange_timed_out(IkeSa& sa) {
  const TaskKind kind = sa.exchange->task.kind;
  if (is_half_open(sa.phase)) {
    initiation_failed(sa, Reason::kTimeout, "the peer does not answer");
    return;
  }
  if (sa.phase == Phase::kDeleting) {
    delete_ike_done(sa);
    return;
  }
  if (kind != TaskKind::kDeleteIke && try_other_address(sa)) return;
  peer_is_dead(sa, Reason::kDead,
               "the peer does not answer: " + std::to_string(options_.retransmit_tries) +
                   " retransmissions of request " + std::to_string(sa.exchange->message_id));
}

void Engine::Core::peer_is_dead(IkeSa& sa, Reason reason, const std::string& text) {
  ++totals_.dpd_dead;
  fail(sa, reason, text);
  const ConnectionPtr connection = sa.config;
  const std::vector<ChildConfigPtr> children = children_of(sa);
  const bool alone = sa.superseded || sa.redundant;
  destroy(sa, reason, text);
  if (alone) return;
  for (const ChildConfigPtr& child : children) {
    act_on_loss(connection, child, child->dpd_action == DpdAction::kRestart,
                child->dpd_action == DpdAction::kTrap);
  }
}

// --- responses -----------------------------------------------------------------------------------

void Engine::Core::respond(IkeSa& sa, const Arrival& arrival, uint32_t message_id,
                           ExchangeType type, const ChainBuilder& chain) {
  sa.last_response = seal(sa, header_of(sa, type, true, message_id), chain);
  sa.expected_id = message_id + 1;
  sa.request_parts.reset();
  sa.passive.reset();
  repeat_response(sa, arrival, type);
}

// RFC 7296 2.11: to where the request came from, from where it was sent to.
void Engine::Core::repeat_response(IkeSa& sa, const Arrival& arrival, ExchangeType type) {
  count(&sa, sent_counter(type, true));
  for (const ByteVector& datagram : sa.last_response) {
    send_raw(arrival.destination, arrival.source, datagram, sa.config ? sa.config->dscp : 0);
  }
  sa.last_outbound_ns = now_.boot_ns;
}

void Engine::Core::respond_error(IkeSa& sa, const Arrival& arrival, uint32_t message_id,
                                 ExchangeType type, const Refusal& refusal) {
  ChainBuilder chain;
  if (refusal.notify == NotifyType::kInvalidKePayload) {
    chain.notify_u16(refusal.notify, refusal.group);
  } else {
    chain.notify(refusal.notify);
  }
  respond(sa, arrival, message_id, type, chain);
}

}  // namespace penstock::ike
