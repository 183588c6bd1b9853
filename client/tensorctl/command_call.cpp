// `tensorctl call`: all files in one request, the reply as text, as JSON, or its tensors into files.
#include <cstdio>
#include <string>
#include <vector>

#include "failures.hpp"
#include "inputs.hpp"
#include "outputs.hpp"
#include "render.hpp"
#include "settings.hpp"
#include "tensorclient/client.hpp"
#include "tensorwire/writer.hpp"

namespace tensorctl {

namespace {

// One line of strict JSON, as it would stand on the wire.
tensorwire::Result<std::string> reply_json(tensorwire::Reply reply, tensorwire::TensorEncoding encoding) {
  auto writer = tensorwire::MessageWriter::reply(std::move(reply), encoding, tensorwire::Dialect::raw_json);
  if (!writer.ok()) return std::move(writer).error();
  std::string text;
  std::vector<char> piece(64 << 10);
  while (const std::size_t n = writer->read(piece)) text.append(piece.data(), n);
  return text;
}

int print_json(tensorwire::Reply reply, tensorwire::TensorEncoding encoding) {
  auto text = reply_json(std::move(reply), encoding);
  if (!text.ok()) return fail(kFile, text.error().message);
  if (!text->ends_with('\n')) *text += '\n';
  std::fwrite(text->data(), 1, text->size(), stdout);
  return kOk;
}

int report_failure(const tensorclient::Failure& failure, const CallSettings& settings) {
  if (settings.json && failure.kind == tensorclient::FailureKind::remote && failure.code) {
    (void)print_json(tensorwire::Reply(tensorwire::Error{*failure.code, failure.message, failure.at}),
                     settings.request.encoding);
  }
  return fail(failure);
}

int write_tensors(const tensorwire::Reply& reply, const CallSettings& settings) {
  auto written = write_outputs(reply, settings.outputs);
  if (!written.ok()) return fail(kFile, written.error().message);
  for (const Written& file : *written) {
    std::fprintf(stderr, "wrote %s (%s)\n", file.path.c_str(), human_bytes(static_cast<double>(file.bytes)).c_str());
  }
  return kOk;
}

int show(tensorwire::Reply reply, const CallSettings& settings) {
  if (!settings.outputs.empty()) {
    if (const int code = write_tensors(reply, settings); code != kOk) return code;
    reply.tensors.clear();
  }
  if (settings.json) return print_json(std::move(reply), settings.request.encoding);
  const std::string text = render_reply(reply);
  std::fputs(text.empty() && settings.outputs.empty() ? "ok\n" : text.c_str(), stdout);
  return kOk;
}

}  // namespace

int run_call(const tensorclient::Options& options, const CallSettings& settings) {
  auto call = make_call(settings.request);
  if (!call.ok()) return fail(kUsage, call.error().message);
  const auto inputs = expand(settings.input);
  if (!inputs.ok()) return fail(kFile, inputs.error().message);
  for (const Input& input : *inputs) {
    if (const auto loaded = load(input, settings.input, *call); !loaded.ok())
      return fail(kFile, loaded.error().message);
  }
  auto client = tensorclient::Client::connect(options);
  if (!client.ok()) return fail(client.failure());
  auto reply = client->call(*call);
  if (!reply.ok()) return report_failure(reply.failure(), settings);
  return show(std::move(reply).value(), settings);
}

}  // namespace tensorctl
