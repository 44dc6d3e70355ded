// Grace periods: when may what was unpublished be wiped and freed? (RCU, by rte_rcu_qsbr.)
#pragma once

#include <rte_rcu_qsbr.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "gateway/base/result.h"

namespace penstock {

class Reclaimer {
 public:
  static Result<std::unique_ptr<Reclaimer>> create(uint32_t workers);
  ~Reclaimer();
  Reclaimer(const Reclaimer&) = delete;
  Reclaimer& operator=(const Reclaimer&) = delete;

  // --- worker `id`, about itself. Online: it may hold what it read; quiescent: it holds nothing
  // that it read before; offline: it reads nothing.
  void online(uint32_t id) { rte_rcu_qsbr_thread_online(qsbr_, id); }
  void offline(uint32_t id) { rte_rcu_qsbr_thread_offline(qsbr_, id); }
  void quiescent(uint32_t id) { rte_rcu_qsbr_quiescent(qsbr_, id); }
  // For a worker that keeps what it read for longer than a turn. epoch(), asked before it reads,
  // says which grace periods had begun by then; quiescent_since() that it holds nothing that it
  // read before that: later ones have to wait. Epochs ascend.
  [[nodiscard]] uint64_t epoch() const { return __atomic_load_n(&qsbr_->token, __ATOMIC_ACQUIRE); }
  void quiescent_since(uint32_t id, uint64_t epoch) {
    __atomic_store_n(&qsbr_->qsbr_cnt[id].cnt, epoch, __ATOMIC_RELEASE);
  }

  // --- control thread
  // Runs `fn` in a later poll(), once every worker has been quiescent or offline since this call.
  void defer(std::function<void()> fn);
  // Runs what is due, a bounded number at once; never waits.
  void poll();
  // Runs everything. Requires that all workers are offline for good.
  void drain();
  [[nodiscard]] size_t pending() const { return waiting_.size(); }

 private:
  struct Waiting {
    uint64_t token;
    std::function<void()> fn;
  };
  Reclaimer() = default;
  rte_rcu_qsbr* qsbr_ = nullptr;
  std::deque<Waiting> waiting_;  // tokens ascend
};

}  // namespace penstock
