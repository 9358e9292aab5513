// What a device family offers the rest of the program. Its folder below this one is the only code that knows
// it; only cli/backends.cpp names it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "model/llama.h"
#include "model/runner.h"

namespace chaski {

enum class Precision {
  kExact,  ///< f32 arithmetic and cache, weights dequantised as stored
  kFast    ///< what the device does best, within a stated divergence from exact
};
std::string_view name_of(Precision precision);

/// What `doctor` prints about one device, present or not.
struct DeviceInfo {
  std::string id;           ///< "cpu", "cuda:0"
  std::string name;         ///< "AMD EPYC …"
  std::string device_kind;  ///< cpu, cuda, ascend, emulated, modelled
  std::string path;         ///< the code path chosen: "avx2", "avx512"
  bool is_available = false;
  std::string reason;  ///< why not, where it is not
};

struct DeviceOptions {
  Precision precision = Precision::kFast;
  int n_threads = 0;              ///< 0: as many as the machine has cores for us
  std::string isa;                ///< force a code path ("scalar", "avx2", …); empty: the best there is
  std::string kv_dtype;           ///< "f32", "f16", "bf16", "q8_0"; empty: the device's choice
  std::string activations = {};   ///< "f16", "bf16", of devices that compute in these; empty: as the model is
  std::string cache_folder = {};  ///< where weights may be kept as the device holds them; empty: nowhere
};

/// How a device holds a weight and computes with it.
struct HeldWeight {
  int64_t bytes = 0;            ///< that a product with one row of activations, or a norm, reads of it
  std::string_view arithmetic;  ///< of products with it: "f32", "bf16", "int16", "int8"
};

/// Called again and again while something is waited for; what it throws ends the waiting.
using OnWait = std::function<void()>;

/// Something that a device counts since it was opened, as "launches".
struct DeviceCount {
  std::string_view name;
  int64_t n = 0;
};

/// An opened device: memory, ops, cache geometry, runners. Not thread-safe: one engine drives it.
class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;
  virtual Precision precision() const = 0;
  virtual int n_threads() const = 0;
  virtual Ops& ops() = 0;
  virtual KvLayout kv_layout(const ModelConfig& config) const = 0;
  /// Over `ops`: this device's own, or a decorator of it. The fastest runner that these ops allow.
  virtual std::unique_ptr<Runner> make_runner(Ops& ops, const LlamaModel& model, const KvStorage& kv,
                                              const RunnerLimits& limits) = 0;
  /// The weights that ops() is given from here to finish_weights() are all of this checkpoint, as they are
  /// stored: a device that has its cache folder may keep them there, and find them there at the next start.
  /// `on_bytes` hears of the kept bytes as they are checked, from one thread at a time, and may throw.
  virtual void begin_weights(std::shared_ptr<const Checkpoint>, const OnBytes& /*on_bytes*/ = {}) {}
  /// What the user should know about that, a line each.
  virtual std::vector<std::string> finish_weights() { return {}; }
  /// Wait until all weights are kept that can be, and say of that what the user should know. Without it,
  /// those that are not kept yet when the device goes are not.
  virtual std::vector<std::string> keep_weights(const OnWait& /*on_wait*/) { return {}; }
  /// Bytes of weights as this device holds them.
  virtual int64_t weight_bytes() const = 0;
  /// Of a weight that ops() was given.
  virtual HeldWeight held(WeightId id) const = 0;
  /// What is worth knowing of how it was driven, for records; nothing where the device counts nothing.
  virtual std::vector<DeviceCount> counts() const { return {}; }
  /// Bytes that a weight of this type and shape would take here; as many as it is stored in, unless a device
  /// says otherwise. Reads none of it.
  virtual int64_t bytes_to_hold(const WeightSource& weight) const {
    return weight.n_rows() * row_bytes(weight.dtype(), weight.n_cols());
  }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;  ///< "cpu", "cuda", "ascend"
  /// What is there. Never throws: absence is an answer.
  virtual std::vector<DeviceInfo> probe() const noexcept = 0;
  /// Throws Error(kDevice) or Error(kUsage) where `index` or the options cannot be had.
  virtual std::unique_ptr<Device> open(int index, const DeviceOptions& options) const = 0;
};

}  // namespace chaski
