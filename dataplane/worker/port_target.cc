#include "dataplane/worker/port_target.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "gateway/base/text.h"

namespace penstock {
namespace {

class Socket {
 public:
  Socket(int family, int type) : fd_(socket(family, type | SOCK_CLOEXEC, 0)) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

ifreq request_for(const std::string& interface) {
  ifreq request{};
  std::memcpy(request.ifr_name, interface.c_str(),
              std::min(interface.size(), sizeof request.ifr_name - 1));
  return request;
}

Status check_pci(const PortConfig& config, const DeviceName& device) {
  namespace fs = std::filesystem;
  const fs::path slot = fs::path("/sys/bus/pci/devices") / device.name;
  std::error_code error;
  if (!fs::exists(slot, error)) {
    return errorf("port %s: there is no PCI device %s", config.name.c_str(), device.name.c_str());
  }
  const fs::path driver = fs::read_symlink(slot / "driver", error).filename();
  if (driver.empty()) {
    return errorf(
        "port %s: PCI device %s is bound to no driver: dpdk-devbind.py --bind=vfio-pci %s",
        config.name.c_str(), device.name.c_str(), device.name.c_str());
  }
  const bool userspace = driver == "vfio-pci" || driver == "uio_pci_generic" || driver == "igb_uio";
  const bool shared = driver == "mlx5_core" || driver == "mlx4_core";  // beside the kernel's driver
  if (userspace || shared) return {};
  return errorf(
      "port %s: PCI device %s is held by the kernel's driver %s: dpdk-devbind.py --bind=vfio-pci "
      "%s",
      config.name.c_str(), device.name.c_str(), driver.c_str(), device.name.c_str());
}

// The socket on which this port will listen; empty: it does not listen.
std::string listening_socket(const DeviceName& device) {
  std::string path;
  bool server = device.is_driver("net_vhost");
  bool abstract = false;
  for (const std::string_view field : split(device.arguments, ',')) {
    if (device.is_driver("net_memif") && field.starts_with("socket=")) path = field.substr(7);
    if (device.is_driver("net_memif") && (field == "role=server" || field == "role=master"))
      server = true;
    if (field == "socket-abstract=yes") abstract = true;
    if (device.is_driver("net_vhost") && field.starts_with("iface=")) path = field.substr(6);
    if (device.is_driver("net_vhost") && field == "client=1") server = false;
  }
  return server && !abstract ? path : std::string{};
}

Status check_socket(const PortConfig& config, const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!folder.empty() && !std::filesystem::is_directory(folder, error)) {
    return errorf("port %s: there is no folder %s for its socket", config.name.c_str(),
                  folder.c_str());
  }
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return errorf("port %s: %s exists and is not a socket", config.name.c_str(), path.c_str());
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return errorf("port %s: the socket path %s is longer than %zu bytes", config.name.c_str(),
                  path.c_str(), sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  // Whether somebody is there. Drivers listen on streams and packet sockets: a datagram socket is
  // refused for its type without the listener's knowing. (A memif server does not survive a
  // connection that ends at once.)
  const Socket probe(AF_UNIX, SOCK_DGRAM);
  if (connect(probe.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ||
      errno != ECONNREFUSED) {
    return errorf("port %s: another process listens on %s", config.name.c_str(), path.c_str());
  }
  unlink(path.c_str());
  return {};
}

}  // namespace

Status check_target(const PortConfig& config, const DeviceName& device) {
  if (device.pci) return check_pci(config, device);
  const bool must_exist = device.is_driver("net_af_packet") || device.is_driver("net_af_xdp");
  if (must_exist && if_nametoindex(device.kernel_interface.c_str()) == 0) {
    return errorf("port %s: there is no network interface %s", config.name.c_str(),
                  device.kernel_interface.c_str());
  }
  if ((must_exist || device.is_driver("net_tap")) && geteuid() != 0) {
    return errorf("port %s: device %s needs root", config.name.c_str(), config.device.c_str());
  }
  const std::string path = listening_socket(device);
  return path.empty() ? Status{} : check_socket(config, path);
}

bool kernel_link_up(const std::string& interface) {
  const Socket control(AF_INET, SOCK_DGRAM);
  ifreq request = request_for(interface);
  return ioctl(control.fd(), SIOCGIFFLAGS, &request) == 0 &&
         (request.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
}

Status set_kernel_mtu(const PortConfig& config, const std::string& interface, KernelMtu how) {
  const Socket control(AF_INET, SOCK_DGRAM);
  ifreq request = request_for(interface);
  if (ioctl(control.fd(), SIOCGIFMTU, &request) == 0) {
    if (request.ifr_mtu == config.mtu) return {};
    if (how == KernelMtu::kAtLeast && request.ifr_mtu > config.mtu) return {};
    request.ifr_mtu = config.mtu;
    if (ioctl(control.fd(), SIOCSIFMTU, &request) == 0) return {};
  }
  return errorf("port %s: the MTU of interface %s cannot be set to %u: %s", config.name.c_str(),
                interface.c_str(), config.mtu, std::strerror(errno));
}

}  // namespace penstock
