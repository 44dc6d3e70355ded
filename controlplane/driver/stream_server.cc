#include "controlplane/driver/stream_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "gateway/base/log.h"
#include "gateway/base/secret.h"

namespace penstock {
namespace {

constexpr int kBacklog = 64;
constexpr size_t kReadPiece = 64 << 10;
constexpr size_t kReadsPerTurn = 16;  // then other descriptors have their turn
constexpr size_t kWritesPerTurn = 16;
constexpr size_t kRequestsPerTurn = 16;

// Requests and answers of the WireGuard API carry private keys.
void wipe_string(std::string& text) {
  wipe(text.data(), text.size());
  text.clear();
}

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return errorf("socket path \"%s\" is empty or too long", path.c_str());
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Removes a socket that nobody answers on. Refuses to touch a live one or another kind of file.
Status clear_stale(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return errorf("%s: %s", path.c_str(), std::strerror(errno));
  }
  if (!S_ISSOCK(info.st_mode)) return errorf("%s exists and is not a socket", path.c_str());
  const FileDescriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return errorf("socket: %s", std::strerror(errno));
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno == EAGAIN) {  // EAGAIN: its backlog is full, so somebody listens
    return errorf("%s is in use by another process", path.c_str());
  }
  if (errno != ECONNREFUSED) return errorf("%s: %s", path.c_str(), std::strerror(errno));
  if (unlink(path.c_str()) != 0) return errorf("%s: %s", path.c_str(), std::strerror(errno));
  return {};
}

}  // namespace

Result<UnixListener> UnixListener::create(const std::string& path, mode_t mode) {
  PENSTOCK_TRY(const sockaddr_un address, address_of(path));
  std::error_code error;
  const auto directory = std::filesystem::path(path).parent_path();
  if (!directory.empty()) std::filesystem::create_directories(directory, error);
  if (error) return errorf("%s: %s", directory.c_str(), error.message().c_str());
  PENSTOCK_CHECK(clear_stale(path, address));

  UnixListener listener;
  listener.fd_ = FileDescriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.fd_.valid()) return errorf("socket: %s", std::strerror(errno));
  // The mode holds from the first moment: a later chmod would leave a gap.
  const mode_t before = umask(static_cast<mode_t>(0777 & ~mode));
  const int bound =
      bind(listener.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int bind_error = errno;
  umask(before);
  if (bound != 0) return errorf("%s: %s", path.c_str(), std::strerror(bind_error));
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0) {
    listener.device_ = info.st_dev;
    listener.inode_ = info.st_ino;
  }
  listener.path_ = path;
  if (listen(listener.fd(), kBacklog) != 0) {
    return errorf("%s: %s", path.c_str(), std::strerror(errno));
  }
  return listener;
}

UnixListener::~UnixListener() {
  if (!fd_.valid()) return;
  struct stat info {};
  if (lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) {
    unlink(path_.c_str());
  }
}

StreamServer::Connection::~Connection() { wipe_string(output); }

Result<std::optional<std::string>, std::string> LineSplitter::next() {
  const size_t end = input_.find('\n', scanned_);
  const size_t length = end == std::string::npos ? input_.size() : end;
  if (length > limit_bytes_) return too_long_;
  if (end == std::string::npos) {
    scanned_ = input_.size();
    return std::optional<std::string>();
  }
  std::optional<std::string> line(std::in_place, input_, 0, end);
  input_.erase(0, end + 1);
  scanned_ = 0;
  return line;
}

Result<std::unique_ptr<StreamServer>> StreamServer::create(EventLoop& loop,
                                                           StreamServerOptions options,
                                                           Handler handler) {
  PENSTOCK_TRY(UnixListener listener, UnixListener::create(options.path, options.mode));
  std::unique_ptr<StreamServer> server(
      new StreamServer(loop, std::move(options), std::move(handler), std::move(listener)));
  StreamServer* const raw = server.get();
  PENSTOCK_CHECK(loop.watch(raw->listener_.fd(), EPOLLIN, [raw](uint32_t) { raw->accept_all(); }));
  return server;
}

StreamServer::StreamServer(EventLoop& loop, StreamServerOptions options, Handler handler,
                           UnixListener listener)
    : loop_(loop),
      options_(std::move(options)),
      handler_(std::move(handler)),
      listener_(std::move(listener)) {}

StreamServer::~StreamServer() {
  loop_.unwatch(listener_.fd());
  for (const auto& [fd, connection] : connections_) loop_.unwatch(fd);
  if (idle_timer_) loop_.cancel(*idle_timer_);
}

void StreamServer::accept_all() {
  for (int i = 0; i < kBacklog; ++i) {
    FileDescriptor fd(accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) return;
    if (connections_.size() >= options_.connection_limit) {
      if (refused_++ == 0) {
        log_warning("%s: more than %zu connections at once, refusing more", options_.path.c_str(),
                    options_.connection_limit);
      }
      continue;
    }
    const int number = fd.get();
    auto connection = std::make_unique<Connection>();
    connection->fd = std::move(fd);
    connection->input = options_.make_splitter();
    connection->watched = EPOLLIN;
    connection->last_active_ns = boot_time_ns();
    const Status watched =
        loop_.watch(number, EPOLLIN, [this, number](uint32_t events) { on_ready(number, events); });
    if (!watched.ok()) continue;
    connections_[number] = std::move(connection);
    schedule_idle_check();
  }
}

void StreamServer::on_ready(int fd, uint32_t events) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  bool keep = (events & EPOLLERR) == 0;
  if (keep && (events & (EPOLLIN | EPOLLHUP)) != 0) keep = read_some(connection);
  if (keep) keep = serve(connection);
  if (!keep) {
    loop_.unwatch(fd);
    connections_.erase(fd);
    return;
  }
  // While an answer is on its way, no further request is read.
  const bool answering = connection.written < connection.output.size() || connection.more;
  const uint32_t wanted = answering || connection.more_requests ? EPOLLOUT : EPOLLIN;
  if (wanted != connection.watched) {
    connection.watched = wanted;
    loop_.change(fd, wanted);
  }
}

bool StreamServer::read_some(Connection& connection) {
  for (size_t i = 0; i < kReadsPerTurn; ++i) {
    char piece[kReadPiece];
    const ssize_t got = recv(connection.fd.get(), piece, sizeof piece, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) {
      connection.peer_done = true;
      return true;
    }
    const auto length = static_cast<size_t>(got);
    connection.input->append({piece, length});
    wipe(piece, length);
    connection.last_active_ns = boot_time_ns();
    if (length < sizeof piece) return true;
  }
  return true;
}

bool StreamServer::serve(Connection& connection) {
  connection.more_requests = false;
  for (size_t i = 0; i < kRequestsPerTurn; ++i) {
    if (!write_some(connection)) return false;
    if (connection.written < connection.output.size() || connection.more) return true;
    if (connection.close_when_written) return false;
    auto request = connection.input->next();
    if (!request.ok()) {
      answer(connection, {request.error(), nullptr, true});
    } else if (request->has_value()) {
      answer(connection, handler_(**request));
      wipe_string(**request);
    } else {
      return !connection.peer_done;
    }
  }
  connection.more_requests = true;
  return true;
}

void StreamServer::answer(Connection& connection, StreamReply reply) {
  wipe_string(connection.output);
  connection.output = std::move(reply.text);
  connection.written = 0;
  connection.more = std::move(reply.more);
  connection.close_when_written = reply.close;
}

bool StreamServer::write_some(Connection& connection) {
  for (size_t i = 0; i < kWritesPerTurn; ++i) {
    std::string& output = connection.output;
    if (connection.written == output.size()) {
      wipe_string(output);
      connection.written = 0;
      if (!connection.more) return true;
      output = connection.more();
      if (output.empty()) {
        connection.more = nullptr;
        return true;
      }
    }
    const ssize_t sent = send(connection.fd.get(), output.data() + connection.written,
                              output.size() - connection.written, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    connection.written += static_cast<size_t>(sent);
    connection.last_active_ns = boot_time_ns();
  }
  return true;
}

void StreamServer::schedule_idle_check() {
  if (idle_timer_) return;
  idle_timer_ = loop_.at(boot_time_ns() + options_.idle_limit_ns / 4, [this] {
    idle_timer_.reset();
    close_idle();
    if (!connections_.empty()) schedule_idle_check();
  });
}

void StreamServer::close_idle() {
  const Nanoseconds now = boot_time_ns();
  std::erase_if(connections_, [&](const auto& entry) {
    if (now - entry.second->last_active_ns < options_.idle_limit_ns) return false;
    loop_.unwatch(entry.first);
    return true;
  });
}

}  // namespace penstock
