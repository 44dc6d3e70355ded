// The server on the real engine: what swanctl's messages become there. No peer answers; exchanges
// with one are tests/scenario/ike's and tests/netns's.
#include <fstream>
#include <sstream>

#include "tests/unit/vici/server_harness.h"

namespace penstock::vici {
namespace {

class FakeHost final : public ike::Host {
 public:
  Result<uint32_t> reserve_spi() override { return next_spi_++; }
  void release_spi(uint32_t) override {}
  [[nodiscard]] std::optional<IpAddress> source_address_for(const IpAddress&) const override {
    return IpAddress::parse("192.0.2.1");
  }
  [[nodiscard]] std::vector<IpAddress> local_addresses() const override {
    return {*IpAddress::parse("192.0.2.1")};
  }

 private:
  uint32_t next_spi_ = 0xc0000001;
};

class FakeHooks final : public GatewayHooks {
 public:
  [[nodiscard]] ike::Now now() const override { return {boot_time_ns(), wall_time_ns()}; }
  void engine_changed() override { changed(); }
  [[nodiscard]] std::optional<ChildTraffic> child_traffic(ike::ChildTunnel,
                                                          uint32_t) const override {
    return std::nullopt;
  }
  std::function<void()> changed;
};

class EngineTest : public ServerTest {
 protected:
  void SetUp() override {
    hooks_.changed = [this] { run_effects(); };
    auto server = Server::create(*loop_, options_, engine_backend_, credentials_);
    ASSERT_TRUE(server.ok()) << server.error().text;
    server_ = std::move(*server);
    thread_ = std::thread([this] { loop_->run(); });
  }
  // As the driver does: notifies go to the server, the rest is counted.
  void run_effects() {
    while (auto effect = engine_.poll()) {
      if (const auto* notify = std::get_if<ike::Notify>(&*effect)) {
        if (server_) server_->on_notify(*notify);
      } else if (std::holds_alternative<ike::AddPolicy>(*effect)) {
        ++policies_;
      } else if (std::holds_alternative<ike::RemovePolicy>(*effect)) {
        --policies_;
      }
    }
  }
  MessageWriter connection(const std::string& start_action) {
    MessageWriter writer;
    writer.begin_section("site").list("remote_addrs", {"198.51.100.7"});
    writer.begin_section("local").value("auth", "psk").value("id", "@gw").end_section();
    writer.begin_section("remote").value("auth", "psk").value("id", "@peer").end_section();
    writer.begin_section("children").begin_section("net").list("remote_ts", {"10.9.0.0/16"});
    writer.list("local_ts", {"10.8.0.0/16"}).value("start_action", start_action).end_section();
    writer.begin_section("lan").value("mode", "pass").list("local_ts", {"10.8.0.0/16"});
    writer.list("remote_ts", {"10.8.0.0/16"}).end_section().end_section().end_section();
    return writer;
  }
  std::vector<std::string> listed_policies(Client& client) {
    client.send(PacketType::kCommandRequest, "list-policies",
                MessageWriter().value("trap", "yes").value("pass", "yes").bytes());
    std::vector<std::string> names;
    for (auto next = client.receive(); next.type == PacketType::kEvent; next = client.receive()) {
      names.push_back(next.message->entries().front().name);
    }
    return names;
  }

  SystemRandom random_;
  FakeHost host_;
  ike::Engine engine_{random_, host_, ike::Options{}};
  FakeHooks hooks_;
  EngineBackend engine_backend_{engine_, hooks_};
  int policies_ = 0;
};

TEST_F(EngineTest, connection_with_a_trap_installs_and_removes_it) {
  Client client(path_);
  ASSERT_TRUE(client.register_for("list-policy"));
  auto answer = client.request("load-conn", connection("trap"));
  ASSERT_EQ(answer.text("success"), "yes") << answer.text("errmsg");
  EXPECT_EQ(listed_policies(client), std::vector<std::string>{"site/net"});
  EXPECT_EQ(client.request("install", MessageWriter().value("child", "lan")).text("success"),
            "yes");
  EXPECT_EQ(listed_policies(client).size(), 2U);
  EXPECT_EQ(client.request("uninstall", MessageWriter().value("child", "lan")).text("success"),
            "yes");
  // Replaced by one without a trap.
  answer = client.request("load-conn", connection("none"));
  ASSERT_EQ(answer.text("success"), "yes") << answer.text("errmsg");
  EXPECT_TRUE(listed_policies(client).empty());
  on_loop([&] { EXPECT_EQ(policies_, 0); });
  EXPECT_EQ(client.request("unload-conn", MessageWriter().value("name", "site")).text("success"),
            "yes");
  on_loop([&] { EXPECT_TRUE(engine_.connections().empty()); });
}

TEST_F(EngineTest, initiate_without_an_answer_runs_out_of_time_and_terminates) {
  Client client(path_);
  ASSERT_EQ(client.request("load-conn", connection("none")).text("success"), "yes");
  const auto late =
      client.request("initiate", MessageWriter().value("child", "net").value("timeout", "100"));
  EXPECT_EQ(late.text("errmsg"), "CHILD_SA 'net' not established after 100ms");
  ASSERT_TRUE(client.register_for("list-sa"));
  client.send(PacketType::kCommandRequest, "list-sas");
  const auto event = client.receive();
  ASSERT_EQ(event.type, PacketType::kEvent);
  EXPECT_EQ(event.message->section("site")->text("remote-host"), "198.51.100.7");
  EXPECT_EQ(client.receive().type, PacketType::kCommandResponse);
  EXPECT_EQ(client.request("terminate", MessageWriter().value("ike", "site").value("force", "yes"))
                .text("success"),
            "yes");
  EXPECT_EQ(client.request("list-sas").type, PacketType::kCommandResponse);
}

TEST_F(EngineTest, pool_loaded_shown_changed_and_unloaded) {
  Client client(path_);
  const auto pool = [](const char* addresses) {
    MessageWriter writer;
    writer.begin_section("p4").value("addrs", addresses).end_section();
    return writer;
  };
  ASSERT_EQ(client.request("load-pool", pool("10.3.0.0/24")).text("success"), "yes");
  EXPECT_EQ(client.request("get-pools").message->section("p4")->text("size"), "254");
  ASSERT_EQ(client.request("load-pool", pool("10.3.0.10-10.3.0.19")).text("success"), "yes");
  EXPECT_EQ(client.request("get-pools").message->section("p4")->text("size"), "10");
  EXPECT_EQ(client.request("get-pools").message->section("p4")->text("base"), "10.3.0.10");
  EXPECT_EQ(client.request("unload-pool", MessageWriter().value("name", "p4")).text("success"),
            "yes");
  EXPECT_TRUE(client.request("get-pools").message->empty());
}

}  // namespace
}  // namespace penstock::vici
