// The little of HTTP/1.0 (RFC 1945, RFC 9112) that fetches one document: URLs, a request, its
// answer. What comes is not trusted: it is bounded, and read from the front only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gateway/base/bytes.h"
#include "gateway/base/result.h"

namespace penstock {

struct HttpUrl {
  std::string host;  // a name or an address, IPv6 without brackets
  uint16_t port = 80;
  std::string target;  // path and query, as sent
  // Refused: other schemes, user names, control characters and spaces.
  static Result<HttpUrl> parse(std::string_view text);
};

// GET, or where there is a body POST with `content_type`.
std::string http_request(const HttpUrl& url, Bytes post_body, std::string_view content_type);

// Puts an answer together as it comes, in whatever pieces.
class HttpAnswer {
 public:
  explicit HttpAnswer(size_t body_limit_bytes) : body_limit_bytes_(body_limit_bytes) {}

  // True: the document is complete, without the connection having to end. An error is final.
  Result<bool> take(std::string_view piece);
  // At the end of the connection, or when take() said true: the document of an answer with status
  // 200. Refused: what is cut off, and encodings, which were not asked for.
  [[nodiscard]] Result<ByteVector> document() const;

 private:
  Status check_head(std::string_view head);

  const size_t body_limit_bytes_;
  std::string answer_;
  size_t head_bytes_ = 0;  // 0: not all of it has come
  std::optional<uint64_t> content_length_;
};

}  // namespace penstock
