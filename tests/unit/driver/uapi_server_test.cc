#include "controlplane/driver/uapi_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "gateway/base/text.h"
#include "tests/unit/driver/two_gateways.h"

namespace penstock {
namespace {

class UapiServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(loop).value();
    side_ = std::make_unique<Side>(*loop_, "192.0.2.1");
    interface_ = side_->add(name_.c_str(), 51821, keys_);
    ASSERT_NE(interface_, nullptr);
  }
  void start(const std::string& directory) {
    auto server = make_uapi_server(*loop_, *interface_, directory);
    ASSERT_TRUE(server.ok()) << server.error().text;
    server_ = std::move(server).value();
    path_ = directory + "/" + name_ + ".sock";
  }
  void run_client(const std::function<void()>& client) {
    std::thread thread([&] {
      client();
      loop_->stop();
    });
    loop_->run();
    thread.join();
  }
  std::string ask(const std::string& request) {
    SocketClient client(path_);
    client.send(request);
    return client.read_until("\n\n");
  }
  // What the command writes to standard output and error, and its exit code.
  static std::pair<std::string, int> shell(const std::string& command) {
    FILE* const pipe = popen((command + " 2>&1").c_str(), "r");
    std::string text;
    char piece[4096];
    while (const size_t got = fread(piece, 1, sizeof piece, pipe)) text.append(piece, got);
    return {text, WEXITSTATUS(pclose(pipe))};
  }

  const KeyPair keys_ = KeyPair::make(1);
  const std::string name_ = "pst" + std::to_string(getpid());  // the sockets are global
  const std::string peer_hex_ = to_hex(KeyPair::make(7).public_key);
  TemporaryDirectory directory_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Side> side_;
  WireguardInterface* interface_ = nullptr;
  std::unique_ptr<StreamServer> server_;
  std::string path_;
};

TEST_F(UapiServerTest, set_and_get_on_one_connection) {
  start(directory_.path());
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  run_client([&] {
    SocketClient client(path_);
    client.send("set=1\npublic_key=" + peer_hex_ +
                "\nendpoint=192.0.2.9:1234\nallowed_ip=10.9.0.0/24\n\nget=1\n\n");
    EXPECT_EQ(client.read_until("\n\n"), "errno=0\n\n");
    const std::string got = client.read_until("\n\n");
    EXPECT_NE(got.find("listen_port=51821\n"), std::string::npos) << got;
    EXPECT_NE(got.find("public_key=" + peer_hex_ + "\n"), std::string::npos);
    EXPECT_NE(got.find("endpoint=192.0.2.9:1234\n"), std::string::npos);
    EXPECT_NE(got.find("allowed_ip=10.9.0.0/24\n"), std::string::npos);
    EXPECT_TRUE(got.ends_with("errno=0\n\n"));
  });
  EXPECT_EQ(side_->dataplane.tunnels.size(), 1U);
}

TEST_F(UapiServerTest, bad_line_changes_nothing_and_answers_negative_errno) {
  start(directory_.path());
  run_client([&] {
    EXPECT_EQ(ask("set=1\npublic_key=" + peer_hex_ + "\nallowed_ip=10.9.0.0/33\n\n"),
              "errno=-22\n\n");
    EXPECT_EQ(ask("frobnicate=1\n\n"), "errno=-22\n\n");
  });
  EXPECT_EQ(interface_->peer_count(), 0U);
}

TEST_F(UapiServerTest, get_of_many_peers_is_whole_and_in_pieces) {
  start(directory_.path());
  wireguard::DeviceChange change;
  for (uint32_t i = 0; i < 900; ++i) {
    wireguard::PeerChange peer;
    peer.public_key = keys_.public_key;
    std::memcpy(peer.public_key.data(), &i, sizeof i);
    peer.allowed_ips.push_back({IpPrefix::host(Ipv4Address::from_host(0x0a090000 + i)), false});
    change.peers.push_back(peer);
  }
  ASSERT_TRUE(interface_->apply(change).ok());
  run_client([&] {
    const std::string got = ask("get=1\n\n");
    size_t peers = 0, lines = 0;
    for (const auto line : split(got, '\n')) {
      peers += line.starts_with("public_key=") ? 1 : 0;
      lines += line.starts_with("errno=") || line.starts_with("private_key=") ? 1 : 0;
    }
    EXPECT_EQ(peers, 900U);
    EXPECT_EQ(lines, 2U);
  });
}

// The program that people use, where it is installed and we may write where it looks.
TEST_F(UapiServerTest, wg_shows_sets_and_syncs) {
  if (system("command -v wg >/dev/null") != 0) GTEST_SKIP() << "wg is not installed";
  if (geteuid() != 0) GTEST_SKIP() << "wg looks in /var/run/wireguard, which only root may write";
  start("/var/run/wireguard");
  const std::string peer = to_base64(KeyPair::make(7).public_key);
  const std::string other = to_base64(KeyPair::make(8).public_key);
  const std::string file = directory_.path() + "/sync.conf";
  std::ofstream(file) << "[Interface]\nPrivateKey = " << to_base64(keys_.private_key.bytes())
                      << "\nListenPort = 51821\n[Peer]\nPublicKey = " << other
                      << "\nAllowedIPs = 10.9.0.0/24, fd00:9::/64\n";
  run_client([&] {
    EXPECT_EQ(shell("wg set " + name_ + " peer " + peer +
                    " endpoint 192.0.2.9:99 persistent-keepalive 25 allowed-ips 10.9.0.0/24"),
              std::make_pair(std::string(), 0));
    const auto [dump, code] = shell("wg show " + name_ + " dump");
    EXPECT_EQ(code, 0);
    EXPECT_NE(dump.find(peer + "\t(none)\t192.0.2.9:99\t10.9.0.0/24\t0\t0\t0\t25"),
              std::string::npos)
        << dump;
    EXPECT_EQ(shell("wg syncconf " + name_ + " " + file), std::make_pair(std::string(), 0));
    EXPECT_EQ(shell("wg show " + name_ + " allowed-ips").first,
              other + "\t10.9.0.0/24 fd00:9::/64\n");
    EXPECT_EQ(shell("wg show " + name_ + " listen-port").first, "51821\n");
    EXPECT_NE(shell("wg show interfaces").first.find(name_), std::string::npos);
    EXPECT_EQ(shell("wg set " + name_ + " peer " + other + " remove").second, 0);
  });
  EXPECT_EQ(interface_->peer_count(), 0U);
  server_.reset();
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace penstock
