// One tunnel on many cores (decisions/0008). While a worker lends, the tunnel stages end where they
// would cipher: they leave copies of what they know of the packets in batches, which other workers
// may cipher. Batches are completed in the order in which they were left, by their owner alone, so
// no packet overtakes another, and windows, counters and limits have one writer as before. Exits
// are those of the four stages, and a drop where no batch is free.
#include "dataplane/pipeline/lending.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#include <algorithm>

#include "dataplane/pipeline/esp_jobs.h"
#include "dataplane/pipeline/tunnel_inbound.h"
#include "dataplane/pipeline/tunnel_outbound.h"

namespace penstock {
namespace {

// A batch of fewer packets is not worth the way to another core and back.
constexpr size_t kLeastLentPackets = 8;

// Packets given to an engine at once, which works on one at a time.
constexpr size_t kCipheredAtOnce = 2;

// A batch takes 5 to 20 µs, of the largest packets 100. Who takes so long was put off its CPU, and
// gets nothing more for a while.
constexpr uint64_t kHelperDeadlineUs = 1000;
constexpr uint64_t kBarredUs = 20'000;

constexpr uint32_t kEsnAadBytes = 12;

// The payload was in another core's cache: fetched while the packets in front are ciphered.
void prefetch_payload(const AeadJob& job) {
  for (uint32_t at = 0; at < job.length; at += 64) __builtin_prefetch(job.data + at, 1);
}

uint64_t tsc_of_us(uint64_t us) { return rte_get_tsc_hz() / 1'000'000 * us; }

}  // namespace

void CipherBatch::cipher(const AeadEngines& engines, uint16_t by) {
  worker.store(static_cast<uint8_t>(by), std::memory_order_relaxed);
  const uint64_t begin = rte_rdtsc();
  const std::span<AeadJob> all(jobs, count);
  const auto run = [&](std::span<AeadJob> some) {
    const auto algorithm_of = [this](size_t i) { return algorithms[i]; };
    if (seal) {
      run_esp_jobs<&AeadEngine::seal>(engines, some, mixed, algorithm_of);
    } else {
      run_esp_jobs<&AeadEngine::open>(engines, some, mixed, algorithm_of);
    }
  };
  if (mixed || is_cbc(algorithms[0])) {  // whose engines want many packets at once
    run(all);
  } else {
    for (size_t first = 0; first < all.size(); first += kCipheredAtOnce) {
      const size_t next = std::min(first + kCipheredAtOnce, all.size());
      for (size_t i = next; i < std::min(next + kCipheredAtOnce, all.size()); ++i) {
        prefetch_payload(all[i]);
      }
      run(all.subspan(first, next - first));
    }
  }
  // In a word: the owner need not fetch the jobs again.
  ok = 0;
  for (size_t i = 0; i < all.size(); ++i) ok |= uint64_t{jobs[i].ok} << i;
  cycles = rte_rdtsc() - begin;
  done.store(true, std::memory_order_release);
}

// --- into the queue ------------------------------------------------------------------------------

// A batch with everything that the cipher needs; nullptr: none is free.
template <class AlgorithmOf>
Pipeline::Batch* Pipeline::start_batch(TunnelProtocol protocol, bool seal, const AeadJob* jobs,
                                       size_t count, const AlgorithmOf& algorithm_of) {
  Batch* batch = lender_->push();
  if (batch == nullptr) return nullptr;
  batch->protocol = protocol;
  batch->epoch = lender_->epoch;
  batch->count = static_cast<uint8_t>(count);
  batch->seal = seal;
  batch->mixed = false;
  for (size_t i = 0; i < count; ++i) __builtin_prefetch(&batch->jobs[i], 1);
  for (size_t i = 0; i < count; ++i) {
    AeadJob& job = batch->jobs[i];
    job = jobs[i];
    // The one AAD that is not in its packet: that of extended sequence numbers.
    if (protocol == TunnelProtocol::kEsp && job.aad_length == kEsnAadBytes && job.aad != nullptr) {
      std::memcpy(batch->aads[i], job.aad, kEsnAadBytes);
      job.aad = batch->aads[i];
    }
    batch->algorithms[i] = algorithm_of(i);
    batch->mixed |= batch->algorithms[i] != batch->algorithms[0];
  }
  return batch;
}

// To whoever ciphers it.
void Pipeline::submit(Batch& batch) {
  lender_->submitted = true;
  if (lender_->lends && batch.count >= kLeastLentPackets) {
    lender_->desk.offer(batch);
  } else {
    batch.cipher(engines_, config_.worker);  // and waits for its turn
  }
}

template <class AlgorithmOf>
void Pipeline::queue_outbound(TunnelProtocol protocol, Vector<Packet*>& packets, size_t count,
                              const AeadJob* jobs, const NextHopEntry* const* hops,
                              const AlgorithmOf& algorithm_of) {
  for (size_t first = 0; first < count; first += kBatchPackets) {
    const size_t n = std::min(kBatchPackets, count - first);
    Batch* batch = start_batch(protocol, true, jobs + first, n,
                               [&](size_t i) { return algorithm_of(first + i); });
    for (size_t i = 0; i < n; ++i) {
      if (batch == nullptr) [[unlikely]] {
        drop(packets[first + i]->mbuf, DropReason::kTunnelInFlightFull);
        continue;
      }
      batch->packets[i] = *packets[first + i];
      batch->hops[i] = hops[first + i];
    }
    if (batch != nullptr) submit(*batch);
  }
  packets.clear();
}

template <class AlgorithmOf>
void Pipeline::queue_inbound(TunnelProtocol protocol, Vector<Inbound>& packets, const AeadJob* jobs,
                             const AlgorithmOf& algorithm_of) {
  for (size_t first = 0; first < packets.size(); first += kBatchPackets) {
    const size_t n = std::min(kBatchPackets, packets.size() - first);
    Batch* batch = start_batch(protocol, false, jobs + first, n,
                               [&](size_t i) { return algorithm_of(first + i); });
    for (size_t i = 0; i < n; ++i) {
      if (batch == nullptr) [[unlikely]] {
        drop(packets[first + i].mbuf, DropReason::kTunnelInFlightFull);
        continue;
      }
      batch->inbound[i] = packets[first + i];
    }
    if (batch != nullptr) submit(*batch);
  }
  packets.clear();
}

void Pipeline::queue_wireguard_outbound(size_t count) {
  queue_outbound(TunnelProtocol::kWireguard, outbound_, count, jobs_, outbound_hops_,
                 [](size_t) { return SaAlgorithm::kChacha20Poly1305; });
}

void Pipeline::queue_esp_outbound(size_t count) {
  queue_outbound(TunnelProtocol::kEsp, esp_outbound_, count, esp_jobs_, esp_hops_,
                 [this](size_t i) { return esp_sas_[i]->algorithm; });
}

void Pipeline::queue_wireguard_inbound() {
  queue_inbound(TunnelProtocol::kWireguard, inbound_, jobs_,
                [](size_t) { return SaAlgorithm::kChacha20Poly1305; });
}

void Pipeline::queue_esp_inbound() {
  queue_inbound(TunnelProtocol::kEsp, esp_inbound_, esp_jobs_,
                [this](size_t i) { return esp_inbound_[i].algorithm; });
}

// --- out of the queue ----------------------------------------------------------------------------

void Pipeline::complete_outbound(const Batch& batch) {
  // Ethernet and outer headers: a helper had them last.
  for (size_t i = 0; i < batch.count; ++i) {
    __builtin_prefetch(batch.packets[i].ip - sizeof(EthernetHeader), 1);
  }
  for (size_t i = 0; i < batch.count; ++i) {
    if ((batch.ok >> i & 1) == 0) [[unlikely]] {  // may still be clear text
      drop(batch.packets[i].mbuf, DropReason::kTunnelCipherFailed);
      continue;
    }
    finish_outbound(batch.packets[i], *batch.hops[i]);
  }
}

// Into clear_. That the SA may have been removed since does not matter: what arrived before is
// still good, and oldest_epoch() keeps its memory. A limit that a packet in front has reached does.
void Pipeline::complete_inbound(const Batch& batch) {
  for (size_t i = 0; i < batch.count; ++i) {
    const Inbound& in = batch.inbound[i];
    __builtin_prefetch(in.message + 16, 1);
    __builtin_prefetch(in.message + 56, 1);
    __builtin_prefetch(in.message + in.message_bytes - kAeadTagBytes - sizeof(EspTrailer));
  }
  for (size_t i = 0; i < batch.count; ++i) {
    const Inbound& in = batch.inbound[i];
    if ((batch.ok >> i & 1) == 0) [[unlikely]] {
      if (batch.protocol == TunnelProtocol::kEsp) add_relaxed(in.sa->esp.auth_failures, 1);
      drop(in.mbuf, DropReason::kTunnelAuthFailed);
    } else if (now_ns_ >= in.sa->expires_at_ns) [[unlikely]] {
      drop(in.mbuf, DropReason::kTunnelExpired);
    } else if (batch.protocol == TunnelProtocol::kEsp) {
      accept_esp(in);
    } else {
      accept_inbound(in);
    }
  }
}

// Everything that is done, up to the first batch that is not. Between vectors only: what comes out
// of tunnels goes through the stages behind them, and may end in the queue again.
void Pipeline::complete_batches() {
  Lender& lender = *lender_;
  // Acquire: what the helper wrote.
  while (!lender.empty() && lender.head().done.load(std::memory_order_acquire)) {
    const Batch& batch = lender.head();
    if (batch.worker.load(std::memory_order_relaxed) != config_.worker) {
      counters_.lent_batches.add(1);
      lender.helped_cycles += batch.cycles;
    }
    if (batch.seal) {
      complete_outbound(batch);
      lender.pop();
      continue;
    }
    complete_inbound(batch);
    lender.pop();
    forward(clear_);
    wireguard_outbound();
    esp_outbound();
    run_originated();
  }
}

// The oldest batch that nobody has begun; false: there is none.
bool Pipeline::cipher_oldest() {
  CipherBatch* batch = lender_->desk.take();
  if (batch == nullptr) return false;
  batch->cipher(engines_, config_.worker);
  counters_.taken_back_batches.add(1);
  return true;
}

// Before a vector comes in: what it leads to has to fit.
void Pipeline::make_room() {
  const size_t most = most_batches_in_flight(tables_.worker_count);
  while (lender_->in_flight() > most) {
    complete_batches();
    if (lender_->in_flight() <= most || cipher_oldest()) continue;
    watch_head();
    rte_pause();
  }
}

// At the end of a turn. As long as packets come, each helper has one batch waiting for it, and one
// more, when this worker goes for the next; all else it ciphers itself, oldest first. True while
// something is in flight.
bool Pipeline::advance_batches() {
  Lender& lender = *lender_;
  complete_batches();
  const size_t helping = helpers();
  const size_t leave = lender.lends && lender.submitted && helping > 0 ? helping + 1 : 0;
  lender.submitted = false;
  while (lender.desk.waiting() > leave && cipher_oldest()) complete_batches();
  watch_head();
  queues_batches_ = lender.lends || !lender.empty();
  return !lender.empty();
}

// Who keeps the queue waiting is given nothing more for a while. What it has begun it has to end:
// nobody else may touch those buffers.
void Pipeline::watch_head() {
  Lender& lender = *lender_;
  if (lender.empty() && lender.desk.barred() == 0) return;
  const uint64_t now = rte_rdtsc();
  if (lender.desk.barred() != 0 && now >= lender.barred_until_tsc) lender.desk.bar(0);
  if (lender.empty()) return;
  if (lender.watched != lender.head_number()) {
    lender.watched = lender.head_number();
    lender.watched_since_tsc = now;
    lender.watched_is_late = false;
    return;
  }
  const uint8_t by = lender.head().worker.load(std::memory_order_relaxed);
  if (lender.watched_is_late || by == CipherBatch::kNobody || by == config_.worker ||
      now - lender.watched_since_tsc < tsc_of_us(kHelperDeadlineUs)) {
    return;
  }
  lender.watched_is_late = true;
  counters_.late_batches.add(1);
  lender.desk.bar(lender.desk.barred() | uint64_t{1} << by);
  lender.barred_until_tsc = now + tsc_of_us(kBarredUs);
}

void Pipeline::finish_batches() {
  while (!lender_->empty()) {
    complete_batches();
    if (!lender_->empty() && !cipher_oldest()) rte_pause();
  }
  queues_batches_ = lender_->lends;
}

void Pipeline::discard_batches() {
  if (lender_ == nullptr) return;
  lend(false);
  for (; !lender_->empty(); lender_->pop()) {
    const Batch& batch = lender_->head();
    while (!batch.done.load(std::memory_order_acquire)) {
      if (!cipher_oldest()) rte_pause();
    }
    for (size_t i = 0; i < batch.count; ++i) {
      free_later(batch.seal ? batch.packets[i].mbuf : batch.inbound[i].mbuf);
    }
  }
}

// --- between the workers -------------------------------------------------------------------------

void Pipeline::lend(bool lends) {
  if (lender_->lends == lends) return;
  lender_->lends = lends;
  lender_->board.set_lender(config_.worker, lends);
  queues_batches_ = lends || !lender_->empty();
}

void Pipeline::set_helper(bool helps) {
  const uint64_t own = uint64_t{1} << config_.worker;
  if (((lender_->board.helpers() & own) != 0) == helps) return;
  lender_->board.set_helper(config_.worker, helps);
}

size_t Pipeline::helpers() const { return static_cast<size_t>(std::popcount(lender_->helpers())); }

bool Pipeline::help() {
  LendingBoard& board = lender_->board;
  const uint64_t own = uint64_t{1} << config_.worker;
  const uint64_t lenders = board.lenders() & ~own;
  if (lenders == 0) return false;
  // From the one behind the last on: nobody waits for another's end.
  const int from = lender_->next_lender;
  for (uint64_t left = std::rotr(lenders, from); left != 0; left &= left - 1) {
    const auto owner = static_cast<uint16_t>((std::countr_zero(left) + from) % 64);
    LendingDesk& desk = board.desk(owner);
    if ((desk.barred() & own) != 0) continue;
    CipherBatch* batch = desk.take();
    if (batch == nullptr) continue;
    batch->cipher(engines_, config_.worker);
    counters_.helped_batches.add(1);
    lender_->next_lender = (owner + 1) % 64;
    break;
  }
  return true;
}

uint64_t Pipeline::helped_cycles() const { return lender_->helped_cycles; }

void Pipeline::set_epoch(uint64_t epoch) { lender_->epoch = epoch; }

std::optional<uint64_t> Pipeline::oldest_epoch() const {
  if (!queues_batches_ || lender_->empty()) return std::nullopt;
  return lender_->head().epoch;
}

}  // namespace penstock
