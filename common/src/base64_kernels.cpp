// Chooses the base64 kernel for this CPU, once, unless a person or a test asks for another one.
#include "base64_kernels.hpp"

#include <atomic>
#include <cstdlib>

#include "tensorwire/base64.hpp"

namespace tensorwire {
namespace {

using base64_detail::KernelTable;

constexpr Base64Kernel best_first[] = {Base64Kernel::avx512, Base64Kernel::avx2, Base64Kernel::neon,
                                       Base64Kernel::portable};

// The kernel's functions, or null where this CPU or its operating system cannot run them. The builtin looks at what
// the operating system saves on a task switch, too, not only at the CPU's own claim.
const KernelTable* table_of(Base64Kernel kernel) noexcept {
  switch (kernel) {
    case Base64Kernel::portable:
      return &base64_detail::portable_kernel;
#if defined(__x86_64__)
    case Base64Kernel::avx2:
      __builtin_cpu_init();
      return __builtin_cpu_supports("avx2") ? &base64_detail::avx2_kernel : nullptr;
    case Base64Kernel::avx512:
      __builtin_cpu_init();
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vbmi")
                 ? &base64_detail::avx512_kernel
                 : nullptr;
#elif defined(__aarch64__)
    case Base64Kernel::neon:
      return &base64_detail::neon_kernel;
#endif
    default:
      return nullptr;
  }
}

Base64Kernel kernel_at_start() noexcept {
  const char* wish = std::getenv("TENSORD_CPU");
  return choose_base64_kernel(wish == nullptr ? std::string_view() : std::string_view(wish));
}

// Tests change the choice while other threads may decode, hence the atomics; relaxed, for tables are constants.
struct Choice {
  explicit Choice(Base64Kernel chosen) noexcept : kernel(chosen), table(table_of(chosen)) {}
  std::atomic<Base64Kernel> kernel;
  std::atomic<const KernelTable*> table;
};

Choice& choice() noexcept {
  static Choice instance(kernel_at_start());
  return instance;
}

}  // namespace

const KernelTable& base64_detail::active_kernel() noexcept { return *choice().table.load(std::memory_order_relaxed); }

Base64Kernel base64_kernel() noexcept { return choice().kernel.load(std::memory_order_relaxed); }

std::vector<Base64Kernel> supported_base64_kernels() {
  std::vector<Base64Kernel> supported;
  for (const Base64Kernel kernel : best_first) {
    if (table_of(kernel) != nullptr) supported.push_back(kernel);
  }
  return supported;
}

bool set_base64_kernel(Base64Kernel kernel) noexcept {
  const KernelTable* table = table_of(kernel);
  if (table == nullptr) return false;
  choice().table.store(table, std::memory_order_relaxed);
  choice().kernel.store(kernel, std::memory_order_relaxed);
  return true;
}

Base64Kernel choose_base64_kernel(std::string_view wish) noexcept {
  for (const Base64Kernel kernel : best_first) {
    if (to_string(kernel) == wish && table_of(kernel) != nullptr) return kernel;
  }
  for (const Base64Kernel kernel : best_first) {
    if (table_of(kernel) != nullptr) return kernel;
  }
  return Base64Kernel::portable;
}

std::string_view to_string(Base64Kernel kernel) noexcept {
  switch (kernel) {
    case Base64Kernel::portable:
      return "portable";
    case Base64Kernel::neon:
      return "neon";
    case Base64Kernel::avx2:
      return "avx2";
    case Base64Kernel::avx512:
      return "avx512";
  }
  return "unknown";
}

}  // namespace tensorwire
