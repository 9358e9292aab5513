#include "lab/judge.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "lab/judge_prompt.h"
#include "lab/scorer_text.h"
#include "net/http_client.h"

namespace chaski {
namespace {

constexpr uint64_t kMaxCacheBytes = 256u << 20;
constexpr int64_t kMaxReplyBytes = 1 << 20;
constexpr double kStallSeconds = 300;           // a large judge on a slow machine
constexpr std::chrono::seconds kMostTime{900};  // for a whole reply
constexpr int kMostSilent = 3;                  // requests in a row without an answer, before we stop asking
constexpr int kMaxTries = 3;                    // where the server says that it has too much to do

[[noreturn]] void refuse(const std::string& message, std::string hint = {}) {
  throw Error(ErrorCode::kUsage, "judge", message, std::move(hint));
}

/// The endpoint's base, without what belongs to one call.
std::string base_of(std::string url) {
  constexpr std::string_view kCall = "/chat/completions";
  while (url.ends_with('/')) url.pop_back();
  if (url.ends_with(kCall)) url.resize(url.size() - kCall.size());
  const size_t host = url.rfind("https://", 0) == 0 ? 8 : url.rfind("http://", 0) == 0 ? 7 : 0;
  if (host == 0 || host == url.size()) refuse(fmt::format("{}: is no http or https URL", printable(url)));
  if (url.substr(host, url.find_first_of("/?#", host) - host).find('@') != std::string::npos) {
    refuse("the URL holds a user's name or password",
           "give the key by the environment variable CHASKI_JUDGE_KEY");
  }
  return url;
}

/// A model's name as it is compared: the last part of a path or repository, without case and file ending.
std::string plain_name(std::string_view id) {
  while (id.ends_with('/') || id.ends_with('\\')) id.remove_suffix(1);
  id = id.substr(id.find_last_of("/\\") + 1);
  std::string name(id);
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name;
}

std::string text_in(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() && found->is_string() ? found->get<std::string>()
                                                                           : std::string();
}

Preference swapped(Preference preference) {
  if (preference == Preference::kTie) return preference;
  return preference == Preference::kFirst ? Preference::kSecond : Preference::kFirst;
}

/// Replies by the hash of what was asked, in a file of JSON lines.
class ReplyCache {
 public:
  explicit ReplyCache(std::filesystem::path file) : file_(std::move(file)) {
    std::error_code ignored;
    if (file_.empty() || !std::filesystem::exists(file_, ignored)) return;
    const std::string text = read_text_file(file_, kMaxCacheBytes);
    std::string_view rest = text;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      take(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }

  struct Reply {
    std::string model;  ///< that says it gave it; empty where none does
    std::string content;
  };

  const Reply* find(const std::string& key) const {
    const auto found = replies_.find(key);
    return found == replies_.end() ? nullptr : &found->second;
  }

  void keep(const std::string& key, const std::string& model, const std::string& content) {
    if (!replies_.emplace(key, Reply{model, content}).second || file_.empty()) return;
    std::ofstream out(file_, std::ios::app | std::ios::binary);
    // A line of its own even behind one that was cut off.
    out << '\n' << to_json_text(OrderedJson{{"key", key}, {"model", model}, {"content", content}}) << '\n';
    out.flush();
    if (!out) throw Error(ErrorCode::kIo, "judge", fmt::format("{}: could not be written", file_.string()));
  }

 private:
  /// A line that is cut or foreign, or does not say whose reply it is, is as if it were not there.
  void take(std::string_view line) {
    if (line.empty()) return;
    try {
      const Json entry = parse_json(line, "cache");
      const std::string key = text_in(entry, "key");
      if (key.empty() || !entry.contains("model")) return;
      replies_[key] = {text_in(entry, "model"), text_in(entry, "content")};
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCorrupt) throw;
    }
  }

  std::filesystem::path file_;
  std::map<std::string, Reply> replies_;
};

}  // namespace

std::string judge_key_from_environment() {
  const char* key = std::getenv("CHASKI_JUDGE_KEY");
  return key == nullptr ? std::string() : std::string(key);
}

struct Judge::State {
  State(JudgeOptions the_options, const std::vector<ModelFacts>& the_models)
      : options(std::move(the_options)), under_test(the_models), cache(options.cache) {
    options.url = base_of(options.url);
  }

  /// The content of a reply, or nothing and why.
  std::optional<std::string> ask(OrderedJson body, const CancelToken& cancel, std::string& why) {
    body["model"] = options.model;
    body["seed"] = options.seed;
    const std::string key = sha256_of(options.url + "\n" + to_json_text(body));
    asked = key;
    if (const ReplyCache::Reply* kept = cache.find(key)) {
      refuse_under_test(kept->model);
      return kept->content;
    }
    if (n_silent == kMostSilent) {
      why = fmt::format("not asked: the server gave no answer {} times in a row", kMostSilent);
      return std::nullopt;
    }
    if (!takes_schema) body.erase("response_format");
    try {
      HttpResponse response = post(body, cancel);
      if ((response.status == 400 || response.status == 422) && takes_schema) {
        takes_schema = false;  // an endpoint that knows no schemas: the prompt asks for the same
        body.erase("response_format");
        response = post(body, cancel);
      }
      n_silent = 0;
      return content_of(response, why);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNetwork) throw;
      ++n_silent;
      why = one_line(without_key(error.what()), 200);
      return std::nullopt;
    }
  }

  HttpRequest request(const std::string& path) const {
    HttpRequest http;
    http.url = options.url + path;
    http.stall_timeout_s = kStallSeconds;
    http.max_body_bytes = kMaxReplyBytes;
    if (!options.api_key.empty()) http.headers.emplace_back("Authorization", "Bearer " + options.api_key);
    return http;
  }

  HttpResponse post(const OrderedJson& body, const CancelToken& cancel) {
    HttpRequest http = request("/chat/completions");
    http.method = "POST";
    http.headers.emplace_back("Content-Type", "application/json");
    http.body = to_json_text(body);
    HttpResponse response = send(http, cancel);
    for (int i = 1; i < kMaxTries && (response.status == 429 || response.status == 503); ++i) {
      for (int ms = 0; ms < i * 2000; ms += 50) {
        cancel.throw_if_cancelled("judge");
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
      response = send(http, cancel);
    }
    return response;
  }

  /// With a limit on the whole: a server that sends a byte now and then stalls nothing.
  HttpResponse send(const HttpRequest& http, const CancelToken& cancel) {
    const auto begin = std::chrono::steady_clock::now();
    std::string body;
    bool is_late = false;
    HttpResponse response = client.send(http, cancel, [&](std::string_view piece) {
      body += piece;
      is_late = std::chrono::steady_clock::now() - begin > kMostTime;
      return !is_late;
    });
    if (is_late) {
      throw Error(ErrorCode::kNetwork, "judge", fmt::format("no whole answer in {} s", kMostTime.count()));
    }
    if (!body.empty()) response.body = std::move(body);
    response.body = without_key(std::move(response.body));
    return response;
  }

  /// A server may repeat the key, and what it says is kept and shown. A few letters are no secret: without
  /// them a reply could not be read.
  std::string without_key(std::string text) const {
    constexpr size_t kShortestKey = 8;
    constexpr std::string_view kInstead = "[key]";
    const std::string& key = options.api_key;
    if (key.size() < kShortestKey) return text;
    for (size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + kInstead.size())) {
      text.replace(at, key.size(), kInstead);
    }
    return text;
  }

  std::optional<std::string> content_of(const HttpResponse& response, std::string& why) {
    refuse_unaccepted(response.status);
    if (response.status != 200) {
      why = fmt::format("the server answered {}: {}", response.status, one_line(response.body));
      return std::nullopt;
    }
    JudgeReply reply = parse_completion(response.body, why);
    refuse_under_test(reply.model);
    answered_by = without_key(reply.model);
    if (reply.content) reply.content = without_key(std::move(*reply.content));  // it may have been escaped
    return std::move(reply.content);
  }

  /// No other request would fare better.
  void refuse_unaccepted(long status) const {
    if (status != 401 && status != 403) return;
    refuse(fmt::format("{} answered {}: the key is not accepted", options.url, status),
           "set CHASKI_JUDGE_KEY");
  }

  /// Nobody judges itself.
  void refuse_under_test(const std::string& text) const {
    const std::string name = plain_name(text);
    if (name.empty()) return;
    for (const ModelFacts& model : under_test) {
      const bool is_same_name = name == plain_name(model.id) || name == plain_name(model.path);
      const bool is_same_hash = model.hash.size() >= 16 && text.find(model.hash) != std::string::npos;
      if (is_same_name || is_same_hash) {
        refuse(fmt::format("{} is a model under test; it cannot judge itself", printable(text)),
               "name another model with --judge-model, or another endpoint");
      }
    }
  }

  /// Picks the model, and looks for the ones under test among what the endpoint says of it.
  void choose_model(const CancelToken& cancel) {
    const HttpResponse response = client.send(request("/models"), cancel);
    Json models = Json::array();
    if (response.status == 200) {
      try {
        const Json list = parse_json(response.body, "judge's server");
        if (list.is_object() && list.contains("data") && list["data"].is_array()) models = list["data"];
      } catch (const Error&) {  // said below, where it matters
      }
    }
    refuse_unaccepted(response.status);
    if (options.model.empty()) {
      if (models.size() != 1 || text_in(models[0], "id").empty()) {
        refuse(fmt::format("{} lists {} models; one must be chosen", options.url, models.size()),
               "name it with --judge-model");
      }
      options.model = text_in(models[0], "id");
    }
    refuse_under_test(options.model);
    for (const Json& model : models) {
      if (text_in(model, "id") != options.model) continue;
      for (const auto& [key, value] : model.items()) {
        if (value.is_string() && key != "object" && key != "owned_by")
          refuse_under_test(value.get<std::string>());
      }
    }
  }

  JudgeOptions options;
  std::vector<ModelFacts> under_test;
  ReplyCache cache;
  HttpClient client;
  bool takes_schema = true;
  int n_silent = 0;         ///< requests in a row that got no answer at all
  std::string asked;        ///< key of the last question
  std::string answered_by;  ///< model of the last reply that a server gave
};

Judge::Judge(JudgeOptions options, const std::vector<ModelFacts>& under_test, const CancelToken& cancel)
    : state_(std::make_unique<State>(std::move(options), under_test)) {
  state_->choose_model(cancel);
}
Judge::~Judge() = default;

const std::string& Judge::model() const { return state_->options.model; }

OrderedJson Judge::facts() const {
  const std::string& url = state_->options.url;
  const size_t host = url.find("://") + 3;
  return {{"id", state_->options.model},
          {"host", url.substr(host, url.find_first_of("/?#", host) - host)},
          {"seed", state_->options.seed},
          {"temperature", 0},
          {"prompts_sha256", judge_prompts_sha256()}};
}

ScoreRecord Judge::score(const SuiteItem& item, const AnswerRecord& answer, const CancelToken& cancel) {
  ScoreRecord record;
  record.id = item.id;
  record.sample = answer.sample;
  record.scorer = "judge:" + model();
  record.status = "failed";
  const auto content = state_->ask(grading_request(item, answer), cancel, record.note);
  const auto grades = content ? parse_grades(*content, record.note) : std::nullopt;
  if (!grades) return record;
  state_->cache.keep(state_->asked, state_->answered_by, *content);
  record.status = "scored";
  double raw = 1;
  const double weight = 1.0 / static_cast<double>(kJudgeDimensions.size());
  for (size_t i = 0; i < kJudgeDimensions.size(); ++i) {
    const double value = (grades->grades[i] - 1) / 9.0;
    record.components.push_back(
        {std::string(kJudgeDimensions[i]), weight, value, fmt::format("{} / 10", grades->grades[i])});
    raw += 4 * weight * value;
  }
  // 1 and 2 of 10 come to 1, 3 and 4 to 2, …; between them as the rubric rounds.
  const auto tenths = static_cast<int>(std::floor(raw * 10 + 0.5 + 1e-9));
  record.raw = tenths / 10.0;
  record.score = (tenths + 5) / 10;
  record.note = state_->without_key(grades->reason);
  return record;
}

PairVerdict Judge::compare(const SuiteItem& item, const AnswerRecord& a, const AnswerRecord& b,
                           const CancelToken& cancel) {
  PairVerdict pair;
  pair.id = item.id;
  pair.type = item.type;
  pair.sample = a.sample;
  if (show_the_same(a, b)) {
    pair.state = PairState::kSame;
    return pair;
  }
  for (size_t order = 0; order < 2; ++order) {
    const OrderedJson body = order == 0 ? pairing_request(item, a, b) : pairing_request(item, b, a);
    const auto content = state_->ask(body, cancel, pair.why_not);
    auto verdict = content ? parse_verdict(*content, pair.why_not) : std::nullopt;
    if (!verdict) {
      pair.state = PairState::kFailed;
      return pair;
    }
    state_->cache.keep(state_->asked, state_->answered_by, *content);
    pair.by_order[order] = order == 0 ? verdict->preference : swapped(verdict->preference);
    pair.reasons[order] = state_->without_key(std::move(verdict->reason));
  }
  return pair;
}

}  // namespace chaski
