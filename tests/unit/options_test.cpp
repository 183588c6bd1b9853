// The daemon's options: what is read from where, what wins, and what is refused with which sentence.
#include "tensord/options.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "src/cli.hpp"

namespace {

using namespace std::chrono_literals;
using tensord::CommandLine;
using tensord::DaemonOptions;
using tensord::Farewell;

std::map<std::string, std::string>& environment() {
  static std::map<std::string, std::string> variables;
  return variables;
}

CommandLine parse(std::vector<std::string> args) {
  return tensord::parse_command_line(args, [](const char* name) -> const char* {
    const auto found = environment().find(name);
    return found == environment().end() ? nullptr : found->second.c_str();
  });
}

DaemonOptions accept(const std::vector<std::string>& args) {
  CommandLine parsed = parse(args);
  if (const auto* const farewell = std::get_if<Farewell>(&parsed)) {
    ADD_FAILURE() << farewell->text;
    return {};
  }
  return std::get<DaemonOptions>(parsed);
}

// The sentence that the arguments are refused with.
std::string refuse(const std::vector<std::string>& args) {
  const CommandLine parsed = parse(args);
  const auto* const farewell = std::get_if<Farewell>(&parsed);
  if (farewell == nullptr) return "accepted";
  EXPECT_EQ(farewell->exit_code, 2);
  EXPECT_EQ(std::count(farewell->text.begin(), farewell->text.end(), '\n'), 1) << farewell->text;
  return farewell->text;
}

class File {
 public:
  explicit File(const std::string& text) {
    char name[] = "/tmp/tensord_options_XXXXXX";
    const int descriptor = mkstemp(name);
    EXPECT_GE(descriptor, 0);
    path_ = name;
    std::ofstream(path_) << text;
    ::close(descriptor);
  }
  ~File() { std::remove(path_.c_str()); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class OptionsTest : public ::testing::Test {
 protected:
  void SetUp() override { environment().clear(); }
};

TEST_F(OptionsTest, WithoutArgumentsTheDefaultsOfTheLibraryHold) {
  const DaemonOptions options = accept({});
  EXPECT_EQ(options.server.listen, "127.0.0.1:7733");
  EXPECT_EQ(options.server.default_handler, "stats");
  EXPECT_EQ(options.server.limits.max_frame, 256U << 20);
  EXPECT_EQ(options.server.limits.max_depth, 64U);
  EXPECT_EQ(options.server.in_flight, 2U);
  EXPECT_EQ(options.server.max_connections, 10'000U);
  EXPECT_EQ(options.server.read_timeout, 10s);
  EXPECT_EQ(options.server.drain_timeout, 10s);
  EXPECT_EQ(options.log_level, tensord::LogLevel::info);
}

TEST_F(OptionsTest, EveryFlagReachesItsOption) {
  const DaemonOptions options = accept({"--listen",
                                        "[::1]:0",
                                        "--port-file",
                                        "/tmp/port",
                                        "--default-handler",
                                        "echo",
                                        "--save-dir",
                                        "/tmp",
                                        "--io-threads",
                                        "2",
                                        "--handler-threads",
                                        "7",
                                        "--spin-us",
                                        "25",
                                        "--max-frame",
                                        "1GiB",
                                        "--max-pixels",
                                        "123",
                                        "--max-depth",
                                        "9",
                                        "--max-tensors",
                                        "11",
                                        "--max-connections",
                                        "12",
                                        "--in-flight",
                                        "3",
                                        "--memory",
                                        "512MiB",
                                        "--read-timeout",
                                        "1s",
                                        "--idle-timeout",
                                        "2m",
                                        "--handler-timeout",
                                        "1500ms",
                                        "--write-timeout",
                                        "4",
                                        "--drain-timeout",
                                        "0.5",
                                        "--log-level",
                                        "debug",
                                        "--log-format",
                                        "json",
                                        "--allow-unauthenticated-remote"});
  EXPECT_EQ(options.server.listen, "[::1]:0");
  EXPECT_EQ(options.port_file, "/tmp/port");
  EXPECT_EQ(options.server.default_handler, "echo");
  EXPECT_EQ(options.server.save_dir, "/tmp");
  EXPECT_EQ(options.server.io_threads, 2U);
  EXPECT_EQ(options.server.handler_threads, 7U);
  EXPECT_EQ(options.server.spin, 25us);
  EXPECT_EQ(options.server.limits.max_frame, 1U << 30);
  EXPECT_EQ(options.server.limits.max_pixels, 123U);
  EXPECT_EQ(options.server.limits.max_depth, 9U);
  EXPECT_EQ(options.server.limits.max_tensors, 11U);
  EXPECT_EQ(options.server.max_connections, 12U);
  EXPECT_EQ(options.server.in_flight, 3U);
  EXPECT_EQ(options.server.memory, 512U << 20);
  EXPECT_EQ(options.server.read_timeout, 1s);
  EXPECT_EQ(options.server.idle_timeout, 2min);
  EXPECT_EQ(options.server.handler_timeout, 1500ms);
  EXPECT_EQ(options.server.write_timeout, 4s);
  EXPECT_EQ(options.server.drain_timeout, 500ms);
  EXPECT_EQ(options.log_level, tensord::LogLevel::debug);
  EXPECT_EQ(options.log_format, tensord::LogFormat::json);
  EXPECT_TRUE(options.server.allow_unauthenticated_remote);
}

TEST_F(OptionsTest, FlagsWinOverVariablesAndThoseOverTheFile) {
  const File config("max-frame = \"1MiB\"\nin-flight = 5\nmax-depth = 10\n");
  environment() = {{"TENSORD_MAX_FRAME", "2MiB"}, {"TENSORD_IN_FLIGHT", "6"}};
  const DaemonOptions options = accept({"--config", config.path(), "--max-frame", "3MiB"});
  EXPECT_EQ(options.server.limits.max_frame, 3U << 20);
  EXPECT_EQ(options.server.in_flight, 6U);
  EXPECT_EQ(options.server.limits.max_depth, 10U);
}

TEST_F(OptionsTest, TheFileMayBeNamedByAVariableAndHoldEveryKindOfValue) {
  const File config(
      "# a comment\nlisten = \"127.0.0.1:0\"\nallow-unauthenticated-remote = true\nread-timeout = \"3s\"\n"
      "max-frame = 4096\n");
  environment() = {{"TENSORD_CONFIG", config.path()}};
  const DaemonOptions options = accept({});
  EXPECT_EQ(options.server.listen, "127.0.0.1:0");
  EXPECT_TRUE(options.server.allow_unauthenticated_remote);
  EXPECT_EQ(options.server.read_timeout, 3s);
  EXPECT_EQ(options.server.limits.max_frame, 4096U);
}

TEST_F(OptionsTest, UnknownKeysOfTheFileAreRefusedByName) {
  const File misspelt("max-frames = 5\n");
  EXPECT_NE(refuse({"--config", misspelt.path()}).find("max-frames"), std::string::npos);
  const File section("[server]\nmax-frame = 5\n");
  EXPECT_NE(refuse({"--config", section.path()}).find("server.max-frame"), std::string::npos);
  EXPECT_NE(refuse({"--config", "/nonexistent/file"}).find("/nonexistent/file"), std::string::npos);
  const File list("max-depth = [5, 6]\n");
  EXPECT_NE(refuse({"--config", list.path()}).find("max-depth"), std::string::npos);
}

TEST_F(OptionsTest, BadValuesAreRefusedWithTheirPlaceAndNeverClipped) {
  EXPECT_NE(refuse({"--max-frame", "2GiB"}).find("--max-frame"), std::string::npos);
  EXPECT_NE(refuse({"--max-frame", "0"}).find("--max-frame"), std::string::npos);
  EXPECT_NE(refuse({"--max-frame", "-1"}).find("--max-frame"), std::string::npos);
  EXPECT_NE(refuse({"--max-frame", "12 apples"}).find("12 apples"), std::string::npos);
  EXPECT_NE(refuse({"--in-flight", "0"}).find("--in-flight"), std::string::npos);
  EXPECT_NE(refuse({"--in-flight", "2.5"}).find("2.5"), std::string::npos);
  EXPECT_NE(refuse({"--io-threads", "99999999999"}).find("--io-threads"), std::string::npos);
  EXPECT_NE(refuse({"--read-timeout", "0"}).find("--read-timeout"), std::string::npos);
  EXPECT_NE(refuse({"--read-timeout", "soon"}).find("soon"), std::string::npos);
  EXPECT_NE(refuse({"--log-level", "loud"}).find("loud"), std::string::npos);
  EXPECT_NE(refuse({"--log-format", "xml"}).find("xml"), std::string::npos);
  EXPECT_NE(refuse({"--listen", "7733"}).find("--listen"), std::string::npos);
  EXPECT_NE(refuse({"--listen", "127.0.0.1:70000"}).find("70000"), std::string::npos);
  EXPECT_NE(refuse({"--save-dir", "/nonexistent"}).find("/nonexistent"), std::string::npos);
  EXPECT_NE(refuse({"--max-frmae", "1"}).find("--max-frmae"), std::string::npos);
  EXPECT_NE(refuse({"extra"}).find("extra"), std::string::npos);
  EXPECT_NE(refuse({"--listen"}).find("--listen"), std::string::npos);
  environment() = {{"TENSORD_MAX_DEPTH", "deep"}};
  EXPECT_NE(refuse({}).find("TENSORD_MAX_DEPTH"), std::string::npos);
}

TEST_F(OptionsTest, ARefusalIsOneLineWhateverTheValueHolds) {
  environment() = {{"TENSORD_MAX_FRAME", "2MiB\nlisten"}};
  EXPECT_NE(refuse({}).find("2MiB\\x0alisten"), std::string::npos);
  environment().clear();
  EXPECT_NE(refuse({"--listen", "a\x1b[31m\r\nb:1"}).find("--listen"), std::string::npos);
  EXPECT_NE(refuse({"ex\ntra"}).find("ex\\x0atra"), std::string::npos);
  const File evil("max-depth = \"\"\"5\n6\"\"\"\n");
  EXPECT_NE(refuse({"--config", evil.path()}).find("max-depth"), std::string::npos);
}

TEST_F(OptionsTest, ListeningBeyondLoopbackWantsATokenOrAnExplicitWord) {
  EXPECT_NE(refuse({"--listen", "0.0.0.0:0"}).find("--token-file"), std::string::npos);
  EXPECT_NE(refuse({"--listen", "[::]:0"}).find("--allow-unauthenticated-remote"), std::string::npos);
  EXPECT_NE(refuse({"--listen", "192.168.1.5:7733"}).find("--token-file"), std::string::npos);
  const File token("s3cret\nsecond line\n");
  EXPECT_EQ(accept({"--listen", "0.0.0.0:0", "--token-file", token.path()}).server.token, "s3cret");
  EXPECT_TRUE(accept({"--listen", "0.0.0.0:0", "--allow-unauthenticated-remote"}).server.allow_unauthenticated_remote);
  EXPECT_EQ(accept({"--listen", "127.8.9.10:0"}).server.token, "");
}

TEST_F(OptionsTest, ATokenFileWithoutATokenIsRefused) {
  const File empty("");
  const File blank("\nsecond line\n");
  EXPECT_NE(refuse({"--token-file", empty.path()}).find("--token-file"), std::string::npos);
  EXPECT_NE(refuse({"--token-file", blank.path()}).find("--token-file"), std::string::npos);
  EXPECT_NE(refuse({"--token-file", "/nonexistent"}).find("/nonexistent"), std::string::npos);
}

TEST_F(OptionsTest, SizesAreReadExactly) {
  const auto bytes = [](const char* text) { return tensord::parse_bytes(text).value(); };
  EXPECT_EQ(bytes("0"), 0U);
  EXPECT_EQ(bytes("268435456"), 268435456U);
  EXPECT_EQ(bytes("1.5KiB"), 1536U);
  EXPECT_EQ(bytes("256MiB"), 256U << 20);
  EXPECT_EQ(bytes("1GB"), 1'000'000'000U);
  for (const char* const bad : {"", "MiB", "1 MiB", "1mib", "0.3", "1e3", "inf", "nan", "-1", "1GiBB"}) {
    EXPECT_FALSE(tensord::parse_bytes(bad).ok()) << bad;
  }
}

TEST_F(OptionsTest, DurationsAreReadAndRoundedUpToMilliseconds) {
  const auto duration = [](const char* text) { return tensord::parse_duration(text).value(); };
  EXPECT_EQ(duration("10"), 10s);
  EXPECT_EQ(duration("0.25"), 250ms);
  EXPECT_EQ(duration("500ms"), 500ms);
  EXPECT_EQ(duration("0.0001s"), 1ms);
  EXPECT_EQ(duration("2m"), 2min);
  EXPECT_EQ(duration("1h"), 1h);
  for (const char* const bad : {"", "s", "10 s", "-1", "10d", "forever", "1e9h"}) {
    EXPECT_FALSE(tensord::parse_duration(bad).ok()) << bad;
  }
}

TEST_F(OptionsTest, LoopbackIsToldFromTheRest) {
  for (const char* const local : {"127.0.0.1:1", "127.255.0.9:1", "[::1]:1", "localhost:1"}) {
    EXPECT_TRUE(tensord::is_loopback(tensord::parse_endpoint(local).value())) << local;
  }
  for (const char* const remote : {"0.0.0.0:1", "10.0.0.1:1", "[::]:1", "[fe80::1]:1"}) {
    EXPECT_FALSE(tensord::is_loopback(tensord::parse_endpoint(remote).value())) << remote;
  }
  for (const char* const bad : {"", ":", ":80", "::1:80", "[::1]", "[::1]:", "[127.0.0.1]:1", "1.2.3:4",
                                "example.org:1", "127.0.0.1:-1", "127.0.0.1:1x", "127.0.0.1:65536"}) {
    EXPECT_FALSE(tensord::parse_endpoint(bad).ok()) << bad;
  }
}

TEST_F(OptionsTest, HelpFitsAScreenAndNamesEveryFlag) {
  std::istringstream help{std::string(tensord::help_text())};
  int lines = 0;
  for (std::string line; std::getline(help, line); ++lines) EXPECT_LE(line.size(), 80U) << line;
  EXPECT_GE(lines, 24);
  EXPECT_LE(lines, 50);
  for (const char* const flag : {"--listen",        "--port-file",       "--default-handler",
                                 "--save-dir",      "--io-threads",      "--handler-threads",
                                 "--spin-us",       "--max-frame",       "--max-pixels",
                                 "--max-depth",     "--max-tensors",     "--max-connections",
                                 "--in-flight",     "--memory",          "--read-timeout",
                                 "--idle-timeout",  "--handler-timeout", "--write-timeout",
                                 "--drain-timeout", "--token-file",      "--allow-unauthenticated-remote",
                                 "--config",        "--log-level",       "--log-format",
                                 "--help",          "--version"}) {
    EXPECT_NE(tensord::help_text().find(flag), std::string_view::npos) << flag;
  }
}

TEST_F(OptionsTest, HelpAndVersionLeaveWithZero) {
  for (const char* const flag : {"-h", "--help", "--version"}) {
    const CommandLine parsed = parse({flag});
    ASSERT_TRUE(std::holds_alternative<Farewell>(parsed)) << flag;
    EXPECT_EQ(std::get<Farewell>(parsed).exit_code, 0) << flag;
    EXPECT_FALSE(std::get<Farewell>(parsed).text.empty()) << flag;
  }
}

TEST_F(OptionsTest, LogLinesCannotBeForgedBySenders) {
  EXPECT_EQ(tensord::printable("a\nb\x1b[31m\x7f"), "a\\x0ab\\x1b[31m\\x7f");
  EXPECT_EQ(tensord::printable("gr\u00fc\u00df \xff\xfe"), "gr\u00fc\u00df \\xff\\xfe");
  EXPECT_EQ(tensord::printable("\u0085\u2028"), "\\xc2\\x85\\xe2\\x80\\xa8");
  EXPECT_LT(tensord::printable(std::string(10'000, 'x'), 100).size(), 110U);
}

}  // namespace
