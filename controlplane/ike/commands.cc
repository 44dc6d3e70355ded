// What an operator asks for: initiate, terminate, rekey. A command has one end, however many SAs it
// is about.
#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {

// --- ends ----------------------------------------------------------------------------------------

void Engine::Core::command_begins(CommandId command, size_t parts) {
  if (command != 0) commands_[command].parts = parts;
}

void Engine::Core::command_ends(CommandId command) {
  const auto found = commands_.find(command);
  if (found == commands_.end() || --found->second.parts > 0) return;
  Notify notify;
  const PendingCommand& pending = found->second;
  notify.kind =
      pending.reason == Reason::kNone ? Notify::Kind::kCommandDone : Notify::Kind::kCommandFailed;
  notify.command = command;
  notify.reason = pending.reason;
  notify.text = pending.text;
  notify.peer = pending.peer;
  commands_.erase(found);
  emit(std::move(notify));
}

void Engine::Core::command_done(CommandId command) {
  if (command != 0) command_ends(command);
}

void Engine::Core::command_failed(CommandId command, Reason reason, const std::string& text,
                                  const Endpoint& peer) {
  const auto found = commands_.find(command);
  if (command == 0 || found == commands_.end()) return;
  found->second.reason = reason == Reason::kNone ? Reason::kInternal : reason;
  found->second.text = text;
  found->second.peer = peer;
  command_ends(command);
}

void Engine::Core::forget_command(CommandId command) { commands_.erase(command); }

// --- initiate ------------------------------------------------------------------------------------

void Engine::Core::initiate(const Now& now, CommandId command, const std::string& connection,
                            const std::string& child) {
  now_ = now;
  command_begins(command, 1);
  for (const auto& [name, entry] : connections_) {
    if (!connection.empty() && name != connection) continue;
    const ConnectionPtr config = entry.config;
    if (child.empty()) {
      initiate_alone(config, command);
      return;
    }
    const ChildConfigPtr found = config->child_named(child);
    if (found == nullptr) continue;
    if (found->mode != ChildMode::kTunnel) {
      const Status added = add_trap(config, found);
      if (added.ok()) {
        command_done(command);
      } else {
        command_failed(command, Reason::kDuplicate, added.error().text, {});
      }
      return;
    }
    Task task;
    task.kind = TaskKind::kNewChild;
    task.child = found;
    task.command = command;
    initiate_child(config, std::move(task));
    return;
  }
  command_failed(
      command, Reason::kNoConnection,
      child.empty() ? "there is no connection " + connection : "there is no child " + child, {});
}

// The IKE SA that a new child of the connection goes into: an established one, or one under way.
IkeSa* Engine::Core::usable_sa(const ConnectionPtr& connection) const {
  const auto found = by_connection_.find(connection->name);
  if (found == by_connection_.end()) return nullptr;
  IkeSa* under_way = nullptr;
  for (const uint32_t id : found->second) {
    IkeSa* const sa = find_sa(id);
    if (sa == nullptr || sa->superseded || sa->redundant || sa->unsettled != 0) continue;
    if (sa->phase == Phase::kEstablished) {
      const bool leaving =
          sa->exchange != nullptr && sa->exchange->task.kind == TaskKind::kDeleteIke;
      if (!leaving) return sa;
    } else if (sa->initiator && is_half_open(sa->phase) && under_way == nullptr) {
      under_way = sa;
    }
  }
  return under_way;
}

void Engine::Core::initiate_alone(const ConnectionPtr& connection, CommandId command) {
  if (IkeSa* const sa = usable_sa(connection)) {
    if (sa->phase == Phase::kEstablished) {
      command_done(command);
    } else {
      sa->handshake->commands.push_back(command);
    }
    return;
  }
  IkeSa* const sa = start_initiation(connection);
  if (sa == nullptr) {
    command_failed(command, Reason::kLimit, "too many IKE SAs", {});
    return;
  }
  if (command != 0) sa->handshake->commands.push_back(command);
  begin_init(*sa);
}

// The same child is on its way already: what waits for it waits for that one.
bool Engine::Core::merge_into(Task& under_way, Task& task) {
  if (under_way.kind != TaskKind::kNewChild || under_way.child == nullptr ||
      under_way.child->name != task.child->name || under_way.single_pair || task.single_pair ||
      (under_way.command != 0 && task.command != 0)) {
    return false;
  }
  if (task.command != 0) under_way.command = task.command;
  if (under_way.trap == kNoChildTunnel) under_way.trap = task.trap;
  for (ByteVector& packet : task.packets) under_way.packets.push_back(std::move(packet));
  return true;
}

bool Engine::Core::merge_into(IkeSa& sa, Task& task) {
  for (Task& each : sa.queue) {
    if (merge_into(each, task)) return true;
  }
  if (sa.exchange != nullptr && merge_into(sa.exchange->task, task)) return true;
  if (sa.handshake == nullptr) return false;
  if (sa.handshake->first_child && merge_into(*sa.handshake->first_child, task)) return true;
  for (Task& each : sa.handshake->more_children) {
    if (merge_into(each, task)) return true;
  }
  return false;
}

void Engine::Core::initiate_child(const ConnectionPtr& connection, Task task) {
  IkeSa* sa = usable_sa(connection);
  if (sa != nullptr && merge_into(*sa, task)) return;
  if (sa != nullptr && sa->phase == Phase::kEstablished) {
    enqueue(*sa, std::move(task));
    return;
  }
  if (sa != nullptr) {
    const bool in_time = sa->phase < Phase::kAuthSent && !sa->handshake->first_child;
    if (in_time) {
      sa->handshake->first_child = std::move(task);
    } else {
      sa->handshake->more_children.push_back(std::move(task));
    }
    return;
  }
  sa = start_initiation(connection);
  if (sa == nullptr) {
    command_failed(task.command, Reason::kLimit, "too many IKE SAs", {});
    release_trap(task);
    return;
  }
  sa->handshake->first_child = std::move(task);
  begin_init(*sa);
}

// --- terminate -----------------------------------------------------------------------------------

bool Engine::Core::selects(const SaSelection& selection, const IkeSa& sa) {
  if (sa.superseded || sa.redundant || sa.unsettled != 0) return false;
  if (!selection.ike.empty() && (sa.config == nullptr || sa.config->name != selection.ike)) {
    return false;
  }
  return selection.ike_id == 0 || selection.ike_id == sa.unique_id;
}

bool Engine::Core::selects(const SaSelection& selection, const Child& child) {
  if (child.unused || child.lingers || child.replaced_by != 0) return false;
  if (!selection.child.empty() && child.config->name != selection.child) return false;
  return selection.child_id == 0 || selection.child_id == child.unique_id;
}

// Numbers of IKE SAs, each with that of a child, or 0 where the IKE SA itself is meant. One IKE SA
// or connection is found by its index.
std::vector<std::pair<uint32_t, uint32_t>> Engine::Core::chosen_by(const SaSelection& selection,
                                                                   bool established) const {
  const bool of_children = !selection.child.empty() || selection.child_id != 0;
  std::vector<std::pair<uint32_t, uint32_t>> chosen;
  const auto consider = [&](const IkeSa* sa) {
    if (sa == nullptr || !selects(selection, *sa)) return;
    if (established && sa->phase != Phase::kEstablished) return;
    if (!of_children) {
      chosen.emplace_back(sa->unique_id, 0);
      return;
    }
    for (const auto& child : sa->children) {
      if (selects(selection, *child)) chosen.emplace_back(sa->unique_id, child->unique_id);
    }
  };
  if (selection.ike_id != 0) {
    consider(find_sa(selection.ike_id));
  } else if (!selection.ike.empty()) {
    const auto found = by_connection_.find(selection.ike);
    if (found == by_connection_.end()) return chosen;
    for (const uint32_t id : found->second) consider(find_sa(id));
  } else {
    for (const auto& [id, slot] : by_unique_id_) consider(sas_[slot].get());
  }
  return chosen;
}

size_t Engine::Core::terminate(const Now& now, CommandId command, const SaSelection& selection,
                               bool force, Nanoseconds timeout_ns) {
  now_ = now;
  const auto chosen = chosen_by(selection, false);
  command_begins(command, chosen.size());
  if (chosen.empty()) {
    commands_[command].parts = 1;
    command_failed(command, Reason::kNoConnection, "no matching SAs to terminate", {});
    return 0;
  }
  for (const auto& [ike_id, child_id] : chosen) {
    IkeSa* const sa = find_sa(ike_id);
    Child* const child = sa == nullptr ? nullptr : sa->find_child(child_id);
    if (sa == nullptr || (child_id != 0 && child == nullptr)) {
      command_done(command);
    } else if (child == nullptr) {
      terminate_ike(*sa, command, force, timeout_ns);
    } else {
      request_delete(*sa, *child, Reason::kDeletedByOperator, command);
    }
  }
  return chosen.size();
}

void Engine::Core::terminate_ike(IkeSa& sa, CommandId command, bool force, Nanoseconds timeout_ns) {
  if (is_half_open(sa.phase)) {
    destroy(sa, Reason::kDeletedByOperator, "terminated by the operator");
    command_done(command);
    return;
  }
  if (sa.phase == Phase::kDeleting) {
    sa.end_commands.push_back(command);
    return;
  }
  Task task;
  task.kind = TaskKind::kDeleteIke;
  task.reason = Reason::kDeletedByOperator;
  if (force) {
    // The peer is told, and not waited for.
    sa.end_commands.push_back(command);
    if (sa.exchange == nullptr) enqueue(sa, std::move(task), true);
    if (timeout_ns > 0) {
      set_timer(sa, Timer::kForced, now_.boot_ns + timeout_ns);
    } else {
      destroy(sa, Reason::kDeletedByOperator, "");
    }
    return;
  }
  task.command = command;
  enqueue(sa, std::move(task), true);
}

size_t Engine::Core::shutdown(const Now& now) {
  now_ = now;
  restarts_.clear();
  std::vector<uint32_t> ids;
  for (const auto& [id, slot] : by_unique_id_) ids.push_back(id);
  for (const uint32_t id : ids) {
    IkeSa* const sa = find_sa(id);
    if (sa == nullptr) continue;
    if (sa->phase == Phase::kEstablished) {
      // In spite of the window, where a request is in flight: there will be no other one.
      ChainBuilder chain;
      chain.delete_ike();
      const auto datagrams = seal(
          *sa, header_of(*sa, ExchangeType::kInformational, false, sa->next_request_id++), chain);
      for (const ByteVector& each : datagrams) send_raw(sa->local, sa->remote, each, 0);
    }
    destroy(*sa, Reason::kDeletedByOperator, "");
  }
  return ids.size();
}

// --- rekey ---------------------------------------------------------------------------------------

size_t Engine::Core::rekey(const Now& now, const SaSelection& selection, bool reauthenticates) {
  now_ = now;
  const auto chosen = chosen_by(selection, true);
  for (const auto& [ike_id, child_id] : chosen) {
    IkeSa* const sa = find_sa(ike_id);
    if (sa == nullptr) continue;
    if (child_id != 0) {
      if (Child* const child = sa->find_child(child_id)) request_rekey(*sa, *child);
    } else if (reauthenticates) {
      reauthenticate(*sa);
    } else {
      Task task;
      task.kind = TaskKind::kRekeyIke;
      enqueue(*sa, std::move(task));
    }
  }
  return chosen.size();
}

}  // namespace penstock::ike
