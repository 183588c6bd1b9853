// Bounds the rate of log lines and writes them with spdlog, as text or JSON.
#include "log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <memory>

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

std::string hex_escape(unsigned char byte, const char* prefix) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  return std::string(prefix) + kHex[byte >> 4U] + kHex[byte & 15U];
}

// The length of the valid UTF-8 sequence that text begins with; 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
  }
  if (lead == 0xE0 && byte(1) < 0xA0) return 0;
  if (lead == 0xED && byte(1) > 0x9F) return 0;  // surrogates
  if (lead == 0xF0 && byte(1) < 0x90) return 0;
  if (lead == 0xF4 && byte(1) > 0x8F) return 0;
  return length;
}

// C1 controls (U+0080…U+009F) and the line separators U+2028/9 act like line breaks in some terminals.
bool is_control(std::string_view sequence) {
  const auto first = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return first < 0x20 || first == 0x7F;
  if (sequence.size() == 2) return first == 0xC2 && static_cast<unsigned char>(sequence[1]) < 0xA0;
  return sequence == "\u2028" || sequence == "\u2029";
}

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
    const std::size_t length = utf8_length(text);
    if (length == 0 || is_control(text.substr(0, length))) {
      const std::size_t escaped = length == 0 ? 1 : length;
      for (std::size_t i = 0; i < escaped; ++i) line += hex_escape(static_cast<unsigned char>(text[i]), "\\x");
      text.remove_prefix(escaped);
    } else {
      line.append(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  if (!text.empty()) line += "…";
  return line;
}

std::string json_escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      escaped += '\\';
      escaped += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      escaped += hex_escape(static_cast<unsigned char>(c), "\\u00");
    } else {
      escaped += c;
    }
  }
  return escaped;
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
    logger->log(spdlog_level(record.level), R"("event":"{}","message":"{}")", json_escaped(record.event),
                json_escaped(printable(record.message, 2000)));
  };
}

}  // namespace tensord
