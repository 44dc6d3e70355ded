#include "controlplane/wire/http.h"

#include <algorithm>

#include "gateway/base/net.h"
#include "gateway/base/text.h"

namespace penstock {
namespace {

constexpr size_t kMaxUrl = 2048;
constexpr size_t kMaxHead = 16'384;  // status line and header fields

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

std::string http_request(const HttpUrl& url, Bytes post_body, std::string_view content_type) {
  const bool v6 = url.host.find(':') != std::string::npos;
  std::string host = v6 ? "[" + url.host + "]" : url.host;
  if (url.port != 80) host += ":" + std::to_string(url.port);
  // HTTP/1.0: the body comes in one piece, until the connection ends.
  std::string request = (post_body.empty() ? "GET " : "POST ") + url.target +
                        " HTTP/1.0\r\nHost: " + host +
                        "\r\nUser-Agent: penstock\r\nAccept: */*\r\nConnection: close\r\n";
  if (!post_body.empty()) {
    request += "Content-Type: " + std::string(content_type) +
               "\r\nContent-Length: " + std::to_string(post_body.size()) + "\r\n";
  }
  request += "\r\n";
  request += text_of(post_body);
  return request;
}

Status HttpAnswer::check_head(std::string_view head) {
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
    content_length_ = parse_unsigned(*length);
    if (!content_length_) return Error{"the answer is not HTTP"};
    if (*content_length_ > body_limit_bytes_) return Error{"the document is too large"};
  }
  return {};
}

Result<bool> HttpAnswer::take(std::string_view piece) {
  answer_ += piece;
  if (head_bytes_ == 0) {
    const size_t end = answer_.find("\r\n\r\n");
    if (end != answer_.npos && end <= kMaxHead) {
      PENSTOCK_CHECK(check_head(std::string_view(answer_).substr(0, end)));
      head_bytes_ = end + 4;
    } else if (end != answer_.npos || answer_.size() > kMaxHead) {
      return Error{"the answer's header is too large"};
    } else {
      return false;
    }
  }
  const size_t body_bytes = answer_.size() - head_bytes_;
  if (body_bytes > body_limit_bytes_) return Error{"the document is too large"};
  return content_length_ && body_bytes >= *content_length_;
}

Result<ByteVector> HttpAnswer::document() const {
  if (head_bytes_ == 0) return Error{"the answer is not HTTP"};
  std::string_view body = std::string_view(answer_).substr(head_bytes_);
  if (content_length_) {
    if (body.size() < *content_length_) return Error{"the answer is cut off"};
    body = body.substr(0, static_cast<size_t>(*content_length_));
  }
  return to_vector(bytes_of(body));
}

}  // namespace penstock
