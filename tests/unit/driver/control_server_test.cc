#include "controlplane/driver/control_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "gateway/base/text.h"
#include "gateway/cli/client.h"
#include "gateway/cli/render.h"
#include "tests/unit/driver/two_gateways.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

class ControlServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(loop).value();
    side_ = std::make_unique<Side>(*loop_, "192.0.2.1");
    PortInfo port;
    port.id = PortId{0};
    port.name = "outside";
    port.device = "net_af_packet0";
    port.role = PortRole::kOutside;
    port.link_up = true;
    port.rx_packets = 1'234'567;
    side_->dataplane.port_infos = {port};
    wireguard::DeviceChange change;
    wireguard::PeerChange peer;
    peer.public_key = peer_keys_.public_key;
    peer.preshared_key = preshared_.private_key;
    peer.endpoint = *Endpoint::parse("192.0.2.9:4321");
    peer.allowed_ips = {{*IpPrefix::parse("10.9.0.0/24")}, {*IpPrefix::parse("fd00:9::/64")}};
    change.peers.push_back(peer);
    interface_ = side_->add("wg0", 51821, keys_, change);
    ASSERT_NE(interface_, nullptr);
    side_->dataplane.counters[TunnelId{0}] = {10, 5'000, 20, 7'000'000};
    side_->dataplane.worker.drops[static_cast<size_t>(DropReason::kTunnelReplay)] = 7;
    side_->dataplane.count_drop(DropReason::kHandshakeBadMac, 3);
    sources_.emplace(ControlSources{
        "1.2.3", side_->dataplane, side_->gateway, nullptr,
        [] {
          return std::vector<NeighbourStatus>{
              {{PortId{0}, *IpAddress::parse("192.0.2.9"), *MacAddress::parse("02:00:00:00:00:09")},
               "reachable",
               12,
               0}};
        },
        boot_time_ns() - 125 * kSecond});
    path_ = directory_.path() + "/control.sock";
    auto server = make_control_server(*loop_, path_, *sources_);
    ASSERT_TRUE(server.ok()) << server.error().text;
    server_ = std::move(server).value();
  }
  void run_client(const std::function<void()>& client) {
    std::thread thread([&] {
      client();
      loop_->stop();
    });
    loop_->run();
    thread.join();
  }
  Json ask(const std::string& command) {
    const auto answer = cli::ask(path_, command);
    EXPECT_TRUE(answer.ok()) << answer.error().text;
    return answer.ok() ? Json::parse(*answer, nullptr, false) : Json();
  }
  std::string table(const std::string& command) {
    const auto answer = cli::ask(path_, command);
    EXPECT_TRUE(answer.ok()) << answer.error().text;
    if (!answer.ok()) return {};
    const auto text = cli::render(command, *answer);
    EXPECT_TRUE(text.ok()) << text.error().text;
    return text.ok() ? *text : std::string();
  }

  const KeyPair keys_ = KeyPair::make(1), peer_keys_ = KeyPair::make(40),
                preshared_ = KeyPair::make(90);
  TemporaryDirectory directory_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Side> side_;
  WireguardInterface* interface_ = nullptr;
  std::optional<ControlSources> sources_;
  std::unique_ptr<StreamServer> server_;
  std::string path_;
};

TEST_F(ControlServerTest, answers_hold_what_the_gateway_knows) {
  run_client([&] {
    const Json status = ask("status");
    EXPECT_EQ(status["version"], "1.2.3");
    EXPECT_GE(status["uptime_s"], 125);
    EXPECT_EQ(status["interfaces"][0]["listen_port"], 51821);
    EXPECT_EQ(status["interfaces"][0]["peers"], 1);
    EXPECT_EQ(status["workers"][0]["drops"], 7);
    EXPECT_EQ(ask("ports")["ports"][0]["rx_packets"], 1'234'567);

    const Json tunnels = ask("tunnels")["tunnels"];
    ASSERT_EQ(tunnels.size(), 1U);
    EXPECT_EQ(tunnels[0]["interface"], "wg0");
    EXPECT_EQ(tunnels[0]["public_key"], to_base64(peer_keys_.public_key));
    EXPECT_EQ(tunnels[0]["endpoint"], "192.0.2.9:4321");
    EXPECT_EQ(tunnels[0]["handshake_age_s"], nullptr);
    EXPECT_EQ(tunnels[0]["rx_bytes"], 5'000);
    EXPECT_EQ(tunnels[0]["allowed_ips"], Json({"10.9.0.0/24", "fd00:9::/64"}));

    std::map<std::string, uint64_t> drops;
    const Json answer = ask("drops");
    for (const Json& drop : answer["drops"]) drops[drop["reason"]] = drop["packets"];
    EXPECT_EQ(drops.size(), kDropReasonCount);
    EXPECT_EQ(drops["tunnel_replay"], 7U);
    EXPECT_EQ(drops["handshake_bad_mac"], 3U);

    EXPECT_EQ(ask("neighbours")["neighbours"][0]["mac"], "02:00:00:00:00:09");
    std::map<std::string, std::string> routes;
    const Json all_routes = ask("routes");
    for (const Json& route : all_routes["routes"]) routes[route["prefix"]] = route["kind"];
    EXPECT_EQ(routes["10.8.0.1/32"], "local");
    EXPECT_EQ(routes["10.9.0.0/24"], "tunnel");
  });
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660U);
}

TEST_F(ControlServerTest, no_answer_holds_a_secret) {
  run_client([&] {
    for (const char* const command :
         {"status", "ports", "tunnels", "drops", "neighbours", "routes"}) {
      const std::string answer = ask(command).dump();
      for (const KeyPair* const keys : {&keys_, &peer_keys_, &preshared_}) {
        EXPECT_EQ(answer.find(to_base64(keys->private_key.bytes())), std::string::npos);
        EXPECT_EQ(answer.find(to_hex(keys->private_key.bytes())), std::string::npos);
      }
    }
  });
}

TEST_F(ControlServerTest, tables_are_aligned_and_tell_the_same) {
  run_client([&] {
    EXPECT_NE(table("status").find("penstockd 1.2.3, pid "), std::string::npos);
    EXPECT_NE(table("ports").find("1,234,567"), std::string::npos);
    const std::string tunnels = table("tunnels");
    EXPECT_NE(tunnels.find("10.9.0.0/24, fd00:9::/64"), std::string::npos) << tunnels;
    EXPECT_NE(tunnels.find("6.68 MiB"), std::string::npos) << tunnels;
    EXPECT_EQ(table("drops"),
              "packets  reason             meaning\n"
              "      7  tunnel_replay      sequence number already seen or left of the window\n"
              "      3  handshake_bad_mac  MAC1 of a handshake message is wrong\n");
    EXPECT_EQ(table("neighbours"),
              "port     address    mac                state      age\n"
              "outside  192.0.2.9  02:00:00:00:00:09  reachable  12s\n");
    EXPECT_NE(table("routes").find("10.9.0.0/24  tunnel"), std::string::npos);
  });
}

TEST_F(ControlServerTest, request_that_is_not_understood_gets_an_error_and_keeps_connection) {
  run_client([&] {
    SocketClient client(path_);
    for (const char* const bad :
         {"{\"command\":\"reboot\"}\n", "status\n", "[]\n", "{\"command\":7}\n", "\n"}) {
      client.send(bad);
      EXPECT_TRUE(Json::parse(client.read_until("\n"))["error"].is_string()) << bad;
    }
    client.send("{\"command\":\"drops\"}\n");
    EXPECT_TRUE(Json::parse(client.read_until("\n"))["drops"].is_array());
    client.send(std::string(5000, 'x'));
    EXPECT_TRUE(Json::parse(client.read_all())["error"].is_string());
  });
}

TEST(CliClient, daemon_not_there_is_told_apart) {
  const TemporaryDirectory directory;
  const auto answer = cli::ask(directory.path() + "/none.sock", "status");
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().failure, cli::AskFailure::kNotThere);
  EXPECT_NE(answer.error().text.find("penstockd is not running"), std::string::npos);
}

TEST(CliRender, device_is_shown_without_what_makes_lines_long) {
  const auto text = cli::render(
      "ports",
      "{\"ports\":[{\"device\":\"net_af_packet0,iface=eth0,framesz=2048,qpairs=1\",\"link_up\":"
      "false,\"link_mbps\":10000},{\"device\":\"0000:3b:00.0\",\"driver\":\"net_ice\"}]}");
  ASSERT_TRUE(text.ok());
  EXPECT_NE(text->find("  net_af_packet0,iface=eth0\n"), std::string::npos) << *text;
  EXPECT_NE(text->find("  0000:3b:00.0 (net_ice)\n"), std::string::npos) << *text;
  EXPECT_EQ(text->find("Mbit/s"), std::string::npos) << *text;
}

TEST(CliRender, answer_that_is_no_table_is_an_error) {
  EXPECT_FALSE(cli::render("status", "not json").ok());
  EXPECT_FALSE(cli::render("status", "{\"error\":\"no\"}").ok());
  // Members of a wrong kind are shown as missing.
  EXPECT_TRUE(cli::render("tunnels", "{\"tunnels\":[{\"endpoint\":[1]},7,{}]}").ok());
}

TEST_F(ControlServerTest, handshake_under_an_unknown_key_is_listed_as_refused) {
  Side other(*loop_, "192.0.2.9");
  const KeyPair stranger = KeyPair::make(70);
  wireguard::DeviceChange change;
  wireguard::PeerChange peer;
  peer.public_key = keys_.public_key;
  peer.endpoint = *Endpoint::parse("192.0.2.1:51821");
  peer.persistent_keepalive_s = 1;
  change.peers.push_back(peer);
  ASSERT_NE(other.add("wg1", 7000, stranger, change), nullptr);
  const Wire wire(*loop_, *side_, other);
  ASSERT_TRUE(run_until(*loop_, [&] { return !interface_->status().strangers.empty(); }));
  run_client([&] {
    const Json refused = ask("tunnels")["refused"];
    ASSERT_EQ(refused.size(), 1U);
    EXPECT_EQ(refused[0]["interface"], "wg0");
    EXPECT_EQ(refused[0]["public_key"], to_base64(stranger.public_key));
    EXPECT_EQ(refused[0]["endpoint"], "192.0.2.9:7000");
    EXPECT_NE(table("tunnels").find("no peer has this public key"), std::string::npos);
  });
}

}  // namespace
}  // namespace penstock
