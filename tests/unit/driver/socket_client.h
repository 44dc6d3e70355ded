// A blocking unix socket client and a directory that removes itself, for tests.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "controlplane/driver/event_loop.h"

namespace penstock {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char name[] = "/tmp/penstock-test-XXXXXX";
    EXPECT_NE(mkdtemp(name), nullptr);
    path_ = name;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class SocketClient {
 public:
  explicit SocketClient(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    const sockaddr_un address = address_of(path);
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const timeval limit{10, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  static sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
  }
  void send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // the server closed: the reader sees it
      text.remove_prefix(static_cast<size_t>(sent));
    }
  }
  void shut_down_writing() { shutdown(fd_.get(), SHUT_WR); }
  // Up to and with `end`, or what came before the connection closed.
  std::string read_until(std::string_view end) {
    char piece[4096];
    size_t found = 0;
    while ((found = rest_.find(end)) == std::string::npos) {
      const ssize_t got = recv(fd_.get(), piece, sizeof piece, 0);
      if (got <= 0) return std::exchange(rest_, {});
      rest_.append(piece, static_cast<size_t>(got));
    }
    std::string text = rest_.substr(0, found + end.size());
    rest_.erase(0, text.size());
    return text;
  }
  std::string read_all() {
    char piece[4096];
    for (ssize_t got = 0; (got = recv(fd_.get(), piece, sizeof piece, 0)) > 0;) {
      rest_.append(piece, static_cast<size_t>(got));
    }
    return std::exchange(rest_, {});
  }

 private:
  FileDescriptor fd_;
  std::string rest_;  // read, but not yet asked for
};

}  // namespace penstock
