// One table of settings serves the flags, the TENSORD_* variables and the keys of the configuration file.
#include "cli.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <fstream>
#include <functional>
#include <iterator>
#include <utility>
#include <vector>

#include "tensord/server.hpp"

namespace tensord {
namespace {

using tensorwire::Error;
using tensorwire::ErrorCode;
using tensorwire::Result;

constexpr std::string_view kHelp = R"(tensord: receives tensors and images as JSON and hands them to its handlers.
Usage: tensord [OPTIONS]        each is also a key of --config and a variable:
  --max-frame 1GiB              max-frame = "1GiB"       TENSORD_MAX_FRAME=1GiB
Where and what
  --listen ADDR            address and port      [127.0.0.1:7733; port 0 picks]
  --port-file FILE         write the port there once it listens
  --default-handler NAME   for requests that name none                  [stats]
  --save-dir DIR           where save and record may write        [they refuse]
  --io-threads N           threads that move bytes                  [0: 1 or 2]
  --handler-threads N      threads that run handlers     [0: cores, at least 2]
  --spin-us N              microseconds to look for more before sleeping   [50]
Limits (sizes: bytes, KiB, MiB, GiB; a message beyond them is refused)
  --max-frame SIZE         one message, at most 1GiB                   [256MiB]
  --max-pixels N           width x height x channels of an image    [100000000]
  --max-depth N            nesting of the JSON                             [64]
  --max-tensors N          tensors in one message                        [1024]
  --max-connections N      open at once                                 [10000]
  --in-flight N            unanswered messages of one connection            [2]
  --memory SIZE            payloads and replies of all    [0: a quarter of RAM]
Times (ms, s, m, h; a plain number is seconds)
  --read-timeout TIME      for a started message that does not come on    [10s]
  --idle-timeout TIME      for a connection that sends nothing             [1h]
  --handler-timeout TIME   for a handler's answer                         [60s]
  --write-timeout TIME     for a peer that does not read its replies      [10s]
  --drain-timeout TIME     to answer what was received, at the end        [10s]
Who may
  --token-file FILE        its first line must be "auth" of the first message
  --allow-unauthenticated-remote   listen beyond loopback without a token
Log (stderr) and rest
  --log-level LEVEL        debug, info, warning, error or off            [info]
  --log-format FORMAT      text or json                                  [text]
  --config FILE            settings in TOML; flags and variables win over it
  --version, -h, --help
SIGTERM or SIGINT: stop accepting, answer what was received, exit 0.
)";

constexpr std::size_t kLongestSentence = 2000;

Error refuse(const std::string& sentence) { return Error{ErrorCode::bad_message, sentence, ""}; }

// One setting: its name without the dashes, and what its text does to the options.
struct Setting {
  const char* name;
  std::function<Result<void>(const std::string& text)> apply;
  bool flag = false;
};

template <class Number>
std::function<Result<void>(const std::string&)> number(Number& into) {
  return [&into](const std::string& text) -> Result<void> {
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), into);
    if (failure == std::errc() && end == text.data() + text.size()) return {};
    return refuse("\"" + printable(text, 60) + "\" is no whole number that fits; write digits only");
  };
}

std::function<Result<void>(const std::string&)> microseconds(std::chrono::microseconds& into) {
  return [&into](const std::string& text) -> Result<void> {
    std::uint32_t count = 0;
    auto read = number(count)(text);
    if (read.ok()) into = std::chrono::microseconds(count);
    return read;
  };
}

template <class Target, class Parse>
std::function<Result<void>(const std::string&)> parsed(Target& into, Parse parse) {
  return [&into, parse](const std::string& text) -> Result<void> {
    auto value = parse(text);
    if (!value.ok()) return std::move(value).error();
    into = *value;
    return {};
  };
}

std::function<Result<void>(const std::string&)> text_into(std::string& into) {
  return [&into](const std::string& text) -> Result<void> {
    if (text.empty()) return refuse("the value is empty");
    into = text;
    return {};
  };
}

Result<bool> parse_switch(const std::string& text) {
  for (const char* const yes : {"true", "1", "yes", "on"}) {
    if (text == yes) return true;
  }
  for (const char* const no : {"false", "0", "no", "off"}) {
    if (text == no) return false;
  }
  return refuse("\"" + printable(text, 60) + "\" is neither true nor false");
}

Result<LogLevel> parse_level(const std::string& text) {
  static const std::vector<std::pair<std::string, LogLevel>> kLevels = {
      {"debug", LogLevel::debug},  {"info", LogLevel::info},   {"warning", LogLevel::warning},
      {"warn", LogLevel::warning}, {"error", LogLevel::error}, {"off", LogLevel::off}};
  for (const auto& [name, level] : kLevels) {
    if (text == name) return level;
  }
  return refuse("\"" + printable(text, 60) + "\" is no level; there are debug, info, warning, error and off");
}

Result<LogFormat> parse_format(const std::string& text) {
  if (text == "text") return LogFormat::text;
  if (text == "json") return LogFormat::json;
  return refuse("\"" + printable(text, 60) + "\" is no format; there are text and json");
}

// The first line: editors and `openssl rand` end it with a newline.
Result<std::string> read_token(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string token;
  if (!file || !std::getline(file, token)) {
    return refuse("no token can be read from \"" + printable(path) + "\"; write one line of text into it");
  }
  if (!token.empty() && token.back() == '\r') token.pop_back();
  if (token.empty()) return refuse("the first line of \"" + printable(path) + "\" is empty; write the token there");
  return token;
}

std::vector<Setting> settings_of(DaemonOptions& daemon) {
  Options& server = daemon.server;
  tensorwire::Limits& limits = server.limits;
  return {
      {"listen", text_into(server.listen)},
      {"port-file", text_into(daemon.port_file)},
      {"default-handler", text_into(server.default_handler)},
      {"save-dir", text_into(server.save_dir)},
      {"io-threads", number(server.io_threads)},
      {"handler-threads", number(server.handler_threads)},
      {"spin-us", microseconds(server.spin)},
      {"max-frame", parsed(limits.max_frame, parse_bytes)},
      {"max-pixels", number(limits.max_pixels)},
      {"max-depth", number(limits.max_depth)},
      {"max-tensors", number(limits.max_tensors)},
      {"max-connections", number(server.max_connections)},
      {"in-flight", number(server.in_flight)},
      {"memory", parsed(server.memory, parse_bytes)},
      {"read-timeout", parsed(server.read_timeout, parse_duration)},
      {"idle-timeout", parsed(server.idle_timeout, parse_duration)},
      {"handler-timeout", parsed(server.handler_timeout, parse_duration)},
      {"write-timeout", parsed(server.write_timeout, parse_duration)},
      {"drain-timeout", parsed(server.drain_timeout, parse_duration)},
      {"token-file", parsed(server.token, read_token)},
      {"allow-unauthenticated-remote", parsed(server.allow_unauthenticated_remote, parse_switch), true},
      {"log-level", parsed(daemon.log_level, parse_level)},
      {"log-format", parsed(daemon.log_format, parse_format)},
  };
}

// --max-frame → TENSORD_MAX_FRAME
std::string variable_of(const std::string& name) {
  std::string variable = "TENSORD_" + name;
  std::transform(variable.begin(), variable.end(), variable.begin(),
                 [](unsigned char c) { return c == '-' ? '_' : static_cast<char>(std::toupper(c)); });
  return variable;
}

Error in_place(const std::string& place, Error error) {
  error.message = place + ": " + error.message;
  return error;
}

Result<void> apply_file(const std::string& path, std::vector<Setting>& settings) {
  std::ifstream file(path);
  if (!file) return refuse("--config: \"" + printable(path) + "\" cannot be read");
  for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(file)) {
    if (item.name == "++" || item.name == "--") continue;  // CLI11's marks for where a section begins and ends
    const auto known =
        std::find_if(settings.begin(), settings.end(), [&item](const Setting& s) { return item.name == s.name; });
    const std::string place = printable(path) + ": " + printable(item.fullname(), 100);
    if (!item.parents.empty() || known == settings.end()) {
      return refuse(place + " is no setting; the keys are the flags of tensord --help without the dashes");
    }
    if (item.inputs.size() != 1) return refuse(place + " wants exactly one value");
    if (auto applied = known->apply(item.inputs.front()); !applied.ok()) return in_place(place, applied.error());
  }
  return {};
}

Result<void> apply_environment(EnvironmentLookup lookup, std::vector<Setting>& settings) {
  for (const Setting& setting : settings) {
    const std::string variable = variable_of(setting.name);
    const char* const value = lookup(variable.c_str());
    if (value == nullptr) continue;
    if (auto applied = setting.apply(value); !applied.ok()) return in_place(variable, applied.error());
  }
  return {};
}

struct Flags {
  std::vector<std::pair<const Setting*, std::string>> given;
  std::string config;
  bool help = false;
  bool version = false;
};

// Lets CLI11 take the arguments apart; throws its errors.
Flags read_flags(std::span<const std::string> args, const std::vector<Setting>& settings) {
  Flags flags;
  CLI::App app("tensord", "tensord");
  app.set_help_flag();
  app.add_flag("-h,--help", flags.help);
  app.add_flag("--version", flags.version);
  app.add_option("--config", flags.config)->take_last();
  for (const Setting& setting : settings) {
    const auto remember = [&flags, &setting](const std::string& text) { flags.given.emplace_back(&setting, text); };
    const std::string name = std::string("--") + setting.name;
    if (setting.flag) {
      app.add_flag_callback(name, [remember] { remember("true"); });
    } else {
      app.add_option_function<std::string>(name, remember)->take_last();
    }
  }
  std::vector<std::string> reversed(args.rbegin(), args.rend());  // as CLI11 wants them
  app.parse(std::move(reversed));
  return flags;
}

Result<void> apply_flags(const Flags& flags) {
  for (const auto& [setting, text] : flags.given) {
    if (auto applied = setting->apply(text); !applied.ok()) {
      return in_place(std::string("--") + setting->name, applied.error());
    }
  }
  return {};
}

Result<void> apply_all(const Flags& flags, EnvironmentLookup lookup, std::vector<Setting>& settings) {
  std::string config = flags.config;
  if (const char* const named = lookup("TENSORD_CONFIG"); config.empty() && named != nullptr) config = named;
  if (!config.empty()) {
    if (auto applied = apply_file(config, settings); !applied.ok()) return applied;
  }
  if (auto applied = apply_environment(lookup, settings); !applied.ok()) return applied;
  return apply_flags(flags);
}

// One line, whatever stands in the values that it quotes.
Farewell refusal(const std::string& sentence) {
  return {"tensord: " + printable(sentence, kLongestSentence) + "\n", 2};
}

}  // namespace

std::string_view help_text() noexcept { return kHelp; }

CommandLine parse_command_line(std::span<const std::string> args, EnvironmentLookup lookup) {
  DaemonOptions daemon;
  std::vector<Setting> settings = settings_of(daemon);
  try {
    const Flags flags = read_flags(args, settings);
    if (flags.help) return Farewell{std::string(kHelp), 0};
    if (flags.version) return Farewell{"tensord " + std::string(version()) + "\n", 0};
    if (auto applied = apply_all(flags, lookup, settings); !applied.ok()) return refusal(applied.error().message);
  } catch (const CLI::Error& error) {
    return refusal(std::string(error.what()) + " (tensord --help lists the options)");
  }
  if (auto verdict = daemon.server.validate(); !verdict.ok()) return refusal(verdict.error().message);
  return daemon;
}

}  // namespace tensord
