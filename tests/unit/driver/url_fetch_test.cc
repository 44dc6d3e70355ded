#include "controlplane/driver/url_fetch.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "controlplane/driver/event_loop.h"
#include "controlplane/wire/http.h"

namespace penstock {
namespace {

// Takes one connection, reads the request until its end, and answers with `answer`.
class OneShotServer {
 public:
  explicit OneShotServer(std::string answer, Nanoseconds hold_ns = 0)
      : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    socklen_t size = sizeof address;
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this, answer = std::move(answer), hold_ns] {
      const FileDescriptor one(accept(listener_.get(), nullptr, nullptr));
      char piece[4096];
      while (request.find("\r\n\r\n") == std::string::npos ||
             (request.starts_with("POST") && !request.ends_with("BODY"))) {
        const ssize_t got = recv(one.get(), piece, sizeof piece, 0);
        if (got <= 0) return;
        request.append(piece, static_cast<size_t>(got));
      }
      std::this_thread::sleep_for(std::chrono::nanoseconds(hold_ns));
      (void)send(one.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    });
  }
  ~OneShotServer() { finish(); }
  void finish() {
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] std::string url(const std::string& target = "/a.crl") const {
    return "http://127.0.0.1:" + std::to_string(port) + target;
  }
  uint16_t port = 0;
  std::string request;

 private:
  FileDescriptor listener_;
  std::thread thread_;
};

FetchLimits limits() { return {2 * kSecond, 64}; }

std::string error_of(const std::string& answer) {
  const OneShotServer server(answer);
  const auto got = fetch_url(server.url(), {}, "", limits());
  return got.ok() ? "" : got.error().text;
}

TEST(UrlFetch, document_is_what_follows_the_header) {
  OneShotServer server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX: y\r\n\r\n12345");
  const auto got = fetch_url(server.url("/a?b=c"), {}, "", limits());
  ASSERT_TRUE(got.ok()) << got.error().text;
  EXPECT_EQ(text_of(*got), "12345");
  server.finish();
  EXPECT_TRUE(server.request.starts_with("GET /a?b=c HTTP/1.0\r\nHost: 127.0.0.1:"));
}

TEST(UrlFetch, document_without_a_length_ends_with_the_connection) {
  const OneShotServer server("HTTP/1.0 200 OK\r\n\r\nabc");
  const auto got = fetch_url(server.url(), {}, "", limits());
  ASSERT_TRUE(got.ok()) << got.error().text;
  EXPECT_EQ(text_of(*got), "abc");
}

TEST(UrlFetch, body_is_posted_with_its_type) {
  OneShotServer server("HTTP/1.0 200 OK\r\n\r\nx");
  EXPECT_TRUE(fetch_url(server.url(), bytes_of("BODY"), "application/ocsp-request", limits()).ok());
  server.finish();
  EXPECT_TRUE(server.request.starts_with("POST /a.crl HTTP/1.0\r\n"));
  EXPECT_NE(server.request.find("Content-Type: application/ocsp-request\r\nContent-Length: 4\r\n"),
            std::string::npos);
}

TEST(UrlFetch, answer_that_is_no_document_is_refused) {
  EXPECT_EQ(error_of("HTTP/1.0 404 Not Found\r\n\r\n"), "the server answers with status 404");
  EXPECT_EQ(error_of("HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n"),
            "the server answers with status 302");
  EXPECT_EQ(error_of("SSH-2.0-x\r\n\r\n"), "the answer is not HTTP");
  EXPECT_EQ(error_of(""), "the answer is not HTTP");
  EXPECT_EQ(error_of("HTTP/1.0 200 OK\r\n"), "the answer is not HTTP");
  EXPECT_EQ(error_of("HTTP/1.0 200 OK\r\nContent-Length: x\r\n\r\n"), "the answer is not HTTP");
  EXPECT_EQ(error_of("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "the answer is cut off");
  EXPECT_EQ(error_of("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "a transfer encoding that was not asked for");
  EXPECT_EQ(error_of("HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n"),
            "a content encoding that was not asked for");
}

TEST(UrlFetch, answer_beyond_the_limits_is_refused) {
  EXPECT_EQ(error_of("HTTP/1.0 200 OK\r\nContent-Length: 65\r\n\r\n"), "the document is too large");
  EXPECT_EQ(error_of("HTTP/1.0 200 OK\r\n\r\n" + std::string(65, 'x')),
            "the document is too large");
  EXPECT_EQ(error_of("HTTP/1.0 200 OK\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"),
            "the answer's header is too large");
}

TEST(UrlFetch, server_that_does_not_answer_in_time_is_given_up) {
  const OneShotServer server("HTTP/1.0 200 OK\r\n\r\nx", 400 * kMillisecond);
  const auto got = fetch_url(server.url(), {}, "", {100 * kMillisecond, 64});
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().text, "no answer in time");
}

TEST(HttpUrl, parts_are_told_apart) {
  const auto plain = HttpUrl::parse("http://ca.example/x.crl#y");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->host, "ca.example");
  EXPECT_EQ(plain->port, 80);
  EXPECT_EQ(plain->target, "/x.crl");
  EXPECT_EQ(HttpUrl::parse("HTTP://a:8080")->target, "/");
  EXPECT_EQ(HttpUrl::parse("http://a?b")->target, "/?b");
  const auto v6 = HttpUrl::parse("http://[2001:db8::1]:81/x");
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->host, "2001:db8::1");
  EXPECT_EQ(v6->port, 81);
}

TEST(HttpUrl, what_is_not_fetched_is_refused) {
  for (const std::string bad :
       {"", "x", "https://a/", "ldap://a/", "file:///etc/passwd", "http://", "http:///x",
        "http://u@a/", "http://a:0/", "http://a:65536/", "http://a:x/", "http://[::1/",
        "http://[a]/", "http://[::1]x/", "http://a/ b", "http://a/\r\nHost: b"}) {
    EXPECT_FALSE(HttpUrl::parse(bad).ok()) << bad;
  }
  EXPECT_FALSE(HttpUrl::parse("http://a/" + std::string(3000, 'x')).ok());
}

TEST(ResolveHost, address_is_its_own_name) {
  const auto found = resolve_host("2001:db8::5");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(*found, std::vector<IpAddress>{*IpAddress::parse("2001:db8::5")});
}

}  // namespace
}  // namespace penstock
