// Events that nobody asked for at the moment: log lines, SAs that come, change and go, and the ends
// of commands.
#include "controlplane/vici/listing.h"
#include "controlplane/vici/server_core.h"
#include "gateway/base/log.h"

namespace penstock::vici {

bool Server::Core::anybody_wants(EventKind kind) const {
  for (const auto& [id, session] : sessions_) {
    if (session->registered_for(kind)) return true;
  }
  return false;
}

// Only queues: the engine may be telling this from within a command.
void Server::Core::raise(EventKind kind, const MessageWriter& message) {
  const ByteVector packet = event_packet(kind, message);
  for (auto& [id, session] : sessions_) {
    if (!session->registered_for(kind) || session->overrun()) continue;
    session->send_event(kind, packet);
    if (session->overrun()) {
      log_warning("%s: closing a client that does not read its events", options_.path.c_str());
      close_soon(id);
    } else {
      watch_for(*session);
    }
  }
}

void Server::Core::raise_sa_event(const ike::Notify& notify) {
  using Kind = ike::Notify::Kind;
  if (!notify.ike) return;
  const ike::IkeSaInfo& sa = *notify.ike;
  switch (notify.kind) {
    case Kind::kIkeUp:
    case Kind::kIkeDown:
      if (!anybody_wants(EventKind::kIkeUpdown)) return;
      return raise(EventKind::kIkeUpdown,
                   ike_updown_event(sa, notify.kind == Kind::kIkeUp, backend_));
    case Kind::kIkeRekeyed:
      if (!notify.other_ike || !anybody_wants(EventKind::kIkeRekey)) return;
      return raise(EventKind::kIkeRekey, ike_rekey_event(sa, *notify.other_ike, backend_));
    case Kind::kChildUp:
    case Kind::kChildDown:
      if (!anybody_wants(EventKind::kChildUpdown)) return;
      return raise(
          EventKind::kChildUpdown,
          child_updown_event(sa, notify.child_id, notify.kind == Kind::kChildUp, backend_));
    case Kind::kChildRekeyed:
      if (!anybody_wants(EventKind::kChildRekey)) return;
      return raise(EventKind::kChildRekey,
                   child_rekey_event(sa, notify.child_id, notify.other_child_id, backend_));
    default:
      return;
  }
}

void Server::Core::on_notify(const ike::Notify& notify) {
  using Kind = ike::Notify::Kind;
  switch (notify.kind) {
    case Kind::kLog:
      if (anybody_wants(EventKind::kLog)) raise(EventKind::kLog, log_message(notify, true));
      break;
    case Kind::kCommandLine:
      for (auto& [id, session] : sessions_) {
        if (!session->waiting || session->waiting->answer.command != notify.command) continue;
        if (charon_level(notify.level) > session->waiting->answer.log_level) continue;
        session->send_event(EventKind::kControlLog,
                            event_packet(EventKind::kControlLog, log_message(notify, false)));
        watch_for(*session);
      }
      break;
    case Kind::kCommandDone: {
      CommandEnd end;
      end.done = true;
      end_waiting(notify.command, end);
      break;
    }
    case Kind::kCommandFailed: {
      CommandEnd end;
      end.why = notify.text;
      end_waiting(notify.command, end);
      break;
    }
    default:
      raise_sa_event(notify);
  }
  // What an operator should look at: failures that the log has as a warning or worse.
  if (notify.reason == ike::Reason::kNone || notify.level > LogLevel::kWarning ||
      !anybody_wants(EventKind::kAlert)) {
    return;
  }
  MessageWriter alert;
  alert.value("type", ike::label_of(notify.reason));
  if (!notify.connection.empty()) alert.value("ike", notify.connection);
  if (!notify.child.empty()) alert.value("child", notify.child);
  if (notify.peer.port != 0) alert.value("remote", notify.peer.to_string());
  alert.value("msg", notify.text.substr(0, 8192));
  raise(EventKind::kAlert, alert);
}

}  // namespace penstock::vici
