#include "controlplane/api/uapi.h"

#include <cerrno>
#include <utility>

#include "gateway/base/text.h"

namespace penstock::wireguard::uapi {

namespace {

constexpr std::string_view kGet = "get=1\n";
constexpr std::string_view kSet = "set=1\n";
constexpr size_t kKeyBytes = 32;

// A nibble without a branch or a table, for keys; -1 where it is no hexadecimal digit.
int hex_value(char c) {
  const int digit = c - '0';
  const int letter = (c | 0x20) - 'a';
  const int is_digit = -static_cast<int>(static_cast<unsigned>(digit) < 10);
  const int is_letter = -static_cast<int>(static_cast<unsigned>(letter) < 6);
  return (is_digit & digit) | (is_letter & (letter + 10)) | ~(is_digit | is_letter);
}

// Keys stand in hexadecimal, exactly 64 digits.
bool decode_key(std::string_view text, MutableBytes out) {
  if (text.size() != 2 * kKeyBytes) return false;
  int bad = 0;
  for (size_t i = 0; i < kKeyBytes; ++i) {
    const int high = hex_value(text[2 * i]);
    const int low = hex_value(text[2 * i + 1]);
    bad |= high | low;  // negative as soon as one is
    out[i] = static_cast<uint8_t>(high << 4 | (low & 15));
  }
  return bad >= 0;
}

template <class T>
bool set_number(std::string_view text, uint64_t maximum, std::optional<T>& out) {
  const auto number = parse_unsigned(text, maximum);
  if (number) out = static_cast<T>(*number);
  return number.has_value();
}

bool set_secret(std::string_view text, std::optional<Secret<32>>& out) {
  return decode_key(text, out.emplace().mutable_bytes());
}

// The flags know no "false": what is not wanted is left out.
bool set_flag(std::string_view text, bool& out) {
  out = text == "true";
  return out;
}

bool add_allowed_ip(std::string_view text, std::vector<AllowedIpChange>& out) {
  AllowedIpChange change;
  if (!text.empty() && text.front() == '-') {
    change.remove = true;
    text.remove_prefix(1);
  }
  if (text.find('/') == std::string_view::npos) return false;
  const auto prefix = IpPrefix::parse(text);
  if (!prefix) return false;
  change.prefix = *prefix;
  out.push_back(change);
  return true;
}

enum class LineResult : uint8_t { kTaken, kUnknownKey, kBadValue };
LineResult taken_if(bool good) { return good ? LineResult::kTaken : LineResult::kBadValue; }

LineResult device_line(std::string_view key, std::string_view value, DeviceChange& device) {
  if (key == "private_key") return taken_if(set_secret(value, device.private_key));
  if (key == "listen_port") return taken_if(set_number(value, UINT16_MAX, device.listen_port));
  if (key == "fwmark") return taken_if(set_number(value, UINT32_MAX, device.fwmark));
  if (key == "replace_peers") return taken_if(set_flag(value, device.replace_peers));
  return LineResult::kUnknownKey;
}

LineResult peer_line(std::string_view key, std::string_view value, PeerChange& peer) {
  if (key == "allowed_ip") return taken_if(add_allowed_ip(value, peer.allowed_ips));
  if (key == "replace_allowed_ips") return taken_if(set_flag(value, peer.replace_allowed_ips));
  if (key == "endpoint") {
    peer.endpoint = Endpoint::parse(value);
    return taken_if(peer.endpoint && peer.endpoint->port != 0);
  }
  if (key == "preshared_key") return taken_if(set_secret(value, peer.preshared_key));
  if (key == "persistent_keepalive_interval") {
    return taken_if(set_number(value, UINT16_MAX, peer.persistent_keepalive_s));
  }
  if (key == "protocol_version") return taken_if(value == "1");
  if (key == "remove") return taken_if(set_flag(value, peer.remove));
  if (key == "update_only") return taken_if(set_flag(value, peer.update_only));
  return LineResult::kUnknownKey;
}

// A key's name as it may be logged: bounded, since it is whatever a client sent.
std::string shown(std::string_view key) { return std::string(key.substr(0, 40)); }

}  // namespace

Result<DeviceChange, SetError> parse_set(std::string_view request) {
  const auto refuse = [](size_t line, std::string text) {
    return Result<DeviceChange, SetError>(SetError{line, std::move(text)});
  };
  if (!request.starts_with(kSet)) return refuse(1, "a set begins with set=1");
  request.remove_prefix(kSet.size());
  DeviceChange device;
  for (size_t line = 2;; ++line) {
    const size_t end = request.find('\n');
    if (end == std::string_view::npos) return refuse(line, "no empty line at the end");
    const std::string_view text = request.substr(0, end);
    request.remove_prefix(end + 1);
    if (text.empty()) break;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) return refuse(line, "no '=' in the line");
    const std::string_view key = text.substr(0, equals);
    const std::string_view value = text.substr(equals + 1);
    LineResult result = LineResult::kTaken;
    if (key == "public_key") {
      result = taken_if(decode_key(value, device.peers.emplace_back().public_key));
    } else if (device.peers.empty()) {
      result = device_line(key, value, device);
    } else {
      result = peer_line(key, value, device.peers.back());
    }
    if (result == LineResult::kUnknownKey) return refuse(line, "unknown key " + shown(key));
    if (result == LineResult::kBadValue) return refuse(line, "bad value of " + shown(key));
  }
  if (!request.empty()) return refuse(0, "bytes after the empty line");
  return device;
}

namespace {

void add_line(std::string& out, std::string_view key, std::string_view value) {
  out.append(key).append(1, '=').append(value).append(1, '\n');
}
void add_line(std::string& out, std::string_view key, uint64_t value) {
  add_line(out, key, std::to_string(value));
}

// Digits go straight into `out`: no copy of a key is left behind in a temporary.
void add_key(std::string& out, std::string_view key, Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out.append(key).append(1, '=');
  for (const uint8_t byte : bytes) out.append(1, kDigits[byte >> 4]).append(1, kDigits[byte & 15]);
  out.append(1, '\n');
}

void add_peer(std::string& out, const PeerStatus& peer) {
  add_key(out, "public_key", peer.public_key);
  add_key(out, "preshared_key", peer.preshared_key.bytes());
  add_line(out, "protocol_version", 1);
  if (peer.endpoint) add_line(out, "endpoint", peer.endpoint->to_string());
  const auto wall_ns = static_cast<uint64_t>(std::max<Nanoseconds>(peer.last_handshake_wall_ns, 0));
  add_line(out, "last_handshake_time_sec", wall_ns / kSecond);
  add_line(out, "last_handshake_time_nsec", wall_ns % kSecond);
  add_line(out, "tx_bytes", peer.tx_bytes);
  add_line(out, "rx_bytes", peer.rx_bytes);
  add_line(out, "persistent_keepalive_interval", peer.persistent_keepalive_s);
  for (const IpPrefix& prefix : peer.allowed_ips) add_line(out, "allowed_ip", prefix.to_string());
}

// An upper bound, so that `out` never moves while it holds keys.
size_t answer_bytes(const DeviceStatus& status) {
  constexpr size_t kDeviceBytes = 256, kPeerBytes = 512, kAllowedIpBytes = 64;
  size_t bytes = kDeviceBytes;
  for (const PeerStatus& peer : status.peers) {
    bytes += kPeerBytes + peer.allowed_ips.size() * kAllowedIpBytes;
  }
  return bytes;
}

}  // namespace

std::string format_get(const DeviceStatus& status) {
  std::string out;
  out.reserve(answer_bytes(status));
  if (!status.private_key.is_zero()) add_key(out, "private_key", status.private_key.bytes());
  if (status.listen_port != 0) add_line(out, "listen_port", status.listen_port);
  if (status.fwmark != 0) add_line(out, "fwmark", status.fwmark);
  for (const PeerStatus& peer : status.peers) add_peer(out, peer);
  out += format_errno(0);  // returned by move, not copied: it holds keys
  return out;
}

std::string format_errno(int error) { return "errno=" + std::to_string(-error) + "\n\n"; }

int errno_of(SplitError error) {
  switch (error) {
    case SplitError::kMalformed:
      return EINVAL;
    case SplitError::kTooLong:
      return E2BIG;
  }
  return EINVAL;
}

Request::~Request() { wipe_text(text); }

RequestSplitter::~RequestSplitter() { wipe_text(buffer_); }

RequestSplitter::RequestSplitter(RequestSplitter&& other) noexcept
    : max_request_bytes_(other.max_request_bytes_),
      buffer_(std::move(other.buffer_)),
      searched_(std::exchange(other.searched_, 0)),
      error_(other.error_) {
  wipe_text(other.buffer_);
}

RequestSplitter& RequestSplitter::operator=(RequestSplitter&& other) noexcept {
  if (this == &other) return *this;
  wipe_text(buffer_);
  max_request_bytes_ = other.max_request_bytes_;
  buffer_ = std::move(other.buffer_);
  searched_ = std::exchange(other.searched_, 0);
  error_ = other.error_;
  wipe_text(other.buffer_);
  return *this;
}

void RequestSplitter::append(std::string_view bytes) {
  if (error_) return;
  if (buffer_.size() > max_request_bytes_) {  // nobody took what was here: do not grow further
    error_ = SplitError::kTooLong;
    wipe_text(buffer_);
    return;
  }
  const size_t needed = buffer_.size() + bytes.size();
  if (needed > buffer_.capacity()) {
    std::string grown;
    grown.reserve(std::max(needed, buffer_.capacity() * 2));
    grown = buffer_;
    wipe_text(buffer_);
    buffer_ = std::move(grown);
  }
  buffer_ += bytes;
}

Result<std::optional<Request>, SplitError> RequestSplitter::next() {
  if (error_) return *error_;
  const std::string_view head = std::string_view(buffer_).substr(0, kGet.size());
  const bool get = kGet.starts_with(head);
  if (!get && !kSet.starts_with(head)) {
    error_ = SplitError::kMalformed;
    wipe_text(buffer_);
    return *error_;
  }
  const size_t end = buffer_.find("\n\n", searched_);
  const bool whole = end != std::string::npos;
  if (whole ? end + 2 > max_request_bytes_ : buffer_.size() > max_request_bytes_) {
    error_ = SplitError::kTooLong;
    wipe_text(buffer_);
    return *error_;
  }
  if (!whole) {
    searched_ = buffer_.empty() ? 0 : buffer_.size() - 1;
    return std::optional<Request>();
  }
  Request request;
  request.operation = get ? Operation::kGet : Operation::kSet;
  take(end + 2, request.text);
  return std::optional<Request>(std::move(request));
}

void RequestSplitter::take(size_t length, std::string& out) {
  out.assign(buffer_, 0, length);
  std::string rest(buffer_, length);
  wipe_text(buffer_);
  buffer_ = std::move(rest);
  searched_ = 0;
}

}  // namespace penstock::wireguard::uapi
