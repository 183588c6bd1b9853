// gRPC as its users move tensors: a bytes field, the synchronous C++ API, unary calls or one stream in both directions.
#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>

#include "peer.hpp"
#include "tensors.grpc.pb.h"

namespace {

using compare::Ack;
using compare::Settings;
using compare::Tensor;
using compare::Tensors;

class Service final : public Tensors::Service {
  grpc::Status Discard(grpc::ServerContext* /*context*/, const Tensor* tensor, Ack* ack) override {
    ack->set_nbytes(tensor->data().size());
    return grpc::Status::OK;
  }
  grpc::Status Echo(grpc::ServerContext* /*context*/, const Tensor* tensor, Tensor* reply) override {
    *reply = *tensor;
    return grpc::Status::OK;
  }
  grpc::Status DiscardStream(grpc::ServerContext* /*context*/, grpc::ServerReaderWriter<Ack, Tensor>* stream) override {
    Tensor tensor;
    Ack ack;
    while (stream->Read(&tensor)) {
      ack.set_nbytes(tensor.data().size());
      stream->Write(ack);
    }
    return grpc::Status::OK;
  }
  grpc::Status EchoStream(grpc::ServerContext* /*context*/, grpc::ServerReaderWriter<Tensor, Tensor>* stream) override {
    Tensor tensor;
    while (stream->Read(&tensor)) stream->Write(tensor);
    return grpc::Status::OK;
  }
};

void serve() {
  Service service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  builder.SetMaxSendMessageSize(-1);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) compare::die("gRPC cannot listen");
  compare::announce(static_cast<std::uint16_t>(port));
  server->Wait();
}

std::unique_ptr<Tensors::Stub> connect(const Settings& settings) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  return Tensors::NewStub(grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(settings.port),
                                                    grpc::InsecureChannelCredentials(), arguments));
}

// Filled once and sent again and again: kinder than a user's program, which would copy its tensor in each time.
Tensor make_tensor(const Settings& settings) {
  Tensor tensor;
  tensor.set_dtype("float32");
  tensor.add_shape(static_cast<std::int64_t>(settings.bytes / sizeof(float)));
  tensor.set_data(std::string(settings.bytes, 'A'));
  return tensor;
}

class UnaryLink : public compare::Link {
 public:
  explicit UnaryLink(const Settings& settings)
      : echo_(settings.echo), stub_(connect(settings)), tensor_(make_tensor(settings)) {
    if (settings.window != 1) compare::die("a blocking unary call takes a window of 1");
  }

  void send() override {
    grpc::ClientContext context;
    Ack ack;
    const grpc::Status status =
        echo_ ? stub_->Echo(&context, tensor_, &reply_) : stub_->Discard(&context, tensor_, &ack);
    if (!status.ok()) compare::die("gRPC: " + status.error_message());
  }
  void receive() override {}

 private:
  bool echo_;
  std::unique_ptr<Tensors::Stub> stub_;
  Tensor tensor_;
  Tensor reply_;
};

template <class Answer>
class StreamLink : public compare::Link {
 public:
  using Stream = std::unique_ptr<grpc::ClientReaderWriter<Tensor, Answer>>;

  StreamLink(const Settings& settings, Stream (Tensors::Stub::*begin)(grpc::ClientContext*))
      : stub_(connect(settings)), tensor_(make_tensor(settings)), stream_((stub_.get()->*begin)(&context_)) {}
  ~StreamLink() override {
    stream_->WritesDone();
    if (const grpc::Status status = stream_->Finish(); !status.ok()) compare::die("gRPC: " + status.error_message());
  }

  void send() override {
    if (!stream_->Write(tensor_)) compare::die("gRPC: the stream broke while writing");
  }
  void receive() override {
    if (!stream_->Read(&answer_)) compare::die("gRPC: the stream broke while reading");
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<Tensors::Stub> stub_;
  Tensor tensor_;
  Answer answer_;
  Stream stream_;
};

std::unique_ptr<compare::Link> make_link(const Settings& settings) {
  if (!settings.stream) return std::make_unique<UnaryLink>(settings);
  if (settings.echo) return std::make_unique<StreamLink<Tensor>>(settings, &Tensors::Stub::EchoStream);
  return std::make_unique<StreamLink<Ack>>(settings, &Tensors::Stub::DiscardStream);
}

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = compare::parse(argc, argv);
  if (settings.serve) {
    serve();
    return 0;
  }
  compare::drive(*make_link(settings), settings);
}
