// The protocol over a real socket, with a backend that stands for the engine.
#include <sys/stat.h>

#include "tests/unit/vici/server_harness.h"

namespace penstock::vici {
namespace {

using Kind = ike::Notify::Kind;

TEST_F(ServerTest, version_answered_with_daemon_and_system) {
  start();
  Client client(path_);
  ASSERT_TRUE(client.connected());
  const auto answer = client.request("version");
  EXPECT_EQ(answer.type, PacketType::kCommandResponse);
  EXPECT_EQ(answer.text("daemon"), "penstockd");
  EXPECT_EQ(answer.text("version"), "0.1.0");
  EXPECT_EQ(answer.text("sysname"), "Linux");
}

TEST_F(ServerTest, socket_is_for_owner_and_group_and_never_stolen) {
  start();
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660U);
  EXPECT_FALSE(Server::create(*loop_, options_, backend_, credentials_).ok());
}

TEST_F(ServerTest, unknown_command_and_event_answered_as_such) {
  start();
  Client client(path_);
  EXPECT_EQ(client.request("get-config").type, PacketType::kCommandUnknown);
  client.send(PacketType::kEventRegister, "no-such-event");
  EXPECT_EQ(client.receive().type, PacketType::kEventUnknown);
  client.send(PacketType::kEventUnregister, "log");
  EXPECT_EQ(client.receive().type, PacketType::kEventConfirm);
}

TEST_F(ServerTest, broken_message_refused_and_broken_packet_ends_the_connection) {
  start();
  Client client(path_);
  const ByteVector unbalanced = {2};
  client.send(PacketType::kCommandRequest, "version", unbalanced);
  const auto answer = client.receive();
  EXPECT_EQ(answer.type, PacketType::kCommandResponse);
  EXPECT_EQ(answer.text("success"), "no");
  client.send(PacketType::kEvent, "log");
  EXPECT_TRUE(client.closed_by_server());

  Client large(path_);
  large.send_bytes(ByteVector{0, 8, 0, 1, 0});
  EXPECT_TRUE(large.closed_by_server());
}

TEST_F(ServerTest, requests_in_pieces_and_in_one_piece_are_answered_in_order) {
  start();
  Client client(path_);
  ByteVector all;
  for (const char* command : {"version", "get-conns", "nonsense", "get-keys"}) {
    const ByteVector packet = make_packet(PacketType::kCommandRequest, {}, command);
    all.insert(all.end(), packet.begin(), packet.end());
  }
  client.send_bytes(Bytes(all).first(3));
  client.send_bytes(Bytes(all).subspan(3, 10));
  client.send_bytes(Bytes(all).subspan(13));
  EXPECT_EQ(client.receive().text("daemon"), "penstockd");
  EXPECT_NE(client.receive().message->list("conns"), nullptr);
  EXPECT_EQ(client.receive().type, PacketType::kCommandUnknown);
  EXPECT_NE(client.receive().message->list("keys"), nullptr);
}

TEST_F(ServerTest, connection_loaded_twice_reaches_the_engine_once) {
  start();
  Client client(path_);
  EXPECT_EQ(client.request("load-conn", connection("gw")).text("success"), "yes");
  EXPECT_EQ(client.request("load-conn", connection("gw")).text("success"), "yes");
  EXPECT_EQ(client.request("load-conn", connection("other")).text("success"), "yes");
  EXPECT_EQ(count("load_connection"), 2U);
  // A change reloads that one alone.
  EXPECT_EQ(client.request("load-conn", connection("gw", "mobike", "no")).text("success"), "yes");
  EXPECT_EQ(count("load_connection gw"), 2U);
  EXPECT_EQ(count("load_connection other"), 1U);

  const auto conns = client.request("get-conns");
  ASSERT_EQ(conns.message->list("conns")->size(), 2U);
  EXPECT_EQ(client.request("unload-conn", with({{"name", "gw"}})).text("success"), "yes");
  EXPECT_EQ(client.request("unload-conn", with({{"name", "gw"}})).text("success"), "no");
  // Unloaded, it is new again.
  EXPECT_EQ(client.request("load-conn", connection("gw")).text("success"), "yes");
  EXPECT_EQ(count("load_connection gw"), 3U);
}

TEST_F(ServerTest, connection_refused_by_key_or_engine_says_why) {
  start();
  Client client(path_);
  const auto answer = client.request("load-conn", connection("gw", "aggressive", "yes"));
  EXPECT_EQ(answer.text("success"), "no");
  EXPECT_EQ(answer.text("errmsg"), "connections.gw.aggressive: aggressive mode is of IKEv1");
  on_loop([&] { backend_.refuse = "no such interface"; });
  EXPECT_EQ(client.request("load-conn", connection("gw")).text("errmsg"), "no such interface");
  // What was refused is tried again.
  on_loop([&] { backend_.refuse.clear(); });
  EXPECT_EQ(client.request("load-conn", connection("gw")).text("success"), "yes");
  EXPECT_EQ(client.request("load-conn").text("success"), "no");
  EXPECT_EQ(client.request("load-conn", with({{"gw", "x"}})).text("success"), "no");
}

TEST_F(ServerTest, credentials_loaded_listed_and_unloaded) {
  start();
  Client client(path_);
  const auto key =
      client.request("load-key", with({{"type", "any"}, {"data", content("server-key.pem")}}));
  ASSERT_EQ(key.text("success"), "yes") << key.text("errmsg");
  EXPECT_EQ(key.text("id").size(), 40U);
  const auto keys = client.request("get-keys");
  ASSERT_EQ(keys.message->list("keys")->size(), 1U);
  EXPECT_EQ(keys.message->list("keys")->at(0).text(), key.text("id"));
  // Again: the same id, or a second --load-all would unload a key in use.
  EXPECT_EQ(client.request("load-key", with({{"type", "any"}, {"data", content("server-key.pem")}}))
                .text("id"),
            key.text("id"));

  EXPECT_EQ(
      client
          .request("load-cert",
                   with({{"type", "X509"}, {"flag", "NONE"}, {"data", content("server.pem")}}))
          .text("success"),
      "yes");
  EXPECT_EQ(client
                .request("load-cert",
                         with({{"type", "X509"}, {"flag", "CA"}, {"data", content("ca.pem")}}))
                .text("success"),
            "yes");
  EXPECT_EQ(
      client.request("load-cert", with({{"type", "X509"}, {"flag", "NONE"}, {"data", "nonsense"}}))
          .text("success"),
      "no");
  ASSERT_TRUE(client.register_for("list-cert"));
  client.send(PacketType::kCommandRequest, "list-certs", with({{"type", "X509"}}).bytes());
  const auto leaf = client.receive();
  EXPECT_EQ(leaf.name, "list-cert");
  EXPECT_EQ(leaf.text("flag"), "NONE");
  EXPECT_EQ(leaf.text("has_privkey"), "yes");
  const auto ca = client.receive();
  EXPECT_EQ(ca.text("flag"), "CA");
  EXPECT_FALSE(ca.message->has("has_privkey"));
  EXPECT_EQ(client.receive().type, PacketType::kCommandResponse);

  MessageWriter shared = with({{"id", "ike-1"}, {"type", "ike"}, {"data", "secret"}});
  shared.list("owners", {"@gw", "@peer"});
  EXPECT_EQ(client.request("load-shared", shared).text("success"), "yes");
  EXPECT_EQ(client.request("get-shared").message->list("keys")->at(0).text(), "ike-1");
  EXPECT_EQ(client.request("load-shared", with({{"id", "p"}, {"type", "ppk"}, {"data", "x"}}))
                .text("success"),
            "no");
  EXPECT_EQ(client.request("load-token", with({{"handle", "00"}})).text("success"), "no");

  EXPECT_EQ(client.request("unload-shared", with({{"id", "ike-1"}})).text("success"), "yes");
  EXPECT_EQ(client.request("unload-key", with({{"id", key.text("id")}})).text("success"), "yes");
  EXPECT_EQ(client.request("unload-key", with({{"id", key.text("id")}})).text("success"), "no");
  EXPECT_TRUE(client.request("get-keys").message->list("keys")->empty());
}

TEST_F(ServerTest, changed_credentials_reach_the_engine_and_unchanged_ones_do_not) {
  start();
  Client client(path_);
  MessageWriter shared = with({{"id", "ike-1"}, {"type", "ike"}, {"data", "secret"}});
  ASSERT_EQ(client.request("load-shared", shared).text("success"), "yes");
  ASSERT_EQ(client.request("get-conns").type, PacketType::kCommandResponse);
  EXPECT_EQ(count("set_credentials"), 1U);
  ASSERT_EQ(client.request("load-shared", shared).text("success"), "yes");
  ASSERT_EQ(client.request("get-conns").type, PacketType::kCommandResponse);
  EXPECT_EQ(count("set_credentials"), 1U);
  // Without another command they are published soon all the same.
  MessageWriter other = with({{"id", "ike-1"}, {"type", "ike"}, {"data", "another"}});
  ASSERT_EQ(client.request("load-shared", other).text("success"), "yes");
  for (int i = 0; i < 100 && count("set_credentials") < 2; ++i) usleep(10'000);
  EXPECT_EQ(count("set_credentials"), 2U);
}

TEST_F(ServerTest, initiate_waits_for_the_engine_and_passes_its_log_lines) {
  start();
  Client waiting(path_), other(path_);
  ASSERT_EQ(waiting.request("load-conn", connection("gw")).text("success"), "yes");
  ASSERT_TRUE(waiting.register_for("control-log"));
  waiting.send(PacketType::kCommandRequest, "initiate",
               with({{"child", "net"}, {"timeout", "0"}, {"loglevel", "1"}}).bytes());
  // Others are served meanwhile.
  EXPECT_EQ(other.request("version").text("daemon"), "penstockd");
  EXPECT_EQ(count("initiate gw net"), 1U);
  ike::Notify line;
  line.kind = Kind::kCommandLine;
  on_loop([&] { line.command = backend_.last_command; });
  line.text = "sending IKE_SA_INIT";
  notify(line);
  line.level = LogLevel::kDebug;
  line.text = "detail";
  notify(line);  // above the level that was asked for
  line.level = LogLevel::kInfo;
  line.command += 1;
  line.text = "of another command";
  notify(line);
  line.kind = Kind::kCommandDone;
  line.command -= 1;
  notify(line);
  const auto event = waiting.receive();
  EXPECT_EQ(event.name, "control-log");
  EXPECT_EQ(event.text("msg"), "sending IKE_SA_INIT");
  EXPECT_EQ(event.text("group"), "IKE");
  EXPECT_EQ(event.text("level"), "1");
  const auto end = waiting.receive();
  EXPECT_EQ(end.type, PacketType::kCommandResponse);
  EXPECT_EQ(end.text("success"), "yes");
}

TEST_F(ServerTest, initiate_that_fails_runs_out_of_time_or_names_nothing_says_so) {
  start();
  Client client(path_);
  ASSERT_EQ(client.request("load-conn", connection("gw")).text("success"), "yes");
  on_loop([&] {
    backend_.on_command = [&](ike::CommandId id) {
      ike::Notify failed;
      failed.kind = Kind::kCommandFailed;
      failed.command = id;
      failed.text = "no proposal chosen";
      server_->on_notify(failed);  // at once, from within the call
    };
  });
  EXPECT_EQ(client.request("initiate", with({{"child", "net"}})).text("errmsg"),
            "establishing CHILD_SA 'net' failed: no proposal chosen");
  on_loop([&] { backend_.on_command = nullptr; });
  EXPECT_EQ(client.request("initiate", with({{"child", "net"}, {"timeout", "50"}})).text("errmsg"),
            "CHILD_SA 'net' not established after 50ms");
  EXPECT_EQ(count("forget"), 1U);
  EXPECT_EQ(client.request("initiate", with({{"child", "net"}, {"timeout", "-1"}})).text("success"),
            "yes");
  EXPECT_EQ(client.request("initiate", with({{"child", "none"}})).text("errmsg"),
            "CHILD_SA config 'none' not found");
  EXPECT_EQ(client.request("initiate", with({{"child", "net"}, {"ike", "x"}})).text("success"),
            "no");
  EXPECT_EQ(client.request("initiate", with({{"child", "shunt"}})).text("success"), "no");
  EXPECT_EQ(client.request("initiate", with({{"ike", "x"}})).text("errmsg"),
            "IKE_SA config 'x' not found");
  EXPECT_EQ(client.request("initiate").text("errmsg"), "missing configuration name");
  EXPECT_EQ(client.request("initiate", with({{"child", "net"}, {"timeout", "x"}})).text("success"),
            "no");
}

TEST_F(ServerTest, client_gone_while_it_waits_is_forgotten) {
  start();
  Client watcher(path_);
  {
    Client gone(path_);
    ASSERT_EQ(gone.request("load-conn", connection("gw")).text("success"), "yes");
    gone.send(PacketType::kCommandRequest, "initiate", with({{"child", "net"}}).bytes());
    for (int i = 0; i < 100 && count("initiate") == 0; ++i) usleep(10'000);
  }
  for (int i = 0; i < 100 && count("forget") == 0; ++i) usleep(10'000);
  EXPECT_EQ(count("forget"), 1U);
  size_t connections = 0;
  on_loop([&] { connections = server_->connections(); });
  EXPECT_EQ(connections, 1U);
}

TEST_F(ServerTest, terminate_and_rekey_say_how_many_match) {
  start();
  Client client(path_);
  EXPECT_EQ(client.request("terminate", with({{"ike", "gw"}})).text("errmsg"),
            "no matching SAs to terminate found");
  EXPECT_EQ(client.request("terminate").text("errmsg"), "missing terminate selector");
  on_loop([&] {
    backend_.matches = 2;
    backend_.on_command = [&](ike::CommandId id) {
      loop_->post([this, id] {
        ike::Notify done;
        done.kind = Kind::kCommandDone;
        done.command = id;
        server_->on_notify(done);
      });
    };
  });
  const auto ended =
      client.request("terminate", with({{"ike-id", "3"}, {"child", "net"}, {"force", "yes"}}));
  EXPECT_EQ(ended.text("success"), "yes");
  EXPECT_EQ(ended.text("matches"), "2");
  EXPECT_EQ(ended.text("terminated"), "2");
  EXPECT_EQ(count("terminate  net 3 0 force"), 1U);
  const auto rekeyed = client.request("rekey", with({{"child", "net"}, {"reauth", "yes"}}));
  EXPECT_EQ(rekeyed.text("matches"), "2");
  EXPECT_EQ(count("rekey  net reauth"), 1U);
  EXPECT_EQ(client.request("redirect", with({{"ike", "gw"}})).text("success"), "no");
}

TEST_F(ServerTest, updown_events_reach_those_who_registered) {
  start();
  Client monitor(path_), other(path_);
  for (const char* event : {"ike-updown", "child-updown", "ike-rekey", "child-rekey"}) {
    ASSERT_TRUE(monitor.register_for(event));
  }
  ike::Notify up;
  up.kind = Kind::kIkeUp;
  auto sa = std::make_shared<ike::IkeSaInfo>(established_sa(1, "gw", backend_.boot_ns));
  up.ike = sa;
  notify(up);
  auto event = monitor.receive();
  EXPECT_EQ(event.name, "ike-updown");
  EXPECT_EQ(event.text("up"), "yes");
  EXPECT_EQ(event.message->section("gw")->text("uniqueid"), "1");

  up.kind = Kind::kChildDown;
  up.child_id = 101;
  notify(up);
  event = monitor.receive();
  EXPECT_EQ(event.name, "child-updown");
  EXPECT_FALSE(event.message->has("up"));
  EXPECT_NE(event.message->section("gw")->section("child-sas")->section("net-101"), nullptr);

  up.kind = Kind::kIkeRekeyed;
  up.other_ike = std::make_shared<ike::IkeSaInfo>(established_sa(2, "gw", backend_.boot_ns));
  notify(up);
  event = monitor.receive();
  EXPECT_EQ(event.name, "ike-rekey");
  EXPECT_EQ(event.message->section("gw")->section("old")->text("uniqueid"), "1");
  EXPECT_EQ(event.message->section("gw")->section("new")->text("uniqueid"), "2");

  auto both = std::make_shared<ike::IkeSaInfo>(*sa);
  both->children.push_back(both->children[0]);
  both->children[1].unique_id = 102;
  up.kind = Kind::kChildRekeyed;
  up.ike = both;
  up.other_child_id = 102;
  notify(up);
  event = monitor.receive();
  EXPECT_EQ(event.name, "child-rekey");
  const Section* const child = event.message->section("gw")->section("child-sas")->section("net");
  EXPECT_EQ(child->section("old")->text("uniqueid"), "101");
  EXPECT_EQ(child->section("new")->text("uniqueid"), "102");

  // Nothing for the other one but its answer; nothing after unregistering.
  EXPECT_EQ(other.request("version").type, PacketType::kCommandResponse);
  monitor.send(PacketType::kEventUnregister, "ike-rekey");
  EXPECT_EQ(monitor.receive().type, PacketType::kEventConfirm);
  up.kind = Kind::kIkeRekeyed;
  notify(up);
  EXPECT_EQ(monitor.request("version").type, PacketType::kCommandResponse);
}

TEST_F(ServerTest, log_and_alert_events_have_charons_keys) {
  start();
  Client monitor(path_);
  ASSERT_TRUE(monitor.register_for("log"));
  ASSERT_TRUE(monitor.register_for("alert"));
  ike::Notify line;
  line.level = LogLevel::kWarning;
  line.reason = ike::Reason::kPskMismatch;
  line.connection = "gw";
  line.ike_id = 7;
  line.text = "the peer's PSK is another one";
  notify(line);
  const auto log = monitor.receive();
  EXPECT_EQ(log.name, "log");
  EXPECT_EQ(log.text("msg"), line.text);
  EXPECT_EQ(log.text("level"), "0");
  EXPECT_EQ(log.text("thread"), "1");
  EXPECT_EQ(log.text("ikesa-name"), "gw");
  EXPECT_EQ(log.text("ikesa-uniqueid"), "7");
  const auto alert = monitor.receive();
  EXPECT_EQ(alert.name, "alert");
  EXPECT_EQ(alert.text("type"), "psk_mismatch");
}

TEST_F(ServerTest, client_that_does_not_read_loses_log_lines_and_hears_of_it) {
  start();
  Client slow(path_), quick(path_);
  ASSERT_TRUE(slow.register_for("log"));
  ike::Notify line;
  line.text = std::string(4000, 'x');
  on_loop([&] {
    for (int i = 0; i < 2000; ++i) server_->on_notify(line);
  });
  EXPECT_EQ(quick.request("version").type, PacketType::kCommandResponse);
  size_t lines = 0;
  std::string last;
  for (auto next = slow.receive(500); next.any; next = slow.receive(500)) {
    ++lines;
    last = next.text("msg");
  }
  EXPECT_LT(lines, 2000U);
  EXPECT_NE(last.find("log lines are lost"), std::string::npos);
}

TEST_F(ServerTest, client_that_would_lose_other_events_is_closed) {
  start();
  Client slow(path_), quick(path_);
  ASSERT_TRUE(slow.register_for("ike-updown"));
  ike::Notify up;
  up.kind = Kind::kIkeUp;
  up.ike = std::make_shared<ike::IkeSaInfo>(established_sa(1, "gw", backend_.boot_ns));
  on_loop([&] {
    for (int i = 0; i < 20'000; ++i) server_->on_notify(up);
  });
  EXPECT_EQ(quick.request("version").type, PacketType::kCommandResponse);
  size_t connections = 2;
  for (int i = 0; i < 100 && connections > 1; ++i) {
    on_loop([&] { connections = server_->connections(); });
    usleep(10'000);
  }
  EXPECT_EQ(connections, 1U);
}

TEST_F(ServerTest, clients_beyond_the_limit_are_refused_until_one_goes) {
  options_.connection_limit = 2;
  start();
  Client first(path_);
  EXPECT_TRUE(first.request("version").any);
  {
    Client second(path_);
    EXPECT_TRUE(second.request("version").any);
    Client third(path_);
    EXPECT_FALSE(third.request("version").any);
  }
  for (int i = 0; i < 100; ++i) {
    Client next(path_);
    if (next.request("version").any) return;
    usleep(10'000);
  }
  FAIL() << "no room after a client had gone";
}

}  // namespace
}  // namespace penstock::vici
