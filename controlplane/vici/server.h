// The VICI server on a unix socket: what `swanctl` and other clients of charon speak to.
//
// Many clients at a time. A client may register for events and give one command after the other; a
// command that waits (initiate, terminate) holds up its own connection only. Long listings are
// made as the client reads them. A client that does not read loses log events, and is closed where
// another kind of event would be lost.
//
// Control thread only.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "controlplane/driver/event_loop.h"
#include "controlplane/ike/auth/credentials.h"
#include "controlplane/vici/backend.h"
#include "controlplane/vici/configuration.h"
#include "gateway/base/result.h"

namespace penstock::vici {

struct ServerOptions {
  std::string path = "/run/charon.vici";  // where swanctl looks
  mode_t mode = 0660;
  size_t connection_limit = 64;
  std::string daemon = "penstockd";
  std::string version;
  unsigned compute_threads = 1;           // shown by --stats
  std::function<void()> reload_settings;  // of --reload-settings: what SIGHUP does; may be empty
  ConnectionDefaults defaults;
};

class Server {
 public:
  // Never steals the socket of a living process. All three must outlive the server.
  static Result<std::unique_ptr<Server>> create(EventLoop& loop, ServerOptions options,
                                                Backend& backend,
                                                ike::CredentialStore& credentials);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Every Notify effect of the engine: log and updown events, ends of commands.
  void on_notify(const ike::Notify& notify);

  [[nodiscard]] size_t connections() const;

 private:
  class Core;
  explicit Server(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace penstock::vici
