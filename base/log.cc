#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>

namespace shoal {
namespace {

std::atomic<bool> json_lines{false};

std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("shoal",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%f%z %v");
    made->flush_on(spdlog::level::warn);
    return made;
  }();
  return instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string_view level_name(LogLevel level) {
  constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
  return kNames[static_cast<int>(level)];
}

// Quotes a value so that one event stays one line.
void append_quoted(std::string& line, std::string_view text) {
  line.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      line.push_back('\\');
      line.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr char kHex[] = "0123456789abcdef";
      line.append("\\u00");
      line.push_back(kHex[(c >> 4) & 15]);
      line.push_back(kHex[c & 15]);
    } else {
      line.push_back(c);
    }
  }
  line.push_back('"');
}

}  // namespace

void log_event(LogLevel level, std::string_view component, std::string_view message,
               std::initializer_list<LogField> fields) {
  const auto spd_level = to_spdlog(level);
  if (!logger()->should_log(spd_level)) return;
  std::string line;
  if (json_lines.load(std::memory_order_relaxed)) {
    line.append("{\"level\":\"").append(level_name(level)).append("\",\"component\":");
    append_quoted(line, component);
    line.append(",\"message\":");
    append_quoted(line, message);
    for (const LogField& field : fields) {
      line.push_back(',');
      append_quoted(line, field.key);
      line.push_back(':');
      append_quoted(line, field.value);
    }
    line.push_back('}');
  } else {
    line.append(level_name(level)).append(" ").append(component).append(": ").append(message);
    for (const LogField& field : fields) {
      line.append(" ").append(field.key).append("=");
      const bool plain =
          field.value.find_first_of(" \"\\\n\r\t") == std::string::npos && !field.value.empty();
      if (plain) {
        line.append(field.value);
      } else {
        append_quoted(line, field.value);
      }
    }
  }
  logger()->log(spd_level, "{}", line);
}

Status configure_log(const LogOptions& options) {
  try {
    if (!options.file.empty()) {
      auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
      auto made = std::make_shared<spdlog::logger>("shoal", sink);
      made->flush_on(spdlog::level::info);
      logger() = made;
    }
    logger()->set_pattern(options.json ? "%v" : "%Y-%m-%dT%H:%M:%S.%f%z %v");
    json_lines = options.json;
    logger()->set_level(to_spdlog(options.level));
  } catch (const spdlog::spdlog_ex& error) {
    return InvalidArgumentError("log file " + options.file + ": " + error.what());
  }
  return OkStatus();
}

}  // namespace shoal
