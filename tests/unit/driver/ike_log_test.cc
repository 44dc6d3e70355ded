#include "controlplane/driver/ike_log.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

ike::Notify line(const char* peer) {
  ike::Notify notify;
  notify.connection = "home";
  notify.ike_id = 4;
  notify.peer = *Endpoint::parse(peer);
  notify.text = "authentication failed: pre-shared key does not match";
  return notify;
}

size_t lines_in(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST(IkeLog, line_names_connection_and_peer) {
  EXPECT_EQ(line_of(line("192.0.2.7:500")),
            "ike home[4]: authentication failed: pre-shared key does not match (peer "
            "192.0.2.7:500)");
  ike::Notify notify = line("192.0.2.7:500");
  notify.text = "192.0.2.7 does not answer";
  notify.child = "net";
  notify.child_id = 9;
  EXPECT_EQ(line_of(notify), "ike home[4] child net{9}: 192.0.2.7 does not answer");
}

TEST(IkeLog, lease_is_told_with_pool_and_identity) {
  ike::Notify notify;
  notify.kind = ike::Notify::Kind::kLeased;
  notify.address = *IpAddress::parse("10.9.0.1");
  notify.pool = "rw";
  notify.identity = "alice";
  EXPECT_EQ(line_of(notify), "ike: 10.9.0.1 of pool rw leased to alice");
  notify.kind = ike::Notify::Kind::kReleased;
  EXPECT_EQ(line_of(notify), "ike: 10.9.0.1 of pool rw released by alice");
}

TEST(IkeLog, one_peer_cannot_fill_the_journal) {
  IkeLog log;
  testing::internal::CaptureStderr();
  for (int i = 0; i < 1000; ++i) log.write(i * kMillisecond, line("192.0.2.7:500"));
  for (int i = 0; i < 3; ++i) log.write(kSecond, line("192.0.2.8:500"));
  log.write(IkeLog::kIntervalNs + kSecond, line("192.0.2.7:500"));
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(lines_in(text, "peer 192.0.2.7:500"), IkeLog::kLinesPerPeer + 1);
  EXPECT_EQ(lines_in(text, "peer 192.0.2.8:500"), 3U) << "another peer is not silenced";
  EXPECT_EQ(lines_in(text, "980 log lines about 192.0.2.7 left out"), 1U);
}

TEST(IkeLog, ipv6_network_counts_as_one_peer) {
  IkeLog log;
  testing::internal::CaptureStderr();
  for (int i = 0; i < 40; ++i) {
    const std::string peer = "[2001:db8::" + std::to_string(i + 1) + "]:500";
    log.write(0, line(peer.c_str()));
  }
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(lines_in(text, "authentication failed"), IkeLog::kLinesPerPeer);
}

TEST(IkeLog, what_a_command_reads_itself_is_not_logged_twice) {
  IkeLog log;
  testing::internal::CaptureStderr();
  ike::Notify notify = line("192.0.2.7:500");
  notify.kind = ike::Notify::Kind::kCommandLine;
  log.write(0, notify);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace penstock
