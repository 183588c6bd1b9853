// What the compared programs share: their command line, the run that drives a link, and the line that tells its result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace compare {

struct Settings {
  bool serve = false;           // the receiving side; else the driving one
  bool echo = false;            // the reply carries the tensor back; else it only acknowledges
  bool stream = false;          // gRPC: one stream instead of unary calls
  bool batch = false;           // send a whole window, then take all its replies (as redis-benchmark -P does)
  std::uint16_t port = 0;       // where the receiving side listens
  std::size_t bytes = 64;       // of the tensor
  std::size_t window = 1;       // messages on their way without a reply
  std::size_t connections = 1;  // tensord only; each message goes to the next one
  double seconds = 1;           // how long to measure, after a quarter of that to warm up
  std::uint64_t messages = 0;   // when not 0: exactly so many, and no warming up
};

// Exits with a usage text when the arguments make no sense.
[[nodiscard]] Settings parse(int argc, char** argv);

// One way to move tensors. Failures end the program through die().
class Link {
 public:
  Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  virtual ~Link() = default;
  // Sends one message; may block while the peer does not read.
  virtual void send() = 0;
  // Takes the reply to the oldest message not yet replied to.
  virtual void receive() = 0;
};

// Drives the link as the settings say and prints one line of JSON: messages, seconds, all_messages (with those that
// warmed up), p50_us and p99_us (of the time from sending a message to having its reply), cpu_seconds of this process.
void drive(Link& link, const Settings& settings);

// Tells the starter that connections are accepted now.
void announce(std::uint16_t port);

[[noreturn]] void die(const std::string& what);
// The same with the reason in errno.
[[noreturn]] void die_errno(const std::string& what);

}  // namespace compare
