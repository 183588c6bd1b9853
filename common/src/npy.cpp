// Reads and writes .npy headers with a parser for the one Python literal that they are, and brings the elements in
// order.
#include "tensorwire/npy.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

namespace tensorwire {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kAlignment = 64;  // of the elements in the file
constexpr std::size_t kMaxShown = 40;   // characters of the file that a message repeats

Error damaged(const std::string& what) { return {ErrorCode::bad_message, "this is no valid .npy file: " + what, {}}; }

std::string shown(std::string_view text) {
  return '"' + std::string(text.substr(0, kMaxShown)) + (text.size() > kMaxShown ? "...\"" : "\"");
}

struct Header {
  ParsedDType dtype;
  bool fortran_order = false;
  Shape shape;
};

// Why a numpy dtype that no tensor has is refused, by its kind letter.
std::string_view reason_for(char kind) noexcept {
  switch (kind) {
    case 'O':
      return "holds Python objects, which would have to be unpickled; save a numeric array";
    case 'U':
      return "holds unicode strings; send labels as a `data` list of dtype string";
    case 'S':
    case 'a':
      return "holds byte strings; send labels as a `data` list of dtype string";
    case 'M':
    case 'm':
      return "holds dates or time spans; save array.astype('int64')";
    case 'V':
      return "holds raw records; a bfloat16 or float8 array is saved as array.view('uint16') or .view('uint8')";
    default:
      return "has elements of a type that no tensor has";
  }
}

Error refused_dtype(std::string_view descr, char kind) {
  return {ErrorCode::bad_dtype, "the .npy file with dtype " + shown(descr) + " " + std::string(reason_for(kind)), {}};
}

// A numpy typestr: an optional byte order, then kind and size in exactly numpy's letters.
Result<ParsedDType> parse_descr(std::string_view descr) {
  const bool ordered = !descr.empty() && std::string_view("<>|=").find(descr.front()) != std::string_view::npos;
  const std::string_view code = ordered ? descr.substr(1) : descr;
  const char kind = code.empty() ? '\0' : code.front();
  if ((kind < 'a' || kind > 'z') && kind != '?') return refused_dtype(descr, kind);
  auto parsed = parse_dtype((ordered ? std::string(1, descr.front()) : "=") + std::string(code));
  if (!parsed.ok()) return refused_dtype(descr, kind);
  return parsed;
}

// Reads the header's text: the literal of a dict with the keys descr, fortran_order and shape.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  Result<Header> parse() {
    if (!take('{')) return unexpected("'{'");
    while (!take('}')) {
      auto read = parse_entry();
      if (!read.ok()) return std::move(read).error();
      if (!take(',') && peek() != '}') return unexpected("',' or '}'");
    }
    peek();
    if (!rest_.empty()) return unexpected("the end of the header");
    if (!dtype_ || !fortran_order_ || !shape_) return damaged("its header lacks descr, fortran_order or shape");
    return Header{*dtype_, *fortran_order_, *shape_};
  }

 private:
  // The next character that is no white space, not consumed; NUL at the end.
  char peek() {
    const std::size_t at = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(std::min(at, rest_.size()));
    return rest_.empty() ? '\0' : rest_.front();
  }

  bool take(char c) {
    if (peek() != c || rest_.empty()) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool take_word(std::string_view word) {
    peek();
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  std::optional<std::string_view> take_string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') return std::nullopt;
    const std::size_t end = rest_.find(quote, 1);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view text = rest_.substr(1, end - 1);
    if (text.find('\\') != std::string_view::npos) return std::nullopt;  // numpy escapes nothing here
    rest_.remove_prefix(end + 1);
    return text;
  }

  Result<void> parse_entry() {
    const auto key = take_string();
    if (!key) return unexpected("a key in quotes");
    if (!take(':')) return unexpected("':'");
    if (*key == "descr" && !dtype_) return parse_dtype_entry();
    if (*key == "fortran_order" && !fortran_order_) return parse_order_entry();
    if (*key == "shape" && !shape_) return parse_shape_entry();
    return damaged("its header has the key " + shown(*key) + " twice, or one that numpy does not write");
  }

  Result<void> parse_dtype_entry() {
    if (peek() == '[' || peek() == '(') {
      return Error{ErrorCode::bad_dtype, "the .npy file has a structured dtype; save its fields one by one", {}};
    }
    const auto descr = take_string();
    if (!descr) return unexpected("the dtype in quotes");
    auto parsed = parse_descr(*descr);
    if (!parsed.ok()) return std::move(parsed).error();
    dtype_ = *parsed;
    return {};
  }

  Result<void> parse_order_entry() {
    if (take_word("True")) {
      fortran_order_ = true;
    } else if (take_word("False")) {
      fortran_order_ = false;
    } else {
      return unexpected("True or False");
    }
    return {};
  }

  Result<void> parse_shape_entry() {
    std::array<std::int64_t, kMaxRank> dims{};
    std::size_t rank = 0;
    if (!take('(')) return unexpected("the shape's '('");
    while (!take(')')) {
      const auto dim = take_dimension();
      if (!dim) return unexpected("a dimension from 0 to 9223372036854775807");
      if (rank == kMaxRank) return too_many_axes();
      dims[rank++] = *dim;
      const bool comma = take(',');
      if (!comma && (peek() != ')' || rank == 1)) return unexpected("','");  // "(3)" is no tuple in Python
    }
    auto shape = Shape::from({dims.data(), rank});
    if (!shape.ok()) return std::move(shape).error();
    shape_ = *shape;
    return {};
  }

  std::optional<std::int64_t> take_dimension() {
    if (peek() < '0' || peek() > '9') return std::nullopt;
    std::int64_t value = 0;
    const auto [end, failure] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (failure != std::errc()) return std::nullopt;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    take('L');  // Python 2 marked its long integers
    return value;
  }

  Error unexpected(const std::string& wanted) {
    peek();
    const std::string found = rest_.empty() ? "its end" : shown(rest_);
    return damaged("the header should have " + wanted + " where " + found + " stands");
  }
  static Error too_many_axes() {
    return {ErrorCode::bad_shape, "the .npy file has more than " + std::to_string(kMaxRank) + " axes", {}};
  }

  std::string_view rest_;
  std::optional<ParsedDType> dtype_;
  std::optional<bool> fortran_order_;
  std::optional<Shape> shape_;
};

// The header's text and where the elements begin.
struct Layout {
  std::string_view header;
  std::size_t data_at = 0;
};

std::size_t little_endian(std::span<const std::byte> bytes) noexcept {
  std::size_t value = 0;
  for (std::size_t index = bytes.size(); index-- > 0;)
    value = (value << 8) | std::to_integer<std::size_t>(bytes[index]);
  return value;
}

Result<Layout> find_header(std::span<const std::byte> file) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!text.starts_with(kMagic)) return damaged("it does not begin with \\x93NUMPY");
  constexpr std::size_t kVersionAt = kMagic.size();
  constexpr std::size_t kLengthAt = kVersionAt + 2;
  if (text.size() < kLengthAt) return damaged("it ends inside of its version");
  const int major = std::to_integer<int>(file[kVersionAt]);
  if (major < 1 || major > 3) return damaged("its version is " + std::to_string(major) + ", known are 1, 2 and 3");
  const std::size_t length_size = major == 1 ? 2 : 4;
  const std::size_t header_at = kLengthAt + length_size;
  if (text.size() < header_at) return damaged("it ends inside of its header's length");
  const std::size_t length = little_endian(file.subspan(kLengthAt, length_size));
  if (length > text.size() - header_at) return damaged("it ends inside of its header");
  return Layout{text.substr(header_at, length), header_at + length};
}

// Copies the elements of a Fortran-order array into C order: in tiles over the first axis, along which the source is
// contiguous, and the last one, along which the target is; all axes between are walked one index at a time.
template <std::size_t kSize>
class Transposer {
 public:
  Transposer(const std::byte* source, std::byte* target, const Shape& shape)
      : source_(source), target_(target), shape_(shape), rank_(shape.rank()) {
    std::size_t step = kSize;
    for (std::size_t axis = 0; axis < rank_; ++axis) {
      from_step_[axis] = step;
      step *= dim(axis);
    }
    step = kSize;
    for (std::size_t axis = rank_; axis-- > 0;) {
      to_step_[axis] = step;
      step *= dim(axis);
    }
  }

  // The rank must be at least 2 and no axis 0.
  void run() noexcept {
    do {
      copy_plane();
    } while (advance());
  }

 private:
  static constexpr std::size_t kTile = 32;

  [[nodiscard]] std::size_t dim(std::size_t axis) const noexcept { return static_cast<std::size_t>(shape_[axis]); }

  void copy_plane() noexcept {
    for (std::size_t i = 0; i < dim(0); i += kTile) {
      for (std::size_t j = 0; j < dim(rank_ - 1); j += kTile) copy_tile(i, j);
    }
  }

  void copy_tile(std::size_t i_begin, std::size_t j_begin) noexcept {
    const std::size_t i_end = std::min(i_begin + kTile, dim(0));
    const std::size_t j_end = std::min(j_begin + kTile, dim(rank_ - 1));
    for (std::size_t i = i_begin; i < i_end; ++i) {
      for (std::size_t j = j_begin; j < j_end; ++j) {
        std::memcpy(target_ + to_ + i * to_step_[0] + j * kSize,
                    source_ + from_ + i * kSize + j * from_step_[rank_ - 1], kSize);
      }
    }
  }

  // Goes to the next index of the middle axes; false when all were visited.
  bool advance() noexcept {
    for (std::size_t axis = rank_ - 1; axis-- > 1;) {
      from_ += from_step_[axis];
      to_ += to_step_[axis];
      if (++index_[axis] < dim(axis)) return true;
      from_ -= from_step_[axis] * dim(axis);
      to_ -= to_step_[axis] * dim(axis);
      index_[axis] = 0;
    }
    return false;
  }

  const std::byte* source_;
  std::byte* target_;
  const Shape& shape_;
  std::size_t rank_;
  std::array<std::size_t, kMaxRank> from_step_{};
  std::array<std::size_t, kMaxRank> to_step_{};
  std::array<std::size_t, kMaxRank> index_{};
  std::size_t from_ = 0;
  std::size_t to_ = 0;
};

void copy_elements(std::span<const std::byte> source, Tensor& tensor, bool fortran_order) noexcept {
  std::byte* target = tensor.bytes().data();
  const Shape& shape = tensor.shape();
  if (source.empty()) return;
  if (!fortran_order || shape.rank() < 2) {
    std::memcpy(target, source.data(), source.size());
    return;
  }
  switch (itemsize(tensor.dtype())) {
    case 1:
      return Transposer<1>(source.data(), target, shape).run();
    case 2:
      return Transposer<2>(source.data(), target, shape).run();
    case 4:
      return Transposer<4>(source.data(), target, shape).run();
    case 8:
      return Transposer<8>(source.data(), target, shape).run();
    default:
      return Transposer<16>(source.data(), target, shape).run();
  }
}

Error too_short(const Header& header, std::uint64_t needed, std::size_t got) {
  return {ErrorCode::size_mismatch,
          "the .npy file is cut short: shape " + header.shape.to_string() + " of " +
              std::string(to_string(header.dtype.dtype)) + " needs " + std::to_string(needed) +
              " bytes behind the header, got " + std::to_string(got),
          {}};
}

// numpy's typestr for a dtype; the storage type of the same size for those that numpy lacks.
std::string_view numpy_descr(DType dtype) noexcept {
  constexpr std::array<std::string_view, kDTypeCount> kDescrs = {"|b1", "|i1", "<i2", "<i4", "<i8",  "|u1",
                                                                 "<u2", "<u4", "<u8", "<f2", "<u2",  "<f4",
                                                                 "<f8", "|u1", "|u1", "<c8", "<c16", ""};
  return kDescrs[static_cast<std::size_t>(dtype)];
}

// "(3, 4)", "(3,)", "()"
std::string python_tuple(const Shape& shape) {
  std::string text = "(";
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    if (axis != 0) text += ", ";
    text += std::to_string(shape[axis]);
  }
  return text + (shape.rank() == 1 ? ",)" : ")");
}

}  // namespace

Result<Tensor> read_npy(std::span<const std::byte> file, BufferPool& pool) {
  const auto layout = find_header(file);
  if (!layout.ok()) return layout.error();
  const auto header = HeaderParser(layout->header).parse();
  if (!header.ok()) return header.error();
  const auto needed = header->shape.byte_count(header->dtype.dtype);
  if (!needed.ok()) return needed.error();
  const auto elements = file.subspan(layout->data_at);
  if (*needed > elements.size()) return too_short(*header, *needed, elements.size());
  auto tensor = Tensor::allocate(header->dtype.dtype, header->shape, pool);
  if (!tensor.ok()) return tensor;
  copy_elements(elements.first(static_cast<std::size_t>(*needed)), *tensor, header->fortran_order);
  if (header->dtype.big_endian) swap_bytes(tensor->bytes(), info(header->dtype.dtype).swap_unit);
  return tensor;
}

Result<std::string> npy_header(DType dtype, const Shape& shape) {
  if (dtype == DType::string) {
    return Error{ErrorCode::bad_dtype, "a string tensor has no .npy form; ask for it as a JSON list", {}};
  }
  const std::string dict = "{'descr': '" + std::string(numpy_descr(dtype)) +
                           "', 'fortran_order': False, 'shape': " + python_tuple(shape) + ", }";
  const std::size_t prefix = kMagic.size() + 4;
  const std::size_t total = (prefix + dict.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
  const std::size_t length = total - prefix;  // at most kMaxRank × 21 characters of shape: it fits version 1's 16 bits
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>(length & 0xFF), static_cast<char>(length >> 8)};
  header += dict;
  header.append(total - 1 - header.size(), ' ');
  return header + '\n';
}

}  // namespace tensorwire
