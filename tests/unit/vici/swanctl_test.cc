// An unmodified swanctl against the server: what it loads, what it prints. Skipped where swanctl is
// not installed (deploy/packages --test installs it).
#include <csignal>
#include <fstream>
#include <sstream>

#include "tests/unit/vici/server_harness.h"

namespace penstock::vici {
namespace {

constexpr const char* kSwanctl = "/usr/sbin/swanctl";

constexpr const char* kConf = R"(
connections {
  rw {
    version = 2
    local_addrs = 192.0.2.1
    proposals = aes256gcm16-prfsha384-ecp384, default
    pools = p4
    dpd_delay = 30s
    local {
      auth = pubkey
      certs = server.pem
      id = gw.example
    }
    remote {
      auth = eap-mschapv2
      eap_id = %any
      cacerts = ca.pem
    }
    children {
      rw { local_ts = 10.1.0.0/16[tcp/80], 10.2.0.0/16 }
    }
  }
  site {
    local_addrs = %any
    remote_addrs = 198.51.100.7
    dpd_delay = 10s
    local { auth = psk }
    remote { auth = psk
      id = @peer }
    children {
      net { remote_ts = 10.9.0.0/16
        start_action = trap
        dpd_action = restart }
      lan { mode = pass
        local_ts = 10.1.0.0/16
        remote_ts = 10.1.0.0/16 }
    }
  }
}
secrets {
  ike-site { id-1 = @peer
    secret = "a secret" }
  eap-carol { id = carol
    secret = 0s3q2+7w== }
}
pools {
  p4 { addrs = 10.3.0.0/24
    dns = 10.0.0.53 }
}
authorities {
  own { cacert = ca.pem
    crl_uris = http://crl.example/own.crl }
}
)";

class SwanctlTest : public ServerTest {
 protected:
  void SetUp() override {
    if (access(kSwanctl, X_OK) != 0) GTEST_SKIP() << "swanctl is not installed";
    for (const char* name : {"x509", "x509ca", "x509ocsp", "x509aa", "x509ac", "x509crl", "pubkey",
                             "private", "rsa", "ecdsa", "bliss", "pkcs8", "pkcs12"}) {
      std::filesystem::create_directories(directory_ + "/" + name);
    }
    copy("server.pem", "x509/server.pem");
    copy("ca.pem", "x509ca/ca.pem");
    copy("server-key.pem", "private/server.pem");
    copy("ed25519-key.pem", "private/ed25519.pem");
    write(kConf);
    std::ofstream(directory_ + "/strongswan.conf") << "swanctl { }\n";
    start();
  }
  void copy(const std::string& from, const std::string& to) {
    std::filesystem::copy_file(std::string(PENSTOCK_VECTORS "/vici/") + from,
                               directory_ + "/" + to);
  }
  void write(const std::string& text) { std::ofstream(directory_ + "/swanctl.conf") << text; }

  struct Run {
    int status = -1;
    std::string output;
    [[nodiscard]] bool says(const std::string& text) const {
      return output.find(text) != std::string::npos;
    }
  };
  Run swanctl(const std::string& arguments) {
    const std::string line = "STRONGSWAN_CONF=" + directory_ +
                             "/strongswan.conf SWANCTL_DIR=" + directory_ + " timeout 20 " +
                             kSwanctl + " " + arguments + " --uri unix://" + path_ + " 2>&1";
    Run run;
    FILE* const pipe = popen(line.c_str(), "r");
    if (pipe == nullptr) return run;
    char piece[4096];
    while (const size_t got = fread(piece, 1, sizeof piece, pipe)) run.output.append(piece, got);
    const int status = pclose(pipe);
    run.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return run;
  }
};

TEST_F(SwanctlTest, load_all_twice_changes_nothing_the_second_time) {
  const Run first = swanctl("--load-all --noprompt");
  ASSERT_EQ(first.status, 0) << first.output;
  for (const char* text :
       {"loaded certificate", "loaded private key", "loaded ike secret 'ike-site'",
        "loaded eap secret 'eap-carol'", "successfully loaded 1 authorities, 0 unloaded",
        "successfully loaded 1 pools, 0 unloaded",
        "successfully loaded 2 connections, 0 unloaded"}) {
    EXPECT_TRUE(first.says(text)) << text << " is not in\n" << first.output;
  }
  EXPECT_EQ(count("load_connection"), 2U);
  const size_t published = count("set_credentials");
  const uint64_t generation = backend_.credentials->generation();
  const Run second = swanctl("--load-all --noprompt");
  EXPECT_EQ(second.status, 0) << second.output;
  EXPECT_EQ(count("load_connection"), 2U);
  EXPECT_EQ(count("load_pool"), 1U);
  EXPECT_EQ(count("set_credentials"), published);
  EXPECT_EQ(backend_.credentials->generation(), generation);
}

TEST_F(SwanctlTest, load_all_after_a_change_touches_what_changed) {
  ASSERT_EQ(swanctl("--load-all --noprompt").status, 0);
  std::string conf = kConf;
  conf.replace(conf.find("10.9.0.0/16"), 11, "10.8.0.0/16");
  const size_t carol = conf.find("  eap-carol");
  conf.erase(carol, conf.find("}", carol) - carol + 2);
  write(conf);
  std::filesystem::remove(directory_ + "/private/ed25519.pem");
  const Run run = swanctl("--load-all --noprompt");
  ASSERT_EQ(run.status, 0) << run.output;
  EXPECT_EQ(count("load_connection rw"), 1U);
  EXPECT_EQ(count("load_connection site"), 2U);
  on_loop([&] {
    EXPECT_EQ(credentials_.key_ids().size(), 1U);
    EXPECT_EQ(credentials_.shared_ids(), std::vector<std::string>{"ike-site"});
  });
  write("connections { }\n");
  const Run empty = swanctl("--load-all --noprompt");
  EXPECT_TRUE(empty.says("no connections found, 2 unloaded")) << empty.output;
  EXPECT_EQ(count("unload_connection"), 2U);
  EXPECT_TRUE(empty.says("no pools found, 1 unloaded")) << empty.output;
  EXPECT_TRUE(empty.says("no authorities found, 1 unloaded")) << empty.output;
}

// Without --noprompt keys come as DER with their type, else as PEM of type any.
TEST_F(SwanctlTest, keys_have_the_same_ids_however_they_come) {
  ASSERT_EQ(swanctl("--load-creds --noprompt").status, 0);
  std::vector<std::string> ids;
  on_loop([&] { ids = credentials_.key_ids(); });
  EXPECT_EQ(ids.size(), 2U);
  ASSERT_EQ(swanctl("--load-creds --clear < /dev/null").status, 0);
  on_loop([&] { EXPECT_EQ(credentials_.key_ids(), ids); });
}

TEST_F(SwanctlTest, refused_key_is_printed_with_its_path_and_others_load) {
  std::string conf = kConf;
  conf.replace(conf.find("dpd_action = restart"), 20, "ipcomp = yes");
  write(conf);
  const Run run = swanctl("--load-all --noprompt");
  EXPECT_NE(run.status, 0);
  EXPECT_TRUE(
      run.says("loading connection 'site' failed: connections.site.children.net.ipcomp: "
               "compression (IPComp) is not supported"))
      << run.output;
  EXPECT_TRUE(run.says("loaded connection 'rw'")) << run.output;
  EXPECT_EQ(count("load_connection"), 1U);
}

TEST_F(SwanctlTest, list_conns_prints_connections_and_children) {
  ASSERT_EQ(swanctl("--load-all --noprompt").status, 0);
  const Run run = swanctl("--list-conns");
  ASSERT_EQ(run.status, 0);
  for (const char* text :
       {"rw: IKEv2, no reauthentication, rekeying every 14400s, dpd delay 30s", "local:  192.0.2.1",
        "remote: %any", "local public key authentication:", "id: gw.example",
        "certs: C=CH, O=Penstock tests, CN=gw.example", "remote EAP_MSCHAPV2 authentication:",
        "eap_id: %any", "cacerts: C=CH, O=Penstock tests, CN=VICI test CA",
        "rw: TUNNEL, rekeying every 3600s", "local:  10.1.0.0/16[tcp/80] 10.2.0.0/16",
        "remote: dynamic", "local pre-shared key authentication:", "id: peer", "lan: PASS",
        "dpd action is restart", "dpd action is clear"}) {
    EXPECT_TRUE(run.says(text)) << text << " is not in\n" << run.output;
  }
  EXPECT_FALSE(run.says("(null)")) << run.output;
}

TEST_F(SwanctlTest, list_sas_prints_everything_about_an_sa) {
  on_loop([&] {
    backend_.sas = {established_sa(1, "site", backend_.boot_ns)};
    backend_.sas.push_back({});  // one that has only begun
    backend_.sas.back().unique_id = 2;
    auto wanted = std::make_shared<ike::ChildConfig>();
    wanted->local_ts.emplace_back().dynamic = true;
    wanted->remote_ts.emplace_back().dynamic = true;
    backend_.sas.back().children.emplace_back().config = wanted;
  });
  const Run run = swanctl("--list-sas");
  ASSERT_EQ(run.status, 0);
  for (const char* text :
       {"site: #1, ESTABLISHED, IKEv2, 0102030405060708_i* 1112131415161718_r",
        "local  'gw.example' @ 192.0.2.1[4500]",
        "remote 'C=CH, O=Example, CN=carol' @ 198.51.100.7[4500] [10.3.0.1]",
        "AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384", "established 100s ago, rekeying in 1000s",
        "net: #101, reqid 1, INSTALLED, TUNNEL-in-UDP, ESP:AES_CBC-128/HMAC_SHA2_256_128/ESN",
        "installed 90s ago, rekeying in 3000s, expires in 3900s",
        "in  c0000001,   3456 bytes,    12 packets,     2s ago",
        "out c0000002,  56789 bytes,    34 packets", "local  10.1.0.0/16", "remote 10.3.0.1/32",
        "(unnamed): #2"}) {
    EXPECT_TRUE(run.says(text)) << text << " is not in\n" << run.output;
  }
  // Nothing that swanctl asks for is missing, in the other one neither.
  EXPECT_FALSE(run.says("(null)")) << run.output;
  EXPECT_FALSE(swanctl("--list-sas --ike other").says("site:"));
  EXPECT_TRUE(swanctl("--list-sas --ike-id 1").says("site:"));
}

TEST_F(SwanctlTest, other_listings_are_printed_without_gaps) {
  ASSERT_EQ(swanctl("--load-all --noprompt").status, 0);
  on_loop([&] {
    ike::PolicyInfo trap;
    trap.connection = "site";
    trap.child = "net";
    trap.local_ts = trap.remote_ts = established_sa(1, "x", 0).children[0].local_ts;
    backend_.shown_policies = {trap};
    backend_.shown_leases = {{*IpAddress::parse("10.3.0.1"), "carol", true}};
  });
  struct Row {
    const char* arguments;
    std::vector<const char*> texts;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"--version --daemon", {"penstockd", "0.1.0"}},
           {"--stats", {"uptime:", "worker threads: 1 total, 1 idle", "IKE_SAs: 0 total"}},
           {"--list-pols", {"site/net, TUNNEL", "local:  10.1.0.0/16"}},
           {"--list-pools --leases", {"p4", "10.3.0.0", "carol", "online"}},
           {"--list-authorities", {"own:", "VICI test CA", "http://crl.example/own.crl"}},
           {"--list-certs", {"gw.example", "VICI test CA", "has private key"}},
           {"--list-certs --type x509 --flag ca", {"VICI test CA"}},
           {"--list-algs", {"AES_GCM_16", "CURVE_25519", "PRF_HMAC_SHA2_512"}},
           {"--counters", {"ike-init-in-req"}},
           {"--counters --all", {"global:", "site:"}},
           {"--counters --name rw", {"rw"}},
           {"--counters --reset", {"completed successfully"}},
           {"--flush-certs", {""}},
           {"--install --child net", {"install completed successfully"}},
           {"--uninstall --child net", {"uninstall completed successfully"}},
       }) {
    const Run run = swanctl(row.arguments);
    EXPECT_EQ(run.status, 0) << row.arguments << "\n" << run.output;
    EXPECT_FALSE(run.says("(null)")) << row.arguments << "\n" << run.output;
    EXPECT_FALSE(run.says("failed")) << row.arguments << "\n" << run.output;
    for (const char* text : row.texts) {
      EXPECT_TRUE(run.says(text)) << text << " is not in " << row.arguments << "\n" << run.output;
    }
  }
  EXPECT_TRUE(swanctl("--redirect --ike rw --gateway 192.0.2.9").says("redirect failed"));
  EXPECT_TRUE(swanctl("--reload-settings").says("failed"));
  EXPECT_TRUE(swanctl("--list-pools --name none").output.find("p4") == std::string::npos);
}

TEST_F(SwanctlTest, initiate_terminate_and_rekey_end_with_the_engines_word) {
  ASSERT_EQ(swanctl("--load-all --noprompt").status, 0);
  on_loop([&] {
    backend_.matches = 1;
    backend_.on_command = [&](ike::CommandId id) {
      loop_->post([this, id] {
        ike::Notify notify;
        notify.command = id;
        notify.kind = ike::Notify::Kind::kCommandLine;
        notify.text = "a line of the log";
        server_->on_notify(notify);
        notify.kind = ike::Notify::Kind::kCommandDone;
        server_->on_notify(notify);
      });
    };
  });
  const Run initiated = swanctl("--initiate --child net");
  EXPECT_TRUE(initiated.says("[IKE] a line of the log")) << initiated.output;
  EXPECT_TRUE(initiated.says("initiate completed successfully")) << initiated.output;
  EXPECT_EQ(initiated.status, 0);
  EXPECT_TRUE(swanctl("--terminate --ike site").says("terminate completed successfully"));
  EXPECT_TRUE(swanctl("--rekey --child net").says("rekey completed successfully"));
  on_loop([&] { backend_.on_command = nullptr; });
  const Run late = swanctl("--initiate --child net --timeout 1");
  EXPECT_NE(late.status, 0);
  EXPECT_TRUE(late.says("CHILD_SA 'net' not established after 1000ms")) << late.output;
}

// A swanctl that runs until it is told to stop: what it had printed by then.
TEST_F(SwanctlTest, log_and_monitor_sa_print_what_happens) {
  for (const char* option : {"--log", "--monitor-sa"}) {
    const std::string out = directory_ + "/out";
    const std::string line =
        "STRONGSWAN_CONF=" + directory_ + "/strongswan.conf timeout -s INT 3 stdbuf -oL " +
        std::string(kSwanctl) + " " + option + " --uri unix://" + path_ + " > " + out + " 2>&1 &";
    size_t before = 0;
    on_loop([&] { before = server_->connections(); });
    ASSERT_EQ(std::system(line.c_str()), 0);
    size_t now = 0;
    for (int i = 0; i < 200 && now <= before; ++i) {
      usleep(10'000);
      on_loop([&] { now = server_->connections(); });
    }
    usleep(300'000);  // until it has registered
    ike::Notify event;
    event.text = "something happened";
    event.ike = std::make_shared<ike::IkeSaInfo>(established_sa(1, "site", backend_.boot_ns));
    event.child_id = 101;
    notify(event);
    event.kind = ike::Notify::Kind::kIkeUp;
    notify(event);
    event.kind = ike::Notify::Kind::kChildUp;
    notify(event);
    for (int i = 0; i < 500 && now > before; ++i) {
      usleep(10'000);
      on_loop([&] { now = server_->connections(); });
    }
    std::stringstream text;
    text << std::ifstream(out).rdbuf();
    if (std::string(option) == "--log") {
      EXPECT_NE(text.str().find("[IKE] something happened"), std::string::npos) << text.str();
    } else {
      EXPECT_NE(text.str().find("site: #1, ESTABLISHED"), std::string::npos) << text.str();
      EXPECT_NE(text.str().find("net: #101"), std::string::npos) << text.str();
    }
  }
}

}  // namespace
}  // namespace penstock::vici
