// See peak_rates.h. One function per form and instruction set, each compiled for its own; nothing here runs
// before the processor was asked.
#include "machine/peak_rates.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <thread>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/error.h"

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif
#define TARGET(features) __attribute__((target(features)))

namespace chaski {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Seconds from the moment n threads are let go together to the last one's end.
double timed(int n, const std::function<void(int)>& work) {
  std::atomic<int> n_ready{0};
  std::atomic<bool> may_go{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i) {
    threads.emplace_back([&, i] {
      ++n_ready;
      while (!may_go.load(std::memory_order_acquire)) {
      }
      work(i);
    });
  }
  while (n_ready < n) std::this_thread::yield();
  const auto start = Clock::now();
  may_go.store(true, std::memory_order_release);
  for (std::thread& thread : threads) thread.join();
  return since(start);
}

// ---- reading: bytes [p, p + n), n a multiple of 512 ----

constexpr size_t kBlock = 512;
constexpr size_t kAhead = 4096;  // bytes that a software prefetch is ahead

void read_portable(const uint8_t* p, size_t n) {
  uint64_t sums[8] = {};
  for (size_t i = 0; i < n; i += 64) {
    uint64_t line[8];
    std::memcpy(line, p + i, 64);
    for (int k = 0; k < 8; ++k) sums[k] += line[k];
  }
  for (const uint64_t sum : sums) asm volatile("" ::"r"(sum));
}

#if defined(__x86_64__)
#define READ(NAME, FEATURES, VEC, ZERO, LOAD_ADD, PREFETCH)                                              \
  TARGET(FEATURES) void NAME(const uint8_t* p, size_t n) {                                               \
    constexpr size_t kVectors = kBlock / sizeof(VEC) / (sizeof(VEC) == 32 ? 2 : 1);                      \
    VEC sums[kVectors];                                                                                  \
    for (auto& sum : sums) sum = ZERO;                                                                   \
    for (size_t i = 0; i < n; i += kVectors * sizeof(VEC)) {                                             \
      UNROLL for (size_t k = 0; k < kVectors; ++k) sums[k] = LOAD_ADD(sums[k], p + i + k * sizeof(VEC)); \
      if (PREFETCH) {                                                                                    \
        UNROLL for (size_t at = 0; at < kVectors * sizeof(VEC); at += 64)                                \
            __builtin_prefetch(p + i + kAhead + at);                                                     \
      }                                                                                                  \
    }                                                                                                    \
    UNROLL for (size_t k = 0; k < kVectors; ++k) asm volatile("" ::"x"(sums[k]));                        \
  }
#define ADD_256(sum, at) _mm256_add_epi64(sum, _mm256_load_si256(reinterpret_cast<const __m256i*>(at)))
#define ADD_512(sum, at) _mm512_add_epi64(sum, _mm512_load_si512(at))
READ(read_avx2, "avx2", __m256i, _mm256_setzero_si256(), ADD_256, false)
READ(read_avx2_prefetch, "avx2", __m256i, _mm256_setzero_si256(), ADD_256, true)
READ(read_avx512, "avx512f", __m512i, _mm512_setzero_si512(), ADD_512, false)
READ(read_avx512_prefetch, "avx512f", __m512i, _mm512_setzero_si512(), ADD_512, true)

// ---- multiplying: N independent accumulators, so that neither latency nor loads count ----
// The operands pass through an empty asm, so that nothing is computed once and for all.

#define PEAK(NAME, FEATURES, VEC, N, ZERO, A, B, STEP)                  \
  TARGET(FEATURES) void NAME(int64_t n) {                               \
    VEC sums[N];                                                        \
    UNROLL for (int k = 0; k < N; ++k) sums[k] = ZERO;                  \
    auto a = A;                                                         \
    auto b = B;                                                         \
    for (int64_t i = 0; i < n; ++i) {                                   \
      UNROLL for (int k = 0; k < N; ++k) {                              \
        asm volatile("" : "+x"(a), "+x"(b));                            \
        sums[k] = STEP(sums[k], a, b);                                  \
      }                                                                 \
    }                                                                   \
    UNROLL for (int k = 0; k < N; ++k) asm volatile("" ::"x"(sums[k])); \
  }

#define ONES_256 _mm256_set1_epi16(1)
#define ONES_512 _mm512_set1_epi16(1)
#define FMA_256(s, a, b) _mm256_fmadd_ps(a, b, s)
#define FMA_512(s, a, b) _mm512_fmadd_ps(a, b, s)
#define MADD_256(s, a, b) _mm256_add_epi32(s, _mm256_madd_epi16(a, b))
#define MADD_512(s, a, b) _mm512_add_epi32(s, _mm512_madd_epi16(a, b))
#define MADDUBS_256(s, a, b) _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ONES_256))
#define MADDUBS_512(s, a, b) _mm512_add_epi32(s, _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), ONES_512))
PEAK(fma_avx2, "avx2,fma", __m256, 12, _mm256_setzero_ps(), _mm256_set1_ps(0.999f), _mm256_set1_ps(1e-7f),
     FMA_256)
PEAK(fma_avx512, "avx512f", __m512, 24, _mm512_setzero_ps(), _mm512_set1_ps(0.999f), _mm512_set1_ps(1e-7f),
     FMA_512)
PEAK(madd_avx2, "avx2", __m256i, 10, _mm256_setzero_si256(), _mm256_set1_epi16(3), _mm256_set1_epi16(-2),
     MADD_256)
PEAK(madd_avx512, "avx512f,avx512bw", __m512i, 20, _mm512_setzero_si512(), _mm512_set1_epi16(3),
     _mm512_set1_epi16(-2), MADD_512)
PEAK(maddubs_avx2, "avx2", __m256i, 8, _mm256_setzero_si256(), _mm256_set1_epi8(3), _mm256_set1_epi8(-2),
     MADDUBS_256)
PEAK(maddubs_avx512, "avx512f,avx512bw", __m512i, 16, _mm512_setzero_si512(), _mm512_set1_epi8(3),
     _mm512_set1_epi8(-2), MADDUBS_512)

/// Four products of 8-bit numbers are summed in 16 bits before they are widened: for weights of few bits.
#define PEAK_DEFERRED(NAME, FEATURES, VEC, N, ZERO, A, B, MADDUBS, ADD16, WIDEN)               \
  TARGET(FEATURES) void NAME(int64_t n) {                                                      \
    VEC sums[N];                                                                               \
    UNROLL for (int k = 0; k < N; ++k) sums[k] = ZERO;                                         \
    auto a = A;                                                                                \
    auto b = B;                                                                                \
    for (int64_t i = 0; i < n; ++i) {                                                          \
      UNROLL for (int k = 0; k < N; ++k) {                                                     \
        VEC parts[4];                                                                          \
        UNROLL for (int j = 0; j < 4; ++j) {                                                   \
          asm volatile("" : "+x"(a), "+x"(b));                                                 \
          parts[j] = MADDUBS(a, b);                                                            \
        }                                                                                      \
        sums[k] = WIDEN(sums[k], ADD16(ADD16(parts[0], parts[1]), ADD16(parts[2], parts[3]))); \
      }                                                                                        \
    }                                                                                          \
    UNROLL for (int k = 0; k < N; ++k) asm volatile("" ::"x"(sums[k]));                        \
  }
#define WIDEN_256(s, x) _mm256_add_epi32(s, _mm256_madd_epi16(x, ONES_256))
#define WIDEN_512(s, x) _mm512_add_epi32(s, _mm512_madd_epi16(x, ONES_512))
PEAK_DEFERRED(deferred_avx2, "avx2", __m256i, 6, _mm256_setzero_si256(), _mm256_set1_epi8(3),
              _mm256_set1_epi8(-2), _mm256_maddubs_epi16, _mm256_add_epi16, WIDEN_256)
PEAK_DEFERRED(deferred_avx512, "avx512f,avx512bw", __m512i, 12, _mm512_setzero_si512(), _mm512_set1_epi8(3),
              _mm512_set1_epi8(-2), _mm512_maddubs_epi16, _mm512_add_epi16, WIDEN_512)

PEAK(dpbusd_avxvnni, "avx2,avxvnni", __m256i, 12, _mm256_setzero_si256(), _mm256_set1_epi8(3),
     _mm256_set1_epi8(-2), _mm256_dpbusd_avx_epi32)
PEAK(dpwssd_avxvnni, "avx2,avxvnni", __m256i, 12, _mm256_setzero_si256(), _mm256_set1_epi16(3),
     _mm256_set1_epi16(-2), _mm256_dpwssd_avx_epi32)
PEAK(dpbusd_avx512, "avx512f,avx512vnni", __m512i, 24, _mm512_setzero_si512(), _mm512_set1_epi8(3),
     _mm512_set1_epi8(-2), _mm512_dpbusd_epi32)
PEAK(dpwssd_avx512, "avx512f,avx512vnni", __m512i, 24, _mm512_setzero_si512(), _mm512_set1_epi16(3),
     _mm512_set1_epi16(-2), _mm512_dpwssd_epi32)
#define DPBF16(s, a, b) _mm512_dpbf16_ps(s, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b))
PEAK(dpbf16_avx512, "avx512f,avx512bf16", __m512, 24, _mm512_setzero_ps(), _mm512_set1_epi16(0x3f80),
     _mm512_set1_epi16(0x3f00), DPBF16)
#else
/// What the compiler makes of a plain loop.
void fma_portable(int64_t n) {
  float sums[64] = {}, a = 0.999f, b = 1e-7f;
  for (int64_t i = 0; i < n; ++i) {
    asm volatile("" : "+w"(a), "+w"(b));
    for (float& sum : sums) sum = __builtin_fmaf(sum, a, b);
  }
  for (const float sum : sums) asm volatile("" ::"w"(sum));
}
#endif

struct Reader {
  const char* path;
  bool is_there;
  void (*read)(const uint8_t*, size_t);
};
struct Multiplier {
  const char* what;
  const char* path;
  bool is_there;
  int64_t ops;  ///< multiplications and additions of one turn of the loop
  void (*run)(int64_t);
};

std::vector<Reader> readers() {
#if defined(__x86_64__)
  const bool has_avx2 = __builtin_cpu_supports("avx2"), has_avx512 = __builtin_cpu_supports("avx512f");
  return {{"portable", true, read_portable},
          {"avx2", has_avx2, read_avx2},
          {"avx2+prefetch", has_avx2, read_avx2_prefetch},
          {"avx512", has_avx512, read_avx512},
          {"avx512+prefetch", has_avx512, read_avx512_prefetch}};
#else
  return {{"portable", true, read_portable}};
#endif
}

#if defined(__x86_64__)
/// Compilers of the day cannot ask for it by name: CPUID leaf 7, subleaf 1, EAX bit 4.
bool has_avxvnni() {
  unsigned a = 7, b = 0, c = 1, d = 0;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return __builtin_cpu_supports("avx2") && (a >> 4 & 1) != 0;
}
#endif

std::vector<Multiplier> multipliers() {
#if defined(__x86_64__)
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
  const bool has_vnni = has_avx512 && __builtin_cpu_supports("avx512vnni");
  const bool has_bf16 = has_avx512 && __builtin_cpu_supports("avx512bf16");
  return {{"fma_f32", "avx2", has_avx2, 12 * 8 * 2, fma_avx2},
          {"fma_f32", "avx512", has_avx512, 24 * 16 * 2, fma_avx512},
          {"int16_madd", "avx2", has_avx2, 10 * 16 * 2, madd_avx2},
          {"int16_madd", "avx512", has_avx512, 20 * 32 * 2, madd_avx512},
          {"int16_madd", "avxvnni", has_avxvnni(), 12 * 16 * 2, dpwssd_avxvnni},
          {"int16_madd", "avx512vnni", has_vnni, 24 * 32 * 2, dpwssd_avx512},
          {"int8", "avx2", has_avx2, 8 * 32 * 2, maddubs_avx2},
          {"int8", "avx512", has_avx512, 16 * 64 * 2, maddubs_avx512},
          {"int8", "avxvnni", has_avxvnni(), 12 * 32 * 2, dpbusd_avxvnni},
          {"int8", "avx512vnni", has_vnni, 24 * 64 * 2, dpbusd_avx512},
          {"int8_deferred", "avx2", has_avx2, 6 * 4 * 32 * 2, deferred_avx2},
          {"int8_deferred", "avx512", has_avx512, 12 * 4 * 64 * 2, deferred_avx512},
          {"bf16_dot", "avx512bf16", has_bf16, 24 * 32 * 2, dpbf16_avx512}};
#else
  return {{"fma_f32", "portable", true, 64 * 2, fma_portable}};
#endif
}

/// Memory that reading is timed on, written once by the threads that will read it.
class Field {
 public:
  Field(size_t n_bytes, int n_threads) : n_bytes_(n_bytes) {
    // Room for what prefetches ask for beyond the end.
    map_ = ::mmap(nullptr, n_bytes + kAhead, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map_ == MAP_FAILED) {
      throw Error(ErrorCode::kOutOfMemory, "measure memory", fmt::format("{} bytes cannot be had", n_bytes));
    }
    timed(n_threads, [&](int t) { std::memset(piece(t, n_threads), t + 1, piece_bytes(n_threads)); });
  }
  ~Field() { ::munmap(map_, n_bytes_ + kAhead); }
  Field(const Field&) = delete;
  Field& operator=(const Field&) = delete;

  size_t piece_bytes(int n_threads) const {
    return n_bytes_ / static_cast<size_t>(n_threads) / kBlock * kBlock;
  }
  uint8_t* piece(int thread, int n_threads) const {
    return static_cast<uint8_t*>(map_) + static_cast<size_t>(thread) * piece_bytes(n_threads);
  }
  /// GB/s of one pass of all threads.
  double rate(const Reader& reader, int n_threads) const {
    const size_t n = piece_bytes(n_threads);
    const double seconds = timed(n_threads, [&](int t) { reader.read(piece(t, n_threads), n); });
    return static_cast<double>(n) * n_threads / seconds / 1e9;
  }

 private:
  size_t n_bytes_;
  void* map_ = nullptr;
};

/// Turns of the loop that take about `seconds` on one thread, by the shortest of a few tries: one alone may
/// have waited for a core.
int64_t turns_of(const Multiplier& m, double seconds) {
  constexpr int kTries = 3;
  for (int64_t n_turns = 1 << 12;; n_turns *= 2) {
    double shortest = seconds;
    for (int i = 0; i < kTries && shortest >= seconds; ++i) shortest = timed(1, [&](int) { m.run(n_turns); });
    if (shortest >= seconds) return n_turns;
  }
}

}  // namespace

double PeakRate::best() const { return *std::max_element(rates.begin(), rates.end()); }

std::vector<PeakRate> reading_rates(const std::vector<int>& threads, size_t n_bytes, int n_reps) {
  const Field field(n_bytes, *std::max_element(threads.begin(), threads.end()));
  std::vector<PeakRate> all;
  for (const int n_threads : threads) {
    for (const Reader& reader : readers()) {
      if (!reader.is_there) continue;
      PeakRate rate{"read", reader.path, n_threads, "GB/s", {}};
      for (int r = 0; r < n_reps; ++r) rate.rates.push_back(field.rate(reader, n_threads));
      all.push_back(std::move(rate));
    }
  }
  return all;
}

std::vector<PeakRate> multiplying_rates(const std::vector<int>& threads,
                                        const std::vector<std::string>& forms, int n_reps, double seconds) {
  std::vector<PeakRate> all;
  for (const Multiplier& m : multipliers()) {
    const bool is_wanted = forms.empty() || std::find(forms.begin(), forms.end(), m.what) != forms.end();
    if (!m.is_there || !is_wanted) continue;
    const int64_t n_turns = turns_of(m, seconds);
    for (const int n_threads : threads) {
      PeakRate rate{m.what, m.path, n_threads, "GOP/s", {}};
      for (int r = 0; r < n_reps; ++r) {
        const double took = timed(n_threads, [&](int) { m.run(n_turns); });
        rate.rates.push_back(static_cast<double>(m.ops * n_turns) * n_threads / took / 1e9);
      }
      all.push_back(std::move(rate));
    }
  }
  return all;
}

const PeakRate* best_of(const std::vector<PeakRate>& rates) {
  const auto best = std::max_element(
      rates.begin(), rates.end(), [](const PeakRate& a, const PeakRate& b) { return a.best() < b.best(); });
  return best == rates.end() ? nullptr : &*best;
}

}  // namespace chaski
