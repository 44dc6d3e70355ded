// Peers without a tunnel: there is nothing to agree on with the gateway, so each is up at once.
#include <deque>

#include "bench/load/peers.h"

namespace penstock::load {
namespace {

class ClearPeers final : public Peers {
 public:
  void prepare(const PeerNow&, uint32_t) override {}
  void initiate(const PeerNow&, uint32_t tunnel) override {
    SessionUp up;
    up.tunnel = tunnel;
    up_.push_back(std::move(up));
  }
  void defer_answers(bool) override {}
  bool compute_deferred() override { return false; }
  void on_datagram(const PeerNow&, uint32_t, uint16_t, uint16_t, Bytes) override {}
  void on_timeout(const PeerNow&) override {}
  [[nodiscard]] std::optional<PeerEffect> poll() override {
    if (up_.empty()) return std::nullopt;
    PeerEffect effect = std::move(up_.front());
    up_.pop_front();
    return effect;
  }
  [[nodiscard]] Nanoseconds rekey_after_ns() const override { return kNever; }
  [[nodiscard]] std::string trouble() const override { return {}; }

 private:
  std::deque<SessionUp> up_;
};

}  // namespace

std::unique_ptr<Peers> make_clear_peers() { return std::make_unique<ClearPeers>(); }

}  // namespace penstock::load
