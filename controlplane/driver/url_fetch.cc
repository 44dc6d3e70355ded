#include "controlplane/driver/url_fetch.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "controlplane/driver/event_loop.h"
#include "controlplane/wire/http.h"

namespace penstock {
namespace {

constexpr size_t kMaxAddresses = 16;

std::optional<IpAddress> address_of(const addrinfo& info) {
  if (info.ai_family == AF_INET && info.ai_addrlen >= sizeof(sockaddr_in)) {
    sockaddr_in socket_address{};
    std::memcpy(&socket_address, info.ai_addr, sizeof socket_address);
    Ipv4Address address;
    std::memcpy(address.bytes.data(), &socket_address.sin_addr, address.bytes.size());
    return IpAddress(address);
  }
  if (info.ai_family == AF_INET6 && info.ai_addrlen >= sizeof(sockaddr_in6)) {
    sockaddr_in6 socket_address{};
    std::memcpy(&socket_address, info.ai_addr, sizeof socket_address);
    Ipv6Address address;
    std::memcpy(address.bytes.data(), &socket_address.sin6_addr, address.bytes.size());
    return IpAddress(address);
  }
  return std::nullopt;
}

// A connection that gives up at a deadline.
class Connection {
 public:
  explicit Connection(Nanoseconds deadline_ns) : deadline_ns_(deadline_ns) {}

  Status open(const IpAddress& address, uint16_t port) {
    sockaddr_storage storage{};
    socklen_t length = 0;
    if (address.is_v4()) {
      auto* const to = reinterpret_cast<sockaddr_in*>(&storage);
      to->sin_family = AF_INET;
      to->sin_port = htons(port);
      std::memcpy(&to->sin_addr, address.v4().bytes.data(), sizeof to->sin_addr);
      length = sizeof *to;
    } else {
      auto* const to = reinterpret_cast<sockaddr_in6*>(&storage);
      to->sin6_family = AF_INET6;
      to->sin6_port = htons(port);
      std::memcpy(&to->sin6_addr, address.v6().bytes.data(), sizeof to->sin6_addr);
      length = sizeof *to;
    }
    fd_ = FileDescriptor(
        socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
    if (!fd_.valid()) return Error{std::strerror(errno)};
    if (connect(fd_.get(), reinterpret_cast<const sockaddr*>(&storage), length) == 0) return {};
    if (errno != EINPROGRESS) return Error{std::strerror(errno)};
    PENSTOCK_CHECK(wait_for(POLLOUT));
    int problem = 0;
    socklen_t size = sizeof problem;
    getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem != 0) return Error{std::strerror(problem)};
    return {};
  }

  Status send_all(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<size_t>(sent));
      } else if (sent < 0 && errno != EINTR && errno != EAGAIN) {
        return Error{std::strerror(errno)};
      } else {
        PENSTOCK_CHECK(wait_for(POLLOUT));
      }
    }
    return {};
  }

  // Appends what has come; false: the end.
  Result<bool> receive(std::string& into) {
    char piece[16'384];
    while (true) {
      PENSTOCK_CHECK(wait_for(POLLIN));
      const ssize_t got = recv(fd_.get(), piece, sizeof piece, 0);
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (got < 0) return Error{std::strerror(errno)};
      into.append(piece, static_cast<size_t>(got));
      return got > 0;
    }
  }

 private:
  Status wait_for(short events) {
    while (true) {
      const Nanoseconds left_ns = deadline_ns_ - boot_time_ns();
      if (left_ns <= 0) return Error{"no answer in time"};
      pollfd one{fd_.get(), events, 0};
      const int ready = poll(&one, 1, static_cast<int>(left_ns / kMillisecond) + 1);
      if (ready > 0) return {};
      if (ready < 0 && errno != EINTR) return Error{std::strerror(errno)};
    }
  }
  const Nanoseconds deadline_ns_;
  FileDescriptor fd_;
};

Result<ByteVector> read_answer(Connection& connection, const FetchLimits& limits) {
  HttpAnswer answer(limits.size_bytes);
  std::string piece;
  bool more = true, complete = false;
  while (more && !complete) {
    piece.clear();
    PENSTOCK_TRY(more, connection.receive(piece));
    PENSTOCK_TRY(complete, answer.take(piece));
  }
  return answer.document();
}

}  // namespace

Result<std::vector<IpAddress>> resolve_host(const std::string& name) {
  if (const auto address = IpAddress::parse(name)) return std::vector<IpAddress>{*address};
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure = getaddrinfo(name.c_str(), nullptr, &hints, &found);
  if (failure != 0) return errorf("%s", gai_strerror(failure));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  std::vector<IpAddress> addresses;
  for (const addrinfo* info = found; info != nullptr && addresses.size() < kMaxAddresses;
       info = info->ai_next) {
    const auto address = address_of(*info);
    if (!address) continue;
    if (std::find(addresses.begin(), addresses.end(), *address) == addresses.end()) {
      addresses.push_back(*address);
    }
  }
  if (addresses.empty()) return Error{"the name has no IPv4 or IPv6 address"};
  return addresses;
}

Result<ByteVector> fetch_url(const std::string& url, Bytes post_body,
                             const std::string& content_type, const FetchLimits& limits) {
  PENSTOCK_TRY(const HttpUrl target, HttpUrl::parse(url));
  PENSTOCK_TRY(const std::vector<IpAddress> addresses, resolve_host(target.host));
  const Nanoseconds deadline_ns = boot_time_ns() + limits.timeout_ns;
  Status last;
  for (const IpAddress& address : addresses) {
    Connection connection(deadline_ns);
    last = connection.open(address, target.port);
    if (!last.ok()) continue;
    PENSTOCK_CHECK(connection.send_all(http_request(target, post_body, content_type)));
    return read_answer(connection, limits);
  }
  return last.error();
}

}  // namespace penstock
