// Typed elements from a list's scalars: which JSON form each dtype takes, and where the nesting is ragged.
#include "list_elements.hpp"

#include <algorithm>
#include <limits>
#include <new>

#include "numbers.hpp"

namespace tensorwire {

std::optional<Nesting::Fault> Nesting::begin_element() {
  Level& list = levels_[depth_];
  if (list.size_known && list.count == list.size) {
    return Fault{ListFaultKind::ragged_length, depth_ - 1, list.count + 1, list.size};
  }
  ++list.count;
  return std::nullopt;
}

std::optional<Nesting::Fault> Nesting::open() {
  if (auto fault = begin_element()) return fault;
  if (leaf_ && depth_ >= *leaf_) return Fault{ListFaultKind::ragged_list, depth_};
  if (depth_ == max_rank_) return Fault{ListFaultKind::too_deep, depth_};
  levels_[++depth_].count = 0;
  return std::nullopt;
}

std::optional<Nesting::Fault> Nesting::scalar() {
  if (auto fault = begin_element()) return fault;
  if (leaf_ && depth_ != *leaf_) return Fault{ListFaultKind::ragged_value, depth_};
  leaf_ = depth_;
  return std::nullopt;
}

std::optional<Nesting::Fault> Nesting::close() {
  Level& list = levels_[depth_];
  if (!leaf_) leaf_ = depth_;  // an empty list: its elements would be scalars
  if (list.size_known && list.count != list.size) {
    return Fault{ListFaultKind::ragged_length, depth_ - 1, list.count, list.size};
  }
  list.size = list.count;
  list.size_known = true;
  --depth_;
  return std::nullopt;
}

std::uint64_t Nesting::room() const noexcept {
  if (!leaf_ || depth_ != *leaf_ || depth_ == 0) return 0;
  const Level& list = levels_[depth_];
  return list.size_known ? list.size - list.count : std::numeric_limits<std::uint64_t>::max();
}

// The value's own level has no index in a pointer.
std::vector<std::uint64_t> Nesting::path(std::size_t length) const {
  std::vector<std::uint64_t> indices;
  for (std::size_t level = 1; level <= length; ++level) indices.push_back(levels_[level].count - 1);
  return indices;
}

std::vector<std::int64_t> Nesting::dims() const {
  std::vector<std::int64_t> sizes;
  for (std::size_t level = 1; level <= rank(); ++level) sizes.push_back(static_cast<std::int64_t>(levels_[level].size));
  return sizes;
}

StringCharge::~StringCharge() {
  if (auto* budget = pool_->budget()) budget->release(charged_);
}

bool StringCharge::add(std::uint64_t bytes) noexcept {
  auto* budget = pool_->budget();
  if (budget != nullptr && !budget->try_charge(bytes)) return false;
  charged_ += bytes;
  return true;
}

namespace {

// A number, or a string that is one.
bool is_numeric(const Scalar& scalar) noexcept {
  if (scalar.kind == ScalarKind::number || scalar.kind == ScalarKind::nonfinite) return true;
  return scalar.kind == ScalarKind::string && !scalar.cut && (is_nonfinite(scalar.text) || is_json_number(scalar.text));
}

DType scalar_dtype(DType dtype) noexcept {
  if (dtype == DType::complex64) return DType::float32;
  if (dtype == DType::complex128) return DType::float64;
  return dtype;
}

bool is_complex(DType dtype) noexcept { return info(dtype).kind == DTypeKind::complex; }

template <class T>
inline constexpr bool kIsComplex = false;
template <class T>
inline constexpr bool kIsComplex<std::complex<T>> = true;

// The float dtypes' NaN and infinities; false where T has no such value.
template <class T>
bool from_nonfinite(double value, T& out) noexcept {
  if constexpr (std::floating_point<T>) {
    out = static_cast<T>(value);
    return true;
  } else if constexpr (SmallFloat<T>) {
    out = T::from(value);
    return std::isnan(value) || std::isinf(out.to_float());
  } else {
    return false;
  }
}

std::optional<ListFaultKind> fault_of(Fit fit) noexcept {
  if (fit == Fit::ok) return std::nullopt;
  return fit == Fit::fraction ? ListFaultKind::fraction : ListFaultKind::range;
}

// text: a JSON number.
template <class T>
std::optional<ListFaultKind> read_number(std::string_view text, T& out) noexcept {
  if constexpr (std::same_as<T, bool>) {
    ExactInteger value;
    const Fit fit = parse_integer(text, value);
    if (fit != Fit::ok) return fault_of(fit);
    if (value.magnitude > (value.negative ? 0U : 1U)) return ListFaultKind::range;
    out = value.magnitude == 1;
    return std::nullopt;
  } else {
    return fault_of(parse_number(text, out));
  }
}

// One number, boolean or numeric string (not of dtype string) to the element at `out`.
struct ReadScalar {
  const Scalar& scalar;
  std::byte* out;

  template <class T>
  std::optional<ListFaultKind> operator()() const {
    T value{};
    const auto fault = read(value);
    if (!fault) std::memcpy(out, &value, sizeof value);
    return fault;
  }

 private:
  template <class T>
  std::optional<ListFaultKind> read(T& value) const noexcept {
    if constexpr (kIsComplex<T>) {
      return ListFaultKind::wrong_type;  // complex numbers are read as two floats
    } else {
      if (scalar.kind == ScalarKind::boolean) return read_boolean(value);
      if (is_nonfinite(scalar.text)) {
        if (from_nonfinite(nonfinite_value(scalar.text), value)) return std::nullopt;
        return ListFaultKind::not_finite;
      }
      if (scalar.kind == ScalarKind::string && !is_json_number(scalar.text)) return ListFaultKind::no_number;
      return read_number(scalar.text, value);
    }
  }
  template <class T>
  std::optional<ListFaultKind> read_boolean(T& value) const noexcept {
    if constexpr (std::same_as<T, bool>) {
      value = scalar.text == "true";
      return std::nullopt;
    } else {
      return ListFaultKind::wrong_type;
    }
  }
};

struct RunReaderOf {
  template <class T>
  auto operator()() const -> Run (*)(const char*, const char*, std::byte*, std::size_t) {
    if constexpr (kIsComplex<T>) {
      return nullptr;
    } else {
      return [](const char* begin, const char* end, std::byte* out, std::size_t room) {
        return read_run(begin, end, reinterpret_cast<T*>(out), room);
      };
    }
  }
};

}  // namespace

ElementSink::ElementSink(DType dtype, bool inferred, const Limits& limits, std::shared_ptr<BufferPool> pool)
    : dtype_(dtype),
      scalar_dtype_(scalar_dtype(dtype)),
      scalar_size_(itemsize(scalar_dtype_)),
      inferred_(inferred),
      limits_(limits),
      pool_(std::move(pool)),
      nesting_(kMaxRank + (is_complex(dtype) ? 1 : 0)),
      elements_(pool_->empty_buffer()),
      string_charge_(dtype == DType::string ? std::make_shared<StringCharge>(pool_) : nullptr) {
  if (dtype != DType::string && !(dtype == DType::boolean && inferred)) {
    run_reader_ = visit_dtype(scalar_dtype_, RunReaderOf{});
  }
}

void ElementSink::begin_piece(std::string_view piece, std::uint64_t before,
                              std::optional<std::uint64_t> after) noexcept {
  piece_ = piece.data();
  piece_size_ = piece.size();
  before_ = before;
  after_ = after;
}

void ElementSink::open() {
  if (!fault_) check_nesting(nesting_.open());
}

void ElementSink::close() {
  if (!fault_) check_nesting(nesting_.close());
}

void ElementSink::scalar(const Scalar& scalar) {
  if (fault_) return;
  check_nesting(nesting_.scalar());
  if (!fault_) store(scalar);
}

Run ElementSink::run(const char* begin, const char* end) {
  RunKinds ignored;
  if (fault_) return skip_run(begin, end, ignored);
  const std::uint64_t wanted = nesting_.room();
  if (run_reader_ == nullptr || wanted == 0 || !make_room(begin)) return {begin, 0, false};
  const std::uint64_t room = std::min(wanted, capacity_ - count_);
  const Run run = run_reader_(begin, end, elements_.data() + count_ * scalar_size_, static_cast<std::size_t>(room));
  count_ += run.count;
  nesting_.add(run.count);
  return run;
}

void ElementSink::store(const Scalar& scalar) {
  if (dtype_ == DType::string) return store_string(scalar);
  if (scalar.kind == ScalarKind::null || scalar.kind == ScalarKind::object) {
    return set_fault(ListFaultKind::wrong_type, scalar);
  }
  if (inferred_ && dtype_ == DType::boolean && scalar.kind != ScalarKind::boolean) {
    return set_fault(ListFaultKind::wrong_type, scalar);
  }
  if (scalar.cut) {
    const auto kind = scalar.kind == ScalarKind::string ? ListFaultKind::long_string : ListFaultKind::long_number;
    return set_fault(kind, scalar, limits_.max_number_chars);
  }
  store_number(scalar);
}

void ElementSink::store_number(const Scalar& scalar) {
  if (!make_room(nullptr)) return;
  const ReadScalar reader{scalar, elements_.data() + count_ * scalar_size_};
  const std::optional<ListFaultKind> fault = visit_dtype(scalar_dtype_, reader);
  if (fault) return set_fault(*fault, scalar);
  ++count_;
}

void ElementSink::store_string(const Scalar& scalar) {
  if (scalar.kind != ScalarKind::string) return set_fault(ListFaultKind::wrong_type, scalar);
  if (scalar.cut) return set_fault(ListFaultKind::long_string, scalar, limits_.max_string);
  if (inferred_ && is_numeric(scalar)) return set_fault(ListFaultKind::mixed, scalar);
  if (!add_string(scalar.text)) {
    const std::string message = "no memory for " + std::to_string(count_ + 1) +
                                " strings: all that messages together may hold is in use; try again later";
    return set_no_memory({ErrorCode::overloaded, message, {}});
  }
  ++count_;
}

// False when there is no memory. Charged is twice the string's own size: the vector grows by doubling.
bool ElementSink::add_string(std::string_view text) {
  if (!string_charge_->add(2 * sizeof(std::string) + text.size())) return false;
  try {
    strings_.emplace_back(text);
  } catch (const std::bad_alloc&) {
    return false;
  }
  return true;
}

void ElementSink::check_nesting(const std::optional<Nesting::Fault>& found) {
  if (!found) return;
  ListFault fault;
  fault.kind = found->kind;
  fault.path = nesting_.path(found->path_length);
  fault.found = found->found;
  fault.expected = found->expected;
  set_fault(std::move(fault));
}

void ElementSink::set_fault(ListFaultKind kind, const Scalar& scalar, std::uint64_t expected) {
  ListFault fault;
  fault.kind = kind;
  fault.path = nesting_.path(nesting_.rank());
  fault.scalar = scalar.kind;
  fault.text = scalar.text;
  fault.expected = expected;
  set_fault(std::move(fault));
}

void ElementSink::set_no_memory(Error error) {
  ListFault fault;
  fault.kind = ListFaultKind::no_memory;
  fault.memory = std::move(error);
  set_fault(std::move(fault));
}

// What was read so far serves nobody any more.
void ElementSink::set_fault(ListFault fault) {
  fault_ = std::move(fault);
  elements_.reset();
  strings_ = {};
  string_charge_.reset();
  capacity_ = 0;
}

// 0 when unknown. The text up to `at` had count_ elements: as densely, with some more for safety, goes on what is to
// come.
std::uint64_t ElementSink::expected_elements(const char* at) const noexcept {
  if (!after_) return 0;
  const std::uint64_t in_piece = at == nullptr ? piece_size_ : static_cast<std::uint64_t>(at - piece_);
  const std::uint64_t read = before_ + in_piece;
  const std::uint64_t left = piece_size_ - in_piece + *after_;
  const std::uint64_t most = left / 2 + 1;  // a digit and a comma each
  if (read == 0 || count_ == 0) return count_ + most;
  const double density = static_cast<double>(count_) / static_cast<double>(read);
  return count_ + std::min(most, static_cast<std::uint64_t>(static_cast<double>(left) * density * 1.0625) + 64);
}

// Room for at least one more; false when there is none (the fault is set).
bool ElementSink::make_room(const char* at) {
  if (count_ < capacity_) return true;
  constexpr std::uint64_t kFirst = 512;
  constexpr std::uint64_t kStep = 1U << 20;  // bytes: what is charged runs ahead of what is used by no more than this
  const std::uint64_t more = std::clamp(count_ * scalar_size_ / 2, kFirst, kStep) / scalar_size_;
  const std::uint64_t expected = expected_elements(at);
  const std::uint64_t wanted = count_ + more;
  auto grown = elements_.resize(static_cast<std::size_t>(wanted * scalar_size_),
                                static_cast<std::size_t>(expected * scalar_size_));
  if (!grown.ok()) {
    set_no_memory(std::move(grown).error());
    return false;
  }
  capacity_ = wanted;
  return true;
}

Result<Tensor> ElementSink::take(const Shape& shape) {
  if (dtype_ == DType::string) return Tensor::of_strings(shape, std::move(strings_), std::move(string_charge_));
  auto fitted = elements_.resize(static_cast<std::size_t>(count_ * scalar_size_));
  if (!fitted.ok()) return std::move(fitted).error();
  return Tensor::adopt(dtype_, shape, std::move(elements_));
}

Run InferenceSink::run(const char* begin, const char* end) {
  if (family_ != Family::none && family_ != Family::numbers) return {begin, 0, false};
  const Run run = skip_run(begin, end, kinds_);
  if (run.count != 0) family_ = Family::numbers;
  return run;
}

void InferenceSink::scalar(const Scalar& scalar) {
  const bool numeric = is_numeric(scalar);
  if (family_ == Family::none) {
    family_ = numeric                              ? Family::numbers
              : scalar.kind == ScalarKind::boolean ? Family::booleans
              : scalar.kind == ScalarKind::string  ? Family::strings
                                                   : Family::none;
  }
  if (numeric) number(scalar.text);
}

void InferenceSink::number(std::string_view text) {
  if (is_nonfinite(text) || !is_written_as_integer(text)) {
    kinds_.fractions = true;
    return;
  }
  kinds_.integers = true;
  ExactInteger value;
  const bool held = parse_integer(text, value) == Fit::ok;
  if (value.negative) kinds_.negatives = true;
  if (held && !value.negative && !fits<std::int64_t>(value)) needs_uint64_ = true;
}

DType InferenceSink::dtype() const noexcept {
  if (family_ == Family::booleans) return DType::boolean;
  if (family_ == Family::strings) return DType::string;
  if (kinds_.fractions || !kinds_.integers) return DType::float64;
  return needs_uint64_ && !kinds_.negatives ? DType::uint64 : DType::int64;
}

}  // namespace tensorwire
