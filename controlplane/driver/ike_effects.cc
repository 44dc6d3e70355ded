// What the IKE engine wants done beside installing: messages, computations, questions to the host's
// network, words for the operator.
#include "controlplane/driver/ike_gateway.h"
#include "gateway/base/log.h"

namespace penstock {

void IkeGateway::carry_out(ike::SendDatagram& effect) {
  // A lost message is sent again by its timer.
  (void)context_.dataplane.send_datagram(effect.local, effect.remote, effect.payload, effect.dscp);
}

// A child whose packets would not find it must not be up.
void IkeGateway::carry_out(ike::AddPolicy& effect) {
  const Status added = installer_.carry_out(effect);
  if (added.ok()) return;
  for (const uint32_t spi : installer_.inbound_spis_of(effect.tunnel)) {
    engine_.on_install_failed(now(), effect.tunnel, spi, added.error().text);
  }
}

void IkeGateway::carry_out(ike::InstallChildSa& effect) {
  const Status installed = installer_.carry_out(effect);
  if (installed.ok()) return;
  engine_.on_install_failed(now(), effect.tunnel, effect.inbound_spi, installed.error().text);
}

void IkeGateway::carry_out(ike::CountDrop& effect) {
  context_.dataplane.count_drop(effect.reason, effect.packets);
}

// --- slow crypto ---------------------------------------------------------------------------------

void IkeGateway::carry_out(ike::Compute& effect) {
  waiting_.push_back(std::move(effect));
  submit_waiting();
}

// The engine bounds its jobs; those for which the pool has no room wait here, in order.
void IkeGateway::submit_waiting() {
  while (!waiting_.empty()) {
    auto compute = std::make_shared<ike::Compute>(std::move(waiting_.front()));
    const std::weak_ptr<IkeGateway*> self = self_;
    const bool submitted = context_.pool.submit([self, compute]() -> EventLoop::Task {
      auto result = std::make_shared<ike::ComputeResult>(ike::run_compute(compute->job));
      return [self, id = compute->id, result] {
        const auto alive = self.lock();
        if (!alive) return;
        (*alive)->engine_.on_compute((*alive)->now(), id, std::move(*result));
        (*alive)->engine_changed();
      };
    });
    if (!submitted) {
      waiting_.front() = std::move(*compute);
      return;
    }
    waiting_.pop_front();
  }
}

// --- what only the host's network knows ----------------------------------------------------------

void IkeGateway::resolved(const std::string& name, const Result<std::vector<IpAddress>>& found) {
  if (!found.ok()) {
    log_warning("ike: cannot resolve \"%s\": %s", name.c_str(), found.error().text.c_str());
  }
  engine_.on_resolved(now(), name, found.ok() ? *found : std::vector<IpAddress>{});
  engine_changed();
}

void IkeGateway::carry_out(ike::ResolveName& effect) {
  const std::weak_ptr<IkeGateway*> self = self_;
  const bool submitted = context_.helper.submit([self, name = effect.name]() -> EventLoop::Task {
    return [self, name, found = resolve_host(name)] {
      if (const auto alive = self.lock()) (*alive)->resolved(name, found);
    };
  });
  if (!submitted) resolved(effect.name, Error{"too many names are being resolved"});
}

// The engine asks only for chains that are trusted, of peers whose AUTH has verified: nothing that
// a stranger sends makes the gateway open a connection.
void IkeGateway::carry_out(ike::FetchUrl& effect) {
  const std::weak_ptr<IkeGateway*> self = self_;
  const FetchLimits limits = options_.fetch;
  const bool submitted = context_.helper.submit(
      [self, limits, id = effect.id, what = effect.fetch]() -> EventLoop::Task {
        auto document = std::make_shared<Result<ByteVector>>(
            fetch_url(what.url, what.body, "application/ocsp-request", limits));
        return [self, id, what, document] {
          if (const auto alive = self.lock()) (*alive)->fetched(id, what, *document);
        };
      });
  if (!submitted) fetched(effect.id, effect.fetch, Error{"too many fetches at a time"});
}

void IkeGateway::fetched(uint64_t id, const ike::StatusFetch& what,
                         const Result<ByteVector>& document) {
  const bool is_crl = what.kind == ike::StatusFetch::Kind::kCrl;
  Status stored;
  if (!document.ok()) {
    stored = document.error();
  } else if (is_crl) {
    stored = credentials_.add_fetched_crl(what.url, *document);
  } else {
    stored = credentials_.add_fetched_ocsp(what.key, *document);
  }
  if (stored.ok()) {
    log_info("ike: fetched %s from %s, %zu bytes", is_crl ? "a CRL" : "an OCSP answer",
             what.url.c_str(), document->size());
    engine_.set_credentials(credentials_.snapshot());
  } else {
    log_warning("ike: cannot fetch %s from %s: %s", is_crl ? "a CRL" : "an OCSP answer",
                what.url.c_str(), stored.error().text.c_str());
  }
  engine_.on_fetched(now(), id);
  engine_changed();
}

// --- what an operator reads ----------------------------------------------------------------------

void IkeGateway::carry_out(ike::Notify& effect) {
  using Kind = ike::Notify::Kind;
  log_.write(boot_time_ns(), effect);
  if (lease_listener_ && (effect.kind == Kind::kLeased || effect.kind == Kind::kReleased)) {
    lease_listener_(effect.address, effect.kind == Kind::kLeased);
  }
  if (listener_) listener_(effect);
}

}  // namespace penstock
