#include <gtest/gtest.h>

#include <cerrno>

#include "controlplane/api/uapi.h"

namespace penstock::wireguard::uapi {
namespace {

TEST(UapiSplitter, nothing_received_is_no_request) {
  RequestSplitter splitter;
  const auto request = splitter.next();
  ASSERT_TRUE(request.ok());
  EXPECT_FALSE(request->has_value());
}

TEST(UapiSplitter, request_in_single_bytes_comes_out_whole) {
  const std::string text = "set=1\nlisten_port=5\n\n";
  RequestSplitter splitter;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto early = splitter.next();
    ASSERT_TRUE(early.ok());
    EXPECT_FALSE(early->has_value()) << i;
    splitter.append(text.substr(i, 1));
  }
  const auto request = splitter.next();
  ASSERT_TRUE(request.ok() && request->has_value());
  EXPECT_EQ((*request)->operation, Operation::kSet);
  EXPECT_EQ((*request)->text, text);
  EXPECT_EQ(splitter.buffered_bytes(), 0U);
}

TEST(UapiSplitter, several_requests_in_one_read_come_out_in_order) {
  RequestSplitter splitter;
  splitter.append("get=1\n\nset=1\nfwmark=1\n\nget=1\n");
  EXPECT_EQ((**splitter.next()).text, "get=1\n\n");
  EXPECT_EQ((**splitter.next()).text, "set=1\nfwmark=1\n\n");
  EXPECT_FALSE(splitter.next()->has_value());
  splitter.append("\n");
  EXPECT_EQ((**splitter.next()).operation, Operation::kGet);
}

TEST(UapiSplitter, foreign_first_byte_is_malformed_for_good) {
  RequestSplitter splitter;
  splitter.append("GET / HTTP/1.1\r\n");
  ASSERT_FALSE(splitter.next().ok());
  EXPECT_EQ(splitter.next().error(), SplitError::kMalformed);
  splitter.append("get=1\n\n");
  EXPECT_FALSE(splitter.next().ok());
  EXPECT_EQ(errno_of(SplitError::kMalformed), EINVAL);
}

TEST(UapiSplitter, request_at_the_bound_passes_and_one_byte_more_does_not) {
  const std::string text = "set=1\nfwmark=1\n\n";
  RequestSplitter exact(text.size());
  exact.append(text);
  EXPECT_TRUE(exact.next().ok());
  RequestSplitter small(text.size() - 1);
  small.append(text);
  ASSERT_FALSE(small.next().ok());
  EXPECT_EQ(small.next().error(), SplitError::kTooLong);
  EXPECT_EQ(errno_of(SplitError::kTooLong), E2BIG);
}

TEST(UapiSplitter, flood_without_an_end_does_not_grow_the_buffer) {
  RequestSplitter splitter(100);
  splitter.append("set=1\n");
  for (int i = 0; i < 1'000; ++i) splitter.append("fwmark=1\nfwmark=2\n");
  EXPECT_LE(splitter.buffered_bytes(), 200U);
  EXPECT_FALSE(splitter.next().ok());
  EXPECT_EQ(splitter.buffered_bytes(), 0U);
}

TEST(UapiSplitter, flood_of_whole_requests_is_not_too_long) {
  RequestSplitter splitter(100);
  std::string many;
  for (int i = 0; i < 100; ++i) many += "get=1\n\n";
  splitter.append(many);
  int count = 0;
  while (true) {
    const auto request = splitter.next();
    ASSERT_TRUE(request.ok());
    if (!request->has_value()) break;
    ++count;
  }
  EXPECT_EQ(count, 100);
}

TEST(UapiSplitter, moved_splitter_keeps_what_it_holds) {
  RequestSplitter first;
  first.append("get=1\n");
  RequestSplitter second(std::move(first));
  second.append("\n");
  EXPECT_TRUE(second.next()->has_value());
}

}  // namespace
}  // namespace penstock::wireguard::uapi
