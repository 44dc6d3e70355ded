// The tables of the engine: how IKE SAs come, are found and go; jobs; what is told to the log.
#include "controlplane/ike/engine.h"

#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {

Engine::Engine(RandomSource& random, Host& host, const Options& options)
    : core_(std::make_unique<Core>(random, host, options)) {}
Engine::~Engine() = default;

Status Engine::load_connection(const Now& now, std::shared_ptr<const ConnectionConfig> connection) {
  return core_->load_connection(now, std::move(connection));
}
bool Engine::unload_connection(const Now& now, const std::string& name) {
  return core_->unload_connection(now, name);
}
std::vector<ConnectionPtr> Engine::connections() const { return core_->connections(); }
Status Engine::load_pool(const PoolConfig& pool) { return core_->load_pool(pool); }
Status Engine::unload_pool(const std::string& name) { return core_->unload_pool(name); }
void Engine::set_credentials(std::shared_ptr<const CredentialSnapshot> credentials) {
  core_->set_credentials(std::move(credentials));
}
void Engine::initiate(const Now& now, CommandId command, const std::string& connection,
                      const std::string& child) {
  core_->initiate(now, command, connection, child);
}
size_t Engine::terminate(const Now& now, CommandId command, const SaSelection& selection,
                         bool force, Nanoseconds timeout_ns) {
  return core_->terminate(now, command, selection, force, timeout_ns);
}
size_t Engine::rekey(const Now& now, const SaSelection& selection, bool reauthenticate) {
  return core_->rekey(now, selection, reauthenticate);
}
Status Engine::install(const Now& now, const std::string& connection, const std::string& child) {
  return core_->install(now, connection, child);
}
Status Engine::uninstall(const Now& now, const std::string& connection, const std::string& child) {
  return core_->uninstall(now, connection, child);
}
void Engine::forget_command(CommandId command) { core_->forget_command(command); }
void Engine::on_datagram(const Now& now, const Endpoint& source, const Endpoint& destination,
                         WorkerId worker, Bytes message) {
  core_->on_datagram(now, Arrival{source, destination, worker}, message);
}
void Engine::on_unknown_spi(const Now& now, const Endpoint& source, const Endpoint& destination,
                            uint32_t spi) {
  core_->on_unknown_spi(now, source, destination, spi);
}
size_t Engine::shutdown(const Now& now) { return core_->shutdown(now); }
void Engine::on_timeout(const Now& now) { core_->on_timeout(now); }
void Engine::on_compute(const Now& now, ComputeId id, ComputeResult result) {
  core_->on_compute(now, id, std::move(result));
}
void Engine::on_tunnel_events(const Now& now, ChildTunnel tunnel, uint32_t flags,
                              uint32_t inbound_spi, const Endpoint& source,
                              const IpAddress& destination) {
  core_->on_tunnel_events(now, tunnel, flags, inbound_spi, source, destination);
}
void Engine::on_acquire(const Now& now, ChildTunnel tunnel, Bytes packet) {
  core_->on_acquire(now, tunnel, packet);
}
void Engine::on_install_failed(const Now& now, ChildTunnel tunnel, uint32_t inbound_spi,
                               const std::string& why) {
  core_->on_install_failed(now, tunnel, inbound_spi, why);
}
void Engine::on_resolved(const Now& now, const std::string& name,
                         std::vector<IpAddress> addresses) {
  core_->on_resolved(now, name, std::move(addresses));
}
void Engine::on_fetched(const Now& now, uint64_t id) { core_->on_fetched(now, id); }
void Engine::on_addresses_changed(const Now& now) { core_->on_addresses_changed(now); }
Nanoseconds Engine::next_timeout() const { return core_->next_timeout(); }
std::optional<Effect> Engine::poll() { return core_->poll(); }
void Engine::for_each_ike_sa(const std::string& connection, uint32_t ike_id,
                             const std::function<void(const IkeSaInfo&)>& visit) const {
  core_->for_each_ike_sa(connection, ike_id, visit);
}
std::vector<PolicyInfo> Engine::policies() const { return core_->policies(); }
std::vector<PoolInfo> Engine::pools() const { return core_->pools(); }
std::vector<LeaseInfo> Engine::leases(const std::string& pool) const { return core_->leases(pool); }
Counters Engine::counters() const { return core_->counters(); }
std::optional<Counters> Engine::counters(const std::string& connection) const {
  return core_->counters(connection);
}
void Engine::reset_counters(const std::string& connection) { core_->reset_counters(connection); }
std::vector<std::string> Engine::counted_connections() const {
  return core_->counted_connections();
}
EngineTotals Engine::totals() const { return core_->totals(); }
std::vector<ConnectionError> Engine::last_errors() const { return core_->last_errors(); }

// --- tables --------------------------------------------------------------------------------------

Engine::Core::Core(RandomSource& random, Host& host, const Options& options)
    : random_(random),
      host_(host),
      options_(options),
      credentials_(std::make_shared<CredentialSnapshot>()),
      guard_(random, options_) {}

// Traffic of what is left ends with the dataplane's tables: nothing is sent from here.
Engine::Core::~Core() = default;

std::optional<Effect> Engine::Core::poll() {
  if (effects_.empty()) return std::nullopt;
  Effect effect = std::move(effects_.front());
  effects_.pop_front();
  if (std::holds_alternative<SendDatagram>(effect)) --datagrams_waiting_;
  return effect;
}

void Engine::Core::emit(Effect effect) {
  if (std::holds_alternative<SendDatagram>(effect)) ++datagrams_waiting_;
  effects_.push_back(std::move(effect));
}

uint64_t Engine::Core::fresh_spi() {
  uint64_t spi = 0;
  while (spi == 0 || by_spi_.count(spi) != 0) spi = random_.u64();
  return spi;
}

IkeSa* Engine::Core::make_sa(bool initiator) {
  if (by_unique_id_.size() >= options_.ike_sas) return nullptr;
  uint32_t slot = 0;
  if (free_slots_.empty()) {
    slot = static_cast<uint32_t>(sas_.size());
    sas_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  sas_[slot] = std::make_unique<IkeSa>();
  IkeSa& sa = *sas_[slot];
  sa.slot = slot;
  sa.unique_id = next_unique_id_++;
  sa.initiator = initiator;
  sa.created_ns = now_.boot_ns;
  sa.last_inbound_ns = sa.last_outbound_ns = now_.boot_ns;
  by_unique_id_[sa.unique_id] = slot;
  return &sa;
}

IkeSa* Engine::Core::find_sa(uint32_t unique_id) const {
  const auto found = by_unique_id_.find(unique_id);
  return found == by_unique_id_.end() ? nullptr : sas_[found->second].get();
}

IkeSa* Engine::Core::find_by_spi(uint64_t own_spi) const {
  const auto found = by_spi_.find(own_spi);
  return found == by_spi_.end() ? nullptr : sas_[found->second].get();
}

void Engine::Core::register_spi(IkeSa& sa, uint64_t own_spi) {
  (sa.initiator ? sa.spi_initiator : sa.spi_responder) = own_spi;
  by_spi_[own_spi] = sa.slot;
}

void Engine::Core::set_connection(IkeSa& sa, const ConnectionPtr& connection) {
  if (sa.config != nullptr) {
    const auto found = by_connection_.find(sa.config->name);
    if (found != by_connection_.end()) {
      found->second.erase(sa.unique_id);
      if (found->second.empty()) by_connection_.erase(found);
    }
  }
  sa.config = connection;
  if (connection == nullptr) return;
  by_connection_[connection->name].insert(sa.unique_id);
  auto& stats = stats_[connection->name];
  if (stats == nullptr) stats = std::make_shared<ConnectionStats>();
  sa.stats = stats;
}

void Engine::Core::end_handshake(IkeSa& sa) {
  if (sa.handshake == nullptr) return;
  Handshake& handshake = *sa.handshake;
  if (handshake.guarded) {
    guard_.remove(handshake.init_source.address);
    by_init_.erase({sa.spi_initiator, handshake.init_source});
  }
  if (handshake.child.spi != 0) host_.release_spi(handshake.child.spi);
  for (const uint64_t fetch : handshake.fetches) fetches_.erase(fetch);
  sa.handshake.reset();
  stop_timer(sa, Timer::kHalfOpen);
}

void Engine::Core::destroy(IkeSa& sa, Reason reason, const std::string& text) {
  const bool was_up = !is_half_open(sa.phase);
  const bool silent = sa.superseded || sa.redundant || !was_up;
  const auto snapshot = silent ? nullptr : snapshot_of(sa);
  if (!text.empty()) sa.last_error = text;
  while (!sa.children.empty()) {
    remove_child(sa, sa.children.back()->unique_id, false, reason);
  }
  for (const CommandId command : commands_of(sa)) command_failed(command, reason, text, sa.remote);
  for (const CommandId command : sa.end_commands) command_done(command);
  for (const Task& task : sa.queue) release_trap(task);
  if (sa.exchange != nullptr) release_trap(sa.exchange->task);
  if (sa.handshake != nullptr) {
    if (sa.handshake->first_child) release_trap(*sa.handshake->first_child);
    for (const Task& task : sa.handshake->more_children) release_trap(task);
  }
  if (sa.exchange != nullptr && sa.exchange->negotiation.spi != 0) {
    host_.release_spi(sa.exchange->negotiation.spi);
  }
  release_leases(sa);
  leave_identity(sa);
  end_handshake(sa);
  // A rekeying that both sides began, and that nobody can settle any more.
  uint32_t unsettled = 0;
  if (!sa.superseded && sa.exchange != nullptr && sa.exchange->negotiation.collision &&
      sa.exchange->task.kind == TaskKind::kRekeyIke) {
    unsettled = sa.exchange->negotiation.collision->new_id;
  }
  if (snapshot != nullptr) {
    Notify notify;
    notify.kind = Notify::Kind::kIkeDown;
    notify.reason = reason;
    notify.ike_id = sa.unique_id;
    notify.connection = snapshot->connection;
    notify.peer = sa.remote;
    notify.text = text;
    notify.ike = snapshot;
    emit(std::move(notify));
  }
  set_connection(sa, nullptr);
  by_spi_.erase(sa.own_spi());
  by_unique_id_.erase(sa.unique_id);
  deadlines_.remove(sa.slot);
  const uint32_t slot = sa.slot;
  free_slots_.push_back(slot);
  sas_[slot].reset();
  if (IkeSa* const other = unsettled == 0 ? nullptr : find_sa(unsettled)) {
    other->redundant = true;
    destroy(*other, reason, "");
  }
}

void Engine::Core::set_timer(IkeSa& sa, Timer which, Nanoseconds at_ns) {
  sa.timer(which) = at_ns;
  deadlines_.set_no_later_than(sa.slot, at_ns);
}

// --- jobs ----------------------------------------------------------------------------------------

void Engine::Core::submit(IkeSa& sa, JobKind kind, ComputeJob job, uint32_t message_id,
                          std::unique_ptr<Opened> response, const Selection& selection,
                          const Arrival& arrival) {
  const ComputeId id = next_compute_++;
  Job& context = jobs_[id];
  context.ike_id = sa.unique_id;
  context.kind = kind;
  context.message_id = sa.handshake != nullptr ? sa.handshake->serial : message_id;
  context.response = std::move(response);
  context.selection = selection;
  context.arrival = arrival;
  emit(Compute{id, std::move(job)});
}

void Engine::Core::on_compute(const Now& now, ComputeId id, ComputeResult result) {
  now_ = now;
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  Job job = std::move(found->second);
  jobs_.erase(found);
  IkeSa* const sa = find_sa(job.ike_id);
  if (sa == nullptr) return;
  // A result of the wrong kind, or for a state that has gone on, is nothing that a peer can cause.
  auto* const dh = std::get_if<DhResult>(&result);
  auto* const sign = std::get_if<SignResult>(&result);
  auto* const verify = std::get_if<VerifyResult>(&result);
  auto* const eap = std::get_if<EapResult>(&result);
  const bool of_handshake = job.kind < JobKind::kExchangePublic;
  if (of_handshake && (sa->handshake == nullptr || sa->handshake->serial != job.message_id)) {
    return;  // of an attempt that was given up
  }
  switch (job.kind) {
    case JobKind::kInitPublic:
      if (dh != nullptr && sa->phase == Phase::kInitDh) on_init_public(*sa, std::move(*dh));
      return;
    case JobKind::kInitFinish:
      if (dh != nullptr && sa->phase == Phase::kInitFinish) on_init_finish(*sa, std::move(*dh));
      return;
    case JobKind::kInitRespond:
      if (dh != nullptr && sa->phase == Phase::kInitResponding) {
        on_init_respond(*sa, std::move(*dh));
      }
      return;
    case JobKind::kAuthSign:
      if (sign != nullptr && sa->phase == Phase::kAuthSigning) {
        on_auth_signed(*sa, std::move(*sign));
      }
      return;
    case JobKind::kAuthVerify:
      if (verify != nullptr && sa->phase == Phase::kAuthVerifying) {
        on_responder_verified(*sa, std::move(*verify));
      }
      return;
    case JobKind::kAuthRespondVerify:
      if (verify != nullptr && sa->phase == Phase::kAuthJob) {
        on_initiator_verified(*sa, std::move(*verify));
      }
      return;
    case JobKind::kAuthRespondSign:
      if (sign != nullptr && sa->phase == Phase::kAuthJob) {
        on_response_signed(*sa, std::move(*sign));
      }
      return;
    case JobKind::kEap:
      if (eap != nullptr && sa->phase == Phase::kEapJob) on_eap_step(*sa, std::move(*eap));
      return;
    case JobKind::kExchangePublic:
      if (dh != nullptr) on_exchange_public(*sa, job, std::move(*dh));
      return;
    case JobKind::kExchangeFinish:
      if (dh != nullptr) on_exchange_shared(*sa, job, std::move(*dh));
      return;
    case JobKind::kPassive:
      if (dh != nullptr && sa->passive != nullptr && sa->passive->message_id == job.message_id) {
        on_passive_computed(*sa, std::move(*dh));
      }
      return;
  }
}

void Engine::Core::on_fetched(const Now& now, uint64_t id) {
  now_ = now;
  const auto found = fetches_.find(id);
  if (found == fetches_.end()) return;
  IkeSa* const sa = find_sa(found->second);
  fetches_.erase(found);
  if (sa == nullptr || sa->handshake == nullptr) return;
  auto& waiting = sa->handshake->fetches;
  waiting.erase(std::remove(waiting.begin(), waiting.end(), id), waiting.end());
  if (!waiting.empty()) return;
  if (sa->phase == Phase::kAuthJob) verify_initiator(*sa);
  if (sa->phase == Phase::kAuthVerifying) verify_responder(*sa);
}

void Engine::Core::release_negotiation(Negotiation& negotiation) {
  if (negotiation.spi != 0) host_.release_spi(negotiation.spi);
  negotiation.spi = 0;
}

std::string Engine::Core::text_of_proposals(const std::vector<Proposal>& proposals) {
  std::string text;
  for (const Proposal& each : proposals) text += (text.empty() ? "" : ", ") + to_string(each);
  return text;
}

// --- randomness ----------------------------------------------------------------------------------

ByteVector Engine::Core::nonce() {
  ByteVector bytes(32);  // at least half the PRF's key size (RFC 7296 2.10): SHA2-512 has 64
  random_.fill(bytes);
  return bytes;
}

Nanoseconds Engine::Core::jittered(Nanoseconds at_ns, Nanoseconds random_ns) {
  if (random_ns <= 0) return at_ns;
  const auto span = static_cast<uint64_t>(random_ns);
  return at_ns - static_cast<Nanoseconds>(random_.u64() % (span + 1));
}

uint64_t Engine::Core::jittered_limit(uint64_t limit, uint64_t random) {
  if (limit == 0 || random == 0) return limit;
  const uint64_t less = random_.u64() % (std::min(random, limit - 1) + 1);
  return limit - less;
}

// --- telling -------------------------------------------------------------------------------------

void Engine::Core::count(IkeSa* sa, Counter counter) {
  ++counters_[static_cast<size_t>(counter)];
  if (sa != nullptr && sa->stats != nullptr) {
    ++sa->stats->counters[static_cast<size_t>(counter)];
  }
}

void Engine::Core::log(const IkeSa* sa, LogLevel level, Reason reason, std::string text) {
  Notify notify;
  notify.level = level;
  notify.reason = reason;
  if (sa != nullptr) {
    notify.ike_id = sa->unique_id;
    if (sa->config != nullptr) notify.connection = sa->config->name;
    notify.peer = sa->remote;
    for (const CommandId command : commands_of(*sa)) {
      Notify line = notify;
      line.kind = Notify::Kind::kCommandLine;
      line.command = command;
      line.text = text;
      emit(std::move(line));
    }
  }
  notify.text = std::move(text);
  emit(std::move(notify));
}

void Engine::Core::log_peer(const Endpoint& peer, LogLevel level, Reason reason, std::string text,
                            const std::string& connection) {
  Notify notify;
  notify.level = level;
  notify.reason = reason;
  notify.peer = peer;
  notify.connection = connection;
  notify.text = std::move(text);
  emit(std::move(notify));
}

void Engine::Core::remember_error(const std::string& connection, const Endpoint& peer,
                                  const std::string& text) {
  constexpr size_t kErrorsKept = 4096;  // names come from the configuration, but for ""
  if (errors_.size() >= kErrorsKept && errors_.count(connection) == 0) return;
  errors_[connection] = ConnectionError{connection, peer, text, now_.wall_ns};
}

void Engine::Core::fail(IkeSa& sa, Reason reason, const std::string& text) {
  sa.last_error = text;
  ++totals_.failed;
  remember_error(sa.config == nullptr ? std::string() : sa.config->name, sa.remote, text);
  log(&sa, LogLevel::kWarning, reason, text);
}

std::vector<CommandId> Engine::Core::commands_of(const IkeSa& sa) const {
  std::vector<CommandId> commands;
  const auto add = [&](CommandId command) {
    if (command != 0) commands.push_back(command);
  };
  for (const Task& task : sa.queue) add(task.command);
  if (sa.exchange != nullptr) add(sa.exchange->task.command);
  if (sa.handshake != nullptr) {
    if (sa.handshake->first_child) add(sa.handshake->first_child->command);
    for (const Task& task : sa.handshake->more_children) add(task.command);
    for (const CommandId command : sa.handshake->commands) add(command);
  }
  return commands;
}

}  // namespace penstock::ike
