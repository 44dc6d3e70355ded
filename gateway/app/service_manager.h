// What a service manager expects of a daemon: one instance, and a word when it is ready.
#pragma once

#include <string>

#include "controlplane/driver/event_loop.h"
#include "gateway/base/result.h"

namespace penstock::app {

// Held as long as this lives, and let go by the kernel however the process ends.
class InstanceLock {
 public:
  // `path`: the lock file, which then holds our process id. Its directory is made where missing.
  static Result<InstanceLock> take(const std::string& path);

 private:
  FileDescriptor fd_;
};

// sd_notify(3): sends `state` ("READY=1") to the socket that $NOTIFY_SOCKET names, if it does.
void notify_service_manager(const std::string& state);

}  // namespace penstock::app
