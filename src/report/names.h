// Names that records give to things, and sentences that scorers and meters write into them, in the reader's
// language: one table for all pages. What is not in it is shown as it stands in the record. Warnings have a
// table of their own (warnings.h).
#pragma once

#include <string>
#include <string_view>

#include "report/lang.h"
#include "report/run_record.h"

namespace chaski {

/// What a name is of; the same word may name several things.
enum class NameOf {
  kScorePart,  ///< a component, cap or penalty of a score
  kScorer,
  kStatus,        ///< why an answer has no score
  kMetric,        ///< without the test it is of
  kSetting,       ///< also of `scoring`
  kSettingValue,  ///< as "precision=fast"
  kPhase,
  kRunner,
  kCount,      ///< of what a device counts
  kDeviceKind  ///< of those that did not run on what they are named after
};
std::string words_for(NameOf what, std::string_view name, Lang lang);

/// A setting's value as a person writes it: words where its setting has a fixed choice of them.
std::string setting_words(std::string_view name, const OrderedJson& value, Lang lang);

/// "decode rate, tokens/s, n=128, d=512": what a metric is, its unit, the test it is of.
std::string metric_words(const NamedMetric& named, Lang lang);

/// "decode, n=128": what was measured or traced, with its test where that is said.
std::string phase_words(std::string_view phase, Lang lang);

/// "modelled", "emulated": what its figures are, where no such device ran; empty where one did.
std::string device_mark(const RunRecord& record, Lang lang);

/// Evidence, notes and reasons that chaski wrote in English, in the reader's language where it is known.
std::string remark_words(std::string_view english, Lang lang);

}  // namespace chaski
