#include "gateway/cli/client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace penstock::cli {
namespace {

constexpr time_t kAnswerLimitS = 10;           // between two pieces of an answer
constexpr size_t kAnswerLimitBytes = 1 << 30;  // far above 100,000 peers

class Socket {
 public:
  Socket() : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

std::string sentence_for(const std::string& path, int error) {
  if (error == ENOENT || error == ECONNREFUSED) {
    return "penstockd is not running, or not with this control socket: " + path;
  }
  if (error == EACCES) return "no permission to open " + path + "; try as root";
  return path + ": " + std::strerror(error);
}

}  // namespace

Result<std::string, AskError> ask(const std::string& socket_path, const std::string& command) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.empty() || socket_path.size() >= sizeof address.sun_path) {
    return AskError{AskFailure::kNotThere, "the socket's path is empty or too long"};
  }
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  const Socket socket;
  const timeval limit{kAnswerLimitS, 0};
  setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return AskError{AskFailure::kNotThere, sentence_for(socket_path, errno)};
  }
  const std::string request = "{\"command\":\"" + command + "\"}\n";
  if (send(socket.fd(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return AskError{AskFailure::kBroken, "penstockd hung up"};
  }
  std::string answer;
  char piece[65536];
  while (answer.size() < kAnswerLimitBytes) {
    const ssize_t got = recv(socket.fd(), piece, sizeof piece, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return AskError{AskFailure::kBroken, "penstockd does not answer"};
    if (got == 0) return AskError{AskFailure::kBroken, "penstockd hung up"};
    answer.append(piece, static_cast<size_t>(got));
    if (answer.back() == '\n') {
      answer.pop_back();
      return answer;
    }
  }
  return AskError{AskFailure::kBroken, "the answer is too long"};
}

}  // namespace penstock::cli
