// append_list: typed elements to strict JSON text that ListReader reads back bit for bit.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "hex.hpp"
#include "list.hpp"
#include "number_run.hpp"
#include "numbers.hpp"
#include "tensorwire/utf8.hpp"

namespace tensorwire {
namespace {

// Enough for any element and the comma before it: the longest is a complex number of twice the 24 characters of
// -2.2250738585072014e-308.
constexpr std::size_t kMaxElement = 64;
// Elements that are written between two checks for room.
constexpr std::size_t kBatch = 1024;
// A tensor without elements is written nested while that takes at most so many lists, and as [] otherwise: nobody pays
// for the axes before an empty one.
constexpr std::int64_t kMaxEmptyLists = 4096;

char* write_text(char* out, std::string_view text) noexcept {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

template <class T>
char* write_digits(char* out, T value) noexcept {
  return std::to_chars(out, out + kMaxElement, value).ptr;
}

template <std::integral T>
char* write_element(char* out, T value) noexcept {
  if constexpr (sizeof(T) < 8) {
    return write_digits(out, value);
  } else {
    // Beyond ±2^53 many readers would round a number.
    constexpr std::int64_t kExact = std::int64_t{1} << 53;
    const bool exact = std::cmp_less_equal(value, kExact) && std::cmp_greater_equal(value, -kExact);
    if (exact) return write_digits(out, value);
    *out++ = '"';
    out = write_digits(out, value);
    *out++ = '"';
    return out;
  }
}

char* write_element(char* out, bool value) noexcept { return write_text(out, value ? "true" : "false"); }

char* write_nonfinite(char* out, double value) noexcept {
  if (std::isnan(value)) return write_text(out, "\"NaN\"");
  return write_text(out, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
}

// A float stays recognisable as one: 1 becomes 1.0.
char* mark_float(char* begin, char* end) noexcept {
  const bool marked = std::any_of(begin, end, [](char c) { return c == '.' || c == 'e'; });
  return marked ? end : write_text(end, ".0");
}

char* write_element(char* out, double value) noexcept {
  if (!std::isfinite(value)) return write_nonfinite(out, value);
  return mark_float(out, write_digits(out, value));
}

// Whether a reader that goes through double (many JSON libraries) finds the float, too: its shortest text may lie so
// close to a halfway point that the double for it is that point. kRunSlack bytes from begin on can be read.
bool survives_double(const char* begin, char* end, float value) noexcept {
  *end = ',';
  const Decimal decimal = scan_decimal(begin);
  float sure = 0;
  if (decimal.end == end && round_plain(decimal.digits, decimal.exponent, sure)) return true;
  double read = 0;
  std::from_chars(begin, end, read);
  return static_cast<float>(read) == value;
}

char* write_element(char* out, float value) noexcept {
  if (!std::isfinite(value)) return write_nonfinite(out, double{value});
  char* const end = write_digits(out, value);
  return mark_float(out, survives_double(out, end, value) ? end : write_digits(out, double{value}));
}

// Whole numbers as they are; otherwise the fewest digits whose double still rounds to the same element.
template <SmallFloat T>
char* write_element(char* out, T element) noexcept {
  constexpr double kWhole = 65536;
  constexpr int kMostDigits = 5;  // of float16; the others need fewer
  const auto value = double{element.to_float()};
  if (!std::isfinite(value)) return write_nonfinite(out, value);
  if (std::trunc(value) == value && std::abs(value) <= kWhole && !(value == 0 && std::signbit(value))) {
    return write_text(write_digits(out, static_cast<std::int32_t>(value)), ".0");
  }
  for (int digits = 1; digits <= kMostDigits; ++digits) {
    char* const end = std::to_chars(out, out + kMaxElement, value, std::chars_format::general, digits).ptr;
    double read = 0;
    std::from_chars(out, end, read);
    if (T::from(read) == element) return mark_float(out, end);
  }
  return mark_float(out, write_digits(out, value));
}

template <class T>
char* write_element(char* out, std::complex<T> value) noexcept {
  *out++ = '[';
  out = write_element(out, value.real());
  *out++ = ',';
  out = write_element(out, value.imag());
  *out++ = ']';
  return out;
}

// Text that grows at the end of a Buffer: room is made ahead, and size() put right by trim().
class Appender {
 public:
  explicit Appender(Buffer& out) : out_(out), begin_(out.size()), size_(begin_) {}

  // Where n characters more can be written; null when there is no memory (then error() says so).
  [[nodiscard]] char* room(std::size_t n) {
    if (out_.size() - size_ < n) {
      auto grown = out_.resize(size_ + n + std::min(size_ / 4, kStep));
      if (!grown.ok()) {
        error_ = std::move(grown).error();
        return nullptr;
      }
    }
    return reinterpret_cast<char*>(out_.data()) + size_;
  }
  void written_to(const char* end) noexcept {
    size_ = static_cast<std::size_t>(end - reinterpret_cast<const char*>(out_.data()));
  }
  [[nodiscard]] bool add(std::string_view text) {
    char* const at = room(text.size());
    if (at != nullptr) written_to(write_text(at, text));
    return at != nullptr;
  }
  [[nodiscard]] Result<void> trim() { return out_.resize(size_); }
  // After a failure: leaves the buffer as it was found.
  [[nodiscard]] Result<void> give_up() {
    (void)out_.resize(begin_).ok();
    return error_;
  }
  void fail(Error error) { error_ = std::move(error); }

 private:
  static constexpr std::size_t kStep = 1U << 20;
  Buffer& out_;
  const std::size_t begin_;
  std::size_t size_;
  Error error_;
};

// Elements [first, first + count) with commas between them.
template <class T>
bool write_row(Appender& out, const std::byte* elements, std::size_t first, std::size_t count) {
  for (std::size_t done = 0; done < count;) {
    const std::size_t batch = std::min(kBatch, count - done);
    char* at = out.room(batch * kMaxElement + kRunSlack);
    if (at == nullptr) return false;
    for (std::size_t i = 0; i < batch; ++i, ++done) {
      if (done != 0) *at++ = ',';
      if constexpr (std::same_as<T, bool>) {
        at = write_element(at, elements[first + done] != std::byte{0});
      } else {
        T value;
        std::memcpy(&value, elements + (first + done) * sizeof(T), sizeof value);
        at = write_element(at, value);
      }
    }
    out.written_to(at);
  }
  return true;
}

bool is_utf8(std::string_view text) noexcept {
  Utf8State state;
  return std::all_of(text.begin(), text.end(), [&](char c) { return state.take(static_cast<unsigned char>(c)); }) &&
         state.complete();
}

bool write_string(Appender& out, std::string_view text) {
  char* at = out.room(text.size() * 6 + 2);
  if (at == nullptr) return false;
  *at++ = '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      at = write_text(at, "\\u00");
      *at++ = hex_digit(byte >> 4U);
      *at++ = hex_digit(byte);
      continue;
    }
    if (c == '"' || c == '\\') *at++ = '\\';
    *at++ = c;
  }
  *at++ = '"';
  out.written_to(at);
  return true;
}

bool write_strings(Appender& out, std::span<const std::string> strings, std::size_t first, std::size_t count) {
  for (std::size_t i = first; i < first + count; ++i) {
    if (!is_utf8(strings[i])) {
      out.fail({ErrorCode::handler_failed,
                "string " + std::to_string(i) + " of a tensor is not UTF-8, as JSON needs; send such bytes as uint8",
                {}});
      return false;
    }
    if (i != first && !out.add(",")) return false;
    if (!write_string(out, strings[i])) return false;
  }
  return true;
}

// Writes the nested lists of one tensor, from the outer axis inwards.
class ListWriter {
 public:
  ListWriter(Appender& out, const TensorView& tensor, std::span<const std::string> strings)
      : out_(out), tensor_(tensor), strings_(strings) {}

  // The sub-tensor from `axis` on, whose first element is number next_; at most kMaxRank calls deep.
  bool write(std::size_t axis) {
    const Shape& shape = tensor_.shape();
    if (axis == shape.rank()) return row(1);
    if (!out_.add("[")) return false;
    if (axis + 1 == shape.rank()) return row(static_cast<std::size_t>(shape[axis])) && out_.add("]");
    for (std::int64_t i = 0; i < shape[axis]; ++i) {
      if (i != 0 && !out_.add(",")) return false;
      if (!write(axis + 1)) return false;
    }
    return out_.add("]");
  }

 private:
  bool row(std::size_t count) {
    const std::size_t first = next_;
    next_ += count;
    if (tensor_.dtype() == DType::string) return write_strings(out_, strings_, first, count);
    return visit_dtype(tensor_.dtype(), RowWriter{out_, tensor_.bytes().data(), first, count});
  }

  struct RowWriter {
    Appender& out;
    const std::byte* elements;
    std::size_t first;
    std::size_t count;
    template <class T>
    bool operator()() const {
      return write_row<T>(out, elements, first, count);
    }
  };

  Appender& out_;
  const TensorView& tensor_;
  std::span<const std::string> strings_;
  std::size_t next_ = 0;
};

// How many lists the axes before the first empty one would make, given up above kMaxEmptyLists.
bool few_lists(const Shape& shape) noexcept {
  std::int64_t lists = 1;
  for (const std::int64_t dim : shape.dims()) {
    if (dim == 0) return true;
    if (dim > kMaxEmptyLists / lists) return false;
    lists *= dim;
  }
  return true;
}

}  // namespace

Result<void> append_list(Buffer& out, const TensorView& tensor) {
  Appender text(out);
  std::span<const std::string> strings;
  if (tensor.dtype() == DType::string) {
    auto found = tensor.strings();
    if (!found.ok()) return std::move(found).error();
    strings = *found;
  }
  const bool written =
      tensor.size() == 0 && !few_lists(tensor.shape()) ? text.add("[]") : ListWriter(text, tensor, strings).write(0);
  if (written) return text.trim();
  return text.give_up();
}

}  // namespace tensorwire
