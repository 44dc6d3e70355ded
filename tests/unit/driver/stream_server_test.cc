#include "controlplane/driver/stream_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/unit/driver/socket_client.h"

namespace penstock {
namespace {

class StreamServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(loop).value();
    options_.path = directory_.path() + "/sub/test.sock";
    options_.make_splitter = [] { return std::make_unique<LineSplitter>(1000, "too long\n"); };
  }
  void start(StreamServer::Handler handler) {
    auto server = StreamServer::create(*loop_, options_, std::move(handler));
    ASSERT_TRUE(server.ok()) << server.error().text;
    server_ = std::move(server).value();
  }
  // Runs the client on a thread of its own while the loop serves.
  void run_client(const std::function<void()>& client) {
    std::thread thread([&] {
      client();
      loop_->stop();
    });
    loop_->run();
    thread.join();
  }
  static StreamReply echo(std::string_view request) {
    return StreamReply{"<" + std::string(request) + ">\n", {}, false};
  }

  TemporaryDirectory directory_;
  StreamServerOptions options_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<StreamServer> server_;
};

TEST_F(StreamServerTest, requests_in_pieces_and_pipelined_are_answered_in_order) {
  start(echo);
  run_client([&] {
    SocketClient client(options_.path);
    client.send("on");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    client.send("e\ntwo\nthr");
    EXPECT_EQ(client.read_until(">\n<two>\n"), "<one>\n<two>\n");
    client.send("ee\n");
    EXPECT_EQ(client.read_until("\n"), "<three>\n");
    std::string many;
    for (int i = 0; i < 500; ++i) many += "x\n";
    client.send(many);
    client.shut_down_writing();
    EXPECT_EQ(client.read_all().size(), 500 * 4U);  // "<x>\n", then closed
  });
}

TEST_F(StreamServerTest, socket_file_has_mode_and_goes_with_server) {
  options_.mode = 0600;
  start(echo);
  struct stat info {};
  ASSERT_EQ(stat(options_.path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  server_.reset();
  EXPECT_NE(stat(options_.path.c_str(), &info), 0);
}

TEST_F(StreamServerTest, live_socket_is_not_stolen) {
  start(echo);
  auto second = StreamServer::create(*loop_, options_, echo);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().text.find("in use by another process"), std::string::npos);
  run_client([&] {
    SocketClient client(options_.path);
    client.send("still\n");
    EXPECT_EQ(client.read_until("\n"), "<still>\n");
  });
}

TEST_F(StreamServerTest, stale_socket_is_replaced_other_file_is_not) {
  std::filesystem::create_directories(directory_.path() + "/sub");
  {
    // Bound and closed without unlink: what a killed process leaves.
    const FileDescriptor dead(socket(AF_UNIX, SOCK_STREAM, 0));
    const sockaddr_un address = SocketClient::address_of(options_.path);
    ASSERT_EQ(bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  start(echo);
  server_.reset();
  std::ofstream(options_.path) << "a file";
  EXPECT_FALSE(StreamServer::create(*loop_, options_, echo).ok());
  EXPECT_TRUE(std::filesystem::exists(options_.path));
}

TEST_F(StreamServerTest, request_over_limit_is_answered_and_closes_connection) {
  start(echo);
  run_client([&] {
    SocketClient client(options_.path);
    client.send(std::string(5000, 'a'));
    EXPECT_EQ(client.read_all(), "too long\n");
  });
}

TEST_F(StreamServerTest, connections_over_limit_are_refused) {
  options_.connection_limit = 2;
  start(echo);
  run_client([&] {
    SocketClient a(options_.path), b(options_.path);
    a.send("a\n");
    b.send("b\n");
    EXPECT_EQ(a.read_until("\n"), "<a>\n");
    EXPECT_EQ(b.read_until("\n"), "<b>\n");
    SocketClient c(options_.path);
    EXPECT_EQ(c.read_all(), "");
    a.send("again\n");
    EXPECT_EQ(a.read_until("\n"), "<again>\n");
  });
  EXPECT_EQ(server_->refused(), 1U);
}

TEST_F(StreamServerTest, idle_connection_is_closed) {
  options_.idle_limit_ns = 40 * kMillisecond;
  start(echo);
  run_client([&] {
    SocketClient client(options_.path);
    client.send("half");
    EXPECT_EQ(client.read_all(), "");
  });
}

TEST_F(StreamServerTest, long_answer_to_slow_reader_leaves_loop_free_for_others) {
  constexpr size_t kPiece = 10'000;
  constexpr size_t kPieces = 2'000;
  start([](std::string_view request) {
    if (request != "long") return echo(request);
    auto count = std::make_shared<size_t>(0);
    return StreamReply{"", [count] { return std::string((*count)++ < kPieces ? kPiece : 0, 'z'); },
                       true};
  });
  run_client([&] {
    SocketClient slow(options_.path);
    slow.send("long\n");
    SocketClient other(options_.path);
    for (int i = 0; i < 100; ++i) {
      other.send("quick\n");
      EXPECT_EQ(other.read_until("\n"), "<quick>\n");
    }
    EXPECT_EQ(slow.read_all().size(), kPiece * kPieces);
  });
}

}  // namespace
}  // namespace penstock
