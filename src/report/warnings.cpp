#include "report/warnings.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "report/names.h"

namespace chaski {
namespace {

struct Sentence {
  std::string_view code, en, zh;
};

constexpr std::array<Sentence, 28> kSentences{{
    {"synthetic_weights",
     "The weights are random (a synthetic model): the speed means something, the answers mean nothing.",
     "权重是随机数（合成模型）：速度可以参考，回答没有任何意义。"},
    {"single_sample",
     "Each question was asked once, with sampling on: times and answers are one draw and carry no spread. "
     "Use --samples K.",
     "每题只问了一次，且为随机采样：时间与回答只是一次抽样，无法说明波动。请用 --samples K。"},
    {"single_timing", "Each question was timed once: the seconds carry no spread. Use --samples K.",
     "每题只计时一次：用时无法说明波动。请用 --samples K。"},
    {"small_model",
     "The model has fewer than 1 billion parameters: weak answers are what it can do, not a fault of the "
     "run.",
     "模型参数不足 10 亿：回答质量差是模型能力所限，并非运行故障。"},
    {"raw_template",
     "The prompts were wrapped by a template given by hand, not by the one the model was trained on: quality "
     "may "
     "suffer for that reason alone.",
     "提示词使用了手工指定的模板，而非模型训练所用的模板：仅此一点就可能使质量下降。"},
    {"no_template", "The model has no chat template: the questions were given as plain text to continue.",
     "模型没有对话模板：问题作为普通文本交给模型续写。"},
    {"part_of_suite",
     "Only a part of the suite was asked (--limit, --type): the figures are not those of the suite.",
     "只问了题集的一部分（--limit、--type）：各项结果不代表整个题集。"},
    {"batched",
     "Several questions were answered at once: the seconds of each are shared with others and say nothing of "
     "one question alone. Use --batch 1 for that.",
     "多个问题同时作答：每题用时中包含其他问题的计算，不代表单独作答的用时。需要单题用时请用 --batch 1。"},
    {"resumed",
     "The run was broken off and went on later: the answers are those of an unbroken run, the times come "
     "from "
     "several starts of the program.",
     "本次运行曾中断后继续：回答与不中断时相同，但时间来自程序的多次启动。"},
    {"cut_answers",
     "Some answers were cut by the length limit: their seconds and tokens are those of the limit, not of the "
     "answer.",
     "部分回答因长度上限被截断：其用时与词元数取决于上限，而非回答本身。"},
    {"failed_answers",
     "Some questions failed: the totals count the seconds they took; the means are of answers that have a "
     "first token.",
     "部分问题运行失败：总计仍计入其用时；平均只计得到首词元的回答。"},
    {"nonfinite_weights",
     "Weights hold NaN or infinity and were loaded all the same (--allow-nonfinite): the answers may mean "
     "nothing.",
     "权重含 NaN 或无穷大，仍按要求加载（--allow-nonfinite）：回答可能没有意义。"},
    {"speculation_failed",
     "Guessing tokens ahead failed and was switched off: the answers are the same, their times are not.",
     "提前猜测词元失败，已停用：回答不受影响，但用时会不同。"},
    {"speculation_random_weights",
     "Random weights repeat themselves: the speed of speculation with them says nothing about real text.",
     "随机权重的输出会自我重复：由此测得的推测解码速度不能说明真实文本的情况。"},
    {"drift",
     "The speed drifted: the median of the last third of the samples differs from that of the first by more "
     "than 5 %.",
     "测量过程中速度有漂移：后三分之一样本的中位数与前三分之一相差超过 5%。"},
    {"throttled", "The processor slowed itself during the run, for heat or power.",
     "运行期间处理器因温度或功率限制而降频。"},
    {"clock_fell", "The processor's clock was more than 5 % slower after the run than before.",
     "运行结束后处理器时钟频率比开始时低 5% 以上。"},
    {"models_by_turns_not_possible",
     "The models do not fit into memory together: they were measured one after the other, not by turns.",
     "内存放不下所有模型：各模型依次测量，而非轮流测量。"},
    {"memory_peak_of_all",
     "Several models were loaded at once: the peak of resident memory is that of all of them together.",
     "同时加载了多个模型：常驻内存峰值是全部模型合计。"},
    {"load_not_cold",
     "The files could not be taken out of the page cache: the cold load times are not those of a cold start.",
     "无法将文件移出页缓存：冷加载时间并非真正的冷启动时间。"},
    {"failed_requests",
     "Some requests failed: the figures are of those that were answered, the throughput counts the time of "
     "all.",
     "部分请求失败：各项指标只计有回答的请求，合计吞吐量仍计入全部时间。"},
    {"chunks_counted",
     "The server sent no usage: each chunk of text was counted as one token, though it may hold several.",
     "服务器未返回用量：每个文本数据块按一个词元计，实际可能含多个词元。"},
    {"first_chunk_estimated",
     "Chunks hold several tokens, and the server does not say how many: those of the first chunk are an "
     "estimate "
     "by its length.",
     "数据块含多个词元而服务器未说明数量：首个数据块的词元数按长度估算。"},
    {"same_prompt",
     "All requests had the same prompt: a server that keeps what it has computed answers the later ones "
     "sooner.",
     "所有请求的提示词相同：若服务器会缓存已计算的内容，后面的请求会更快得到首词元。"},
    {"peaks_disturbed",
     "The model was faster than what the machine was measured to reach just before: something else kept it "
     "busy "
     "then, so there are no shares.",
     "模型的速度超过了此前测得的本机上限：当时机器被其他程序占用，因此不给出比例。"},
    {"modelled",
     "These figures are modelled, not measured: they are computed from the card's published figures, and no "
     "NPU ran anything.",
     "以下数据为模型推算，并非实测：由加速卡的公开参数计算得出，没有在任何 NPU 上运行。"},
    {"emulated",
     "The device was an emulator of its interface on the CPU: answers, operators and fallbacks mean "
     "something, times and energy say nothing of the real device.",
     "运行设备是在 CPU 上模拟其接口的模拟器：回答、算子与回退可以参考，用时与能耗不代表真实设备。"},
    {"not_optimised",
     "This build of the program is not optimised: its speed says nothing about the released program.",
     "当前程序并非优化构建：其速度不代表正式发布的程序。"},
}};

const Sentence* find(std::string_view code) {
  const auto* it = std::find_if(kSentences.begin(), kSentences.end(),
                                [code](const Sentence& sentence) { return sentence.code == code; });
  return it == kSentences.end() ? nullptr : it;
}

}  // namespace

RunWarning make_warning(std::string_view code) {
  const Sentence* sentence = find(code);
  CHECK(sentence != nullptr, "unknown warning {}", code);
  return {std::string(code), std::string(sentence->en)};
}

std::string warning_text(const RunWarning& warning, Lang lang) {
  const Sentence* sentence = find(warning.code);
  if (sentence == nullptr) return warning.message;
  // What a record adds to its sentence are figures of its own.
  std::string text(tr(lang, sentence->en, sentence->zh));
  std::string_view more = warning.message;
  if (!more.starts_with(sentence->en)) return text;
  more.remove_prefix(sentence->en.size());
  more.remove_prefix(std::min(more.find_first_not_of(' '), more.size()));
  if (!more.empty()) text += std::string(tr(lang, " ", "")) + remark_words(more, lang);
  return text;
}

void warn_of_device(RunRecord& record) {
  if (record.device.device_kind == "emulated") record.warnings.push_back(make_warning("emulated"));
}

}  // namespace chaski
