// What the command line of tensorctl says, as plain values: the commands know nothing of the parser.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tensorclient/options.hpp"
#include "tensorwire/message.hpp"

namespace tensorctl {

// Exit codes, as `tensorctl --help` documents them.
enum Exit : int {
  kOk = 0,
  kRemoteError = 1,
  kUsage = 2,
  kNoConnection = 3,
  kTimeout = 4,
  kFile = 5,
  kInterrupted = 130,
};

// How files become tensors.
struct InputSettings {
  std::vector<std::string> files;  // paths, folders, globs, or NAME=PATH
  std::string dtype;               // of raw files and of data lists; empty: not given
  std::string shape;               // "480,640,3", "480x640x3" or "[480,640,3]"; one axis may be -1; empty: not given
  bool nameless = false;           // tensors are sent without a name
};

// What a request carries besides.
struct RequestSettings {
  std::string handler;
  std::vector<std::string> params;  // "key=value", the value as JSON where it is JSON, else as a string
  tensorwire::TensorEncoding payload = tensorwire::TensorEncoding::base64;
  tensorwire::TensorEncoding encoding = tensorwire::TensorEncoding::base64;
};

struct SendSettings {
  InputSettings input;
  RequestSettings request;
  bool raw_json = false;
  bool oneway = false;
  bool quiet = false;
};

struct CallSettings {
  InputSettings input;
  RequestSettings request;
  bool json = false;
  std::vector<std::string> outputs;
};

struct PingSettings {
  int count = 1;
};

struct InfoSettings {
  bool json = false;
};

struct BenchSettings {
  std::string handler = "discard";
  std::size_t connections = 1;
  std::size_t pipeline = 1;
  std::uint64_t requests = 10'000;
  std::uint64_t bytes = 64;
  std::string shape;
  std::string dtype = "float32";
  tensorwire::TensorEncoding encoding = tensorwire::TensorEncoding::base64;
  bool csv = false;
  bool json = false;
  bool quiet = false;
};

int run_send(const tensorclient::Options& options, const SendSettings& settings);
int run_call(const tensorclient::Options& options, const CallSettings& settings);
int run_info(const tensorclient::Options& options, const InfoSettings& settings);
int run_ping(const tensorclient::Options& options, const PingSettings& settings);
int run_bench(const tensorclient::Options& options, const BenchSettings& settings);

}  // namespace tensorctl
