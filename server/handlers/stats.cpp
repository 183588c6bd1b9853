// stats: what a tensor holds, as numbers: minimum, maximum, mean, standard deviation and counts.
#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <concepts>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

#include "handlers/builtin.hpp"

namespace tensord::handlers {
namespace {

using tensorwire::DType;

// NaN and infinities are counted and left out of the rest; null where no element is left.
struct Numbers {
  Json min;
  Json max;
  Json mean;
  Json std;
  std::uint64_t nan = 0;
  std::uint64_t inf = 0;
  std::uint64_t zero = 0;
};

// Elements that are looked at together: their sums live in vector registers, one for each lane.
constexpr std::size_t kLanes = 16;

template <class T>
double to_double(T value) {
  if constexpr (requires { value.to_float(); }) {
    return static_cast<double>(value.to_float());
  } else {
    return static_cast<double>(value);
  }
}

// What one pass over real numbers finds; infinities and NaN are neither in the sum nor in the extremes.
struct Pass {
  std::array<double, kLanes> min;
  std::array<double, kLanes> max;
  std::array<double, kLanes> sum{};
  std::array<std::uint64_t, kLanes> zero{};
  std::uint64_t nan = 0;
  std::uint64_t inf = 0;

  Pass() {
    min.fill(std::numeric_limits<double>::infinity());
    max.fill(-std::numeric_limits<double>::infinity());
  }
  // All lanes at once; every value finite.
  void add(const std::array<double, kLanes>& values) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double value = values[lane];
      min[lane] = value < min[lane] ? value : min[lane];
      max[lane] = value > max[lane] ? value : max[lane];
      sum[lane] += value;
      zero[lane] += value == 0 ? 1 : 0;
    }
  }
  void add_one(double value) {
    if (std::isnan(value)) {
      ++nan;
    } else if (std::isinf(value)) {
      ++inf;
    } else {
      min[0] = std::min(min[0], value);
      max[0] = std::max(max[0], value);
      sum[0] += value;
      zero[0] += value == 0 ? 1 : 0;
    }
  }
};

template <class T>
std::array<double, kLanes> load(std::span<const T> values) {
  std::array<double, kLanes> lanes;
  for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = to_double(values[lane]);
  return lanes;
}

bool all_finite(const std::array<double, kLanes>& values) {
  double sum = 0;
  for (const double value : values) sum += value * 0.0;  // 0 unless one is NaN or infinite
  return sum == 0;
}

// Calls group() with the lanes that are finite throughout, single() with all other elements.
template <class T, class Group, class Single>
void for_each(std::span<const T> values, const Group& group, const Single& single) {
  while (values.size() >= kLanes) {
    const auto lanes = load(values.first(kLanes));
    values = values.subspan(kLanes);
    if (all_finite(lanes)) {
      group(lanes);
    } else {
      for (const double value : lanes) single(value);
    }
  }
  for (const T value : values) single(to_double(value));
}

template <class T>
double squared_deviations(std::span<const T> values, double mean) {
  std::array<double, kLanes> sum{};
  for_each(
      values,
      [&](const std::array<double, kLanes>& lanes) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) sum[lane] += (lanes[lane] - mean) * (lanes[lane] - mean);
      },
      [&](double value) {
        if (std::isfinite(value)) sum[0] += (value - mean) * (value - mean);
      });
  double total = 0;
  for (const double part : sum) total += part;
  return total;
}

template <class T>
Numbers of_floats(std::span<const T> values) {
  Pass pass;
  for_each(
      values, [&pass](const std::array<double, kLanes>& lanes) { pass.add(lanes); },
      [&pass](double value) { pass.add_one(value); });
  Numbers numbers;
  numbers.nan = pass.nan;
  numbers.inf = pass.inf;
  double sum = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    numbers.zero += pass.zero[lane];
    sum += pass.sum[lane];
  }
  const std::uint64_t count = values.size() - pass.nan - pass.inf;
  if (count == 0) return numbers;
  const double mean = sum / static_cast<double>(count);
  numbers.min = *std::min_element(pass.min.begin(), pass.min.end());
  numbers.max = *std::max_element(pass.max.begin(), pass.max.end());
  numbers.mean = mean;
  numbers.std = std::sqrt(squared_deviations(values, mean) / static_cast<double>(count));
  return numbers;
}

__extension__ using Int128 = __int128;

template <class T>
Json integer_json(T value) {
  if constexpr (std::same_as<T, bool>) {
    return value;
  } else if constexpr (std::unsigned_integral<T>) {
    return std::uint64_t{value};
  } else {
    return std::int64_t{value};
  }
}

template <class T>
Numbers of_integers(std::span<const T> values) {
  Numbers numbers;
  if (values.empty()) return numbers;
  T min = values[0];
  T max = values[0];
  Int128 sum = 0;  // exact: 2^63 elements of 64 bits would fit
  while (!values.empty()) {
    const auto block = values.first(std::min<std::size_t>(values.size(), 4096));
    values = values.subspan(block.size());
    using Sum = std::conditional_t<sizeof(T) < 8, std::int64_t, Int128>;
    Sum block_sum = 0;
    std::uint32_t zero = 0;
    for (const T value : block) {
      min = value < min ? value : min;
      max = value > max ? value : max;
      block_sum += static_cast<Sum>(value);
      zero += value == T{} ? 1U : 0U;
    }
    sum += block_sum;
    numbers.zero += zero;
  }
  numbers.min = integer_json(min);
  numbers.max = integer_json(max);
  numbers.mean = static_cast<double>(sum);  // divided by the caller, who still knows how many there were
  return numbers;
}

template <class T>
Numbers of_all_integers(std::span<const T> values) {
  Numbers numbers = of_integers(values);
  if (values.empty()) return numbers;
  const double mean = *numbers.mean.as_double() / static_cast<double>(values.size());
  numbers.mean = mean;
  numbers.std = std::sqrt(squared_deviations(values, mean) / static_cast<double>(values.size()));
  return numbers;
}

template <class Part>
Numbers of_complex(std::span<const std::complex<Part>> values) {
  Numbers numbers;
  std::complex<double> sum = 0;
  std::uint64_t count = 0;
  for (const std::complex<double> value : values) {
    if (std::isnan(value.real()) || std::isnan(value.imag())) {
      ++numbers.nan;
    } else if (std::isinf(value.real()) || std::isinf(value.imag())) {
      ++numbers.inf;
    } else {
      numbers.zero += value == 0.0 ? 1 : 0;
      sum += value;
      ++count;
    }
  }
  if (count == 0) return numbers;
  const std::complex<double> mean = sum / static_cast<double>(count);
  double squares = 0;
  for (const std::complex<double> value : values) {
    const double square = std::norm(value - mean);
    if (std::isfinite(value.real()) && std::isfinite(value.imag())) squares += square;
  }
  numbers.mean = Json::array({mean.real(), mean.imag()});  // complex numbers have no order: min and max stay null
  numbers.std = std::sqrt(squares / static_cast<double>(count));
  return numbers;
}

Numbers numbers_of(const Tensor& tensor) {
  if (tensor.dtype() == DType::string) return {};
  return tensorwire::visit_dtype(tensor.dtype(), [&tensor]<class T>() {
    const std::span<const T> values = tensor.as<T>().value();
    if constexpr (std::same_as<T, std::complex<float>> || std::same_as<T, std::complex<double>>) {
      return of_complex(values);
    } else if constexpr (std::integral<T>) {
      return of_all_integers(values);
    } else {
      return of_floats(values);
    }
  });
}

std::uint64_t byte_count(const Tensor& tensor) {
  if (tensor.dtype() != DType::string) return tensor.bytes().size();
  std::uint64_t bytes = 0;
  const std::span<const std::string> strings = tensor.strings().value();
  for (const std::string& text : strings) bytes += text.size();
  return bytes;
}

Json shape_json(const tensorwire::Shape& shape) {
  Json dims = Json::array();
  for (const std::int64_t dim : shape.dims()) dims.push(dim);
  return dims;
}

Json describe(const Item& item) {
  const Tensor& tensor = *item.tensor().value();
  Numbers numbers = numbers_of(tensor);
  Json all = Json::object();
  if (!item.name.empty()) all.set("name", item.name);
  all.set("dtype", tensorwire::to_string(tensor.dtype()));
  all.set("shape", shape_json(tensor.shape()));
  all.set("nbytes", byte_count(tensor));
  all.set("min", std::move(numbers.min));
  all.set("max", std::move(numbers.max));
  all.set("mean", std::move(numbers.mean));
  all.set("std", std::move(numbers.std));
  all.set("nan", numbers.nan);
  all.set("inf", numbers.inf);
  all.set("zero", numbers.zero);
  if (const Image* const image = item.image()) {
    const tensorwire::ImageInfo& info = image->info();
    all.set("format", tensorwire::to_string(info.format));
    all.set("width", info.width);
    all.set("height", info.height);
    all.set("channels", info.channels);
  }
  return all;
}

}  // namespace

Reply stats(Request request) {
  require_tensors(request, "stats");
  Json tensors = Json::array();
  for (const Item& item : request.tensors) tensors.push(describe(item));
  Json result = Json::object({{"tensors", std::move(tensors)}});
  add_warnings(request, result);
  return result;
}

}  // namespace tensord::handlers
