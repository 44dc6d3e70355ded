// The inside of the server: its clients and what they wait for.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "controlplane/driver/stream_server.h"
#include "controlplane/vici/commands.h"
#include "controlplane/vici/server.h"
#include "controlplane/vici/session.h"

namespace penstock::vici {

class Server::Core {
 public:
  Core(EventLoop& loop, ServerOptions options, Backend& backend, ike::CredentialStore& credentials,
       UnixListener listener)
      : loop_(loop),
        options_(std::move(options)),
        backend_(backend),
        listener_(std::move(listener)),
        commands_(options_, backend, credentials) {}
  ~Core();
  Status start();
  void on_notify(const ike::Notify& notify);
  [[nodiscard]] size_t connections() const { return sessions_.size(); }

 private:
  void accept_all();
  bool make_room();
  void on_ready(uint64_t id, uint32_t events);
  bool serve(Session& session);  // false: close it
  bool handle(Session& session, Bytes segment);
  void run_command(Session& session, const Packet& packet);
  void go_on_streaming(Session& session);
  void start_waiting(Session& session, WaitAnswer answer);
  void end_waiting(ike::CommandId command, const CommandEnd& end);
  void watch_for(Session& session);
  void close(uint64_t id);
  void close_soon(uint64_t id);
  void raise(EventKind kind, const MessageWriter& message);
  void publish_credentials_soon();
  [[nodiscard]] bool anybody_wants(EventKind kind) const;
  void raise_sa_event(const ike::Notify& notify);

  EventLoop& loop_;
  const ServerOptions options_;
  Backend& backend_;
  UnixListener listener_;
  Commands commands_;
  std::map<uint64_t, std::unique_ptr<Session>> sessions_;
  uint64_t next_session_ = 1;
  uint64_t refused_ = 0;
  std::optional<EventLoop::TimerId> credentials_timer_;
  // A posted task finds out whether the server still is.
  std::shared_ptr<Core*> self_ = std::make_shared<Core*>(this);
};

}  // namespace penstock::vici
