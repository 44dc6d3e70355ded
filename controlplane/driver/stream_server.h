// Request and response over a unix stream socket: what the WireGuard API socket and the control
// socket have in common. Many clients at a time, bounded in number, in request size and in time;
// long answers leave in pieces as the client reads them, so that none of them blocks the loop.
//
// Control thread only.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "controlplane/driver/event_loop.h"
#include "gateway/base/result.h"

namespace penstock {

// A listening unix socket. A live socket is never stolen: where another process answers, this is
// an error. A stale one is replaced. The directory is made where it is missing. Unlinked at
// destruction, unless another process has put its own in the place.
class UnixListener {
 public:
  static Result<UnixListener> create(const std::string& path, mode_t mode);
  UnixListener(UnixListener&&) = default;
  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener();
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  UnixListener() = default;
  FileDescriptor fd_;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// Cuts what a connection sent into requests.
class StreamSplitter {
 public:
  virtual ~StreamSplitter() = default;
  virtual void append(std::string_view bytes) = 0;
  // The next whole request, nothing yet, or what to answer before the connection is closed.
  virtual Result<std::optional<std::string>, std::string> next() = 0;
};

// A request is a line; it comes without its end.
class LineSplitter final : public StreamSplitter {
 public:
  LineSplitter(size_t limit_bytes, std::string too_long)
      : limit_bytes_(limit_bytes), too_long_(std::move(too_long)) {}
  void append(std::string_view bytes) override { input_.append(bytes); }
  Result<std::optional<std::string>, std::string> next() override;

 private:
  const size_t limit_bytes_;
  const std::string too_long_;  // the answer
  std::string input_;
  size_t scanned_ = 0;  // of input_, that holds no end of line
};

struct StreamReply {
  std::string text;
  // More of it: the next piece, or an empty string after the last one. Called as the client reads;
  // dropped with the connection.
  std::function<std::string()> more;
  bool close = false;  // after it has been written
};

struct StreamServerOptions {
  std::string path;
  mode_t mode = 0600;
  size_t connection_limit = 16;
  std::function<std::unique_ptr<StreamSplitter>()> make_splitter;  // one per connection
  Nanoseconds idle_limit_ns = 30 * kSecond;                        // without a byte either way
};

class StreamServer {
 public:
  // The request is wiped after the call.
  using Handler = std::function<StreamReply(std::string_view request)>;

  static Result<std::unique_ptr<StreamServer>> create(EventLoop& loop, StreamServerOptions options,
                                                      Handler handler);
  ~StreamServer();
  StreamServer(const StreamServer&) = delete;
  StreamServer& operator=(const StreamServer&) = delete;

  [[nodiscard]] size_t connections() const { return connections_.size(); }
  [[nodiscard]] uint64_t refused() const { return refused_; }  // at the connection limit

 private:
  struct Connection {
    FileDescriptor fd;
    std::unique_ptr<StreamSplitter> input;
    std::string output;
    size_t written = 0;  // of output
    std::function<std::string()> more;
    bool close_when_written = false;
    bool peer_done = false;      // no more requests will come
    bool more_requests = false;  // in input, for the next turn
    uint32_t watched = 0;        // epoll bits
    Nanoseconds last_active_ns = 0;
    ~Connection();
  };

  StreamServer(EventLoop& loop, StreamServerOptions options, Handler handler,
               UnixListener listener);
  void accept_all();
  void on_ready(int fd, uint32_t events);
  bool read_some(Connection& connection);   // false: close it
  bool serve(Connection& connection);       // false: close it
  bool write_some(Connection& connection);  // false: close it
  void answer(Connection& connection, StreamReply reply);
  void close_idle();
  void schedule_idle_check();

  EventLoop& loop_;
  const StreamServerOptions options_;
  const Handler handler_;
  UnixListener listener_;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
  std::optional<EventLoop::TimerId> idle_timer_;
  uint64_t refused_ = 0;
};

}  // namespace penstock
