#include "dataplane/worker/port_claim.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace penstock {

// An abstract unix socket: its name belongs to the network namespace, as the interface does, and
// goes with the process.
Result<PortClaim> PortClaim::take(const std::string& interface) {
  PortClaim claim;
  claim.socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (claim.socket_ < 0) return errorf("cannot make a socket: %s", std::strerror(errno));
  const std::string name = "penstock-port-" + interface;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() + 1 > sizeof address.sun_path) {
    return errorf("interface name %s is too long", interface.c_str());
  }
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (bind(claim.socket_, reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    if (errno == EADDRINUSE) {
      return errorf("interface %s is a port of another penstockd", interface.c_str());
    }
    return errorf("cannot claim interface %s: %s", interface.c_str(), std::strerror(errno));
  }
  return claim;
}

PortClaim::PortClaim(PortClaim&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}

PortClaim& PortClaim::operator=(PortClaim&& other) noexcept {
  if (this != &other) {
    release();
    socket_ = std::exchange(other.socket_, -1);
  }
  return *this;
}

PortClaim::~PortClaim() { release(); }

void PortClaim::release() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
}

}  // namespace penstock
