#include "controlplane/driver/endpoint_names.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/unit/driver/two_gateways.h"

namespace penstock {
namespace {

class EndpointNamesTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(loop).value();
    side_ = std::make_unique<Side>(*loop_, "192.0.2.1");
    wireguard::DeviceChange change;
    change.peers.emplace_back().public_key = peer_.public_key;
    interface_ = side_->add("wg0", 51821, KeyPair::make(1), change);
    ASSERT_NE(interface_, nullptr);
    helper_ = std::make_unique<HostHelper>(*loop_);
    names_ = std::make_unique<EndpointNames>(
        *loop_, *helper_, side_->gateway,
        [this](const std::string& host, uint16_t port) -> Result<Endpoint> {
          EXPECT_EQ(host, "gw.example.org");
          if (++asked_ < 3) return Error{"not yet"};
          return Endpoint{*IpAddress::parse("198.51.100.7"), port};
        });
  }
  [[nodiscard]] std::optional<Endpoint> endpoint() const {
    return interface_->status().peers.at(0).endpoint;
  }
  void set() { names_->set("wg0", {{peer_.public_key, "gw.example.org", 5}}, kMillisecond); }

  const KeyPair peer_ = KeyPair::make(40);
  std::atomic<int> asked_ = 0;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Side> side_;
  WireguardInterface* interface_ = nullptr;
  std::unique_ptr<HostHelper> helper_;
  std::unique_ptr<EndpointNames> names_;
};

TEST_F(EndpointNamesTest, name_is_asked_for_until_it_resolves) {
  set();
  ASSERT_TRUE(run_until(*loop_, [&] { return endpoint().has_value(); }));
  EXPECT_EQ(endpoint()->to_string(), "198.51.100.7:5");
  EXPECT_EQ(asked_, 3);
  EXPECT_EQ(names_->size(), 0U);
}

TEST_F(EndpointNamesTest, endpoint_that_became_known_meanwhile_stays) {
  wireguard::DeviceChange change;
  auto& peer = change.peers.emplace_back();
  peer.public_key = peer_.public_key;
  peer.endpoint = *Endpoint::parse("203.0.113.1:9");
  ASSERT_TRUE(interface_->apply(change).ok());
  set();
  ASSERT_TRUE(run_until(*loop_, [&] { return names_->size() == 0; }));
  EXPECT_EQ(endpoint()->to_string(), "203.0.113.1:9");
}

TEST_F(EndpointNamesTest, reload_replaces_the_names) {
  set();
  names_->set("wg0", {});
  EXPECT_EQ(names_->size(), 0U);
  EXPECT_FALSE(run_until(
      *loop_, [&] { return asked_ > 0; }, 50 * kMillisecond));
}

// A thread that waits for a name server must not be waited for, nor come back to what is gone.
TEST_F(EndpointNamesTest, answer_after_the_end_is_ignored) {
  set();
  ASSERT_TRUE(run_until(*loop_, [&] { return asked_ > 0; }));
  names_.reset();
  EXPECT_FALSE(run_until(
      *loop_, [&] { return endpoint().has_value(); }, 50 * kMillisecond));
}

}  // namespace
}  // namespace penstock
