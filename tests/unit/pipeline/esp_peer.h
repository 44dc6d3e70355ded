// The other end of an ESP tunnel, for tests of the packet path: builds and opens packets by itself
// (RFC 4303), with the reference ciphers of OpenSSL and libsodium.
//
// Tunnels of policies: the peer's side has 172.16.N.0/24 and 2001:db8:9:N::/64, ours the inside
// networks 192.0.2.0/24 and 2001:db8:2::/64. No route leads to the peers' networks.
#pragma once

#include <memory>
#include <optional>

#include "dataplane/wire/esp.h"
#include "tests/unit/pipeline/frames.h"

namespace penstock::test {

struct EspOptions {
  SaAlgorithm algorithm = SaAlgorithm::kAes256Gcm16;
  bool outer_v6 = false;
  Encapsulation encapsulation = Encapsulation::kUdp;
  EspParameters parameters;
  uint64_t first_sequence = 0;
  uint64_t sequence_limit = 0;
  uint64_t rekey_sequence = 0;
  Nanoseconds expires_at_ns = kNever;
  uint16_t owner = 0;           // of the inbound SA
  uint16_t outbound_owner = 0;  // and of the outbound one
  bool current = true;          // false: promoted by the first packet under the inbound SA
  DscpMode dscp = DscpMode::kCopy;
  bool copy_df = false;
};

struct EspPeer {
  EspOptions options;
  TunnelId tunnel;
  unsigned number = 0;
  Endpoint endpoint;  // port 0 natively
  IpAddress inner4, inner6;
  uint32_t spi = 0;       // ours: what the peer writes
  uint32_t peer_spi = 0;  // the peer's
  SaKeys to_us, from_us;
  SaHandle outbound;
  uint64_t sequence = 1;  // next, of the peer's own packets
  std::vector<SelectorPair> selectors;
  std::shared_ptr<AeadEngine> engine;
};

inline TrafficSelector range(const char* first, const char* last, uint8_t protocol = 0,
                             uint16_t first_port = 0, uint16_t last_port = 65535) {
  TrafficSelector selector;
  selector.first = ip(first);
  selector.last = ip(last);
  selector.protocol = protocol;
  selector.first_port = first_port;
  selector.last_port = last_port;
  return selector;
}
// "10.0.0.0/8"
inline TrafficSelector network(const std::string& text) {
  const IpPrefix prefix = *IpPrefix::parse(text);
  TrafficSelector selector;
  selector.first = prefix.address;
  ByteVector last = to_vector(prefix.address.bytes());
  for (unsigned bit = prefix.length; bit < prefix.address.bits(); ++bit) {
    last[bit / 8] = static_cast<uint8_t>(last[bit / 8] | 0x80 >> bit % 8);
  }
  if (prefix.address.is_v4()) {
    Ipv4Address address;
    std::memcpy(address.bytes.data(), last.data(), 4);
    selector.last = address;
  } else {
    Ipv6Address address;
    std::memcpy(address.bytes.data(), last.data(), 16);
    selector.last = address;
  }
  return selector;
}

inline std::shared_ptr<AeadEngine> reference_engine(SaAlgorithm algorithm) {
  auto made = make_reference_engine(algorithm);
  EXPECT_TRUE(made.ok());
  return std::move(made).value();
}

// A gateway with IKE and policies, to which ESP peers are added.
class EspGateway : public Gateway {
 public:
  explicit EspGateway(const GatewayOptions& options = {})
      : Gateway(options), policies_(std::make_unique<PolicyTable>(defer())) {
    tables().listeners[Be16(kIkePort).raw()] = kListenerIke;
    tables().listeners[Be16(kIkeNatTraversalPort).raw()] = kListenerNatTraversal;
    tables().accept_esp = true;
    tables().interfaces[kPolicyInterface.value].policies = policies_.get();
  }

  [[nodiscard]] PolicyTable& policies() { return *policies_; }

  // The next one, with its policies.
  EspPeer add_esp_peer(const EspOptions& options = {}, InterfaceId interface = {}) {
    EspPeer peer = make_esp_peer(options, ++peers_, interface);
    add_policies(peer, policies());
    return peer;
  }
  EspPeer make_esp_peer(const EspOptions& options, unsigned number, InterfaceId interface = {}) {
    EspPeer peer;
    peer.options = options;
    peer.number = number;
    peer.engine = reference_engine(options.algorithm);
    TunnelSpec spec;
    spec.interface = interface;
    spec.protocol = TunnelProtocol::kEsp;
    spec.dscp = options.dscp;
    spec.copy_df = options.copy_df;
    auto tunnel = tunnels().add_tunnel(spec);
    EXPECT_TRUE(tunnel.ok());
    peer.tunnel = *tunnel;
    const std::string n = std::to_string(peer.number);
    peer.inner4 = ip(("172.16." + n + ".5").c_str());
    peer.inner6 = ip(("2001:db8:9:" + n + "::5").c_str());
    peer.endpoint.address = ip(((options.outer_v6 ? "2001:db8:64::e:" : "100.64.50.") + n).c_str());
    peer.endpoint.port =
        options.encapsulation == Encapsulation::kUdp ? uint16_t{4500} : uint16_t{0};
    uint8_t header[kMaxOuterHeader];
    EXPECT_TRUE(build_outer_header(our_end(peer), peer.endpoint, header, options.encapsulation));
    tunnels().set_header(peer.tunnel, header);
    set_selectors(peer, {{network("192.0.2.0/24"), network("172.16." + n + ".0/24")},
                         {network("2001:db8:2::/64"), network("2001:db8:9:" + n + "::/64")}});
    add_esp_session(peer);
    return peer;
  }

  void set_selectors(EspPeer& peer, const std::vector<SelectorPair>& selectors) {
    peer.selectors = selectors;
    EXPECT_TRUE(tunnels().set_selectors(peer.tunnel, selectors, defer()).ok());
  }
  PolicyId add_policy(PolicyTable& table, const SelectorPair& selectors, PolicyAction action,
                      uint32_t tunnel = UINT32_MAX, uint32_t priority = 100) {
    PolicySpec spec;
    spec.selectors = selectors;
    spec.action = action;
    spec.tunnel = TunnelId{tunnel};
    spec.priority = priority;
    const PolicyId id{next_policy_++};
    EXPECT_TRUE(table.add(id, spec).ok());
    return id;
  }
  std::vector<PolicyId> add_policies(const EspPeer& peer, PolicyTable& table) {
    std::vector<PolicyId> ids;
    for (const SelectorPair& pair : peer.selectors) {
      ids.push_back(add_policy(table, pair, PolicyAction::kProtect, peer.tunnel.value));
    }
    return ids;
  }

  // A new pair of SAs for it: replaces the keys in `peer`.
  void add_esp_session(EspPeer& peer) {
    const EspOptions& options = peer.options;
    for (SaKeys* keys : {&peer.to_us, &peer.from_us}) {
      random_.fill(keys->cipher_key.mutable_bytes().first(cipher_key_bytes(options.algorithm)));
      random_.fill(keys->salt.mutable_bytes());
      random_.fill(keys->auth_key.mutable_bytes());
    }
    peer.sequence = 1;
    peer.peer_spi = random_.u32() | 256;
    OutboundSaSpec out;
    out.tunnel = peer.tunnel;
    out.peer_index = peer.peer_spi;
    out.algorithm = options.algorithm;
    out.keys = peer.from_us;
    out.expires_at_ns = options.expires_at_ns;
    out.first_sequence = options.first_sequence;
    out.sequence_limit = options.sequence_limit;
    out.rekey_sequence = options.rekey_sequence;
    out.owner = WorkerId{options.outbound_owner};
    out.esp = options.parameters;
    auto handle = tunnels().install_outbound(out);
    ASSERT_TRUE(handle.ok()) << handle.error().text;
    peer.outbound = *handle;
    if (options.current) tunnels().set_current_outbound(peer.tunnel, peer.outbound);
    InboundSaSpec in;
    in.tunnel = peer.tunnel;
    in.index = peer.spi = *tunnels().reserve_inbound_index();
    in.algorithm = options.algorithm;
    in.keys = peer.to_us;
    in.expires_at_ns = options.expires_at_ns;
    if (!options.current) in.promotes = peer.outbound;
    in.expected_source = peer.endpoint;
    in.owner = WorkerId{options.owner};
    in.esp = options.parameters;
    const Status installed = tunnels().install_inbound(in);
    ASSERT_TRUE(installed.ok()) << installed.error().text;
  }

  static Endpoint our_end(const EspPeer& peer) {
    return {ip(peer.options.outer_v6 ? "2001:db8:51::1" : "198.51.100.1"), kIkeNatTraversalPort};
  }

 private:
  SystemRandom random_;
  std::unique_ptr<PolicyTable> policies_;
  unsigned peers_ = 0;
  uint32_t next_policy_ = 1;
};

// --- what the peer does --------------------------------------------------------------------------

inline bool is_cbc_peer(const EspPeer& peer) { return is_cbc(peer.options.algorithm); }

// Payload, padding of the least length (or `padding` bytes) and trailer.
inline ByteVector esp_plain(const EspPeer& peer, Bytes payload, int next_header = -1,
                            int padding = -1) {
  const size_t align = is_cbc_peer(peer) ? 16 : 4;
  if (padding < 0) padding = static_cast<int>((align - (payload.size() + 2) % align) % align);
  ByteVector plain = to_vector(payload);
  for (int i = 1; i <= padding; ++i) plain.push_back(static_cast<uint8_t>(i));
  plain.push_back(static_cast<uint8_t>(padding));
  if (next_header < 0) next_header = !payload.empty() && payload[0] >> 4 == 6 ? 41 : 4;
  plain.push_back(static_cast<uint8_t>(next_header));
  return plain;
}

// Fills in a job for a packet of `peer` under `sequence`, whose plaintext or ciphertext of `bytes`
// lies behind header and IV.
inline AeadJob esp_job(const EspPeer& peer, const void* key, const SaKeys& keys, uint8_t* message,
                       size_t bytes, uint64_t sequence, uint8_t (&aad)[12]) {
  AeadJob job;
  job.key = key;
  const size_t iv_bytes = is_cbc_peer(peer) ? 16 : 8;
  job.data = message + 8 + iv_bytes;
  job.length = static_cast<uint32_t>(bytes);
  job.tag = job.data + bytes;
  const bool esn = peer.options.parameters.esn;
  const Be64 whole(sequence);
  if (is_cbc_peer(peer)) {
    job.aad_length = 24;
    job.sequence_high = Be32(static_cast<uint32_t>(sequence >> 32)).raw();
    job.appends_sequence_high = esn;
    return job;
  }
  std::memcpy(job.nonce, keys.salt.data(), 4);
  std::memcpy(job.nonce + 4, message + 8, 8);
  std::memcpy(aad, message, 4);
  if (esn) {
    std::memcpy(aad + 4, &whole, 8);
  } else {
    std::memcpy(aad + 4, message + 4, 4);
  }
  job.aad = aad;
  job.aad_length = esn ? 12 : 8;
  return job;
}

inline ByteVector esp_message(const EspPeer& peer, uint64_t sequence, Bytes plain,
                              std::optional<uint32_t> spi = {}) {
  const size_t iv_bytes = is_cbc_peer(peer) ? 16 : 8;
  ByteVector message(8 + iv_bytes + plain.size() + 16);
  const EspHeader header{Be32(spi.value_or(peer.spi)), Be32(static_cast<uint32_t>(sequence))};
  std::memcpy(message.data(), &header, 8);
  for (size_t i = 0; i < iv_bytes; ++i) {  // any IV that does not repeat will do
    message[8 + i] = static_cast<uint8_t>(i < 8 ? sequence * 0x9d >> (8 * i) : 0x5a);
  }
  if (!plain.empty()) std::memcpy(message.data() + 8 + iv_bytes, plain.data(), plain.size());
  ExpandedKey key;
  peer.engine->expand_key(peer.to_us, key.bytes);
  uint8_t aad[12];
  AeadJob job = esp_job(peer, key.bytes, peer.to_us, message.data(), plain.size(), sequence, aad);
  peer.engine->seal({&job, 1});
  EXPECT_TRUE(job.ok);
  return message;
}

inline ByteVector esp_packet_from(const EspPeer& peer, const Endpoint& source, Bytes message,
                                  IpFields outer = {}) {
  const Endpoint ours = EspGateway::our_end(peer);
  if (peer.options.encapsulation == Encapsulation::kUdp) {
    return udp_packet(source, ours, message, outer);
  }
  outer.protocol = kProtocolEsp;
  return ip_packet(source.address, ours.address, message, outer);
}
inline ByteVector esp_frame_of(const EspPeer& peer, Bytes message, const IpFields& outer = {}) {
  return from_outside(esp_packet_from(peer, peer.endpoint, message, outer));
}
// The peer sends an inner packet under its next number: the frame that arrives outside.
inline ByteVector esp_frame(EspPeer& peer, Bytes inner, const IpFields& outer = {}) {
  return esp_frame_of(peer, esp_message(peer, peer.sequence++, esp_plain(peer, inner)), outer);
}

struct EspOpened {
  uint64_t sequence = 0;
  ByteVector payload;  // with what TFC padding there is
  uint8_t next_header = 0;
  size_t padding = 0;
  uint8_t outer_traffic_class = 0;
  bool outer_df = false;
  ByteVector iv;
};

// Checks every outer header that the gateway wrote and opens the packet. `high`: of an extended
// sequence number.
inline std::optional<EspOpened> open_esp(const EspPeer& peer, const Frame& frame,
                                         uint32_t high = 0) {
  const Bytes packet = frame.packet();
  const bool v4 = !peer.options.outer_v6;
  const bool in_udp = peer.options.encapsulation == Encapsulation::kUdp;
  const size_t ip_bytes = v4 ? 20 : 40;
  const size_t outer = ip_bytes + (in_udp ? 8 : 0);
  const size_t iv_bytes = is_cbc_peer(peer) ? 16 : 8;
  EspOpened opened;
  if (frame.port != kOutside || packet.size() < outer + 8 + iv_bytes + 2 + 16) return std::nullopt;
  if ((packet[0] >> 4 == 4) != v4) return std::nullopt;
  EXPECT_TRUE(equal_bytes(Bytes(frame.bytes).first(6), kRouterMac.bytes));
  const uint8_t protocol = in_udp ? kProtocolUdp : kProtocolEsp;
  if (v4) {
    const auto& ip4 = *header_at<Ipv4Header>(packet);
    EXPECT_EQ(ip4.version_length, 0x45);
    EXPECT_EQ(slow_checksum(packet.first(20)), 0);
    EXPECT_EQ(ip4.total_length.get(), packet.size());
    EXPECT_EQ(ip4.protocol, protocol);
    EXPECT_EQ(ip4.ttl, 64);
    EXPECT_EQ(IpAddress(ip4.source), ip("198.51.100.1"));
    if (IpAddress(ip4.destination) != peer.endpoint.address) return std::nullopt;
    opened.outer_traffic_class = ip4.tos;
    opened.outer_df = ip4.dont_fragment();
  } else {
    const auto& ip6 = *header_at<Ipv6Header>(packet);
    EXPECT_EQ(ip6.payload_length.get(), packet.size() - 40);
    EXPECT_EQ(ip6.next_header, protocol);
    EXPECT_EQ(ip6.hop_limit, 64);
    EXPECT_EQ(IpAddress(ip6.source), ip("2001:db8:51::1"));
    if (IpAddress(ip6.destination) != peer.endpoint.address) return std::nullopt;
    if (in_udp) {
      EXPECT_EQ(slow_transport_checksum(packet), 0);
    }
    opened.outer_traffic_class = ip6.traffic_class();
  }
  if (in_udp) {
    const auto& udp = *header_at<UdpHeader>(packet, ip_bytes);
    EXPECT_EQ(udp.destination_port.get(), peer.endpoint.port);
    EXPECT_EQ(udp.source_port.get(), kIkeNatTraversalPort);
    EXPECT_EQ(udp.length.get(), packet.size() - ip_bytes);
    EXPECT_EQ(udp.checksum.get() == 0, v4);  // RFC 3948 2.1, RFC 8200 8.1
  }
  ByteVector message = to_vector(packet.subspan(outer));
  const auto& header = *header_at<EspHeader>(message);
  if (header.spi.get() != peer.peer_spi) return std::nullopt;
  opened.sequence = uint64_t{high} << 32 | header.sequence.get();
  opened.iv.assign(message.begin() + 8, message.begin() + 8 + static_cast<long>(iv_bytes));
  ExpandedKey key;
  peer.engine->expand_key(peer.from_us, key.bytes);
  uint8_t aad[12];
  const size_t bytes = message.size() - 8 - iv_bytes - 16;
  EXPECT_EQ(bytes % (is_cbc_peer(peer) ? 16 : 4), 0U);
  AeadJob job = esp_job(peer, key.bytes, peer.from_us, message.data(), bytes, opened.sequence, aad);
  peer.engine->open({&job, 1});
  if (!job.ok) return std::nullopt;
  opened.next_header = message[8 + iv_bytes + bytes - 1];
  opened.padding = message[8 + iv_bytes + bytes - 2];
  const uint8_t* plain = message.data() + 8 + iv_bytes;
  EXPECT_LE(opened.padding + 2, bytes);
  opened.payload.assign(plain, plain + (bytes - 2 - opened.padding));
  for (size_t i = 0; i < opened.padding; ++i) {  // RFC 4303 2.4
    EXPECT_EQ(plain[opened.payload.size() + i], i + 1);
  }
  return opened;
}

}  // namespace penstock::test
