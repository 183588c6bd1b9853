// Receivers of a list's events: one stores typed elements and checks the nesting, one infers the dtype.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "list_fault.hpp"
#include "list_scanner.hpp"
#include "tensorwire/buffer.hpp"
#include "tensorwire/dtype.hpp"
#include "tensorwire/limits.hpp"
#include "tensorwire/tensor.hpp"

namespace tensorwire {

// Follows the nesting of lists and finds the shape, or where the lists are ragged.
class Nesting {
 public:
  // max_rank: lists nested deeper are refused.
  explicit Nesting(std::size_t max_rank) : max_rank_(max_rank) {}

  struct Fault {
    ListFaultKind kind;
    std::size_t path_length;  // how many of the current indices lead to the offender
    std::uint64_t found = 0;
    std::uint64_t expected = 0;
  };
  [[nodiscard]] std::optional<Fault> open();
  [[nodiscard]] std::optional<Fault> close();
  [[nodiscard]] std::optional<Fault> scalar();

  // How many scalars the current list still takes; 0 where the next one needs scalar().
  [[nodiscard]] std::uint64_t room() const noexcept;
  // Counts scalars of a run, at most room() of them.
  void add(std::uint64_t n) noexcept { levels_[depth_].count += n; }

  // The index of the current element at each level.
  [[nodiscard]] std::vector<std::uint64_t> path(std::size_t length) const;
  // After the value: the number of axes and their sizes.
  [[nodiscard]] std::size_t rank() const noexcept { return leaf_.value_or(0); }
  [[nodiscard]] std::vector<std::int64_t> dims() const;

 private:
  // At index d: the list that d brackets enclose, the value itself being level 0.
  struct Level {
    std::uint64_t count = 0;  // elements begun
    std::uint64_t size = 0;   // what each list at this level has, once the first has closed
    bool size_known = false;
  };
  [[nodiscard]] std::optional<Fault> begin_element();

  std::size_t max_rank_;
  std::size_t depth_ = 0;
  std::optional<std::size_t> leaf_;  // the level whose elements are scalars
  std::array<Level, kMaxRank + 2> levels_{};
};

// What the strings of a tensor cost, charged to the pool's budget as long as this lives.
class StringCharge {
 public:
  explicit StringCharge(std::shared_ptr<BufferPool> pool) : pool_(std::move(pool)) {}
  ~StringCharge();
  StringCharge(const StringCharge&) = delete;
  StringCharge& operator=(const StringCharge&) = delete;
  // False when the budget has no more.
  [[nodiscard]] bool add(std::uint64_t bytes) noexcept;

 private:
  std::shared_ptr<BufferPool> pool_;
  std::uint64_t charged_ = 0;
};

// Stores elements of one dtype, read exactly, in their final buffer. The first fault is kept; from then on it only
// listens.
class ElementSink final : public ListSink {
 public:
  // inferred: nobody named the dtype, so that 1 is no boolean and "1" no label.
  ElementSink(DType dtype, bool inferred, const Limits& limits, std::shared_ptr<BufferPool> pool);

  // A piece of text, before which `before` bytes came and after which `after` bytes at most come, where that is known.
  void begin_piece(std::string_view piece, std::uint64_t before, std::optional<std::uint64_t> after) noexcept;

  void open() override;
  void close() override;
  void scalar(const Scalar& scalar) override;
  Run run(const char* begin, const char* end) override;

  [[nodiscard]] const std::optional<ListFault>& fault() const noexcept { return fault_; }
  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] bool inferred() const noexcept { return inferred_; }
  [[nodiscard]] const Nesting& nesting() const noexcept { return nesting_; }
  // Scalars read; two for each complex number.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  // The elements as a tensor of that shape, which must have as many. Only without fault, and once.
  [[nodiscard]] Result<Tensor> take(const Shape& shape);

 private:
  using RunReader = Run (*)(const char* begin, const char* end, std::byte* out, std::size_t room);

  void store(const Scalar& scalar);
  void store_number(const Scalar& scalar);
  void store_string(const Scalar& scalar);
  [[nodiscard]] bool add_string(std::string_view text);
  void check_nesting(const std::optional<Nesting::Fault>& found);
  void set_fault(ListFaultKind kind, const Scalar& scalar, std::uint64_t expected = 0);
  void set_fault(ListFault fault);
  void set_no_memory(Error error);
  [[nodiscard]] bool make_room(const char* at);
  [[nodiscard]] std::uint64_t expected_elements(const char* at) const noexcept;

  DType dtype_;
  DType scalar_dtype_;  // of one number: float32 for complex64
  std::size_t scalar_size_;
  bool inferred_;
  const Limits limits_;
  std::shared_ptr<BufferPool> pool_;
  RunReader run_reader_ = nullptr;

  Nesting nesting_;
  std::optional<ListFault> fault_;
  std::uint64_t count_ = 0;
  std::uint64_t capacity_ = 0;  // elements that elements_ has room for
  Buffer elements_;
  std::vector<std::string> strings_;
  std::shared_ptr<StringCharge> string_charge_;

  const char* piece_ = nullptr;
  std::uint64_t piece_size_ = 0;
  std::uint64_t before_ = 0;
  std::optional<std::uint64_t> after_;
};

// Finds out which dtype a list without one has.
class InferenceSink final : public ListSink {
 public:
  void open() override {}
  void close() override {}
  void scalar(const Scalar& scalar) override;
  Run run(const char* begin, const char* end) override;

  // All integers: int64 (uint64 where one needs it); any fraction, exponent, NaN or infinity: float64; booleans: bool;
  // strings: what the numbers in them would be, or string. The first element decides which of these a mixture was
  // meant to be. Nothing but empty lists: float64.
  [[nodiscard]] DType dtype() const noexcept;

 private:
  enum class Family : std::uint8_t { none, numbers, booleans, strings };
  void number(std::string_view text);

  Family family_ = Family::none;
  RunKinds kinds_;
  bool needs_uint64_ = false;
};

}  // namespace tensorwire
