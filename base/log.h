// Structured logging: one line per event on stderr (or a file), as text or JSON. A thin front of
// spdlog, so that no other file includes it. Log once, where an error stops. Safe from any thread.
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/status.h"

namespace shoal {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct LogField {
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
  template <std::integral N>
  LogField(std::string_view k, N v) : key(k), value(std::to_string(v)) {}
  LogField(std::string_view k, const Status& v) : key(k), value(v.to_string()) {}
  std::string_view key;
  std::string value;
};

void log_event(LogLevel level, std::string_view component, std::string_view message,
               std::initializer_list<LogField> fields = {});
inline void log_info(std::string_view component, std::string_view message,
                     std::initializer_list<LogField> fields = {}) {
  log_event(LogLevel::kInfo, component, message, fields);
}
inline void log_warning(std::string_view component, std::string_view message,
                        std::initializer_list<LogField> fields = {}) {
  log_event(LogLevel::kWarning, component, message, fields);
}
inline void log_error(std::string_view component, std::string_view message,
                      std::initializer_list<LogField> fields = {}) {
  log_event(LogLevel::kError, component, message, fields);
}

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  bool json = false;
  std::string file;  // empty: stderr
};
// Once, at start. Errors: the file cannot be opened.
Status configure_log(const LogOptions& options);

}  // namespace shoal
