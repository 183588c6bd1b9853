// Fuzzes the daemon's settings: whatever a configuration file, the variables or the flags say, the daemon gets options
// that hold or leaves with one sentence.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "src/cli.hpp"

namespace {

[[noreturn]] void broken(const char* promise) {
  std::fprintf(stderr, "broken: %s\n", promise);
  std::abort();
}

// A file in memory that holds the text; its name is the same each time.
const std::string& file_of(std::string_view text) {
  static const int file = memfd_create("config", 0);
  static const std::string name = "/proc/self/fd/" + std::to_string(file);
  if (file < 0 || ftruncate(file, 0) != 0) std::abort();
  if (pwrite(file, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) std::abort();
  return name;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// Stands for the environment: one value in one variable, or in all.
std::string variable;
std::string value;

const char* lookup(const char* name) { return variable.empty() || variable == name ? value.c_str() : nullptr; }
const char* no_variable(const char* /*name*/) { return nullptr; }

void check(const tensord::CommandLine& parsed) {
  if (const auto* const options = std::get_if<tensord::DaemonOptions>(&parsed)) {
    if (!options->server.validate().ok()) broken("options that are taken hold");
    return;
  }
  const auto& farewell = std::get<tensord::Farewell>(parsed);
  if (farewell.exit_code == 0) return;  // --help, --version
  if (farewell.exit_code != 2) broken("a refusal has code 2");
  if (!farewell.text.starts_with("tensord: ")) broken("a refusal names the program");
  if (std::count(farewell.text.begin(), farewell.text.end(), '\n') != 1) broken("a refusal is one line");
}

}  // namespace

// The first byte says where the text stands: in the file, in the flags (one to a line), or in variables
// ("NAME\nVALUE").
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (text.find("/dev") != std::string_view::npos) return 0;  // devices that never end are not a matter of parsing
  switch (data[0] % 3) {
    case 0:
      check(tensord::parse_command_line(std::vector<std::string>{"--config", file_of(text)}, no_variable));
      break;
    case 1:
      check(tensord::parse_command_line(lines_of(text), no_variable));
      break;
    default:
      variable = text.substr(0, text.find('\n'));
      value = text.substr(std::min(variable.size() + 1, text.size()));
      check(tensord::parse_command_line({}, lookup));
      break;
  }
  return 0;
}
