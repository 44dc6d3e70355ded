// initiate, terminate, rekey, install, uninstall.
#include <algorithm>
#include <limits>

#include "controlplane/vici/commands.h"
#include "controlplane/vici/values.h"
#include "gateway/base/text.h"

namespace penstock::vici {
namespace {

constexpr Nanoseconds kTimeoutMax = 24 * 3600 * kSecond;
// With `force` the engine ends the SAs when the time is up, and says so: wait a little longer.
constexpr Nanoseconds kForceGraceNs = 5 * kSecond;

// Milliseconds; -1: answer at once; 0, or none: wait without end.
struct Timeout {
  bool at_once = false;
  Nanoseconds timeout_ns = 0;
  uint64_t milliseconds = 0;
};
Result<Timeout> timeout_of(const Section& request) {
  Timeout timeout;
  const std::string text = request.text("timeout", "0");
  if (text.starts_with('-')) {
    timeout.at_once = true;
    return timeout;
  }
  const auto milliseconds = parse_unsigned(text, static_cast<uint64_t>(kTimeoutMax / kMillisecond));
  if (!milliseconds) return errorf("\"timeout\" must be milliseconds, up to a day, or -1");
  timeout.milliseconds = *milliseconds;
  timeout.timeout_ns = static_cast<Nanoseconds>(*milliseconds) * kMillisecond;
  return timeout;
}

int log_level_of(const Section& request) {
  const std::string text = request.text("loglevel", "1");
  if (text.starts_with('-')) return -1;
  return static_cast<int>(parse_unsigned(text, 4).value_or(1));
}

// What SAs the command is about. Names and ids must say something.
Result<ike::SaSelection> selection_of(const Section& request, const char* command) {
  ike::SaSelection selection;
  selection.ike = request.text("ike");
  selection.child = request.text("child");
  for (const auto& [key, id] :
       {std::pair{"ike-id", &selection.ike_id}, std::pair{"child-id", &selection.child_id}}) {
    const std::string text = request.text(key, "0");
    const auto number = parse_unsigned(text, UINT32_MAX);
    if (!number) return errorf("\"%s\" must be a number", key);
    *id = static_cast<uint32_t>(*number);
  }
  if (selection.ike.empty() && selection.child.empty() && selection.ike_id == 0 &&
      selection.child_id == 0) {
    return errorf("missing %s selector", command);
  }
  return selection;
}

MessageWriter counted(const char* verb, size_t matches, size_t ended, const std::string& error) {
  MessageWriter writer;
  writer.value("success", error.empty() ? "yes" : "no");
  writer.value("matches", uint64_t{matches}).value(verb, uint64_t{ended});
  if (!error.empty()) writer.value("errmsg", error);
  return writer;
}

}  // namespace

const ParsedConnection* Commands::find_child(const std::string& ike,
                                             const std::string& child) const {
  for (const auto& [name, connection] : connections_) {
    if (!ike.empty() && name != ike) continue;
    if (connection.parsed.config->find_child(child) != nullptr) return &connection.parsed;
  }
  return nullptr;
}

Answer Commands::initiate(const Section& request, Bytes) {
  const std::string ike = request.text("ike"), child = request.text("child");
  if (ike.empty() && child.empty()) return failure("missing configuration name");
  const auto timeout = timeout_of(request);
  if (!timeout.ok()) return failure(timeout.error().text);

  std::string connection = ike;
  if (!child.empty()) {
    const ParsedConnection* const found = find_child(ike, child);
    if (found == nullptr) return failure("CHILD_SA config '" + child + "' not found");
    connection = found->config->name;
    if ((*found->config->find_child(child))->mode != ike::ChildMode::kTunnel) {
      return failure("CHILD_SA config '" + child + "' is a shunt: it is installed, not initiated");
    }
  } else if (!connections_.contains(ike)) {
    return failure("IKE_SA config '" + ike + "' not found");
  }
  if (timeout->at_once) {
    backend_.initiate(0, connection, child);
    return success();
  }
  WaitAnswer wait;
  wait.command = next_command_++;
  wait.timeout_ns = timeout->timeout_ns;
  wait.log_level = log_level_of(request);
  wait.start = [this, id = wait.command, connection, child]() -> std::optional<MessageWriter> {
    backend_.initiate(id, connection, child);
    return std::nullopt;
  };
  const std::string what =
      child.empty() ? "IKE_SA '" + connection + "'" : "CHILD_SA '" + child + "'";
  wait.finish = [what, ms = timeout->milliseconds](const CommandEnd& end) {
    if (end.done) return success();
    if (end.timed_out) {
      return failure(what + " not established after " + std::to_string(ms) + "ms");
    }
    return failure("establishing " + what + " failed" + (end.why.empty() ? "" : ": " + end.why));
  };
  return wait;
}

Answer Commands::terminate(const Section& request, Bytes) {
  const auto selection = selection_of(request, "terminate");
  if (!selection.ok()) return failure(selection.error().text);
  const auto timeout = timeout_of(request);
  if (!timeout.ok()) return failure(timeout.error().text);
  const auto force = parse_bool(request.text("force", "no"));
  if (!force.ok()) return failure("\"force\" must be yes or no");
  const char* const kNone = "no matching SAs to terminate found";
  if (timeout->at_once) {
    const size_t matches = backend_.terminate(0, *selection, *force, 0);
    return counted("terminated", matches, matches, matches == 0 ? kNone : "");
  }
  WaitAnswer wait;
  wait.command = next_command_++;
  wait.timeout_ns = timeout->timeout_ns;
  if (*force && wait.timeout_ns != 0) wait.timeout_ns += kForceGraceNs;
  wait.log_level = log_level_of(request);
  const auto matches = std::make_shared<size_t>(0);
  wait.start = [this, id = wait.command, wanted = *selection, forced = *force,
                time = timeout->timeout_ns, matches, kNone]() -> std::optional<MessageWriter> {
    // How many there are, before the engine tells of their end.
    *matches = SIZE_MAX;
    const size_t found = backend_.terminate(id, wanted, forced, time);
    *matches = found;
    if (found == 0) return counted("terminated", 0, 0, kNone);
    return std::nullopt;
  };
  wait.finish = [matches, ms = timeout->milliseconds](const CommandEnd& end) {
    const size_t found = *matches == SIZE_MAX ? 1 : *matches;
    if (end.done) return counted("terminated", found, found, "");
    if (end.timed_out) {
      return counted("terminated", found, 0,
                     "SAs not terminated after " + std::to_string(ms) + "ms");
    }
    return counted("terminated", found, 0,
                   end.why.empty() ? std::string("terminating SA failed")
                                   : "terminating SA failed: " + end.why);
  };
  return wait;
}

Answer Commands::rekey(const Section& request, Bytes) {
  const auto selection = selection_of(request, "rekey");
  if (!selection.ok()) return failure(selection.error().text);
  const auto reauth = parse_bool(request.text("reauth", "no"));
  if (!reauth.ok()) return failure("\"reauth\" must be yes or no");
  const size_t matches = backend_.rekey(*selection, *reauth);
  MessageWriter writer;
  writer.value("success", matches > 0 ? "yes" : "no").value("matches", uint64_t{matches});
  if (matches == 0) writer.value("errmsg", "no matching SAs to rekey found");
  return writer;
}

Answer Commands::redirect(const Section&, Bytes) {
  return failure("redirect (RFC 5685) is not supported");
}

Answer Commands::install(const Section& request, Bytes) {
  const std::string child = request.text("child");
  if (child.empty()) return failure("missing configuration name");
  const ParsedConnection* const found = find_child(request.text("ike"), child);
  if (found == nullptr) return failure("configuration name not found");
  const Status installed = backend_.install(found->config->name, child);
  if (!installed.ok()) {
    return failure("installing policy '" + child + "' failed: " + installed.error().text);
  }
  return success();
}

Answer Commands::uninstall(const Section& request, Bytes) {
  const std::string child = request.text("child"), ike = request.text("ike");
  if (child.empty()) return failure("missing configuration name");
  // A policy may be of a connection that is no longer loaded.
  for (const auto& policy : backend_.policies()) {
    if (policy.child != child || (!ike.empty() && policy.connection != ike)) continue;
    const Status removed = backend_.uninstall(policy.connection, child);
    if (!removed.ok()) {
      return failure("uninstalling policy '" + child + "' failed: " + removed.error().text);
    }
    return success();
  }
  return failure("policy '" + child + "' not found");
}

}  // namespace penstock::vici
