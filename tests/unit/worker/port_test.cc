// Ports that need neither root nor a kernel: null, ring, pcap.
#include "dataplane/worker/port.h"

#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

namespace penstock {
namespace {

constexpr uint16_t kRoom = 2176;

class Ports : public testing::Test {
 protected:
  void SetUp() override {
    static rte_mempool* shared =
        rte_pktmbuf_pool_create("port_test", 4095, 0, 64, kRoom, SOCKET_ID_ANY);
    pool_ = shared;
    ASSERT_NE(pool_, nullptr);
    ASSERT_EQ(rte_mempool_avail_count(pool_), pool_->size) << "an earlier test kept buffers";
  }

  static PortConfig config(const std::string& device) {
    PortConfig config;
    config.name = "p";
    config.device = device;
    config.rx_descriptors = config.tx_descriptors = 128;
    return config;
  }
  std::unique_ptr<Port> open_started(const PortConfig& config, uint16_t workers = 1) {
    auto port = Port::open(config, 0, workers);
    EXPECT_TRUE(port.ok()) << port.error().text;
    if (!port) return nullptr;
    const Status configured = (*port)->configure(pool_);
    EXPECT_TRUE(configured.ok()) << configured.error().text;
    const Status started = (*port)->start();
    EXPECT_TRUE(started.ok()) << started.error().text;
    return std::move(port).value();
  }
  rte_mbuf* frame(size_t bytes, uint8_t fill) {
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    std::memset(rte_pktmbuf_append(m, static_cast<uint16_t>(bytes)), fill, bytes);
    return m;
  }

  rte_mempool* pool_ = nullptr;
};

TEST_F(Ports, ring_delivers_what_it_was_sent) {
  auto port = open_started(config("ring"));
  ASSERT_NE(port, nullptr);
  rte_mbuf* sent[3] = {frame(60, 1), frame(600, 2), frame(1514, 3)};
  ASSERT_EQ(rte_eth_tx_burst(port->dpdk_port(), 0, sent, 3), 3);
  rte_mbuf* received[8];
  ASSERT_EQ(rte_eth_rx_burst(port->dpdk_port(), 0, received, 8), 3);
  const uint16_t lengths[] = {60, 600, 1514};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(received[i]->data_len, lengths[i]);
    EXPECT_EQ(*rte_pktmbuf_mtod(received[i], uint8_t*), i + 1);
    rte_pktmbuf_free(received[i]);
  }
  PortInfo info;
  port->describe(info);
  EXPECT_EQ(info.rx_packets, 3U);
  EXPECT_EQ(info.tx_packets, 3U);
  EXPECT_EQ(info.driver, "net_ring");
  EXPECT_TRUE(info.link_up);
  EXPECT_FALSE(info.mac.is_zero());
}

TEST_F(Ports, stopped_port_is_down) {
  auto port = open_started(config("ring"));
  ASSERT_NE(port, nullptr);
  port->stop();
  EXPECT_EQ(port->link().link_status, RTE_ETH_LINK_DOWN);
}

TEST_F(Ports, null_swallows_and_delivers_nothing) {
  auto port = open_started(config("null"));
  ASSERT_NE(port, nullptr);
  rte_mbuf* sent[2] = {frame(60, 1), frame(60, 2)};
  EXPECT_EQ(rte_eth_tx_burst(port->dpdk_port(), 0, sent, 2), 2);
  rte_mbuf* received[8];
  EXPECT_EQ(rte_eth_rx_burst(port->dpdk_port(), 0, received, 8), 0);
}

TEST_F(Ports, received_buffer_has_head_and_tail_room_for_a_tunnel) {
  auto port = open_started(config("null,no-rx=0,size=1514"));
  ASSERT_NE(port, nullptr);
  rte_mbuf* received[4];
  const uint16_t count = rte_eth_rx_burst(port->dpdk_port(), 0, received, 4);
  EXPECT_EQ(count, 4);
  for (uint16_t i = 0; i < count; ++i) {
    // Outer Ethernet, VLAN, IPv6, UDP and WireGuard in place of the inner Ethernet; twice without
    // the VLAN.
    EXPECT_GE(rte_pktmbuf_headroom(received[i]) + 14, 2 * (40 + 8 + 16) + 14);
    EXPECT_GE(rte_pktmbuf_tailroom(received[i]), 64);
    rte_pktmbuf_free(received[i]);
  }
}

TEST_F(Ports, queues_are_limited_to_what_the_device_has) {
  PortConfig many = config("ring");
  many.rx_queues = many.tx_queues = 64;
  auto port = open_started(many, 1);
  ASSERT_NE(port, nullptr);
  EXPECT_EQ(port->rx_queues(), 16);
  EXPECT_EQ(port->tx_queues(), 16);
}

TEST_F(Ports, closed_device_can_be_opened_again) {
  for (int i = 0; i < 3; ++i) ASSERT_NE(open_started(config("null")), nullptr);
}

TEST_F(Ports, device_of_another_port_is_refused) {
  auto first = open_started(config("net_null9"));
  ASSERT_NE(first, nullptr);
  auto second = Port::open(config("net_null9"), 1, 1);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().text, "port p: device net_null9 is in use by another port");
}

TEST_F(Ports, device_that_is_not_there_is_one_sentence) {
  const std::pair<const char*, const char*> rows[] = {
      {"af_packet:nosuch0", "port p: there is no network interface nosuch0"},
      {"0000:ff:1f.7", "port p: there is no PCI device 0000:ff:1f.7"},
      {"pcap:/nonexistent/file", "cannot open net_pcap0"},
      {"virtio_user:/nonexistent.sock", "cannot open net_virtio_user0"},
      {"net_nosuchdriver0", "cannot open net_nosuchdriver0"},
  };
  for (const auto& [device, sentence] : rows) {
    auto port = Port::open(config(device), 0, 1);
    ASSERT_FALSE(port.ok()) << device;
    EXPECT_NE(port.error().text.find(sentence), std::string::npos) << port.error().text;
    EXPECT_EQ(port.error().text.find('\n'), std::string::npos) << port.error().text;
  }
}

TEST_F(Ports, pcap_replays_a_file) {
  const std::string path = "/tmp/penstock_port_test_" + std::to_string(getpid()) + ".pcap";
  {
    std::ofstream file(path, std::ios::binary);
    const uint32_t header[6] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};
    const uint32_t record[4] = {0, 0, 60, 60};
    const char bytes[60] = {0x42};
    file.write(reinterpret_cast<const char*>(header), sizeof header);
    file.write(reinterpret_cast<const char*>(record), sizeof record);
    file.write(bytes, sizeof bytes);
  }
  auto port = open_started(config("pcap:" + path));
  unlink(path.c_str());
  ASSERT_NE(port, nullptr);
  rte_mbuf* received[4];
  ASSERT_EQ(rte_eth_rx_burst(port->dpdk_port(), 0, received, 4), 1);
  EXPECT_EQ(received[0]->data_len, 60);
  EXPECT_EQ(*rte_pktmbuf_mtod(received[0], uint8_t*), 0x42);
  rte_pktmbuf_free(received[0]);
}

}  // namespace
}  // namespace penstock
