// A gateway without ports or threads, for tests of the packet path: real tables, rings, cipher
// engine and buffers; a sink where ports would be. Needs neither root nor hugepages.
//
//     peers  100.64.0.0/16, 2001:db8:64::/48
//        |   router 198.51.100.254, 2001:db8:51::fe
//   [ 0: outside 198.51.100.1/24, 2001:db8:51::1/64 ]       MTU 1500, no clear text
//   [ wg0: 10.0.0.1, fd00::1; routes 10/8 and fd00::/16 ]   MTU 1420
//   [ 1: inside  192.0.2.1/24, 2001:db8:2::1/64 ]           MTU 1500
//        |   host 192.0.2.10, 2001:db8:2::10 (resolved); 192.0.2.99 is not
#pragma once

#include <rte_mbuf.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/crypto/aead.h"
#include "dataplane/pipeline/pipeline.h"
#include "gateway/base/random.h"

namespace penstock::test {

inline constexpr uint16_t kOutside = 0;
inline constexpr uint16_t kInside = 1;
inline constexpr uint16_t kListenPort = 51820;
inline const MacAddress kOutsideMac{{2, 0, 0, 0, 0, 1}};
inline const MacAddress kInsideMac{{2, 0, 0, 0, 0, 2}};
inline const MacAddress kRouterMac{{2, 0, 0, 0, 0, 3}};
inline const MacAddress kHostMac{{2, 0, 0, 0, 0, 4}};

inline IpAddress ip(const char* text) { return *IpAddress::parse(text); }
inline IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }

// Starts EAL once per process, without devices.
void start_environment();
// Puts bytes at the end of a buffer, which has room for them.
void append(rte_mbuf* m, Bytes bytes);

struct Frame {
  uint16_t port = 0;
  ByteVector bytes;
  uint64_t offloads = 0;
  [[nodiscard]] Bytes packet() const { return Bytes(bytes).subspan(14); }
};

// Keeps what is transmitted, in order. A port takes at most `room` frames.
class Sink final : public Transmitter {
 public:
  uint16_t transmit(uint16_t port, rte_mbuf** frames, uint16_t count) override;
  std::vector<Frame> frames;
  size_t room = SIZE_MAX;
};

// The ipsec-mb engine, of which a test may make single seals fail.
class FaultyEngine final : public AeadEngine {
 public:
  explicit FaultyEngine(SaAlgorithm algorithm);
  void seal(std::span<AeadJob> jobs) override;
  void open(std::span<AeadJob> jobs) override;
  void expand_key(const SaKeys& keys, void* to) const override { engine_->expand_key(keys, to); }
  [[nodiscard]] std::string description() const override { return engine_->description(); }
  size_t failing_seal = SIZE_MAX;      // index within the next burst
  std::function<void()> before_burst;  // where set: delays it

 private:
  std::unique_ptr<AeadEngine> engine_;
};

// What the other end of a tunnel holds.
struct Peer {
  TunnelId tunnel;
  Endpoint endpoint;
  IpAddress inner4, inner6;
  uint32_t index = 0;       // ours: what the peer writes into its packets
  uint32_t peer_index = 0;  // the peer's: what we write
  Secret<32> to_us, from_us;
  SaHandle outbound;
  uint64_t counter = 0;  // next, of the peer's own packets
};

struct SaOptions {
  uint64_t first_sequence = 0;
  uint64_t rekey_sequence = uint64_t{1} << 60;
  uint64_t sequence_limit = UINT64_MAX - 8192;
  Nanoseconds expires_at_ns = kNever;
  uint16_t owner = 0;
  bool current = true;  // false: promoted by the first packet under the inbound SA
};

struct Punt {
  RingMeta meta;
  ByteVector bytes;
};

struct GatewayOptions {
  uint16_t workers = 1;
  uint16_t buffer_room = 2176;
  uint16_t mtu = 1500;
  uint32_t icmp_errors_per_second = 1000;
  uint32_t ring_size = 256;
  uint32_t tunnels = 64;
  bool lending = false;  // workers may cipher for each other
  Defer defer;           // instead of grace(): real grace periods
  ReassemblyLimits reassembly;
};

class Gateway {
 public:
  explicit Gateway(const GatewayOptions& options = {});
  ~Gateway();

  // A peer with a session, at a v4 or v6 endpoint, with inner addresses 10.0.1.N and fd00::1:N.
  Peer add_peer(bool over_v6 = false, const SaOptions& options = {});
  // A new pair of SAs for it: replaces the keys in `peer`.
  void add_session(Peer& peer, const SaOptions& options = {});
  void remove_session(const Peer& peer);

  // Frames arrive in one vector; the turn is finished.
  void receive(uint16_t port, const std::vector<ByteVector>& frames, uint16_t worker = 0);
  void receive(uint16_t port, const ByteVector& frame) {
    receive(port, std::vector<ByteVector>{frame});
  }
  // In a chain of two segments.
  void receive_split(uint16_t port, const ByteVector& frame, size_t first_bytes);
  void run_hand_over(uint16_t worker);
  void inject(RingMeta meta, Bytes bytes, uint16_t worker = 0);
  void inject_into_tunnel(const Peer& peer, Bytes inner);
  void inject_keepalive(const Peer& peer);
  bool finish_turn(uint16_t worker = 0) { return pipelines_[worker]->finish_turn(); }

  // What left since the last call.
  std::vector<Frame> sent(uint16_t worker = 0) { return std::exchange(sinks_[worker].frames, {}); }
  std::vector<Punt> punts(PuntClass kind, uint16_t worker = 0);
  std::vector<TunnelEvents> events(bool activity = true);
  [[nodiscard]] uint64_t drops(DropReason reason) const;
  [[nodiscard]] uint64_t all_drops() const;
  // Ends one grace period.
  void grace();
  [[nodiscard]] size_t buffers_missing() const;

  void set_time(Nanoseconds now_ns);
  [[nodiscard]] Nanoseconds time() const { return now_ns_; }
  void route(const char* prefix, const NextHop& next_hop);
  void allow(const char* prefix, const Peer& peer);
  [[nodiscard]] SharedTables& tables() { return *tables_; }
  [[nodiscard]] TunnelTables& tunnels() { return *tables_->tunnels; }
  [[nodiscard]] Fib& fib() { return *tables_->fib; }
  [[nodiscard]] IpPrefixTrie& allowed() { return *allowed_; }
  [[nodiscard]] Pipeline& pipeline(uint16_t worker = 0) { return *pipelines_[worker]; }
  [[nodiscard]] FaultyEngine& engine(SaAlgorithm algorithm = SaAlgorithm::kChacha20Poly1305,
                                     uint16_t worker = 0) {
    return static_cast<FaultyEngine&>(engines_[worker]->of(algorithm));
  }
  [[nodiscard]] Sink& sink(uint16_t worker = 0) { return sinks_[worker]; }
  [[nodiscard]] rte_mempool* pool() { return pool_; }
  [[nodiscard]] Defer defer();

 private:
  void make_rings();
  void make_routes();
  rte_mbuf* buffer_with(Bytes bytes);

  GatewayOptions options_;
  SystemRandom random_;
  std::deque<std::function<void()>> deferred_;
  std::unique_ptr<SharedTables> tables_;
  std::unique_ptr<IpPrefixTrie> allowed_;
  std::vector<std::unique_ptr<AeadEngines>> engines_;
  std::vector<Sink> sinks_;
  std::vector<std::unique_ptr<Pipeline>> pipelines_;
  rte_mempool* pool_ = nullptr;
  uint32_t buffers_ = 0;
  uint32_t peers_ = 0;
  Nanoseconds now_ns_ = kSecond;
};

}  // namespace penstock::test
