#include "dataplane/device/port_config.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

PortConfig port(const char* device, uint16_t mtu = 1500) {
  PortConfig config;
  config.name = "outside";
  config.device = device;
  config.mtu = mtu;
  return config;
}

// "NAME,ARGUMENTS" as DPDK gets it, or the error in brackets.
std::string parse(const PortConfig& config, uint16_t queues = 1) {
  const auto device = parse_device(config, 3, queues);
  return device ? device->devargs() : "[" + device.error().text + "]";
}

struct Row {
  const char* device;
  const char* expected;
};

TEST(ParseDevice, shorthand_becomes_devargs_with_defaults) {
  const Row rows[] = {
      {"0000:3b:00.0", "0000:3b:00.0"},
      {"3b:00.1", "0000:3b:00.1"},
      {"3B:00.1", "0000:3b:00.1"},
      {"3b:00.1,mprq_en=1", "0000:3b:00.1,mprq_en=1"},
      {"af_packet:veth0",
       "net_af_packet3,iface=veth0,framesz=2048,blocksz=65536,framecnt=4096,qpairs=1"},
      {"af_packet:veth0,framecnt=512",
       "net_af_packet3,iface=veth0,framecnt=512,framesz=2048,blocksz=65536,qpairs=1"},
      {"af_xdp:eth1", "net_af_xdp3,iface=eth1,busy_budget=0"},
      {"af_xdp:eth1,busy_budget=64", "net_af_xdp3,iface=eth1,busy_budget=64"},
      {"tap:vpn0", "net_tap3,iface=vpn0"},
      {"memif:/run/a.sock,role=server",
       "net_memif3,socket=/run/a.sock,role=server,socket-abstract=no,bsize=2048,rsize=11"},
      {"vhost:/run/v.sock", "net_vhost3,iface=/run/v.sock,queues=1"},
      {"virtio_user:/run/v.sock", "net_virtio_user3,path=/run/v.sock,queues=1,queue_size=1024"},
      {"null", "net_null3,no-rx=1"},
      {"null:", "net_null3,no-rx=1"},
      {"null,no-rx=0,size=60", "net_null3,no-rx=0,size=60"},
      {"ring", "net_ring3"},
      {"pcap:a.pcap,b.pcap", "net_pcap3,rx_pcap=a.pcap,tx_pcap=b.pcap"},
      {"pcap:a.pcap,tx_pcap=b.pcap", "net_pcap3,rx_pcap=a.pcap,tx_pcap=b.pcap"},
      {"net_ring7", "net_ring7"},
      {"net_memif0,socket=/s", "net_memif0,socket=/s,socket-abstract=no,bsize=2048,rsize=11"},
  };
  for (const Row& row : rows) EXPECT_EQ(parse(port(row.device)), row.expected) << row.device;
}

TEST(ParseDevice, jumbo_mtu_enlarges_slots_and_shared_buffers) {
  EXPECT_EQ(parse(port("af_packet:v", 9000)),
            "net_af_packet3,iface=v,framesz=9216,blocksz=36864,framecnt=1024,qpairs=1");
  EXPECT_EQ(parse(port("memif:/s", 9000)),
            "net_memif3,socket=/s,socket-abstract=no,bsize=9216,rsize=11");
}

TEST(ParseDevice, every_mtu_fits_a_slot_and_a_buffer) {
  for (uint32_t mtu = 1280; mtu <= 9200; ++mtu) {
    const auto device = parse_device(port("af_packet:v", static_cast<uint16_t>(mtu)), 0, 2);
    ASSERT_TRUE(device.ok()) << device.error().text;
    // 14 of Ethernet behind the kernel's 66 (TPACKET_V2 on Ethernet).
    ASSERT_GE(device->frame_room_bytes, mtu + 14 + 66);
  }
}

TEST(ParseDevice, queues_are_passed_on) {
  EXPECT_NE(parse(port("af_packet:v"), 4).find("qpairs=4"), std::string::npos);
  EXPECT_NE(parse(port("vhost:/s"), 2).find("queues=2"), std::string::npos);
}

TEST(ParseDevice, kernel_interface_is_known) {
  EXPECT_EQ(parse_device(port("af_packet:veth0"), 0, 1)->kernel_interface, "veth0");
  EXPECT_EQ(parse_device(port("net_tap0,iface=t1,mac=fixed"), 0, 1)->kernel_interface, "t1");
  EXPECT_EQ(parse_device(port("ring"), 0, 1)->kernel_interface, "");
}

TEST(ParseDevice, nonsense_is_refused) {
  const Row rows[] = {
      {"", "neither a PCI address"},
      {"eth0", "neither a PCI address"},
      {"3b:00.8", "'3b' is not one of af_packet"},
      {"tun:x", "not one of af_packet"},
      {"af_packet:", "does not say of what"},
      {"net_af_packet0", "needs iface="},
      {"tap:sixteen_letters_x", "1 to 15 characters"},
      {"af_packet:v,framesz=1024", "at least 1606"},
      {"af_packet:v,framesz=2049", "multiple of 16"},
      {"af_packet:v,framesz=x", "framesz must be a number"},
      {"af_packet:v,blocksz=4000", "blocksz must be a multiple"},
      {"af_packet:v,framecnt=33", "framecnt must be a multiple of 32"},
      {"af_packet:v,framecnt=0", "framecnt must be a number"},
      {"virtio_user:/s,server=1", "make the vhost side the server"},
  };
  for (const Row& row : rows) {
    const std::string parsed = parse(port(row.device));
    EXPECT_NE(parsed.find(row.expected), std::string::npos) << row.device << " -> " << parsed;
    EXPECT_EQ(parsed[0], '[') << row.device << " -> " << parsed;
  }
}

}  // namespace
}  // namespace penstock
