// The command line of tensorctl: what may be said, in which words, and which command it leads to.
#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <string>

#include "failures.hpp"
#include "interrupt.hpp"
#include "settings.hpp"
#include "tensorclient/call.hpp"

namespace tensorctl {

namespace {

using tensorwire::TensorEncoding;

constexpr const char* kDescription = "Sends tensors and images to a tensord and shows what it answers.";
constexpr const char* kFooter =
    R"(Files: .npy, .png, .jpg, .json (a request, or a data list), anything else as raw bytes with --dtype and --shape.
A folder stands for the files in it, a quoted glob for its matches, - for JSON (with --dtype: bytes) on standard input;
NAME=FILE gives the tensor that name. --connect, --timeout and --token-file may stand before or behind the command.

Examples:
  tensorctl ping
  tensorctl call stats x.npy
  tensorctl call echo photo.png -o pixels.npy
  tensorctl send frames/ --handler save --param prefix=run1/
  tensorctl --connect 127.0.0.1:9000 send x.npy --raw-json

Exit codes: 0 ok, 1 the server answered with an error, 2 wrong usage, 3 cannot connect or connection lost,
            4 time limit passed, 5 a file cannot be read, written or sent, 130 interrupted.)";

struct Words {
  std::string connect = "127.0.0.1:7733";
  std::string timeout = "30";
  std::string token_file;
  std::string payload = "base64";
  std::string encoding = "base64";
};

TensorEncoding encoding_of(const std::string& word) {
  return word == "list" ? TensorEncoding::list : TensorEncoding::base64;
}

// "30", "0.5", "500ms", "2s", "1m": seconds where no unit is given.
tensorclient::Outcome<std::chrono::milliseconds> parse_duration(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string unit(end, text.data() + text.size());
  const double scale = unit == "ms" ? 1 : unit.empty() || unit == "s" ? 1000 : unit == "m" ? 60'000 : 0;
  if (error != std::errc() || scale == 0 || !(value >= 0) || value * scale > 1e12) {
    return tensorclient::Failure::invalid("--timeout wants a time such as 10, 0.5, 500ms or 2m (0: no limit), got '" +
                                          text + "'");
  }
  // A limit that rounds to nothing shall not become no limit at all.
  const double milliseconds = value > 0 ? std::max(1.0, value * scale) : 0;
  return std::chrono::milliseconds(static_cast<std::int64_t>(milliseconds));
}

tensorclient::Outcome<std::string> read_token(const std::string& path) {
  if (path.empty()) return std::string();
  const auto file = tensorclient::read_file(path);
  if (!file.ok()) return file.failure();
  std::string token(reinterpret_cast<const char*>(file->data()), file->size());
  token.erase(token.find_last_not_of(" \t\r\n") + 1);
  return token;
}

tensorclient::Outcome<tensorclient::Options> make_options(const Words& words) {
  auto endpoint = tensorclient::Endpoint::parse(words.connect);
  if (!endpoint.ok()) return std::move(endpoint).failure();
  auto timeout = parse_duration(words.timeout);
  if (!timeout.ok()) return std::move(timeout).failure();
  auto token = read_token(words.token_file);
  if (!token.ok()) return std::move(token).failure();
  tensorclient::Options options;
  options.endpoint = std::move(endpoint).value();
  options.timeout = *timeout;
  options.token = std::move(token).value();
  options.cancel = &interrupted();
  return options;
}

void add_inputs(CLI::App& command, InputSettings& input) {
  command.add_option("--dtype", input.dtype, "Element type of raw files and data lists (float32, uint8, '>i2' ...)");
  command.add_option("--shape", input.shape, "Their shape: 480,640,3 or 480x640x3; one axis may be -1 for raw files");
}

void add_request(CLI::App& command, RequestSettings& request, Words& words) {
  command.add_option("-p,--param", request.params, "KEY=VALUE for the handler; VALUE as JSON, else as a string")
      ->allow_extra_args(false);
  command.add_option("--payload", words.payload, "How tensors are sent: base64 or list")
      ->check(CLI::IsMember({"base64", "list"}));
}

CLI::App* add_send(CLI::App& app, SendSettings& send, Words& words) {
  CLI::App* command = app.add_subcommand("send", "Send each file as a request of its own");
  command->add_option("FILE", send.input.files, "Files, folders, globs, NAME=FILE")->required();
  command->add_option("--handler", send.request.handler, "Handler to run (default: the server's own choice)");
  add_request(*command, send.request, words);
  add_inputs(*command, send.input);
  auto* raw = command->add_flag("--raw-json", send.raw_json,
                                "One JSON object without length prefix, for a bare receiver (recv, json.loads)");
  command->add_flag("--oneway", send.oneway, "Ask for no reply")->excludes(raw);
  command->add_flag("-q,--quiet", send.quiet, "Print nothing but errors");
  return command;
}

CLI::App* add_call(CLI::App& app, CallSettings& call, Words& words) {
  CLI::App* command = app.add_subcommand("call", "Send all files in one request and show the reply");
  command->add_option("HANDLER", call.request.handler, "Handler to run")->required();
  command->add_option("FILE", call.input.files, "Files, folders, globs, NAME=FILE");
  add_request(*command, call.request, words);
  add_inputs(*command, call.input);
  command->add_option("--encoding", words.encoding, "How tensors come back: base64 or list")
      ->check(CLI::IsMember({"base64", "list"}));
  command->add_flag("--json", call.json, "Print the reply as one line of JSON");
  command
      ->add_option("-o,--output", call.outputs,
                   "Write the reply's tensors: FILE.npy, FILE.png or FILE.jpg; a folder for all")
      ->allow_extra_args(false);
  return command;
}

CLI::App* add_bench(CLI::App& app, BenchSettings& bench, Words& words) {
  CLI::App* command = app.add_subcommand("bench", "Measure requests per second, throughput and latency");
  command->add_option("--handler", bench.handler, "Handler to run")->capture_default_str();
  command->add_option("-c,--connections", bench.connections, "Parallel connections, a thread each")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("-P,--pipeline", bench.pipeline, "Requests on their way at once, per connection")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command->add_option("-n,--requests", bench.requests, "Requests in all")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40))
      ->capture_default_str();
  auto* bytes = command->add_option("-d,--bytes", bench.bytes, "Bytes of the tensor (uint8)")->capture_default_str();
  command->add_option("--shape", bench.shape, "Its shape instead, with --dtype: 1024,1024")->excludes(bytes);
  command->add_option("--dtype", bench.dtype, "Its element type")->capture_default_str();
  command->add_option("--encoding", words.payload, "How it is sent and asked for: base64 or list")
      ->check(CLI::IsMember({"base64", "list"}))
      ->capture_default_str();
  auto* csv = command->add_flag("--csv", bench.csv, "Print two lines of CSV");
  command->add_flag("--json", bench.json, "Print one line of JSON")->excludes(csv);
  command->add_flag("-q,--quiet", bench.quiet, "No progress line");
  return command;
}

void add_common(CLI::App& app, Words& words) {
  app.set_version_flag("--version", std::string("tensorctl ") + TENSORD_VERSION);
  app.add_option("--connect", words.connect, "HOST:PORT of the server")
      ->envname("TENSORD_CONNECT")
      ->capture_default_str();
  app.add_option("--timeout", words.timeout, "Time limit of each request: 10, 500ms, 2m; 0 for none")
      ->capture_default_str();
  app.add_option("--token-file", words.token_file, "File with the token that the server asks for")
      ->envname("TENSORD_TOKEN_FILE");
  app.require_subcommand(1);
  app.fallthrough();  // the options above may stand behind the command too
  app.footer(kFooter);
}

// Everything that the parser fills in.
struct CommandLine {
  Words words;
  SendSettings send;
  CallSettings call;
  InfoSettings info;
  PingSettings ping;
  BenchSettings bench;
};

void settle_encodings(CommandLine& line) {
  line.send.request.payload = line.call.request.payload = encoding_of(line.words.payload);
  line.call.request.encoding = encoding_of(line.words.encoding);
  line.bench.encoding = encoding_of(line.words.payload);
  // A bare receiver looks for "tensor", "dtype" and "shape" in the object itself.
  line.send.input.nameless = line.send.raw_json;
}

int run(int argc, char** argv) {
  CommandLine line;
  CLI::App app(kDescription, "tensorctl");
  add_common(app, line.words);
  CLI::App* send = add_send(app, line.send, line.words);
  CLI::App* call = add_call(app, line.call, line.words);
  CLI::App* info = app.add_subcommand("info", "Show version, limits, handlers and counters of the server");
  info->add_flag("--json", line.info.json, "Print them as one line of JSON");
  CLI::App* ping = app.add_subcommand("ping", "Ask whether the server is there, and how quickly it answers");
  ping->add_option("-c,--count", line.ping.count, "How many times")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  add_bench(app, line.bench, line.words);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    return app.exit(asked);  // --help, --version
  } catch (const CLI::ParseError& error) {
    return fail(kUsage, std::string(error.what()) + " (see tensorctl --help)");
  }
  settle_encodings(line);
  const auto options = make_options(line.words);
  if (!options.ok()) return fail(options.failure());
  catch_interrupts();
  if (send->parsed()) return run_send(*options, line.send);
  if (call->parsed()) return run_call(*options, line.call);
  if (info->parsed()) return run_info(*options, line.info);
  if (ping->parsed()) return run_ping(*options, line.ping);
  return run_bench(*options, line.bench);
}

}  // namespace

}  // namespace tensorctl

int main(int argc, char** argv) {
  try {
    return tensorctl::run(argc, argv);
  } catch (const std::exception& error) {
    return tensorctl::fail(tensorctl::kUsage, error.what());
  }
}
