// Log lines for an operator. Control thread and start-up only: the packet path never logs.
#pragma once

#include <cstdint>

namespace penstock {

// The numbers are those of syslog(3), which journald reads from a "<N>" prefix.
enum class LogLevel : uint8_t { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6, kDebug = 7 };

// Lines above this level are left out. Set once at start. With `journald` each line begins with its
// "<N>" priority, otherwise with a time stamp and the level's name.
void log_configure(LogLevel maximum, bool journald);
[[nodiscard]] bool log_enabled(LogLevel level);

// One line to standard error, made with printf's rules; control characters in it become '?', so
// that a peer's bytes cannot forge a line. Any thread but a worker.
[[gnu::format(printf, 2, 3)]] void log_line(LogLevel level, const char* format, ...);

}  // namespace penstock

#define PENSTOCK_LOG(level, ...)                                                  \
  do {                                                                            \
    if (::penstock::log_enabled(level)) ::penstock::log_line(level, __VA_ARGS__); \
  } while (false)
#define log_error(...) PENSTOCK_LOG(::penstock::LogLevel::kError, __VA_ARGS__)
#define log_warning(...) PENSTOCK_LOG(::penstock::LogLevel::kWarning, __VA_ARGS__)
#define log_notice(...) PENSTOCK_LOG(::penstock::LogLevel::kNotice, __VA_ARGS__)
#define log_info(...) PENSTOCK_LOG(::penstock::LogLevel::kInfo, __VA_ARGS__)
#define log_debug(...) PENSTOCK_LOG(::penstock::LogLevel::kDebug, __VA_ARGS__)
