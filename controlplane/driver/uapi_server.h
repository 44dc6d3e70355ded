// The WireGuard API socket of one interface, so that an unmodified wg(8) works:
// DIRECTORY/NAME.sock, mode 0600, as `get` returns private keys.
//
// Control thread only.
#pragma once

#include <memory>
#include <string>

#include "controlplane/driver/stream_server.h"
#include "controlplane/driver/wireguard_interface.h"

namespace penstock {

// The interface outlives the server.
Result<std::unique_ptr<StreamServer>> make_uapi_server(EventLoop& loop,
                                                       WireguardInterface& interface,
                                                       const std::string& directory);

}  // namespace penstock
