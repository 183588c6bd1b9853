// The public face of AsyncClient; the work is AsyncCore's.
#include "tensorclient/async_client.hpp"

#include "async_core.hpp"

namespace tensorclient {

AsyncClient::AsyncClient(boost::asio::any_io_executor executor, Options options) {
  options.check().value();
  core_ = std::make_shared<detail::AsyncCore>(executor, std::move(options));
}

AsyncClient::~AsyncClient() {
  if (core_) core_->close();
}

AsyncClient::AsyncClient(AsyncClient&&) noexcept = default;

AsyncClient& AsyncClient::operator=(AsyncClient&& other) noexcept {
  if (this != &other) {
    if (core_) core_->close();
    core_ = std::move(other.core_);
  }
  return *this;
}

void AsyncClient::close() { core_->close(); }

}  // namespace tensorclient
