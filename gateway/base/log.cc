#include "gateway/base/log.h"

#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <ctime>

namespace penstock {
namespace {

std::atomic<LogLevel> g_maximum{LogLevel::kInfo};
std::atomic<bool> g_journald{false};

const char* name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kNotice:
      return "notice";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kDebug:
      return "debug";
  }
  return "?";
}

size_t write_prefix(char* line, size_t room, LogLevel level) {
  if (g_journald)
    return static_cast<size_t>(std::snprintf(line, room, "<%d>", static_cast<int>(level)));
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  const size_t length = std::strftime(line, room, "%FT%T", &utc);
  return length + static_cast<size_t>(std::snprintf(line + length, room - length, ".%03ldZ %s: ",
                                                    now.tv_nsec / 1'000'000, name_of(level)));
}

}  // namespace

void log_configure(LogLevel maximum, bool journald) {
  g_maximum = maximum;
  g_journald = journald;
}

bool log_enabled(LogLevel level) { return level <= g_maximum.load(std::memory_order_relaxed); }

void log_line(LogLevel level, const char* format, ...) {
  char line[1024];
  size_t length = write_prefix(line, sizeof line, level);
  va_list arguments;
  va_start(arguments, format);
  const int wanted = std::vsnprintf(line + length, sizeof line - length - 1, format, arguments);
  va_end(arguments);
  const size_t text_start = length;
  if (wanted > 0) {
    length += static_cast<size_t>(wanted);
    if (length > sizeof line - 2) length = sizeof line - 2;
  }
  for (size_t i = text_start; i < length; ++i) {
    if (static_cast<unsigned char>(line[i]) < 0x20 || line[i] == 0x7f) line[i] = '?';
  }
  line[length++] = '\n';
  // One write keeps lines of several threads whole; a failing log has nowhere to report to.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line, length);
}

}  // namespace penstock
