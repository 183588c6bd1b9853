// Bounds the rate of log lines and writes them with spdlog, as text or JSON.
#include "log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <memory>

#include "tensorwire/json.hpp"
#include "tensorwire/utf8.hpp"

namespace tensord {
namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      break;
  }
  return spdlog::level::off;
}

std::string hex_escape(unsigned char byte) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  return std::string("\\x") + kHex[byte >> 4U] + kHex[byte & 15U];
}

// C1 controls (U+0080…U+009F) and the line separators U+2028/9 act like line breaks in some terminals.
bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029; }

}  // namespace

void Log::write(LogLevel level, std::string_view event, std::string_view message) const noexcept {
  if (!sink_) return;
  try {
    sink_(LogRecord{level, event, message});
  } catch (...) {  // a log that cannot be written must not end a connection
    return;
  }
}

bool Log::permits(Flood kind, unsigned burst) noexcept {
  if (!sink_) return false;
  const auto now = std::chrono::steady_clock::now();
  const std::scoped_lock lock(mutex_);
  Bucket& bucket = buckets_[static_cast<std::size_t>(kind)];
  if (now - bucket.second_began >= std::chrono::seconds(1)) {
    bucket.second_began = now;
    bucket.written = 0;
  }
  if (bucket.written >= burst) {
    ++bucket.suppressed;
    return false;
  }
  ++bucket.written;
  return true;
}

void Log::write(Flood kind, LogLevel level, std::string_view event, std::string message) noexcept {
  std::uint64_t suppressed = 0;
  {
    const std::scoped_lock lock(mutex_);
    std::swap(suppressed, buckets_[static_cast<std::size_t>(kind)].suppressed);
  }
  try {
    if (suppressed > 0) message += " (" + std::to_string(suppressed) + " more like this were not logged)";
  } catch (...) {  // without memory for the remark, the line goes without it
    suppressed = 0;
  }
  write(level, event, message);
}

std::string printable(std::string_view text, std::size_t most) {
  std::string line;
  while (!text.empty() && line.size() < most) {
    const auto [c, length] = tensorwire::first_character(text);
    const std::string_view bytes = text.substr(0, length == 0 ? 1 : length);
    if (length == 0 || is_control(c)) {
      for (const char byte : bytes) line += hex_escape(static_cast<unsigned char>(byte));
    } else {
      line += bytes;
    }
    text.remove_prefix(bytes.size());
  }
  if (!text.empty()) line += "…";
  return line;
}

LogSink stderr_sink(LogLevel least, LogFormat format) {
  auto logger = std::make_shared<spdlog::logger>("tensord", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog_level(least));
  logger->flush_on(spdlog::level::debug);
  if (format == LogFormat::text) {
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %-7l %v");
    return [logger](const LogRecord& record) {
      logger->log(spdlog_level(record.level), "{}", printable(record.message, 2000));
    };
  }
  logger->set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})", spdlog::pattern_time_type::utc);
  return [logger](const LogRecord& record) {
    logger->log(spdlog_level(record.level), R"("event":{},"message":{})", tensorwire::Json(record.event).dump(),
                tensorwire::Json(printable(record.message, 2000)).dump());
  };
}

}  // namespace tensord
