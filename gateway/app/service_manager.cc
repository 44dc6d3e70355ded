#include "gateway/app/service_manager.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "gateway/base/log.h"

namespace penstock::app {

Result<InstanceLock> InstanceLock::take(const std::string& path) {
  std::error_code error;
  const auto directory = std::filesystem::path(path).parent_path();
  if (!directory.empty()) std::filesystem::create_directories(directory, error);
  if (error) return errorf("%s: %s", directory.c_str(), error.message().c_str());
  InstanceLock lock;
  // Ours alone: whoever may open it may hold the lock. And not by way of somebody's symbolic link:
  // what is opened is overwritten.
  lock.fd_ = FileDescriptor(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.fd_.valid()) return errorf("%s: %s", path.c_str(), std::strerror(errno));
  if (flock(lock.fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    char other[16] = "";
    const ssize_t length = read(lock.fd_.get(), other, sizeof other - 1);
    const std::string pid(other, length > 0 ? static_cast<size_t>(length) : 0);
    return errorf("another penstockd (process %s) runs with this control socket; lock file %s",
                  pid.substr(0, pid.find('\n')).c_str(), path.c_str());
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(lock.fd_.get(), 0) != 0 ||
      pwrite(lock.fd_.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return errorf("%s: %s", path.c_str(), std::strerror(errno));
  }
  return lock;
}

void notify_service_manager(const std::string& state) {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = std::strlen(path);
  if (length == 0 || length >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // the abstract name space
  const FileDescriptor fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  if (!fd.valid() || sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                            reinterpret_cast<const sockaddr*>(&address), size) < 0) {
    log_warning("cannot tell the service manager \"%s\": %s", state.c_str(), std::strerror(errno));
  }
}

}  // namespace penstock::app
