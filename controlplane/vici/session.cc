#include "controlplane/vici/session.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "gateway/base/secret.h"

namespace penstock::vici {
namespace {

constexpr size_t kReadPiece = 64 << 10;
constexpr size_t kReadsPerTurn = 16;  // then other descriptors have their turn
constexpr size_t kWritesPerTurn = 64;
constexpr size_t kInputLimitBytes = kSegmentLimitBytes + kReadPiece;

constexpr std::string_view kEventNames[] = {
    "log",       "control-log",  "list-sa",        "list-policy",
    "list-conn", "list-cert",    "list-authority", "ike-updown",
    "ike-rekey", "child-updown", "child-rekey",    "alert",
};
static_assert(std::size(kEventNames) == static_cast<size_t>(EventKind::kCount));

}  // namespace

std::optional<EventKind> event_named(std::string_view name) {
  for (size_t i = 0; i < std::size(kEventNames); ++i) {
    if (kEventNames[i] == name) return static_cast<EventKind>(i);
  }
  return std::nullopt;
}

std::string_view name_of(EventKind kind) { return kEventNames[static_cast<size_t>(kind)]; }

Session::~Session() {
  for (ByteVector& packet : output_) wipe(MutableBytes(packet));
}

bool Session::read_some() {
  for (size_t i = 0; i < kReadsPerTurn; ++i) {
    // The rest waits in the socket until these requests have been served.
    if (input.buffered() >= kInputLimitBytes) return true;
    uint8_t piece[kReadPiece];
    const ssize_t got = recv(fd(), piece, sizeof piece, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    const auto length = static_cast<size_t>(got);
    input.append(Bytes(piece, length));
    wipe(piece, length);
    if (length < sizeof piece) return true;
  }
  return true;
}

bool Session::write_some() {
  for (size_t i = 0; i < kWritesPerTurn && !output_.empty(); ++i) {
    ByteVector& packet = output_.front();
    const ssize_t sent =
        ::send(fd(), packet.data() + written_, packet.size() - written_, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    written_ += static_cast<size_t>(sent);
    output_bytes_ -= static_cast<size_t>(sent);
    if (written_ < packet.size()) return true;
    wipe(MutableBytes(packet));
    output_.pop_front();
    written_ = 0;
  }
  if (output_.empty() && lost_log_lines_ > 0) {
    ike::Notify lost;
    lost.text = std::to_string(lost_log_lines_) +
                " log lines are lost, because this client did not read them";
    lost_log_lines_ = 0;
    append(event_packet(EventKind::kLog, log_message(lost, true)));
  }
  return true;
}

void Session::append(ByteVector packet) {
  output_bytes_ += packet.size();
  output_.push_back(std::move(packet));
}

void Session::send(PacketType type, const MessageWriter& message) {
  if (!message.ok()) {
    const MessageWriter error = failure("the answer is larger than a VICI message can be");
    append(make_packet(type, error.bytes()));
    return;
  }
  append(make_packet(type, message.bytes()));
}

void Session::send(PacketType type) { append(make_packet(type)); }

void Session::send_event(EventKind kind, Bytes packet) {
  if (packet.empty() || !registered_for(kind) || overrun_) return;
  const bool log = kind == EventKind::kLog || kind == EventKind::kControlLog;
  if (log && output_bytes_ + packet.size() > kLogLimitBytes) {
    ++lost_log_lines_;
    return;
  }
  if (output_bytes_ + packet.size() > kOutputLimitBytes) {
    overrun_ = true;
    return;
  }
  append(to_vector(packet));
}

bool Session::has_registrations() const {
  return std::find(events_.begin(), events_.end(), true) != events_.end();
}

ByteVector event_packet(EventKind kind, const MessageWriter& message) {
  if (!message.ok()) return {};
  return make_packet(PacketType::kEvent, message.bytes(), name_of(kind));
}

int charon_level(LogLevel level) {
  return level == LogLevel::kDebug ? 2 : level == LogLevel::kInfo ? 1 : 0;
}

MessageWriter log_message(const ike::Notify& notify, bool with_thread) {
  MessageWriter writer;
  writer.value("group", "IKE");
  writer.value("level", std::to_string(charon_level(notify.level)));
  if (with_thread) writer.value("thread", "1");
  if (!notify.connection.empty()) writer.value("ikesa-name", notify.connection);
  if (notify.ike_id != 0) writer.value("ikesa-uniqueid", uint64_t{notify.ike_id});
  writer.value("msg", notify.text.substr(0, 8192));
  return writer;
}

}  // namespace penstock::vici
