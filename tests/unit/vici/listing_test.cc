// What the listings and statistics say, over a real socket.
#include "tests/unit/vici/server_harness.h"

namespace penstock::vici {
namespace {

TEST_F(ServerTest, list_sas_streams_each_sa_with_its_children_last) {
  for (uint32_t id = 1; id <= 3; ++id) {
    backend_.sas.push_back(established_sa(id, id == 2 ? "other" : "gw", backend_.boot_ns));
  }
  start();
  Client client(path_);
  ASSERT_TRUE(client.register_for("list-sa"));
  client.send(PacketType::kCommandRequest, "list-sas", with({{"ike", "gw"}}).bytes());
  const auto first = client.receive();
  ASSERT_EQ(first.type, PacketType::kEvent);
  const Section* const sa = first.message->section("gw");
  ASSERT_NE(sa, nullptr);
  EXPECT_EQ(sa->entries().back().name, "child-sas");
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"uniqueid", "1"},
           {"version", "2"},
           {"state", "ESTABLISHED"},
           {"local-host", "192.0.2.1"},
           {"local-port", "4500"},
           {"local-id", "gw.example"},
           {"remote-host", "198.51.100.7"},
           {"remote-id", "C=CH, O=Example, CN=carol"},
           {"initiator", "yes"},
           {"initiator-spi", "0102030405060708"},
           {"responder-spi", "1112131415161718"},
           {"nat-local", "yes"},
           {"nat-any", "yes"},
           {"encr-alg", "AES_GCM_16"},
           {"encr-keysize", "256"},
           {"prf-alg", "PRF_HMAC_SHA2_384"},
           {"dh-group", "ECP_384"},
           {"established", "100"},
           {"rekey-time", "1000"}}) {
    EXPECT_EQ(sa->text(key), value) << key;
  }
  EXPECT_FALSE(sa->has("nat-remote"));
  EXPECT_FALSE(sa->has("integ-alg"));
  EXPECT_FALSE(sa->has("reauth-time"));
  EXPECT_EQ(sa->list("remote-vips")->at(0).text(), "10.3.0.1");
  const Section* const child = sa->section("child-sas")->section("net-101");
  ASSERT_NE(child, nullptr);
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"name", "net"},
           {"uniqueid", "101"},
           {"reqid", "1"},
           {"state", "INSTALLED"},
           {"mode", "TUNNEL"},
           {"protocol", "ESP"},
           {"encap", "yes"},
           {"spi-in", "c0000001"},
           {"spi-out", "c0000002"},
           {"encr-alg", "AES_CBC"},
           {"encr-keysize", "128"},
           {"integ-alg", "HMAC_SHA2_256_128"},
           {"esn", "1"},
           {"bytes-in", "3456"},
           {"packets-in", "12"},
           {"use-in", "2"},
           {"bytes-out", "56789"},
           {"packets-out", "34"},
           {"install-time", "90"},
           {"rekey-time", "3000"},
           {"life-time", "3900"}}) {
    EXPECT_EQ(child->text(key), value) << key;
  }
  EXPECT_FALSE(child->has("use-out"));
  EXPECT_EQ(child->list("local-ts")->at(0).text(), "10.1.0.0/16");
  EXPECT_EQ(child->list("remote-ts")->at(0).text(), "10.3.0.1/32");
  EXPECT_EQ(client.receive().message->section("gw")->text("uniqueid"), "3");
  const auto end = client.receive();
  EXPECT_EQ(end.type, PacketType::kCommandResponse);
  EXPECT_TRUE(end.message->empty());
}

TEST_F(ServerTest, long_stream_to_a_client_that_reads_late_is_whole_and_holds_nobody_up) {
  for (uint32_t id = 1; id <= 20'000; ++id) {
    backend_.sas.push_back(established_sa(id, "gw", backend_.boot_ns));
  }
  start();
  Client slow(path_), quick(path_);
  ASSERT_TRUE(slow.register_for("list-sa"));
  slow.send(PacketType::kCommandRequest, "list-sas");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(quick.request("version").text("daemon"), "penstockd");
  size_t events = 0;
  for (auto next = slow.receive(); next.type == PacketType::kEvent; next = slow.receive()) ++events;
  EXPECT_EQ(events, 20'000U);
}

TEST_F(ServerTest, unregistered_client_gets_no_events_of_its_listing) {
  backend_.sas.push_back(established_sa(1, "gw", backend_.boot_ns));
  start();
  Client client(path_);
  EXPECT_EQ(client.request("list-sas").type, PacketType::kCommandResponse);
}

TEST_F(ServerTest, policies_installed_listed_by_kind_and_uninstalled) {
  ike::PolicyInfo trap, pass;
  trap.connection = pass.connection = "gw";
  trap.child = "net";
  pass.child = "shunt";
  pass.mode = ike::ChildMode::kPass;
  backend_.shown_policies = {trap, pass};
  start();
  Client client(path_);
  ASSERT_EQ(client.request("load-conn", connection("gw")).text("success"), "yes");
  EXPECT_EQ(client.request("install", with({{"child", "net"}})).text("success"), "yes");
  EXPECT_EQ(client.request("install", with({{"child", "none"}})).text("success"), "no");
  ASSERT_TRUE(client.register_for("list-policy"));
  client.send(PacketType::kCommandRequest, "list-policies",
              with({{"pass", "yes"}, {"drop", "yes"}}).bytes());
  const auto event = client.receive();
  ASSERT_NE(event.message->section("gw/shunt"), nullptr);
  EXPECT_EQ(event.message->section("gw/shunt")->text("mode"), "PASS");
  EXPECT_EQ(client.receive().type, PacketType::kCommandResponse);
  EXPECT_EQ(client.request("uninstall", with({{"child", "net"}})).text("success"), "yes");
  EXPECT_EQ(count("uninstall gw net"), 1U);
  EXPECT_EQ(client.request("uninstall", with({{"child", "none"}})).text("success"), "no");
}

TEST_F(ServerTest, pools_loaded_listed_with_leases_and_unloaded) {
  backend_.shown_leases = {{*IpAddress::parse("10.3.0.1"), "carol", true},
                           {*IpAddress::parse("10.3.0.2"), "dave", false}};
  start();
  Client client(path_);
  MessageWriter pool;
  pool.begin_section("p4").value("addrs", "10.3.0.0/24").list("dns", {"10.0.0.53"}).end_section();
  ASSERT_EQ(client.request("load-pool", pool).text("success"), "yes");
  ASSERT_EQ(client.request("load-pool", pool).text("success"), "yes");
  EXPECT_EQ(count("load_pool"), 1U);
  const auto pools = client.request("get-pools", with({{"leases", "yes"}}));
  const Section* const p4 = pools.message->section("p4");
  ASSERT_NE(p4, nullptr);
  EXPECT_EQ(p4->text("base"), "10.3.0.0");
  EXPECT_EQ(p4->text("size"), "254");
  EXPECT_EQ(p4->section("leases")->section("1")->text("identity"), "dave");
  EXPECT_EQ(p4->section("leases")->section("0")->text("status"), "online");
  EXPECT_EQ(client.request("get-pools").message->section("p4")->section("leases"), nullptr);
  on_loop([&] { backend_.shown_pools["p4"].online = 1; });
  EXPECT_EQ(client.request("unload-pool", with({{"name", "p4"}})).text("success"), "no");
  on_loop([&] { backend_.shown_pools["p4"].online = 0; });
  EXPECT_EQ(client.request("unload-pool", with({{"name", "p4"}})).text("success"), "yes");
}

TEST_F(ServerTest, many_leases_stay_within_a_message) {
  for (uint32_t i = 0; i < 20'000; ++i) {
    backend_.shown_leases.push_back({Ipv4Address::from_host(0x0a000000 + i),
                                     "user" + std::to_string(i) + "@example.com", true});
  }
  start();
  Client client(path_);
  MessageWriter pool;
  pool.begin_section("p4").value("addrs", "10.0.0.0/16").end_section();
  ASSERT_EQ(client.request("load-pool", pool).text("success"), "yes");
  const auto pools = client.request("get-pools", with({{"leases", "yes"}}));
  ASSERT_TRUE(pools.any);
  ASSERT_NE(pools.message->section("p4"), nullptr);
  EXPECT_GT(pools.message->section("p4")->section("leases")->entries().size(), 3000U);
}

TEST_F(ServerTest, statistics_counters_and_algorithms_have_swanctls_keys) {
  backend_.global[0] = 5;
  bool reloaded = false;
  options_.reload_settings = [&] { reloaded = true; };
  start();
  Client client(path_);
  const auto stats = client.request("stats");
  EXPECT_FALSE(stats.message->section("uptime")->text("running").empty());
  EXPECT_EQ(stats.message->section("ikesas")->text("total"), "0");
  EXPECT_EQ(stats.message->section("workers")->section("active")->text("critical"), "0");
  EXPECT_NE(stats.message->list("plugins"), nullptr);
  ASSERT_EQ(client.request("load-conn", connection("gw")).text("success"), "yes");
  const auto global = client.request("get-counters");
  EXPECT_EQ(global.text("success"), "yes");
  EXPECT_EQ(global.message->section("counters")->section("")->text("ike-rekey-init"), "5");
  const auto all = client.request("get-counters", with({{"all", "yes"}}));
  EXPECT_NE(all.message->section("counters")->section("gw"), nullptr);
  EXPECT_EQ(client.request("get-counters", with({{"name", "x"}})).text("success"), "no");
  EXPECT_EQ(client.request("reset-counters").text("success"), "yes");
  const auto algorithms = client.request("get-algorithms");
  EXPECT_TRUE(algorithms.message->section("aead")->has("AES_GCM_16"));
  EXPECT_TRUE(algorithms.message->section("ke")->has("CURVE_25519"));
  EXPECT_EQ(client.request("reload-settings").text("success"), "yes");
  EXPECT_TRUE(reloaded);
}

TEST_F(ServerTest, authorities_loaded_listed_and_unloaded) {
  start();
  Client client(path_);
  MessageWriter authority;
  authority.begin_section("a1").value("cacert", content("ca.pem"));
  authority.list("crl_uris", {"http://crl.example/x.crl"}).end_section();
  ASSERT_EQ(client.request("load-authority", authority).text("success"), "yes");
  EXPECT_EQ(client.request("get-authorities").message->list("authorities")->at(0).text(), "a1");
  ASSERT_TRUE(client.register_for("list-authority"));
  client.send(PacketType::kCommandRequest, "list-authorities");
  const auto event = client.receive();
  EXPECT_EQ(event.message->section("a1")->text("cacert"),
            "C=CH, O=Penstock tests, CN=VICI test CA");
  EXPECT_EQ(event.message->section("a1")->list("crl_uris")->size(), 1U);
  EXPECT_EQ(client.receive().type, PacketType::kCommandResponse);
  EXPECT_EQ(client.request("unload-authority", with({{"name", "a1"}})).text("success"), "yes");
  EXPECT_EQ(client.request("unload-authority", with({{"name", "a1"}})).text("success"), "no");
}

TEST_F(ServerTest, list_conns_shows_what_was_loaded) {
  start();
  Client client(path_);
  ASSERT_EQ(client.request("load-conn", connection("gw", "dpd_delay", "30s")).text("success"),
            "yes");
  ASSERT_TRUE(client.register_for("list-conn"));
  client.send(PacketType::kCommandRequest, "list-conns");
  const auto event = client.receive();
  const Section* const gw = event.message->section("gw");
  ASSERT_NE(gw, nullptr);
  EXPECT_EQ(gw->text("version"), "IKEv2");
  EXPECT_EQ(gw->text("rekey_time"), "14400");
  EXPECT_EQ(gw->text("reauth_time"), "0");
  EXPECT_EQ(gw->text("dpd_delay"), "30");
  EXPECT_EQ(gw->list("local_addrs")->at(0).text(), "%any");
  EXPECT_EQ(gw->section("local-1")->text("class"), "pre-shared key");
  const Section* const net = gw->section("children")->section("net");
  ASSERT_NE(net, nullptr);
  EXPECT_EQ(net->text("mode"), "TUNNEL");
  EXPECT_EQ(net->text("rekey_time"), "3600");
  EXPECT_EQ(net->list("local-ts")->at(0).text(), "dynamic");
  EXPECT_EQ(client.receive().type, PacketType::kCommandResponse);
}

}  // namespace
}  // namespace penstock::vici
