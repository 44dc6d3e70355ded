#include "gateway/app/gateway.h"

#include <algorithm>

#include "gateway/base/log.h"

namespace penstock::app {
namespace {

constexpr Nanoseconds kLinkInterval = 500 * kMillisecond;
// IPsec peers are told that we go (RFC 7296 1.4.1), and have this long to hear it.
constexpr Nanoseconds kGoodbyeLimit = kSecond;
constexpr Nanoseconds kGoodbyeInterval = 20 * kMillisecond;

}  // namespace

Result<std::unique_ptr<Gateway>> Gateway::start(const config::Config& config,
                                                const config::CommandLine& command_line) {
  std::unique_ptr<Gateway> gateway(new Gateway(config, command_line));
  PENSTOCK_CHECK(gateway->open());
  return gateway;
}

Gateway::~Gateway() {
  if (reload_thread_.joinable()) reload_thread_.join();
}

void Gateway::run() {
  notify_service_manager("READY=1");
  log_notice("penstockd " PENSTOCK_VERSION " is ready: %zu ports, %u workers, %zu interfaces",
             config_.ports.size(), config_.workers, wireguard_->interfaces().size());
  watch_links();
  loop_->run();
  notify_service_manager("STOPPING=1");
  log_notice("stopping");
}

// A second signal does not wait for anybody.
void Gateway::stop() {
  if (std::exchange(stopping_, true) || !ike_ || !ike_->say_goodbye(kGoodbyeLimit)) {
    loop_->stop();
    return;
  }
  notify_service_manager("STOPPING=1");
  wait_for_goodbyes(boot_time_ns() + kGoodbyeLimit);
}

void Gateway::wait_for_goodbyes(Nanoseconds until_ns) {
  if (ike_->engine().totals().ike_sas == 0 || boot_time_ns() >= until_ns) {
    loop_->stop();
    return;
  }
  loop_->at(boot_time_ns() + kGoodbyeInterval, [this, until_ns] { wait_for_goodbyes(until_ns); });
}

// Drivers of virtual ports raise no interrupt when a link changes, so it is asked for.
void Gateway::watch_links() {
  (void)dataplane_->poll_links();
  const std::vector<PortInfo> ports = dataplane_->ports();
  links_up_.resize(ports.size());
  for (size_t i = 0; i < ports.size(); ++i) {
    if (links_up_[i] == ports[i].link_up) continue;
    links_up_[i] = ports[i].link_up;
    log_notice("port %s: link is %s", ports[i].name.c_str(), ports[i].link_up ? "up" : "down");
    neighbours_->on_link(ports[i].id, ports[i].link_up);
  }
  loop_->at(boot_time_ns() + kLinkInterval, [this] { watch_links(); });
}

// --- reload --------------------------------------------------------------------------------------

// Reading the files may wait for a disk or a name server, so it happens on a thread of its own.
void Gateway::reload() {
  if (reloading_) {
    reload_again_ = true;
    return;
  }
  reloading_ = true;
  if (reload_thread_.joinable()) reload_thread_.join();
  reload_thread_ = std::thread([this] {
    auto outcome = std::make_shared<config::Outcome>(config::load_config(command_line_));
    loop_->post([this, outcome] {
      apply_reload(*outcome);
      reloading_ = false;
      if (std::exchange(reload_again_, false)) reload();
    });
  });
}

void Gateway::apply_reload(const config::Outcome& outcome) {
  for (const Diagnostic& diagnostic : outcome.diagnostics) {
    log_line(diagnostic.severity == Severity::kError ? LogLevel::kError : LogLevel::kNotice, "%s",
             diagnostic.to_string().c_str());
  }
  if (!outcome.config) {
    log_error("reload: nothing has been changed");
    return;
  }
  if (outcome.config->ipsec != config_.ipsec) {
    log_notice("reload: [ipsec] changes with the next start; connections change with swanctl");
  }
  for (const config::WireguardConfig& one : outcome.config->wireguards) {
    WireguardInterface* const interface = wireguard_->find(one.name);
    if (interface == nullptr) {
      log_notice("reload: interface %s is new and comes up with the next start", one.name.c_str());
      continue;
    }
    const auto applied = interface->apply(reload_change(interface->status(), one.device));
    if (!applied.ok()) {
      log_error("reload: %s: %s; it stays as it was", one.name.c_str(),
                applied.error().text.c_str());
    } else {
      log_notice("reload: %s: %zu peers", one.name.c_str(), interface->peer_count());
      endpoint_names_->set(one.name, one.unresolved);
    }
    const auto started = std::find_if(
        config_.wireguards.begin(), config_.wireguards.end(),
        [&one](const config::WireguardConfig& other) { return other.name == one.name; });
    if (started != config_.wireguards.end() &&
        (started->addresses != one.addresses || started->mtu != one.mtu ||
         started->dscp != one.dscp || started->routes != one.routes)) {
      log_notice("reload: %s: address, MTU, DSCP and table change with the next start",
                 one.name.c_str());
    }
  }
}

}  // namespace penstock::app
