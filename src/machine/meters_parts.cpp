#include "machine/meters_parts.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/clock.h"

namespace chaski {
namespace {

class SampledMeter final : public EnergyMeter {
 public:
  explicit SampledMeter(std::unique_ptr<EnergyProbe> probe)
      : probe_(std::move(probe)), source_(probe_->source()) {}
  ~SampledMeter() override { halt(); }

  std::string_view source() const override { return source_; }

  void start() override {
    halt();
    begin_s_ = clock_.seconds();
    probe_->begin(begin_s_);
    is_running_ = true;
    wants_end_ = false;
    const auto period = probe_->period();
    if (period.count() == 0) return;
    try {
      thread_ = std::thread([this, period] { sample_until_end(period); });
    } catch (const std::system_error&) {  // too long without a sample: the reading will say so
    }
  }

  EnergyReading stop() override {
    halt();
    EnergyReading reading;
    if (is_running_) {
      const double end_s = clock_.seconds();
      reading = probe_->end(end_s);
      reading.seconds = end_s - begin_s_;
      is_running_ = false;
    } else {
      reading.why_not = "the measurement was not started";
    }
    reading.source = source_;
    return gated(std::move(reading), probe_->limit_watts());
  }

 private:
  void sample_until_end(std::chrono::milliseconds period) {
    std::unique_lock lock(mutex_);
    while (!ends_.wait_for(lock, period, [this] { return wants_end_; })) probe_->sample(clock_.seconds());
  }

  void halt() {
    {
      const std::lock_guard lock(mutex_);
      wants_end_ = true;
    }
    ends_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  std::unique_ptr<EnergyProbe> probe_;
  std::string source_;
  Stopwatch clock_;
  double begin_s_ = 0;
  bool is_running_ = false;
  std::mutex mutex_;
  std::condition_variable ends_;
  bool wants_end_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace

void WrappingCounter::start(uint64_t value_uj, double at_s) {
  last_uj_ = value_uj;
  last_s_ = at_s;
  joules_ = 0;
  may_have_missed_ = false;
}

void WrappingCounter::add(uint64_t value_uj, double at_s) {
  uint64_t gone = value_uj - last_uj_;
  if (value_uj < last_uj_) gone = value_uj + (range_uj_ > last_uj_ ? range_uj_ - last_uj_ : 0);
  joules_ += static_cast<double>(gone) * 1e-6;
  may_have_missed_ = may_have_missed_ || at_s - last_s_ >= range_s();
  last_uj_ = value_uj;
  last_s_ = at_s;
}

std::chrono::milliseconds WrappingCounter::period() const {
  const double ms = std::clamp(range_s() * 1000 / 4, 10.0, 1000.0);
  return std::chrono::milliseconds(static_cast<int64_t>(ms));
}

void PowerIntegral::add(double watts, double at_s) {
  const double gap_s = at_s - last_s_;
  joules_ += (last_watts_.value_or(watts) + watts) / 2 * gap_s;
  longest_gap_s_ = std::max(longest_gap_s_, gap_s);
  last_watts_ = watts;
  last_s_ = at_s;
}

EnergyReading PowerIntegral::reading(double at_s, const std::string& failure) {
  EnergyReading reading;
  reading.is_integrated = true;
  const bool has_samples = last_watts_.has_value();
  add(last_watts_.value_or(0), at_s);
  if (has_samples && longest_gap_s_ <= kLongestGap_s) {
    reading.joules = joules_;
  } else {
    reading.why_not = fmt::format("power was not read for {:.1f} s{}{}", longest_gap_s_,
                                  failure.empty() ? "" : ": ", failure);
  }
  return reading;
}

std::unique_ptr<EnergyMeter> make_sampled_meter(std::unique_ptr<EnergyProbe> probe) {
  return std::make_unique<SampledMeter>(std::move(probe));
}

EnergyReading gated(EnergyReading reading, double limit_watts) {
  if (!reading.joules) return reading;
  const double watts = reading.seconds > 0 ? *reading.joules / reading.seconds : 0;
  if (!(watts > 0)) {  // nothing that is switched on draws nothing
    reading.why_not = fmt::format("refused: {} showed no energy in {:.3f} s; measure for longer",
                                  reading.source, reading.seconds);
  } else if (!(watts <= kLimitSlack * limit_watts)) {
    reading.why_not =
        fmt::format("refused: {:.1f} W on average is more than {:g} × the {:.0f} W that {} can draw", watts,
                    kLimitSlack, limit_watts, reading.source);
  }
  if (!reading.why_not.empty()) reading.joules.reset();
  return reading;
}

std::unique_ptr<SharedLibrary> SharedLibrary::open(const std::string& name, std::string& why_not) {
  void* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = ::dlerror();
    why_not = reason == nullptr ? name + " cannot be opened" : reason;
    return nullptr;
  }
  return std::unique_ptr<SharedLibrary>(new SharedLibrary(handle));
}

SharedLibrary::~SharedLibrary() { ::dlclose(handle_); }

void* SharedLibrary::symbol(const char* name) const { return ::dlsym(handle_, name); }

}  // namespace chaski
