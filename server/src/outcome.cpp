// Turns whatever a handler does into exactly one outcome.
#include "outcome.hpp"

#include <exception>
#include <new>
#include <utility>

#include "log.hpp"

namespace tensord {
namespace {

using tensorwire::BufferPool;
using tensorwire::Dialect;
using tensorwire::MessageWriter;

Error failure_text(ErrorCode code, std::string_view what) {
  return Error{code, what.empty() ? "the handler failed without saying why" : printable(what, 4000), ""};
}

std::optional<MessageWriter> try_render(Reply&& reply, const Ticket& ticket, Dialect dialect, BufferPool& pool,
                                        std::optional<Error>& failure) noexcept {
  try {
    reply.id = copy_of(ticket.id);
    Result<MessageWriter> writer = MessageWriter::reply(std::move(reply), ticket.encoding, dialect, pool);
    if (writer.ok()) return std::move(writer).value();
    failure = std::move(writer).error();
  } catch (const std::bad_alloc&) {
    failure = make_error(ErrorCode::overloaded, "no memory is left for the reply; try again later");
  } catch (...) {
    failure = make_error(ErrorCode::internal, "the reply could not be written");
  }
  return std::nullopt;
}

}  // namespace

tensorwire::RequestId copy_of(const tensorwire::RequestId& id) {
  return std::visit([](const auto& held) { return tensorwire::RequestId(std::decay_t<decltype(held)>(held)); }, id);
}

Error make_error(ErrorCode code, const char* sentence) noexcept {
  try {
    return Error{code, sentence, ""};
  } catch (...) {  // not even memory for the sentence
    return Error{code, {}, {}};
  }
}

Reply reply_of_current_exception() noexcept {
  try {
    try {
      throw;
    } catch (const ErrorException& failure) {
      return Reply(failure.error());
    } catch (const std::bad_alloc&) {
      return Reply(make_error(ErrorCode::overloaded, "the handler ran out of memory; try again later"));
    } catch (const std::exception& failure) {
      return Reply(failure_text(ErrorCode::handler_failed, failure.what()));
    } catch (...) {
      return Reply(failure_text(ErrorCode::handler_failed, "unknown exception"));
    }
  } catch (...) {  // copying the text failed for want of memory
    return Reply(make_error(ErrorCode::handler_failed, "the handler failed"));
  }
}

Reply run_guarded(const Handler& handler, Request&& request) noexcept {
  try {
    return handler(std::move(request));
  } catch (...) {
    return reply_of_current_exception();
  }
}

Outcome render(Reply&& reply, Ticket&& ticket, Dialect dialect, BufferPool& pool) noexcept {
  Outcome outcome{std::nullopt, std::move(reply.error), std::move(ticket)};
  if (outcome.ticket.oneway) return outcome;
  if (!outcome.error) outcome.writer = try_render(std::move(reply), outcome.ticket, dialect, pool, outcome.error);
  if (outcome.error) {
    std::optional<Error> again;
    try {
      outcome.writer = try_render(Reply(Error(*outcome.error)), outcome.ticket, dialect, pool, again);
    } catch (...) {  // no memory to copy the error
      outcome.writer.reset();
    }
  }
  return outcome;
}

std::string summarize(const Request& request) {
  std::string text;
  for (const Item& item : request.tensors) {
    if (!text.empty()) text += ", ";
    if (text.size() > 200) return text + "…";
    if (!item.name.empty()) text += printable(item.name, 60) + " ";
    if (const Image* const image = item.image()) {
      text.append(tensorwire::to_string(image->info().format)).append(" ").append(image->info().shape.to_string());
    } else if (const auto tensor = item.tensor(); tensor.ok()) {
      text.append(tensorwire::to_string((*tensor)->dtype())).append(" ").append((*tensor)->shape().to_string());
    }
  }
  return text.empty() ? "no tensors" : text;
}

}  // namespace tensord
