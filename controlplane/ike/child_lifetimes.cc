// When a CHILD_SA is rekeyed, deleted for being unused, or at its end.
#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {

void Engine::Core::arm_children(IkeSa& sa) {
  Nanoseconds earliest = kNever;
  for (const auto& child : sa.children) {
    earliest = std::min({earliest, child->rekey_at_ns, child->life_at_ns, child->gone_at_ns});
    if (child->config->inactivity_ns != 0 && !child->lingers && !child->unused &&
        !child->delete_queued) {
      const auto line = lines_.find(child->tunnel);
      if (line != lines_.end()) {
        earliest = std::min(earliest, line->second.last_used_ns + child->config->inactivity_ns);
      }
    }
  }
  set_timer(sa, Timer::kChildren, earliest);
}

void Engine::Core::request_rekey(IkeSa& sa, Child& child, CommandId command) {
  child.rekey_at_ns = kNever;
  if (child.rekey_queued || child.replaced_by != 0 || child.lingers || child.unused) return;
  child.rekey_queued = true;
  Task task;
  task.kind = TaskKind::kRekeyChild;
  task.child_id = child.unique_id;
  task.command = command;
  enqueue(sa, std::move(task));
}

void Engine::Core::request_delete(IkeSa& sa, Child& child, Reason reason, CommandId command) {
  child.rekey_at_ns = child.life_at_ns = kNever;
  if (child.delete_queued) {
    command_failed(command, Reason::kCollision, "it is being deleted already", sa.remote);
    return;
  }
  child.delete_queued = true;
  Task task;
  task.kind = TaskKind::kDeleteChild;
  task.child_id = child.unique_id;
  task.reason = reason;
  task.command = command;
  enqueue(sa, std::move(task));
}

void Engine::Core::children_due(IkeSa& sa) {
  std::vector<uint32_t> ids;
  for (const auto& child : sa.children) ids.push_back(child->unique_id);
  for (const uint32_t id : ids) {
    Child* const child = sa.find_child(id);
    if (child == nullptr) continue;
    if (child->gone_at_ns <= now_.boot_ns) {
      child->lingers = false;  // over
      child->replaces = 0;
      drop_lingering(sa, id);
      continue;
    }
    if (child->life_at_ns <= now_.boot_ns) {
      const ChildConfigPtr config = child->config;
      log(&sa, LogLevel::kWarning, Reason::kLifetime,
          "CHILD_SA " + config->name + "{" + std::to_string(id) + "} has reached its lifetime");
      request_delete(sa, *child, Reason::kLifetime, 0);
      continue;
    }
    if (child->rekey_at_ns <= now_.boot_ns) request_rekey(sa, *child, 0);
    const auto line = lines_.find(child->tunnel);
    if (child->config->inactivity_ns != 0 && !child->lingers && line != lines_.end() &&
        line->second.last_used_ns + child->config->inactivity_ns <= now_.boot_ns &&
        !child->delete_queued) {
      log(&sa, LogLevel::kNotice, Reason::kInactivity,
          "CHILD_SA " + child->config->name + "{" + std::to_string(id) + "} was not used");
      request_delete(sa, *child, Reason::kInactivity, 0);
    }
  }
  arm_children(sa);
}

}  // namespace penstock::ike
