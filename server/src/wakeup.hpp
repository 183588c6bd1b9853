// One coroutine waits until it is woken, on one thread: what Asio has no primitive for.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <utility>

namespace tensord {

// At most one waiter at a time; wake() without a waiter does nothing, so the waiter asks its condition first.
class Wakeup {
 public:
  [[nodiscard]] boost::asio::awaitable<void> wait() {
    return boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void()>(
        [this](auto handler) { waiter_ = std::make_unique<WaiterOf<decltype(handler)>>(std::move(handler)); },
        boost::asio::use_awaitable);
  }
  // The waiter goes on in a later step of its own executor.
  void wake() {
    if (auto waiter = std::move(waiter_)) waiter->resume();
  }
  [[nodiscard]] bool has_waiter() const noexcept { return waiter_ != nullptr; }

 private:
  struct Waiter {
    virtual ~Waiter() = default;
    virtual void resume() = 0;
  };
  template <class Handler>
  struct WaiterOf final : Waiter {
    explicit WaiterOf(Handler&& completion) : handler(std::move(completion)) {}
    void resume() override { boost::asio::post(std::move(handler)); }
    Handler handler;
  };
  std::unique_ptr<Waiter> waiter_;
};

}  // namespace tensord
