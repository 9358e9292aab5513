// chaski list, rm, verify: the models that are on this computer.
#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/pull_screen.h"
#include "cli/terminal.h"
#include "hub/hub_places.h"
#include "hub/model_store.h"
#include "report/text_safety.h"

namespace chaski::cli {
namespace {

struct ModelCommand {
  std::string model;
  bool wants_json = false;
};

Json json_of(const StoredModel& model) {
  return {{"name", model.name},
          {"hub", model.hub.empty() ? Json() : Json(model.hub)},
          {"path", model.path.string()},
          {"complete", model.is_complete},
          {"bytes", model.n_bytes}};
}

void list(bool wants_json, Lang lang) {
  const std::vector<StoredModel> models = list_models();
  const std::vector<CachedModel> cached = all_in_caches();
  if (wants_json) {
    Json all = Json::array(), others = Json::array();
    for (const StoredModel& model : models) all.push_back(json_of(model));
    for (const CachedModel& model : cached) {
      others.push_back({{"name", model.id}, {"hub", model.hub}, {"path", model.path.string()}});
    }
    return print_exactly(to_json_text(Json{{"models", all}, {"caches", others}}, 2) + "\n");
  }
  std::string text;
  for (const StoredModel& model : models) {
    text += fmt::format("{} {} {}{}\n", pad_right(visible_text(model.name), 44),
                        pad_left(text_of_bytes(model.n_bytes), 10), model.hub,
                        model.is_complete ? "" : tr(lang, " (unfinished)", "（未下载完）"));
  }
  if (!cached.empty()) {
    text += tr(lang, "in other programs' caches:\n", "其他程序的缓存中：\n");
    for (const CachedModel& model : cached) {
      text += fmt::format("{} {}\n", pad_right(visible_text(model.id), 44), model.hub);
    }
  }
  if (text.empty()) {
    note(tr(lang, "no models yet: chaski pull llama-3.2-1b\n", "还没有模型：chaski pull llama-3.2-1b\n"));
  }
  print(text);
}

void remove(const ModelCommand& command, Lang lang) {
  const auto path = remove_model(command.model);
  if (command.wants_json) return print_exactly(to_json_text(Json{{"removed", path.string()}}) + "\n");
  print(trf(lang, "removed {}\n", "已删除 {}\n", path.string()));
}

/// The folder of a model as the user names it.
std::filesystem::path folder_named(const std::string& model) {
  std::error_code ignored;
  if (std::filesystem::is_directory(model, ignored)) return model;
  if (const auto found = find_pulled(model)) return *found;
  const std::filesystem::path path = resolve_model(model);
  return std::filesystem::is_directory(path, ignored) ? path : path.parent_path();
}

void verify(const ModelCommand& command, const Context& context) {
  const auto folder = folder_named(command.model);
  const auto manifest = read_manifest(folder);
  int64_t n_all = 0, n_done = 0;
  for (const StoredFile& file : manifest ? manifest->files : std::vector<StoredFile>()) {
    n_all += static_cast<int64_t>(file.size);
  }
  Progress progress(std::string(tr(context.lang, "checking", "校验")));
  const auto files = verify_model(folder, context.cancel, [&](uint64_t n) {
    n_done += static_cast<int64_t>(n);
    progress.show(n_done, n_all);
  });
  progress.clear();
  Json all = Json::array();
  std::string text, wrong;
  for (const VerifiedFile& file : files) {
    const StoredFile* stored = manifest->find(file.name);
    all.push_back({{"name", file.name},
                   {"ok", file.problem.empty()},
                   {"problem", file.problem.empty() ? Json() : Json(file.problem)},
                   {"promised_by_hub", stored->checked_by}});
    text += fmt::format("{} {}\n", pad_right(file.problem.empty() ? "ok" : file.problem, 8), file.name);
    if (!file.problem.empty()) wrong += (wrong.empty() ? "" : ", ") + printable(file.name, 100);
  }
  if (command.wants_json) {
    print_exactly(to_json_text(Json{{"path", folder.string()}, {"ok", wrong.empty()}, {"files", all}}, 2) +
                  "\n");
  } else {
    print(strip_controls(text));
  }
  if (wrong.empty()) return;
  throw Error(ErrorCode::kCorrupt, "verify", fmt::format("{}: not as fetched: {}", folder.string(), wrong),
              "`chaski pull` fetches again what has changed, once `chaski rm` has removed the model");
}

}  // namespace

void add_list(CLI::App& app, Context& context) {
  const auto wants_json = std::make_shared<bool>(false);
  CLI::App* command = add_command(app, context, "list", "the models on this computer", "列出本机上的模型");
  command->add_flag("--json", *wants_json, std::string(tr(context.lang, "as JSON", "以 JSON 输出")));
  command->callback([wants_json, &context] {
    context.action = [wants_json, &context] { list(*wants_json, context.lang); };
  });
}

void add_rm(CLI::App& app, Context& context) {
  const auto options = std::make_shared<ModelCommand>();
  CLI::App* command = add_command(app, context, "rm", "remove a model that was pulled", "删除已下载的模型");
  add_model(*command, context, options->model);
  command->add_flag("--json", options->wants_json, std::string(tr(context.lang, "as JSON", "以 JSON 输出")));
  command->callback(
      [options, &context] { context.action = [options, &context] { remove(*options, context.lang); }; });
}

void add_verify(CLI::App& app, Context& context) {
  const auto options = std::make_shared<ModelCommand>();
  CLI::App* command = add_command(app, context, "verify", "hash a model's files and compare with the hub's",
                                  "计算模型文件的哈希值并与站点核对");
  add_model(*command, context, options->model);
  command->add_flag("--json", options->wants_json, std::string(tr(context.lang, "as JSON", "以 JSON 输出")));
  command->callback(
      [options, &context] { context.action = [options, &context] { verify(*options, context); }; });
}

}  // namespace chaski::cli
