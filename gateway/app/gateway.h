// The running gateway: what the configuration says, wired together. The only place where both
// planes meet.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "controlplane/driver/compute_pool.h"
#include "controlplane/driver/control_server.h"
#include "controlplane/driver/dataplane_poller.h"
#include "controlplane/driver/endpoint_names.h"
#include "controlplane/driver/event_loop.h"
#include "controlplane/driver/host_helper.h"
#include "controlplane/driver/ike_gateway.h"
#include "controlplane/driver/neighbour_driver.h"
#include "controlplane/driver/route_book.h"
#include "controlplane/driver/timestamp_store.h"
#include "controlplane/driver/wireguard_gateway.h"
#include "controlplane/vici/server.h"
#include "dataplane/worker/dpdk_dataplane.h"
#include "gateway/app/service_manager.h"
#include "gateway/base/random.h"
#include "gateway/config/config.h"

namespace penstock::app {

class Gateway {
 public:
  // Starts everything but the event loop. Every failure is one sentence, and leaves nothing behind.
  // `command_line` is read again at a reload.
  static Result<std::unique_ptr<Gateway>> start(const config::Config& config,
                                                const config::CommandLine& command_line);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  void run();  // until SIGTERM or SIGINT

 private:
  Gateway(const config::Config& config, const config::CommandLine& command_line)
      : config_(config), command_line_(command_line) {}

  // gateway_setup.cc
  Status open();
  Status open_dataplane();
  Status add_port(const PortInfo& info);
  Status add_configured_route(const config::RouteConfig& route);
  Status add_interfaces();
  Status add_ipsec();
  Status open_servers();

  // gateway.cc
  void stop();
  void wait_for_goodbyes(Nanoseconds until_ns);
  void watch_links();
  void reload();
  void apply_reload(const config::Outcome& outcome);

  const config::Config config_;
  const config::CommandLine command_line_;
  SystemRandom random_;

  // Destroyed in the opposite order: the servers first, then the machines; the workers, and the
  // keys that they use, almost last, so that nothing leaves in clear on the way.
  std::optional<InstanceLock> lock_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<DpdkDataplane> dataplane_;
  std::unique_ptr<ComputePool> pool_;
  std::unique_ptr<RouteBook> routes_;
  std::optional<TimestampStore> timestamps_;
  TunnelRegistry tunnels_;
  std::unique_ptr<NeighbourDriver> neighbours_;
  std::unique_ptr<HostHelper> helper_;
  std::unique_ptr<WireguardGateway> wireguard_;
  std::unique_ptr<EndpointNames> endpoint_names_;
  std::unique_ptr<IkeGateway> ike_;  // absent without [ipsec]
  std::optional<vici::EngineBackend> vici_backend_;
  std::unique_ptr<DataplanePoller> poller_;
  std::optional<ControlSources> control_sources_;
  std::vector<std::unique_ptr<StreamServer>> servers_;
  std::unique_ptr<vici::Server> vici_;
  std::vector<bool> links_up_;  // by port
  std::thread reload_thread_;   // reads files and resolves names
  bool reloading_ = false, reload_again_ = false;
  bool stopping_ = false;
};

}  // namespace penstock::app
