// The commands of VICI, without sockets: a request's message in, an answer out. Holds what was
// loaded over VICI: connections, pools and authorities by name, and what identical requests are
// recognized by, so that loading the same file again changes nothing.
//
// Control thread only.
#pragma once

#include <sodium.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "controlplane/ike/auth/credentials.h"
#include "controlplane/vici/backend.h"
#include "controlplane/vici/configuration.h"
#include "controlplane/vici/message.h"
#include "controlplane/vici/server.h"

namespace penstock::vici {

// Events first, each made when the client has room for it, then the response.
struct StreamAnswer {
  std::string_view event;
  // The message of the next event; nullopt after the last. One that is not ok() is left out.
  std::function<std::optional<MessageWriter>()> next;
};

// The end of a command that waits: how it went, or that its time is up.
struct CommandEnd {
  bool done = false;
  bool timed_out = false;
  std::string why;  // of a failure
};

// The response comes later, log lines before it.
struct WaitAnswer {
  ike::CommandId command = 0;
  Nanoseconds timeout_ns = 0;  // 0: without end
  int log_level = 1;
  // Gives the command to the engine; a message is the response at once, and nobody waits.
  std::function<std::optional<MessageWriter>()> start;
  std::function<MessageWriter(const CommandEnd& end)> finish;
};

using Answer = std::variant<MessageWriter, StreamAnswer, WaitAnswer>;

class Commands {
 public:
  Commands(const ServerOptions& options, Backend& backend, ike::CredentialStore& credentials);

  // nullopt: no such command. `message` is what `request` was parsed from.
  std::optional<Answer> run(std::string_view command, const Section& request, Bytes message);
  // Gives changed credentials to the engine, which is put off while many of them are being loaded.
  void publish_credentials();
  [[nodiscard]] bool credentials_changed() const { return credentials_changed_; }

 private:
  using Handler = Answer (Commands::*)(const Section& request, Bytes message);
  struct Entry {
    std::string_view name;
    Handler handler;
    bool changes_credentials = false;
  };
  static const Entry kEntries[];
  using Digest = std::array<uint8_t, crypto_generichash_BYTES>;

  // commands_query.cc
  Answer version(const Section&, Bytes);
  Answer stats(const Section&, Bytes);
  Answer reload_settings(const Section&, Bytes);
  Answer list_sas(const Section&, Bytes);
  Answer list_policies(const Section&, Bytes);
  Answer list_conns(const Section&, Bytes);
  Answer list_certs(const Section&, Bytes);
  Answer list_authorities(const Section&, Bytes);
  Answer get_conns(const Section&, Bytes);
  Answer get_pools(const Section&, Bytes);
  Answer get_authorities(const Section&, Bytes);
  Answer get_algorithms(const Section&, Bytes);
  Answer get_counters(const Section&, Bytes);
  Answer reset_counters(const Section&, Bytes);

  // commands_control.cc
  Answer initiate(const Section&, Bytes);
  Answer terminate(const Section&, Bytes);
  Answer rekey(const Section&, Bytes);
  Answer redirect(const Section&, Bytes);
  Answer install(const Section&, Bytes);
  Answer uninstall(const Section&, Bytes);
  // The connection that has the child; of that name, if `ike` is not empty.
  [[nodiscard]] const ParsedConnection* find_child(const std::string& ike,
                                                   const std::string& child) const;

  // commands_load.cc
  Answer load_conn(const Section&, Bytes);
  Answer unload_conn(const Section&, Bytes);
  Answer load_pool(const Section&, Bytes);
  Answer unload_pool(const Section&, Bytes);
  Answer load_authority(const Section&, Bytes);
  Answer unload_authority(const Section&, Bytes);
  Answer load_cert(const Section&, Bytes);
  Answer load_key(const Section&, Bytes);
  Answer unload_key(const Section&, Bytes);
  Answer get_keys(const Section&, Bytes);
  Answer load_token(const Section&, Bytes);
  Answer load_shared(const Section&, Bytes);
  Answer unload_shared(const Section&, Bytes);
  Answer get_shared(const Section&, Bytes);
  Answer flush_certs(const Section&, Bytes);
  Answer clear_creds(const Section&, Bytes);
  Status store_certificates(const ParsedConnection& parsed);
  [[nodiscard]] Digest digest_of(Bytes message, const std::vector<ike::CertificatePtr>& also) const;

  const ServerOptions& options_;
  Backend& backend_;
  ike::CredentialStore& credentials_;
  const Nanoseconds started_boot_ns_, started_wall_ns_;
  ike::CommandId next_command_ = 1;
  bool credentials_changed_ = false;

  // Requests are kept as keyed hashes: some hold secrets.
  std::array<uint8_t, crypto_generichash_KEYBYTES> digest_key_;
  struct Connection {
    Digest digest;
    ParsedConnection parsed;
  };
  std::map<std::string, Connection> connections_;
  struct PoolEntry {
    ike::PoolConfig config;
    std::string base;
  };
  std::map<std::string, PoolEntry> pools_;
  std::map<std::string, Digest> authorities_;
  std::set<Digest> certificates_;  // of load-cert
  // Certificates of connections, in the store already.
  std::set<std::pair<std::array<uint8_t, 32>, ike::CertificateFlag>> of_connections_;
  std::map<Digest, std::string> keys_;    // key ids
  std::map<std::string, Digest> shared_;  // by unique id
};

// {success = yes}, or {success = no, errmsg = ...}.
MessageWriter success();
MessageWriter failure(const std::string& why);

}  // namespace penstock::vici
