#include "lab/model_facts.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/files.h"
#include "machine/machine_info.h"
#include "tensor/dtype.h"

namespace chaski {

std::string weight_types(const Checkpoint& checkpoint) {
  std::map<DType, int64_t> bytes;
  int64_t all = 0;
  for (const std::string& name : checkpoint.names()) {
    const WeightSourcePtr weight = checkpoint.find(name);
    const int64_t n = weight->n_rows() * row_bytes(weight->dtype(), weight->n_cols());
    bytes[weight->dtype()] += n;
    all += n;
  }
  std::vector<std::pair<int64_t, DType>> by_size;
  for (const auto& [dtype, n] : bytes) by_size.emplace_back(n, dtype);
  std::sort(by_size.rbegin(), by_size.rend());
  std::string text;
  for (const auto& [n, dtype] : by_size) {
    const double percent = 100.0 * static_cast<double>(n) / static_cast<double>(std::max<int64_t>(1, all));
    if (percent < 1 && !text.empty()) break;
    text += fmt::format("{}{} {:.0f}%", text.empty() ? "" : ", ", name_of(dtype), percent);
  }
  return text;
}

ModelFacts model_facts(const std::string& id, const Checkpoint& checkpoint, const PromptMaker& prompts,
                       const OnBytes& on_bytes) {
  ModelFacts facts;
  facts.id = id;
  facts.path = checkpoint.path();
  facts.format = checkpoint.kind();
  facts.weights = weight_types(checkpoint);
  facts.hash = checkpoint.content_hash(on_bytes);
  facts.n_parameters = checkpoint.config().n_parameters();
  facts.weight_bytes = static_cast<int64_t>(checkpoint.weight_bytes());
  facts.is_synthetic = checkpoint.is_synthetic();
  if (!checkpoint.chat_template().empty()) facts.template_hash = sha256_of(checkpoint.chat_template());
  if (prompts.kind() == PromptMaker::Kind::kModel) facts.date_string = prompts.date_string();
  return facts;
}

std::string own_name(const ModelFacts& model) {
  std::string_view name = model.path.empty() ? model.id : model.path;
  while (name.size() > 1 && name.ends_with('/')) name.remove_suffix(1);
  return std::string(name.substr(name.rfind('/') + 1));
}

MachineFacts machine_facts() {
  const MachineInfo info = machine_info();
  return {info.cpu, info.os, info.kernel, info.arch, info.n_cores, info.memory_bytes, info.governor, {}, {}};
}

}  // namespace chaski
