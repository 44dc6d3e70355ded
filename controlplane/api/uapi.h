// The cross-platform userspace API of WireGuard, which wg(8) speaks over a stream socket
// (https://www.wireguard.com/xplatform/): requests "get=1" and "set=1" of `key=value` lines, ended
// by an empty line; the answer ends in "errno=N" and an empty line.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "controlplane/wireguard/configuration.h"
#include "gateway/base/result.h"

namespace penstock::wireguard::uapi {

// A set of 100,000 peers with a few allowed IPs each is about 30 MB.
inline constexpr size_t kMaxRequestBytes = 64u << 20;

// Why a set is refused. The answer to each is errno EINVAL.
struct SetError {
  size_t line = 0;   // from 1; the first line is "set=1"
  std::string text;  // one sentence for the log, never a secret
};

// A whole request, "set=1\n" up to and with its empty line. Strict: one bad line refuses it all.
Result<DeviceChange, SetError> parse_set(std::string_view request);

// The answer to get=1, as wireguard-go prints it, with "errno=0" and the empty line. It holds keys:
// wipe_text() it once it is sent.
std::string format_get(const DeviceStatus& status);

// "errno=N\n\n". `error` is an errno value, positive, or 0; it is printed negated (-EINVAL = -22),
// as the protocol's text has it.
std::string format_errno(int error);

enum class Operation : uint8_t { kGet, kSet };

struct Request {
  Operation operation = Operation::kGet;
  std::string text;  // with the closing empty line; wiped at the end, since it may hold keys

  Request() = default;
  Request(Request&&) = default;
  Request& operator=(Request&&) = default;
  ~Request();
};

// Why a connection cannot go on: answer with this errno, then close.
enum class SplitError : uint8_t {
  kMalformed,  // the first line is neither get=1 nor set=1: EINVAL
  kTooLong,    // no empty line within the bound: E2BIG
};
int errno_of(SplitError error);

// Cuts a connection's bytes into requests. A connection may carry several; wg(8) also opens one
// that carries none, to see whether somebody listens. What it held is wiped.
class RequestSplitter {
 public:
  explicit RequestSplitter(size_t max_request_bytes = kMaxRequestBytes)
      : max_request_bytes_(max_request_bytes) {}
  ~RequestSplitter();
  RequestSplitter(const RequestSplitter&) = delete;
  RequestSplitter& operator=(const RequestSplitter&) = delete;
  RequestSplitter(RequestSplitter&& other) noexcept;
  RequestSplitter& operator=(RequestSplitter&& other) noexcept;

  // What one read(2) gave. Take everything with next() before the next append: what is held is
  // never more than the bound and one read.
  void append(std::string_view bytes);
  // The next whole request, nothing yet, or an error, which then stays.
  Result<std::optional<Request>, SplitError> next();
  [[nodiscard]] size_t buffered_bytes() const { return buffer_.size(); }

 private:
  void take(size_t length, std::string& out);

  size_t max_request_bytes_;
  std::string buffer_;
  size_t searched_ = 0;  // no empty line ends before this offset
  std::optional<SplitError> error_;
};

}  // namespace penstock::wireguard::uapi
