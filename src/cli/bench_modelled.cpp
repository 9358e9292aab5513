#include "cli/bench_modelled.h"

#include "base/clock.h"
#include "base/error.h"
#include "cli/build_info.h"
#include "cli/models.h"
#include "lab/ascend_bench.h"

namespace chaski::cli {
namespace {

constexpr std::string_view kFamily = "ascend-model";

const AscendCard& card_of(const std::string& device) {
  const size_t colon = device.find(':');
  const AscendCard* card = colon == std::string::npos ? nullptr : find_ascend_card(device.substr(colon + 1));
  if (card != nullptr) return *card;
  std::string names;
  for (const AscendCard& known : ascend_cards())
    names += fmt::format("{}{}:{}", names.empty() ? "" : ", ", kFamily, known.name);
  throw Error(ErrorCode::kUsage, "bench", fmt::format("--device {}: expected {}", printable(device), names));
}

void refuse_what_needs_a_device(const BenchJob& job) {
  const ModelOptions none;
  const struct {
    bool is_given;
    const char* option;
  } kOptions[] = {{job.n_loads > 0, "--loads"},
                  {job.n_soak > 0, "--soak"},
                  {job.profiles, "--profile"},
                  {job.where.precision != none.precision, "--precision"},
                  {job.where.kv_dtype != none.kv_dtype, "--kv-dtype"},
                  {job.where.isa != none.isa, "--isa"},
                  {job.where.n_threads != none.n_threads, "--threads"},
                  {job.where.lora != none.lora, "--lora"}};
  for (const auto& option : kOptions) {
    if (!option.is_given) continue;
    throw Error(ErrorCode::kUsage, "bench",
                fmt::format("{}: {} is a model of a card's time, and runs nothing", option.option, kFamily),
                "leave the option out, or name a device");
  }
}

}  // namespace

bool is_modelled_device(const std::string& device) { return device.substr(0, device.find(':')) == kFamily; }

void run_modelled_job(const BenchJob& job, const OnBenchRecord& on_record) {
  const AscendCard& card = card_of(job.where.device);
  refuse_what_needs_a_device(job);
  std::vector<RunRecord> all;  // what is wrong with the last model is said before anything
  for (const FoundModel& model : find_models(job.models)) {
    const auto checkpoint = Checkpoint::open(model.path);
    for (RunRecord& record : modelled_bench(model.name, *checkpoint, card, job.plan)) {
      record.build = build_facts();
      record.summary.started_at = record.summary.ended_at = utc_timestamp();
      all.push_back(std::move(record));
    }
  }
  for (RunRecord& record : all) on_record(std::move(record), true);
}

}  // namespace chaski::cli
