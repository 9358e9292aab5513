#include "cli/models_record.h"

#include <algorithm>

#include "cli/build_info.h"
#include "cli/terminal.h"
#include "lab/model_facts.h"
#include "machine/machine_info.h"

namespace chaski::cli {

void describe_model(const std::string& name, const LoadedModel& model, const PromptMaker& prompts,
                    const Context& context, RunRecord& record) {
  record.machine = machine_facts();
  record.build = build_facts();
  const Checkpoint& checkpoint = *model.text.checkpoint;
  Progress progress(std::string(tr(context.lang, "hashing the weights", "计算权重校验和")));
  int64_t n_hashed = 0;
  record.model = model_facts(name, checkpoint, prompts, [&](uint64_t n_bytes) {
    context.cancel.throw_if_cancelled("hash weights");
    const auto n_all = static_cast<int64_t>(checkpoint.weight_bytes());
    progress.show(std::min(n_all, n_hashed += static_cast<int64_t>(n_bytes)), n_all);
  });
  record.model.lora = model.lora;
  const Device& device = *model.device;
  const DeviceInfo& info = device.info();
  record.device = {info.name, info.device_kind, info.path, device.n_threads(), device.weight_bytes()};
  record.settings["precision"] = name_of(device.precision());
  record.settings["kv_dtype"] = name_of(device.kv_layout(model.model.config).dtype);
  if (info.device_kind != "cpu")
    record.settings["activations"] = name_of(model.device->ops().activation_dtype());
  record.summary.load_s = model.load_s;
}

void fill_fallbacks(const LoadedModel& model, double busy_s, RunRecord& record) {
  for (const DeviceCount& count : model.device->counts())
    record.counts.push_back({std::string(count.name), count.n});
  record.fallback_rate = FallbackRate{};
  if (!model.fallback) return;
  const FallbackOps& ops = *model.fallback;
  double seconds = 0;
  for (const FallbackCount& count : ops.counts()) {
    record.fallbacks.push_back(
        {std::string(name_of(count.op)), count.reason, count.calls, count.bytes, count.seconds});
    seconds += count.seconds;
  }
  const auto share = [](auto part, auto all) {
    return all > 0 ? std::min(1.0, static_cast<double>(part) / static_cast<double>(all)) : 0.0;
  };
  record.fallback_rate = {share(ops.n_fallbacks(), ops.n_calls()), share(seconds, busy_s),
                          share(ops.n_fallback_kinds(), ops.n_kinds())};
}

}  // namespace chaski::cli
