// What a bench says of given times: every figure here is the arithmetic of the seconds that it was given.
#include "lab/bench_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "lab/bench_report.h"
#include "lab/load_times.h"
#include "lab/run_energy.h"
#include "lab/soak.h"
#include "support/error_of.h"

namespace chaski {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TestSamples tested(TestKind kind, int64_t n_prompt, int64_t n_gen, std::vector<BenchSample> samples,
                   std::string at = {}) {
  TestSamples test;
  test.test = {kind, n_prompt, n_gen, 0, 1, std::move(at)};
  test.samples = std::move(samples);
  return test;
}

/// A prompt of 100 tokens in 0.5 s, decodes of 10 and 8 tokens, a request of 100 + 3.
std::vector<TestSamples> some_tests() {
  return {tested(TestKind::kPrefill, 100, 0, {{0.5, 100, 0.5, {}}, {0.4, 100, 0.4, {}}}),
          tested(TestKind::kDecode, 0, 4,
                 {{0.4, 4, {}, {0.1, 0.1, 0.1, 0.1}}, {0.8, 4, {}, {0.2, 0.2, 0.2, 0.2}}}),
          tested(TestKind::kRequest, 100, 3, {{1.0, 3, 0.6, {0.1, 0.3}}, {1.5, 3, 0.9, {0.2, 0.4}}})};
}

BenchBasis some_basis() {
  BenchBasis basis;
  basis.chars_per_token_en = 4;
  basis.chars_per_token_zh = 1.5;
  return basis;
}

RunRecord record_of(const std::vector<TestSamples>& tests, const BenchBasis& basis = some_basis()) {
  RunRecord record;
  record.model.id = "some model";
  record.settings["precision"] = "fast";
  record.settings["kv_dtype"] = "bf16";
  BenchRun run;
  run.tests = tests;
  fill_bench_record(run, {}, basis, record);
  return record;
}

std::vector<double> samples(const RunRecord& record, std::string_view name) {
  const NamedMetric* metric = find_metric(record, name);
  return metric == nullptr ? std::vector<double>() : metric->metric.samples;
}

TEST(BenchMetrics, RatesAreTokensBySeconds) {
  const RunRecord record = record_of(some_tests());
  EXPECT_THAT(samples(record, "prefill_tokens_per_s"), ElementsAre(200, 250));
  EXPECT_THAT(samples(record, "decode_tokens_per_s"), ElementsAre(10, 5));
  EXPECT_THAT(samples(record, "overall_tokens_per_s"), ElementsAre(3, 2));
}

TEST(BenchMetrics, LatenciesAreTheRequests) {
  const RunRecord record = record_of(some_tests());
  EXPECT_THAT(samples(record, "ttft_s"), ElementsAre(0.6, 0.9));
  EXPECT_THAT(samples(record, "tpot_s"), ElementsAre(testing::DoubleEq(0.2), testing::DoubleEq(0.3)));
  EXPECT_THAT(samples(record, "itl_s"), ElementsAre(0.1, 0.3, 0.2, 0.4));
  EXPECT_THAT(samples(record, "e2e_s"), ElementsAre(1.0, 1.5));
}

TEST(BenchMetrics, WithoutARequestTheyAreThePrefillsAndTheDecodes) {
  std::vector<TestSamples> tests = some_tests();
  tests.pop_back();
  const RunRecord record = record_of(tests);
  EXPECT_THAT(samples(record, "ttft_s"), ElementsAre(0.5, 0.4));
  EXPECT_EQ(samples(record, "itl_s").size(), 8u);
  EXPECT_THAT(samples(record, "e2e_s"), IsEmpty());
}

TEST(BenchMetrics, CharactersAreTokensTimesWhatATokenHasInThatLanguage) {
  const RunRecord record = record_of(some_tests());
  EXPECT_THAT(samples(record, "decode_chars_per_s_en"), ElementsAre(40, 20));
  EXPECT_THAT(samples(record, "decode_chars_per_s_zh"), ElementsAre(15, 7.5));
}

TEST(BenchMetrics, EachMetricSaysHowOftenItWasWarmedUpAndWhichWayIsBetter) {
  const RunRecord record = record_of(some_tests());
  EXPECT_EQ(find_metric(record, "ttft_s")->n_warmup, 1);
  EXPECT_FALSE(find_metric(record, "ttft_s")->is_higher_better);
  EXPECT_TRUE(find_metric(record, "decode_tokens_per_s")->is_higher_better);
  EXPECT_EQ(find_metric(record, "decode_tokens_per_s")->unit, "tokens/s");
}

TEST(BenchMetrics, OtherLengthsHaveTheirOwnNames) {
  std::vector<TestSamples> tests = some_tests();
  tests.push_back(tested(TestKind::kDecode, 0, 32, {{1, 32, {}, {}}}, "[n=32,d=0]"));
  const RunRecord record = record_of(tests);
  EXPECT_THAT(samples(record, "decode_tokens_per_s[n=32,d=0]"), ElementsAre(32));
}

// 10 tokens/s of 1 GB of weights and, at 2 positions in the mean, 2 × 50 MB of cache are 11 GB/s of 22.
TEST(BenchMetrics, SharesAreOfWhatTheMachineWasMeasuredToReach) {
  BenchBasis basis = some_basis();
  basis.weight_bytes_per_token = 1'000'000'000;
  basis.kv_bytes_per_position = 50'000'000;
  basis.ops_per_token = 1'000'000'000;
  basis.peaks = MachinePeaks{summarize({22, 20, 21}), summarize({1000}), "avx2", "int8", "avx2"};
  const RunRecord record = record_of(some_tests(), basis);
  EXPECT_DOUBLE_EQ(samples(record, "bandwidth_share")[0], 0.5);
  EXPECT_DOUBLE_EQ(samples(record, "arithmetic_share")[0], 0.2);
  EXPECT_THAT(samples(record, "read_bandwidth_gb_per_s"), ElementsAre(22, 20, 21));
  EXPECT_THAT(bench_table({record}, BenchFormat::kTable, Lang::kEn), HasSubstr("22 % of arithmetic"));
  EXPECT_THAT(samples(record_of(some_tests()), "bandwidth_share"), IsEmpty());
}

TEST(BenchMetrics, AShareAboveOneIsNoShareAndSaysThatThePeaksWereDisturbed) {
  BenchBasis basis = some_basis();
  basis.weight_bytes_per_token = 1'000'000'000;
  basis.peaks = MachinePeaks{summarize({5}), {}, "avx2", "", ""};
  const RunRecord record = record_of(some_tests(), basis);
  EXPECT_THAT(samples(record, "bandwidth_share"), IsEmpty());
  ASSERT_EQ(record.warnings.size(), 1u);
  EXPECT_EQ(record.warnings[0].code, "peaks_disturbed");
}

TEST(BenchMetrics, ADriftIsTheLastThirdAgainstTheFirst) {
  EXPECT_NEAR(*drift_of({10, 10, 50, 1, 11, 11}), 0.1, 1e-12);
  EXPECT_FALSE(drift_of({10, 10, 10, 10, 20}));
  const auto warnings = [](std::vector<double> values) {
    return drift_warnings({named_metric("decode_tokens_per_s", "tokens/s", true, 1, std::move(values))});
  };
  EXPECT_THAT(warnings({100, 100, 100, 100, 96, 96}), IsEmpty());
  const auto fallen = warnings({100, 100, 100, 100, 94, 94});
  ASSERT_EQ(fallen.size(), 1u);
  EXPECT_EQ(fallen[0].code, "drift");
  EXPECT_THAT(fallen[0].message, HasSubstr("decode_tokens_per_s -6.0 %"));
}

TEST(BenchMetrics, TestsSurviveTheRecordsJson) {
  const RunRecord record = record_of(some_tests());
  const RunRecord again = parse_run_record(to_json_text(to_json(record)), "here");
  ASSERT_EQ(tests_of(again).size(), 3u);
  EXPECT_EQ(tests_of(again)[2].n_prompt, 100);
  EXPECT_EQ(bench_table({again}, BenchFormat::kTable, Lang::kEn),
            bench_table({record}, BenchFormat::kTable, Lang::kEn));
}

TEST(BenchMetrics, SettingsOfAStrangeRecordAreAnErrorAndNotACrash) {
  RunRecord record;
  record.settings["tests"] = {{{"kind", "decode"}, {"n_gen", "many"}}};
  EXPECT_EQ(test::error_of([&] { tests_of(record); }).code(), ErrorCode::kCorrupt);
  record.settings["tests"] = 5;
  EXPECT_EQ(test::error_of([&] { tests_of(record); }).code(), ErrorCode::kCorrupt);
  record.settings["tests"] = {{{"kind", "of another year"}}};
  EXPECT_THAT(tests_of(record), IsEmpty());
}

// ---- tables ----

TEST(BenchReport, RandomWeightsAreLabelledInEveryTable) {
  RunRecord record = record_of(some_tests());
  record.model.is_synthetic = true;
  EXPECT_THAT(bench_table({record}, BenchFormat::kTable, Lang::kEn), HasSubstr("random weights"));
  EXPECT_THAT(bench_table({record}, BenchFormat::kMarkdown, Lang::kZh), HasSubstr("随机权重"));
  EXPECT_THAT(bench_csv({record}), HasSubstr("random weights"));
  EXPECT_TRUE(bench_json(record)["is_synthetic"].get<bool>());
  record.model.is_synthetic = false;
  EXPECT_THAT(bench_table({record}, BenchFormat::kTable, Lang::kEn), Not(HasSubstr("random")));
}

TEST(BenchReport, ACacheOfAnotherTypeIsSaid) {
  RunRecord record = record_of(some_tests());
  record.memory.reset();
  EXPECT_THAT(bench_table({record}, BenchFormat::kTable, Lang::kEn), Not(HasSubstr("cache")));
  record.settings["kv_dtype"] = "q8_0";
  EXPECT_THAT(bench_table({record}, BenchFormat::kMarkdown, Lang::kEn), HasSubstr("| fast, q8\\_0 cache |"));
}

TEST(BenchReport, MarkdownEscapesNamesAndNotItsOwnWords) {
  RunRecord record = record_of({tested(TestKind::kSpeculative, 0, 8, {{1, 8, {}, {}}})});
  record.model.id = "a_b";
  record.model.is_synthetic = true;
  const std::string markdown = bench_table({record}, BenchFormat::kMarkdown, Lang::kEn);
  EXPECT_THAT(markdown, HasSubstr("a\\_b (random weights)"));
  EXPECT_THAT(markdown, HasSubstr(", n-gram speculation"));
}

TEST(BenchReport, ANameWithMarkupCannotBreakATable) {
  RunRecord record = record_of({tested(TestKind::kDecode, 0, 8, {{1, 8, {}, {}}})});
  record.model.id = "a|b\n\"c\"\x1b[2J";
  record.metrics.resize(1);
  record.memory.reset();
  const std::string markdown = bench_table({record}, BenchFormat::kMarkdown, Lang::kEn);
  EXPECT_EQ(std::count(markdown.begin(), markdown.end(), '\n'), 3);
  EXPECT_THAT(bench_table({record}, BenchFormat::kTable, Lang::kEn), Not(HasSubstr("\x1b")));
  EXPECT_THAT(bench_csv({record}), HasSubstr("\"\"c\"\""));
}

TEST(BenchReport, H116ACellIsNeverAFormulaAndStaysQuoted) {
  RunRecord record = record_of({tested(TestKind::kDecode, 0, 8, {{1, 8, {}, {}}})});
  record.model.id = "=HYPERLINK(\"http://x\")";
  record.machine.cpu = "+cmd|' /C calc'!A0";
  const std::string csv = bench_csv({record});
  EXPECT_THAT(csv, HasSubstr("\"'=HYPERLINK(\"\"http://x\"\")\""));
  EXPECT_THAT(csv, HasSubstr("\"'+cmd|"));
  EXPECT_THAT(csv, HasSubstr("\"decode\""));
}

TEST(BenchReport, JsonHasTheFiguresOfTheFirstTestsByNameAndAllBelowMetrics) {
  RunRecord record = record_of(some_tests());
  const OrderedJson json = bench_json(record);
  EXPECT_EQ(json["n_prompt"], 100);
  EXPECT_EQ(json["n_gen"], 4);
  EXPECT_DOUBLE_EQ(json["prefill_tokens_per_s"]["median"], 225);
  for (const char* key :
       {"n", "n_warmup", "mean", "std", "median", "p90", "p95", "p99", "range", "ci95", "samples"}) {
    EXPECT_TRUE(json["metrics"]["ttft_s"].contains(key)) << key;
  }
  EXPECT_TRUE(json["speculative_decode_tokens_per_s"].is_null());
}

TEST(BenchReport, FewerThanSixSamplesHaveARangeAndNoInterval) {
  EXPECT_TRUE(bench_json(record_of(some_tests()))["decode_tokens_per_s"]["ci95"].is_null());
  const BenchSample sample{1, 8, {}, {}};
  const RunRecord six = record_of({tested(TestKind::kDecode, 0, 8, std::vector<BenchSample>(6, sample))});
  EXPECT_FALSE(bench_json(six)["decode_tokens_per_s"]["ci95"].is_null());
}

// A request counts prompt and answer together there.
TEST(BenchReport, JsonLinesHaveLlamaBenchsColumnsAndNumbers) {
  std::istringstream lines(bench_jsonl(record_of(some_tests())));
  std::vector<Json> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(Json::parse(line));
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0]["n_prompt"], 100);
  EXPECT_EQ(rows[0]["n_gen"], 0);
  EXPECT_DOUBLE_EQ(rows[0]["avg_ts"], 225);
  EXPECT_EQ(rows[0]["avg_ns"], 450'000'000);
  EXPECT_EQ(rows[0]["samples_ns"][1], 400'000'000);
  EXPECT_NEAR(rows[0]["stddev_ts"].get<double>(), 35.3553, 1e-4);
  EXPECT_DOUBLE_EQ(rows[2]["samples_ts"][0], 103);
  EXPECT_EQ(rows[2]["samples_ns"][0], 1'000'000'000);
  EXPECT_DOUBLE_EQ(rows[2]["tokens_per_s_median"], rows[2]["avg_ts"]);  // of one sample: counted alike
  EXPECT_DOUBLE_EQ(rows[2]["tokens_per_s_high"], 103);
}

TEST(BenchReport, CsvHasARowPerTestBelowLlamaBenchsHead) {
  const std::string csv = bench_csv({record_of(some_tests()), record_of(some_tests())});
  EXPECT_EQ(csv.rfind("build_commit,build_number,cpu_info,gpu_info,backends,model_filename,model_type,", 0),
            0u);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 7);
}

TEST(BenchReport, OpsAreSortedByTimeWithTheirShare) {
  RunRecord record = record_of(some_tests());
  record.ops = {{"add", "decode", "1 × 8", 4, 1000, 0.25},
                {"linear", "decode", "1 × 8 · 8 × 8 q4_0", 4, 3'000'000'000, 0.75}};
  const std::string table = bench_table({record}, BenchFormat::kTable, Lang::kEn);
  EXPECT_LT(table.find("linear"), table.find("add  "));
  EXPECT_THAT(table, HasSubstr("75.0 %"));
  EXPECT_THAT(table, HasSubstr("4.00"));  // GB/s
}

TEST(BenchReport, EnergyIsJoulesATokenAndTokensAKilowattHourOrTheReasonWhyNot) {
  RunRecord record = record_of(some_tests());
  record.energy = {{"rapl package-0", "decode", 20.0, 2.0, 100, 4.0, ""}};
  const std::string table = bench_table({record}, BenchFormat::kTable, Lang::kEn);
  EXPECT_THAT(table, HasSubstr("0.2 J/token, 18000000 tokens/kWh, 10.0 W (idle 4.0 W)"));
  EXPECT_DOUBLE_EQ(bench_json(record)["energy"][0]["joules_per_token"], 0.2);
  record.energy = {{"", "bench", {}, 0, 0, {}, "rapl: no counter here"},
                   {"", "bench", {}, 0, 0, {}, "nvml: no driver"}};
  EXPECT_THAT(bench_table({record}, BenchFormat::kTable, Lang::kEn),
              HasSubstr("not available here: rapl, nvml"));
  EXPECT_EQ(bench_json(record)["energy"][0]["why_not"], "rapl: no counter here");
  EXPECT_TRUE(bench_json(record)["energy"][0]["joules"].is_null());
}

// ---- energy ----

/// One joule a measurement, or none from the third on.
class FakeMeter : public EnergyMeter {
 public:
  explicit FakeMeter(int n_good) : n_good_(n_good) {}
  std::string_view source() const override { return "fake"; }
  void start() override {}
  EnergyReading stop() override {
    EnergyReading reading;
    reading.source = "fake";
    reading.seconds = 0.5;
    if (n_good_-- > 0) {
      reading.joules = 1;
    } else {
      reading.why_not = "gone";
    }
    return reading;
  }

 private:
  int n_good_;
};

RunEnergy energy_of(int n_good) {
  FoundMeters found;
  found.meters.push_back(std::make_unique<FakeMeter>(n_good));
  return RunEnergy(std::move(found), "bench");
}

TEST(RunEnergy, SamplesAddUpByModelAndPhaseAndTheIdleDrawStandsBeside) {
  RunEnergy energy = energy_of(10);
  energy.measure_idle(0);
  for (int i = 0; i < 2; ++i) {
    energy.begin();
    energy.end(0, "decode", 8);
  }
  energy.end(0, "prefill", 8);
  energy.end(1, "decode", 8);
  const std::vector<EnergyRecord> records = energy.records(0);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].phase, "decode");
  EXPECT_DOUBLE_EQ(*records[0].joules, 2);
  EXPECT_DOUBLE_EQ(records[0].seconds, 1);
  EXPECT_EQ(records[0].n_tokens, 16);
  EXPECT_DOUBLE_EQ(*records[0].idle_watts, 2);
  EXPECT_EQ(energy.records(1).size(), 1u);
  const std::optional<NamedMetric> per_token = energy.joules_per_token(0, "decode");
  ASSERT_TRUE(per_token);
  EXPECT_EQ(per_token->name, "joules_per_token");
  EXPECT_THAT(per_token->metric.samples, ElementsAre(0.125, 0.125));
  EXPECT_FALSE(energy.joules_per_token(0, "request"));
}

TEST(RunEnergy, OneReadingThatFailsLeavesNoSum) {
  RunEnergy energy = energy_of(1);
  energy.end(0, "decode", 8);
  energy.end(0, "decode", 8);
  EXPECT_FALSE(energy.records(0)[0].joules);
  EXPECT_FALSE(energy.joules_per_token(0, "decode"));
  EXPECT_EQ(energy.records(0)[0].why_not, "gone");
}

TEST(RunEnergy, WithoutMetersTheReasonsAreTheRecord) {
  FoundMeters found;
  found.why_not = {"no powercap"};
  const RunEnergy energy{std::move(found), "eval"};
  ASSERT_EQ(energy.records(0).size(), 1u);
  EXPECT_EQ(energy.records(0)[0].why_not, "no powercap");
  EXPECT_EQ(energy.records(0)[0].phase, "eval");
}

// ---- loads ----

TEST(LoadTimes, PartsSurviveTheirLine) {
  LoadTimes::Load load;
  load.parts.open_s = 0.25;
  load.parts.total_s = 2;
  load.peak_rss_bytes = 300'000'000;
  const LoadTimes::Load again = load_of(to_json_text(to_json(load)));
  EXPECT_DOUBLE_EQ(again.parts.open_s, 0.25);
  EXPECT_DOUBLE_EQ(again.parts.total_s, 2);
  EXPECT_EQ(again.peak_rss_bytes, 300'000'000);
  EXPECT_EQ(test::error_of([] { load_of("{\"open_s\": 1}"); }).code(), ErrorCode::kCorrupt);
}

TEST(LoadTimes, ColdAndWarmLoadsAreMetricsOfTheirOwn) {
  LoadTimes times;
  times.cold.resize(2);
  times.cold[0].parts.total_s = 3;
  times.cold[1].parts.total_s = 5;
  times.cold[1].start_s = 6;
  times.warm.resize(1);
  RunRecord record;
  record.metrics = load_metrics(times);
  EXPECT_THAT(samples(record, "load_cold_s"), ElementsAre(3, 5));
  EXPECT_THAT(samples(record, "load_cold_start_s"), ElementsAre(0, 6));
  EXPECT_EQ(samples(record, "load_warm_weights_s").size(), 1u);
  EXPECT_EQ(find_metric(record, "load_cold_s")->n_warmup, 1);
}

// ---- soak ----

TEST(Soak, AnAnswerThatEndsInTheSameTokensFourTimesIsALoop) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 40; ++i) ids.push_back(i);
  EXPECT_FALSE(ends_in_cycle(ids));
  for (int32_t i = 0; i < 20; ++i) ids.push_back(i % 5);
  EXPECT_TRUE(ends_in_cycle(ids));
  EXPECT_FALSE(ends_in_cycle({7, 7, 7, 7, 7, 7}));  // too few to say
  EXPECT_TRUE(ends_in_cycle(std::vector<int32_t>(16, 7)));
  EXPECT_FALSE(ends_in_cycle({}));
}

TEST(Soak, MemoryGrowsByTheSlopeOfAllButTheFirstRepeat) {
  EXPECT_EQ(growth_of({5, 100, 110, 120, 130}), 40);
  EXPECT_EQ(growth_of({5, 100, 100, 100, 100}), 0);
  EXPECT_EQ(growth_of({900, 130, 120, 110, 100}), 0);
  EXPECT_EQ(growth_of({5, 1000}), 0);
}

TEST(Soak, RepeatsAreCountedByWhatWentWrong) {
  std::vector<SoakRepeat> repeats(6);
  for (SoakRepeat& repeat : repeats) repeat.digest = "a";
  repeats[0].error = "no";  // the first good one says what the text should be
  repeats[0].digest = "x";
  repeats[2].digest = "b";
  repeats[3].is_nonfinite = true;
  repeats[3].error = "the logits are not finite";
  repeats[4].has_loop = true;
  const StabilityRecord s = stability_of(repeats, {{1, 2, 3, 4, 5}}, 2);
  EXPECT_EQ(s.n_repeats, 8);
  EXPECT_EQ(s.n_same_text, 3);
  EXPECT_EQ(s.n_nonfinite, 1);
  EXPECT_EQ(s.n_errors, 1);
  EXPECT_EQ(s.n_loops, 1);
  EXPECT_EQ(s.n_crashes, 2);
  EXPECT_EQ(s.rss_growth_bytes, 4);
}

TEST(Soak, ARepeatSurvivesItsLine) {
  SoakRepeat repeat;
  repeat.digest = "abc";
  repeat.has_loop = true;
  repeat.rss_bytes = 12;
  const SoakRepeat again = soak_repeat_of(to_json_text(to_json(repeat)));
  EXPECT_EQ(again.digest, "abc");
  EXPECT_TRUE(again.has_loop);
  EXPECT_EQ(again.rss_bytes, 12);
}

}  // namespace
}  // namespace chaski
