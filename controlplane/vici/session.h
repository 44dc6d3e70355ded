// One client of the VICI server: its bytes in and out, and what it waits for.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>

#include "controlplane/driver/event_loop.h"
#include "controlplane/vici/commands.h"
#include "controlplane/vici/packet.h"

namespace penstock::vici {

// Everything that a client may register for.
enum class EventKind : uint8_t {
  kLog,
  kControlLog,
  kListSa,
  kListPolicy,
  kListConn,
  kListCert,
  kListAuthority,
  kIkeUpdown,
  kIkeRekey,
  kChildUpdown,
  kChildRekey,
  kAlert,
  kCount
};
std::optional<EventKind> event_named(std::string_view name);
std::string_view name_of(EventKind kind);

// Output that a client has not read yet: beyond the first limit log lines are dropped, beyond the
// second the client is closed, for it would miss what it relies on.
inline constexpr size_t kLogLimitBytes = 1 << 20;
inline constexpr size_t kOutputLimitBytes = 4 << 20;

class Session {
 public:
  Session(uint64_t id, FileDescriptor fd) : id_(id), fd_(std::move(fd)) {}
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] uint64_t id() const { return id_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

  // false: the connection is over.
  bool read_some();
  bool write_some();

  void send(PacketType type, const MessageWriter& message);
  void send(PacketType type);
  // Where it is registered for it. A message that is not ok() is left out.
  void send_event(EventKind kind, Bytes packet);

  void register_for(EventKind kind, bool on) { events_[static_cast<size_t>(kind)] = on; }
  [[nodiscard]] bool registered_for(EventKind kind) const {
    return events_[static_cast<size_t>(kind)];
  }
  [[nodiscard]] bool has_registrations() const;
  [[nodiscard]] bool overrun() const { return overrun_; }
  [[nodiscard]] size_t output_bytes() const { return output_bytes_; }
  // A command is being answered: further requests wait.
  [[nodiscard]] bool busy() const { return stream || waiting; }

  SegmentSplitter input;
  bool more_requests = false;  // in `input`, for the next turn
  uint32_t watched = 0;        // epoll bits
  Nanoseconds last_active_ns = 0;

  struct Waiting {
    WaitAnswer answer;
    std::optional<EventLoop::TimerId> timer;
  };
  std::optional<StreamAnswer> stream;
  std::optional<Waiting> waiting;

 private:
  void append(ByteVector packet);
  const uint64_t id_;
  FileDescriptor fd_;
  std::deque<ByteVector> output_;
  size_t written_ = 0;  // of the first packet
  size_t output_bytes_ = 0;
  std::array<bool, static_cast<size_t>(EventKind::kCount)> events_{};
  bool overrun_ = false;
  uint64_t lost_log_lines_ = 0;
};

// The packet of an event, or empty where the message does not fit.
ByteVector event_packet(EventKind kind, const MessageWriter& message);
// A log or control-log message.
MessageWriter log_message(const ike::Notify& notify, bool with_thread);
// charon's levels: 1 is what an operator wants to see, 2 and more is detail.
int charon_level(LogLevel level);

}  // namespace penstock::vici
