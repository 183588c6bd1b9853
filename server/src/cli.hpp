// The daemon's command line, environment and configuration file, read into options.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "log.hpp"
#include "tensord/options.hpp"

namespace tensord {

struct DaemonOptions {
  Options server;
  std::string port_file;  // empty: none
  LogLevel log_level = LogLevel::info;
  LogFormat log_format = LogFormat::text;
};

// What the program should do: run, or print a text and leave.
struct Farewell {
  std::string text;
  int exit_code = 0;  // 2: refused, the text is one sentence for stderr
};
using CommandLine = std::variant<DaemonOptions, Farewell>;

// Reads args (without the program's name); flags win over TENSORD_* variables, those over the --config file. lookup
// stands for getenv. Everything is checked; nothing is clipped.
using EnvironmentLookup = const char* (*)(const char* name);
[[nodiscard]] CommandLine parse_command_line(std::span<const std::string> args, EnvironmentLookup lookup);

[[nodiscard]] std::string_view help_text() noexcept;

}  // namespace tensord
