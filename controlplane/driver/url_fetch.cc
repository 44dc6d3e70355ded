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
#include "gateway/base/text.h"

namespace penstock {
namespace {

constexpr size_t kMaxUrl = 2048;
constexpr size_t kMaxHead = 16'384;  // status line and header fields
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

std::string request_for(const HttpUrl& url, Bytes post_body, const std::string& content_type) {
  const bool v6 = url.host.find(':') != std::string::npos;
  std::string host = v6 ? "[" + url.host + "]" : url.host;
  if (url.port != 80) host += ":" + std::to_string(url.port);
  // HTTP/1.0: the body comes in one piece, until the connection ends.
  std::string request = (post_body.empty() ? "GET " : "POST ") + url.target +
                        " HTTP/1.0\r\nHost: " + host +
                        "\r\nUser-Agent: penstock\r\nAccept: */*\r\nConnection: close\r\n";
  if (!post_body.empty()) {
    request += "Content-Type: " + content_type +
               "\r\nContent-Length: " + std::to_string(post_body.size()) + "\r\n";
  }
  request += "\r\n";
  request += text_of(post_body);
  return request;
}

// Of a header field, or nothing; names are compared without regard to case.
std::optional<std::string_view> field_of(std::string_view head, std::string_view name) {
  size_t at = head.find("\r\n");
  while (at != std::string_view::npos) {
    const size_t begin = at + 2;
    at = head.find("\r\n", begin);
    const std::string_view line = head.substr(begin, at == head.npos ? at : at - begin);
    const size_t colon = line.find(':');
    if (colon != line.npos && equal_ignoring_case(line.substr(0, colon), name)) {
      return trim(line.substr(colon + 1));
    }
  }
  return std::nullopt;
}

Status check_head(std::string_view head, const FetchLimits& limits,
                  std::optional<uint64_t>& content_length) {
  const bool is_http = head.starts_with("HTTP/1.") && head.size() > 12 && head[8] == ' ';
  if (!is_http) return Error{"the answer is not HTTP"};
  const std::string_view code = head.substr(9, 3);
  const auto number = parse_unsigned(code, 999);
  if (!number) return Error{"the answer is not HTTP"};
  if (*number != 200) return errorf("the server answers with status %u", unsigned(*number));
  if (field_of(head, "Transfer-Encoding"))
    return Error{"a transfer encoding that was not asked for"};
  if (const auto encoding = field_of(head, "Content-Encoding");
      encoding && !equal_ignoring_case(*encoding, "identity")) {
    return Error{"a content encoding that was not asked for"};
  }
  if (const auto length = field_of(head, "Content-Length")) {
    content_length = parse_unsigned(*length);
    if (!content_length) return Error{"the answer is not HTTP"};
    if (*content_length > limits.size_bytes) return Error{"the document is too large"};
  }
  return {};
}

Result<ByteVector> read_answer(Connection& connection, const FetchLimits& limits) {
  std::string answer;
  size_t head_bytes = 0;
  std::optional<uint64_t> content_length;
  while (true) {
    PENSTOCK_TRY(const bool more, connection.receive(answer));
    if (head_bytes == 0) {
      const size_t end = answer.find("\r\n\r\n");
      if (end != answer.npos && end <= kMaxHead) {
        head_bytes = end + 4;
        PENSTOCK_CHECK(check_head(std::string_view(answer).substr(0, end), limits, content_length));
      } else if (end != answer.npos || answer.size() > kMaxHead) {
        return Error{"the answer's header is too large"};
      }
    }
    const size_t body_bytes = head_bytes == 0 ? 0 : answer.size() - head_bytes;
    if (body_bytes > limits.size_bytes) return Error{"the document is too large"};
    const bool complete = head_bytes != 0 && content_length && body_bytes >= *content_length;
    if (more && !complete) continue;
    if (head_bytes == 0) return Error{"the answer is not HTTP"};
    if (content_length && body_bytes < *content_length) return Error{"the answer is cut off"};
    const size_t take = content_length ? static_cast<size_t>(*content_length) : body_bytes;
    return to_vector(bytes_of(std::string_view(answer).substr(head_bytes, take)));
  }
}

}  // namespace

Result<HttpUrl> HttpUrl::parse(std::string_view text) {
  constexpr std::string_view kScheme = "http://";
  if (text.size() > kMaxUrl) return Error{"the URL is too long"};
  for (const char c : text) {
    if (c <= ' ' || c > '~') return Error{"the URL has characters that no URL has"};
  }
  if (!equal_ignoring_case(text.substr(0, kScheme.size()), kScheme)) {
    return Error{"only http is fetched"};
  }
  text.remove_prefix(kScheme.size());
  text = text.substr(0, text.find('#'));
  const size_t end = std::min(text.find_first_of("/?"), text.size());
  std::string_view authority = text.substr(0, end);
  HttpUrl url;
  url.target = text.substr(end);
  if (url.target.empty() || url.target[0] != '/') url.target.insert(0, "/");
  if (authority.find('@') != authority.npos) return Error{"a URL with a user name is not fetched"};
  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == authority.npos) return Error{"the URL has no host"};
    url.host = authority.substr(1, close - 1);
    authority.remove_prefix(close + 1);
    if (!authority.empty() && authority[0] != ':') return Error{"the URL has no host"};
    if (!authority.empty()) port = authority.substr(1);
    if (const auto v6 = IpAddress::parse(url.host); !v6 || !v6->is_v6()) {
      return Error{"the URL has no host"};
    }
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    url.host = authority.substr(0, colon);
    if (colon < authority.size()) port = authority.substr(colon + 1);
  }
  if (url.host.empty()) return Error{"the URL has no host"};
  if (!port.empty()) {
    const auto number = parse_unsigned(port, UINT16_MAX);
    if (!number || *number == 0) return Error{"the URL has a port that is none"};
    url.port = static_cast<uint16_t>(*number);
  }
  return url;
}

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
    PENSTOCK_CHECK(connection.send_all(request_for(target, post_body, content_type)));
    return read_answer(connection, limits);
  }
  return last.error();
}

}  // namespace penstock
