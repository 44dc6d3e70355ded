#include "controlplane/vici/server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "controlplane/ike/eap/eap_server.h"
#include "controlplane/vici/server_core.h"
#include "gateway/base/log.h"

namespace penstock::vici {
namespace {

constexpr size_t kAcceptsPerTurn = 16;
constexpr size_t kRequestsPerTurn = 16;
constexpr size_t kStreamedPerTurn = 64;
// A stream goes on while less than this waits to be read.
constexpr size_t kStreamAheadBytes = 256 << 10;
// A client that said nothing for so long makes room for another one.
constexpr Nanoseconds kIdleNs = 60 * kSecond;
// So long a changed credential may wait for the next one.
constexpr Nanoseconds kCredentialsDelayNs = 20 * kMillisecond;

}  // namespace

Server::Core::~Core() {
  *self_ = nullptr;
  loop_.unwatch(listener_.fd());
  for (auto& [id, session] : sessions_) {
    if (session->waiting) {
      if (session->waiting->timer) loop_.cancel(*session->waiting->timer);
      backend_.forget_command(session->waiting->answer.command);
    }
    loop_.unwatch(session->fd());
  }
  if (credentials_timer_) loop_.cancel(*credentials_timer_);
}

Status Server::Core::start() {
  return loop_.watch(listener_.fd(), EPOLLIN, [this](uint32_t) { accept_all(); });
}

void Server::Core::accept_all() {
  for (size_t i = 0; i < kAcceptsPerTurn; ++i) {
    FileDescriptor fd(accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) return;
    if (sessions_.size() >= options_.connection_limit && !make_room()) {
      if (refused_++ == 0) {
        log_warning("%s: more than %zu clients at once, refusing more", options_.path.c_str(),
                    options_.connection_limit);
      }
      continue;
    }
    const uint64_t id = next_session_++;
    auto session = std::make_unique<Session>(id, std::move(fd));
    session->watched = EPOLLIN | EPOLLRDHUP;
    session->last_active_ns = boot_time_ns();
    const Status watched = loop_.watch(session->fd(), session->watched,
                                       [this, id](uint32_t events) { on_ready(id, events); });
    if (watched.ok()) sessions_.emplace(id, std::move(session));
  }
}

// Closes the client that has been silent the longest, if it has nothing to wait for, or does not
// read what it asked for.
bool Server::Core::make_room() {
  const Session* oldest = nullptr;
  for (const auto& [id, session] : sessions_) {
    if (session->waiting) continue;
    if (session->has_registrations() && session->output_bytes() == 0) continue;
    if (oldest == nullptr || session->last_active_ns < oldest->last_active_ns) {
      oldest = session.get();
    }
  }
  if (oldest == nullptr || boot_time_ns() - oldest->last_active_ns < kIdleNs) return false;
  close(oldest->id());
  return true;
}

void Server::Core::on_ready(uint64_t id, uint32_t events) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  Session& session = *found->second;
  session.last_active_ns = boot_time_ns();
  // A client that is gone while it waits: the command goes on, nobody hears of its end.
  bool keep =
      (events & EPOLLERR) == 0 && !(session.waiting && (events & (EPOLLHUP | EPOLLRDHUP)) != 0);
  bool more_input = (events & EPOLLHUP) == 0;
  if (keep && (events & (EPOLLIN | EPOLLHUP)) != 0) {
    more_input = session.read_some() && more_input;
  }
  if (keep) keep = serve(session);
  // What had come was served; half a request will never be whole.
  const bool answering = session.busy() || session.more_requests || session.output_bytes() > 0;
  if (!more_input && ((events & EPOLLHUP) != 0 || !answering)) keep = false;
  if (!keep) {
    close(id);
    return;
  }
  watch_for(session);
}

bool Server::Core::serve(Session& session) {
  session.more_requests = false;
  for (size_t i = 0; i < kRequestsPerTurn; ++i) {
    if (!session.write_some()) return false;
    if (session.overrun()) return false;
    if (session.stream) go_on_streaming(session);
    if (session.busy() || session.output_bytes() >= kStreamAheadBytes) {
      return session.write_some();
    }
    const auto segment = session.input.next();
    if (!segment.ok()) {
      log_warning("%s: closing a client: %s", options_.path.c_str(), segment.error().text.c_str());
      return false;
    }
    if (!segment->has_value()) return session.write_some();
    if (!handle(session, **segment)) return false;
  }
  session.more_requests = true;
  return session.write_some();
}

bool Server::Core::handle(Session& session, Bytes segment) {
  const auto packet = parse_packet(segment);
  if (!packet.ok()) {
    log_warning("%s: closing a client: %s", options_.path.c_str(), packet.error().text.c_str());
    return false;
  }
  if (packet->type == PacketType::kCommandRequest) {
    run_command(session, *packet);
    return true;
  }
  const auto kind = event_named(packet->name);
  if (!kind) {
    session.send(PacketType::kEventUnknown);
    return true;
  }
  session.register_for(*kind, packet->type == PacketType::kEventRegister);
  session.send(PacketType::kEventConfirm);
  return true;
}

void Server::Core::run_command(Session& session, const Packet& packet) {
  const auto request = parse_message(packet.message);
  if (!request.ok()) {
    session.send(PacketType::kCommandResponse, failure(request.error().text));
    return;
  }
  auto answer = commands_.run(packet.name, *request, packet.message);
  if (commands_.credentials_changed()) publish_credentials_soon();
  if (!answer) {
    session.send(PacketType::kCommandUnknown);
  } else if (auto* message = std::get_if<MessageWriter>(&*answer)) {
    session.send(PacketType::kCommandResponse, *message);
  } else if (auto* stream = std::get_if<StreamAnswer>(&*answer)) {
    session.stream = std::move(*stream);
  } else {
    start_waiting(session, std::move(std::get<WaitAnswer>(*answer)));
  }
}

void Server::Core::go_on_streaming(Session& session) {
  const EventKind kind = *event_named(session.stream->event);
  for (size_t i = 0; i < kStreamedPerTurn && session.output_bytes() < kStreamAheadBytes; ++i) {
    const auto event = session.stream->next();
    if (!event) {
      session.stream.reset();
      session.send(PacketType::kCommandResponse);
      return;
    }
    if (!event->ok()) {
      log_warning("%s: an element of a listing is larger than a VICI message can be",
                  options_.path.c_str());
      continue;
    }
    session.send_event(kind, event_packet(kind, *event));
  }
}

void Server::Core::start_waiting(Session& session, WaitAnswer answer) {
  const uint64_t id = session.id();
  const ike::CommandId command = answer.command;
  const Nanoseconds timeout_ns = answer.timeout_ns;
  const auto start = std::move(answer.start);
  session.waiting = Session::Waiting{std::move(answer), std::nullopt};
  auto at_once = start();
  // The engine may have told the end already.
  if (!session.waiting || session.waiting->answer.command != command) return;
  if (at_once) {
    session.waiting.reset();
    session.send(PacketType::kCommandResponse, *at_once);
    return;
  }
  if (timeout_ns == 0) return;
  session.waiting->timer = loop_.at(boot_time_ns() + timeout_ns, [this, id, command] {
    const auto found = sessions_.find(id);
    if (found != sessions_.end() && found->second->waiting) {
      found->second->waiting->timer.reset();
    }
    backend_.forget_command(command);
    CommandEnd end;
    end.timed_out = true;
    end_waiting(command, end);
  });
}

void Server::Core::end_waiting(ike::CommandId command, const CommandEnd& end) {
  for (auto& [id, session] : sessions_) {
    if (!session->waiting || session->waiting->answer.command != command) continue;
    if (session->waiting->timer) loop_.cancel(*session->waiting->timer);
    const MessageWriter message = session->waiting->answer.finish(end);
    session->waiting.reset();
    session->send(PacketType::kCommandResponse, message);
    watch_for(*session);
    return;
  }
}

void Server::Core::watch_for(Session& session) {
  // While an answer is on its way no request is read. A client that waits is watched for its end.
  uint32_t wanted = EPOLLRDHUP;
  if (session.output_bytes() > 0 || session.more_requests || session.stream) {
    wanted = EPOLLOUT;
  } else if (!session.busy()) {
    wanted = EPOLLIN;
  }
  if (wanted == session.watched) return;
  session.watched = wanted;
  loop_.change(session.fd(), wanted);
}

void Server::Core::close(uint64_t id) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  Session& session = *found->second;
  if (session.waiting) {
    if (session.waiting->timer) loop_.cancel(*session.waiting->timer);
    backend_.forget_command(session.waiting->answer.command);
  }
  loop_.unwatch(session.fd());
  sessions_.erase(found);
}

void Server::Core::close_soon(uint64_t id) {
  loop_.post([self = std::weak_ptr<Core*>(self_), id] {
    const auto core = self.lock();
    if (core && *core != nullptr) (*core)->close(id);
  });
}

void Server::Core::publish_credentials_soon() {
  if (credentials_timer_) return;
  credentials_timer_ = loop_.at(boot_time_ns() + kCredentialsDelayNs, [this] {
    credentials_timer_.reset();
    commands_.publish_credentials();
  });
}

Result<std::unique_ptr<Server>> Server::create(EventLoop& loop, ServerOptions options,
                                               Backend& backend,
                                               ike::CredentialStore& credentials) {
  // Loads what EAP-MSCHAPv2 needs of OpenSSL now, rather than in the midst of a command.
  if (!ike::mschapv2_available()) {
    log_notice("EAP-MSCHAPv2 is not available: OpenSSL's legacy provider is not installed");
  }
  PENSTOCK_TRY(UnixListener listener, UnixListener::create(options.path, options.mode));
  auto core =
      std::make_unique<Core>(loop, std::move(options), backend, credentials, std::move(listener));
  PENSTOCK_CHECK(core->start());
  return std::unique_ptr<Server>(new Server(std::move(core)));
}

Server::Server(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Server::~Server() = default;
void Server::on_notify(const ike::Notify& notify) { core_->on_notify(notify); }
size_t Server::connections() const { return core_->connections(); }

}  // namespace penstock::vici
