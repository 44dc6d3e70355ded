#include "controlplane/driver/timestamp_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "controlplane/driver/event_loop.h"
#include "gateway/base/text.h"

namespace penstock {
namespace {

constexpr const char* kFileName = "timestamp-floor";

Error system_error(const std::string& path) {
  return errorf("%s: %s", path.c_str(), std::strerror(errno));
}

}  // namespace

Result<TimestampStore> TimestampStore::open(const std::string& directory) {
  TimestampStore store;
  store.directory_ = directory;
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return errorf("%s: %s", directory.c_str(), error.message().c_str());
  const std::string path = directory + "/" + kFileName;
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENOENT) return store;
    return system_error(path);
  }
  char text[64];
  const ssize_t length = read(fd.get(), text, sizeof text);
  if (length < 0) return system_error(path);
  const auto value = parse_unsigned(trim({text, static_cast<size_t>(length)}));
  if (!value) {
    return errorf("%s: not a number of nanoseconds; remove the file if the clock is right",
                  path.c_str());
  }
  store.floor_ns_ = *value;
  return store;
}

Status TimestampStore::store(uint64_t floor_ns) {
  if (floor_ns <= floor_ns_) return {};
  const std::string path = directory_ + "/" + kFileName;
  const std::string temporary = path + ".new";
  {
    const FileDescriptor fd(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.valid()) return system_error(temporary);
    const std::string text = std::to_string(floor_ns) + "\n";
    if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        fsync(fd.get()) != 0) {
      return system_error(temporary);
    }
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) return system_error(path);
  const FileDescriptor folder(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || fsync(folder.get()) != 0) return system_error(directory_);
  floor_ns_ = floor_ns;
  return {};
}

}  // namespace penstock
