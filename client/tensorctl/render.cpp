// Puts tensors and JSON into lines and columns.
#include "render.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <complex>
#include <cstdio>
#include <type_traits>
#include <vector>

namespace tensorctl {

using tensorwire::Json;
using tensorwire::TensorView;

namespace {

constexpr std::size_t kWhole = 64;      // elements up to which a tensor is printed whole
constexpr std::size_t kBeginning = 8;   // elements shown of a larger one
constexpr std::size_t kCell = 100;      // characters that a table's cell may have
constexpr std::size_t kMaxNested = 12;  // levels that are laid out; what is deeper stays on one line

std::string number(double value) {
  std::array<char, 40> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::string(text.data(), end) : "?";
}

std::string short_number(float value) {
  std::array<char, 40> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::string(text.data(), end) : "?";
}

template <class T>
std::string element_text(T value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(value);
  } else if constexpr (std::is_same_v<T, double>) {
    return number(value);
  } else if constexpr (std::is_same_v<T, float>) {
    return short_number(value);
  } else if constexpr (std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>) {
    const std::string imaginary = element_text(value.imag());
    return element_text(value.real()) + (imaginary.starts_with('-') ? "" : "+") + imaginary + "j";
  } else {
    return short_number(value.to_float());
  }
}

std::vector<std::string> first_elements(const TensorView& view, std::size_t count) {
  std::vector<std::string> texts;
  if (view.dtype() == tensorwire::DType::string) {
    const auto strings = view.strings();
    if (!strings.ok()) return texts;
    for (const std::string& text : strings->first(count)) texts.push_back(Json(text).dump());
    return texts;
  }
  tensorwire::visit_dtype(view.dtype(), [&]<class T>() {
    const auto values = view.as<T>();
    if (!values.ok()) return;
    for (const T& value : values->first(count)) texts.push_back(element_text<T>(value));
  });
  return texts;
}

// Nested brackets following the shape, each row of the last axis on a line of its own, columns aligned.
class Brackets {
 public:
  Brackets(const tensorwire::Shape& shape, std::vector<std::string> texts, std::size_t indent)
      : shape_(shape), texts_(std::move(texts)), indent_(indent) {
    for (const std::string& text : texts_) width_ = std::max(width_, text.size());
  }
  std::string render() {
    std::string out(indent_, ' ');
    axis(0, out);
    return out + "\n";
  }

 private:
  void axis(std::size_t depth, std::string& out) {
    if (depth == shape_.rank()) return element(out);
    out += '[';
    const bool last = depth + 1 == shape_.rank();
    for (std::int64_t i = 0; i < shape_[depth]; ++i) {
      if (i > 0) out += last ? ", " : ",\n" + std::string(indent_ + depth + 1, ' ');
      axis(depth + 1, out);
    }
    out += ']';
  }
  void element(std::string& out) {
    const std::string& text = texts_[next_++];
    out.append(shape_.rank() > 1 ? width_ - text.size() : 0, ' ').append(text);
  }

  const tensorwire::Shape& shape_;
  std::vector<std::string> texts_;
  std::size_t indent_;
  std::size_t width_ = 0;
  std::size_t next_ = 0;
};

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width > text.size() ? width - text.size() : 0, ' ');
}

// Enough for the eye; --json has every digit.
std::string six_digits(double value) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return text.data();
}

// Text as it may be shown on a terminal: strings unquoted where nothing in them could be mistaken or acted upon.
std::string inline_text(const Json& json) {
  if (const auto text = json.as_string()) {
    const bool plain = !text->empty() && std::all_of(text->begin(), text->end(), [](char c) {
      return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f && c != '"';
    });
    if (plain) return std::string(*text);
  }
  if (const double* value = std::get_if<double>(&json.value())) return six_digits(*value);
  return json.dump();
}

// An array of scalars as a line of text; numbers keep their brackets, as a shape has them.
std::string line_text(const Json& json) {
  const Json::Array* items = json.as_array();
  const auto is_text = [](const Json& item) { return item.as_string().has_value(); };
  if (items == nullptr || items->empty() || !std::all_of(items->begin(), items->end(), is_text))
    return inline_text(json);
  std::string out;
  for (const Json& item : *items) out.append(out.empty() ? "" : ", ").append(inline_text(item));
  return out;
}

bool is_table(const Json& json) {
  const Json::Array* rows = json.as_array();
  if (rows == nullptr || rows->empty()) return false;
  return std::all_of(rows->begin(), rows->end(), [](const Json& row) {
    const Json::Object* members = row.as_object();
    return members != nullptr && !members->empty() && members->size() <= 20 &&
           std::all_of(members->begin(), members->end(),
                       [](const Json::Member& member) { return inline_text(member.second).size() <= kCell; });
  });
}

std::vector<std::string> columns_of(const Json::Array& rows) {
  std::vector<std::string> names;
  for (const Json& row : rows) {
    for (const auto& [name, value] : *row.as_object()) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

std::string cell(const Json& row, const std::string& column) {
  const Json* value = row.find(column);
  return value == nullptr ? "" : inline_text(*value);
}

std::string render_table(const Json::Array& rows, std::size_t indent) {
  std::vector<std::string> lines(rows.size() + 1, std::string(indent, ' '));
  for (const std::string& column : columns_of(rows)) {
    std::size_t width = column.size();
    for (const Json& row : rows) width = std::max(width, cell(row, column).size());
    lines[0] += padded(column, width + 2);
    for (std::size_t i = 0; i < rows.size(); ++i) lines[i + 1] += padded(cell(rows[i], column), width + 2);
  }
  std::string out;
  for (std::string& line : lines) {
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string render_member(const std::string& label, const Json& value, std::size_t width, std::size_t indent) {
  const std::string before = std::string(indent, ' ');
  const bool container = (value.as_object() != nullptr && !value.as_object()->empty()) || is_table(value);
  if (!container || indent > 2 * kMaxNested) return before + padded(label, width) + "  " + line_text(value) + "\n";
  return before + label + "\n" + render_json(value, indent + 2);
}

}  // namespace

std::string human_bytes(double bytes) {
  constexpr std::array<const char*, 5> units{"B", "KB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  for (; bytes >= 999.5 && unit + 1 < units.size(); ++unit) bytes /= 1000;
  std::array<char, 40> text{};
  const int digits = unit == 0 || bytes >= 100 ? 0 : bytes >= 10 ? 1 : 2;
  std::snprintf(text.data(), text.size(), "%.*f %s", digits, bytes, units[unit]);
  return text.data();
}

std::string human_seconds(double seconds) {
  std::array<char, 40> text{};
  if (seconds < 1e-3) {
    std::snprintf(text.data(), text.size(), "%.0f µs", seconds * 1e6);
  } else if (seconds < 1) {
    std::snprintf(text.data(), text.size(), "%.2f ms", seconds * 1e3);
  } else {
    std::snprintf(text.data(), text.size(), "%.2f s", seconds);
  }
  return text.data();
}

std::string render_values(const TensorView& view, std::size_t indent) {
  const auto count = static_cast<std::size_t>(view.size());
  if (count <= kWhole) return Brackets(view.shape(), first_elements(view, count), indent).render();
  std::string out(indent, ' ');
  for (const std::string& text : first_elements(view, kBeginning)) out += text + ", ";
  return out + "… " + std::to_string(count - kBeginning) + " more\n";
}

std::string render_json(const Json& json, std::size_t indent) {
  if (is_table(json)) return render_table(*json.as_array(), indent);
  const Json::Object* members = json.as_object();
  if (members == nullptr) return std::string(indent, ' ') + inline_text(json) + "\n";
  std::size_t width = 0;
  for (const auto& [name, value] : *members) width = std::max(width, name.size());
  std::string out;
  for (const auto& [name, value] : *members) out += render_member(name, value, width, indent);
  return out;
}

namespace {

std::string title_of(const tensorwire::Item& item, std::size_t index) {
  return item.name.empty() ? "tensor " + std::to_string(index) : inline_text(Json(item.name));
}

std::string render_item(const tensorwire::Item& item, std::size_t index) {
  std::string out = title_of(item, index) + "  ";
  if (const tensorwire::Image* image = item.image()) {
    const auto& info = image->info();
    return out + std::string(tensorwire::to_string(info.format)) + " image  " + std::to_string(info.width) + " x " +
           std::to_string(info.height) + ", " + std::to_string(info.channels) + " channels, " +
           human_bytes(static_cast<double>(image->file().size())) + "\n";
  }
  const auto tensor = item.tensor();
  if (!tensor.ok()) return out + tensor.error().message + "\n";
  const TensorView view = (*tensor)->view();
  out += std::string(tensorwire::to_string(view.dtype())) + "  " + view.shape().to_string() + "  " +
         human_bytes(static_cast<double>(view.bytes().size())) + "\n";
  return out + (view.size() == 0 ? "" : render_values(view, 2));
}

}  // namespace

std::string render_reply(const tensorwire::Reply& reply) {
  std::string out;
  for (std::size_t i = 0; i < reply.tensors.size(); ++i) out += render_item(reply.tensors[i], i);
  if (!reply.result.is_null()) out += render_json(reply.result, 0);
  return out;
}

}  // namespace tensorctl
