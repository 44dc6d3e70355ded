#include "dataplane/worker/reclaim.h"

#include <rte_errno.h>
#include <rte_malloc.h>

#include <utility>

namespace penstock {

Result<std::unique_ptr<Reclaimer>> Reclaimer::create(uint32_t workers) {
  std::unique_ptr<Reclaimer> reclaimer(new Reclaimer);
  const size_t size = rte_rcu_qsbr_get_memsize(workers);
  auto* qsbr = static_cast<rte_rcu_qsbr*>(rte_zmalloc("qsbr", size, RTE_CACHE_LINE_SIZE));
  if (qsbr == nullptr) return errorf("no memory for the grace periods of %u workers", workers);
  reclaimer->qsbr_ = qsbr;
  if (rte_rcu_qsbr_init(qsbr, workers) != 0) {
    return errorf("cannot set up grace periods: %s", rte_strerror(rte_errno));
  }
  for (uint32_t id = 0; id < workers; ++id) {
    if (rte_rcu_qsbr_thread_register(qsbr, id) != 0) {
      return errorf("cannot register worker %u for grace periods", id);
    }
  }
  return reclaimer;
}

Reclaimer::~Reclaimer() { rte_free(qsbr_); }

void Reclaimer::defer(std::function<void()> fn) {
  waiting_.push_back({rte_rcu_qsbr_start(qsbr_), std::move(fn)});
}

void Reclaimer::poll() {
  // What 100,000 removals leave behind must not hold the control thread for long.
  constexpr int kMostAtOnce = 1024;
  for (int i = 0; i < kMostAtOnce && !waiting_.empty(); ++i) {
    if (rte_rcu_qsbr_check(qsbr_, waiting_.front().token, false) != 1) return;
    const std::function<void()> fn = std::move(waiting_.front().fn);
    waiting_.pop_front();
    fn();  // may defer again
  }
}

void Reclaimer::drain() {
  while (!waiting_.empty()) {
    const std::function<void()> fn = std::move(waiting_.front().fn);
    waiting_.pop_front();
    fn();
  }
}

}  // namespace penstock
