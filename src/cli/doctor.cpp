// chaski doctor: whether this machine can run what the user wants, and what to do if not. The checks are in
// machine/doctor.h, lab/model_fit.h and lab/self_test.h; the page in lab/doctor_page.h.
#include "base/threads.h"
#include "cli/backends.h"
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "lab/ascend_fit.h"
#include "lab/code_runner.h"
#include "lab/doctor_page.h"
#include "lab/model_fit.h"
#include "lab/self_test.h"
#include "machine/device_facts.h"

namespace chaski::cli {
namespace {

struct DoctorOptions {
  std::string device = "auto", model, root;
  int64_t context = 4096;
  bool wants_json = false, wants_self_test = false;
};

DoctorScope scope_of(const DoctorOptions& options) {
  DoctorScope scope;
  scope.device = options.device;
  for (const std::string_view family : {"auto", "cpu", "cuda", "ascend"}) {
    if (scope.names(family)) return scope;
  }
  throw Error(
      ErrorCode::kUsage, "doctor",
      fmt::format("--device {}: expected auto, cpu, cuda[:N] or ascend[:N]", printable(options.device)));
}

void check_sandbox(Findings& found) {
  const auto runner = make_code_runner();
  const std::string tier = runner->tier(), why_not = shown(runner->why_not(), 300);
  const Json facts = {{"tier", tier}, {"why_not", why_not}};
  const Words reason = why_not.empty() ? Words{} : words("{}", "{}", why_not);
  if (tier == "none") {
    found
        .warn("sandbox.tier", words("generated code cannot be run safely here", "本机无法安全运行生成的代码"),
              reason,
              words("install bubblewrap and python3, or allow user namespaces; until then questions about "
                    "code go "
                    "unscored",
                    "安装 bubblewrap 与 python3，或允许用户命名空间；否则代码题不计分"))
        .facts = facts;
  } else {
    found
        .ok("sandbox.tier", words("generated code runs in tier {}", "生成的代码在 {} 级沙箱中运行", tier),
            reason)
        .facts = facts;
  }
}

/// What a self-test found, in the place of the step of the page that waits for it.
void put_in_step(const Finding& tested, std::string_view id, std::vector<Finding>& findings) {
  for (Finding& step : findings) {
    if (step.id != id) continue;
    Finding found = tested;
    found.id = step.id;
    found.section = step.section;
    found.step = step.step;
    step = std::move(found);
  }
}

/// A card in both types of activations: steps 10 and 11. With "auto", a card that opens and is real.
void check_card(const DoctorScope& scope, const Context& context, std::vector<Finding>& steps,
                Findings& found) {
  const std::string name = scope.names("ascend") ? scope.device : "ascend";
  if (!scope.names("ascend") && open_device("auto", {})->info().device_kind != "ascend") return;
  for (const char* activations : {"f16", "bf16"}) {
    context.cancel.throw_if_cancelled("self-test");
    std::string tested = fmt::format("{}-{}", name, activations);
    try {
      DeviceOptions options;
      options.activations = activations;
      const auto device = open_device(name, options);
      if (device->info().device_kind == "emulated") tested += "-emulated";
      Findings opened;
      opened.ok("ascend.runtime", words("{} opens: {}, {}", "{} 可以打开：{}，{}", shown(name),
                                        shown(device->info().name), shown(device->info().path)));
      put_in_step(opened.all().back(), "ascend.runtime", steps);
      check_device(*device, tested, found);
      put_in_step(found.all().back(), "ascend.operators", steps);
      if (found.all().back().status == FindingStatus::kFailure) return;
      check_launches(*device, tested, found);
      put_in_step(found.all().back(), "ascend.launch", steps);
    } catch (const Error& error) {
      found.fail("selftest." + tested, error.code(),
                 words("{}: {}", "{}：{}", shown(tested), shown(error.what(), 300)),
                 words("this device cannot be used", "该设备无法使用"),
                 error.hint().empty() ? words("mend what the steps above name", "先解决上面各步指出的问题")
                                      : words("{}", "{}", shown(error.hint(), 300)));
    }
  }
}

/// Every code path in both precisions: each is a device of its own to the ops.
void check_paths(const Context& context, Findings& found) {
  for (const std::string& path : cpu_code_paths()) {
    for (const Precision precision : {Precision::kExact, Precision::kFast}) {
      context.cancel.throw_if_cancelled("self-test");
      DeviceOptions options;
      options.isa = path;
      options.precision = precision;
      const auto device = open_device("cpu", options);
      check_device(*device, fmt::format("{}-{}", path, name_of(precision)), found);
    }
  }
}

/// Whether the model fits the NPU that the driver shows, and what the time model says of its speed there.
void check_npu_fit(const DoctorOptions& options, const MachineView& view, const Checkpoint& checkpoint,
                   Findings& found) {
  const DriverAnswer driver = ask_dcmi(view);
  const AcceleratorFacts npu = driver.devices.empty() ? AcceleratorFacts{} : driver.devices.front();
  NpuQuestion question{options.model, options.context, npu.name, std::nullopt};
  if (npu.total_bytes && npu.used_bytes) question.free_bytes = *npu.total_bytes - *npu.used_bytes;
  check_npu_model(checkpoint, question, found);
}

void check_fit(const DoctorOptions& options, const MachineView& view, const DoctorScope& scope,
               Findings& found) {
  const auto checkpoint = Checkpoint::open(resolve_model(options.model));
  if (scope.names("ascend")) return check_npu_fit(options, view, *checkpoint, found);
  if (!scope.wants("cpu")) {
    found.none("model.fit",
               words("whether {} fits {} is not known", "无法判断 {} 能否装入 {}", shown(options.model, 80),
                     shown(scope.device, 40)),
               words("this build has the CPU and Ascend", "本构建支持 CPU 与昇腾"));
    return;
  }
  const auto device = open_device("cpu", {});
  FitQuestion question;
  question.model = options.model;
  question.context = options.context;
  question.free_bytes = free_memory_bytes(view);
  if (view.is_live()) question.read_gb_per_s = measured_read_gb_per_s(device->n_threads());
  check_model(*checkpoint, *device, question, found);
}

std::vector<Finding> all_findings(const DoctorOptions& options, const Context& context) {
  const DoctorScope scope = scope_of(options);
  if (!options.root.empty() && options.wants_self_test) {
    throw Error(ErrorCode::kUsage, "doctor", "--self-test runs on this machine, --root names another",
                "leave out one of them");
  }
  std::error_code ignored;
  if (!options.root.empty() && !std::filesystem::is_directory(options.root, ignored)) {
    throw Error(ErrorCode::kNotFound, "doctor",
                fmt::format("--root {}: no such folder", printable(options.root)));
  }
  const MachineView view = options.root.empty() ? MachineView::live() : MachineView(options.root);
  std::vector<Finding> findings = examine(view, scope);
  Findings more;
  if (view.is_live()) check_sandbox(more);
  if (!options.model.empty()) check_fit(options, view, scope, more);
  if (options.wants_self_test && scope.wants("cpu")) check_paths(context, more);
  if (options.wants_self_test && scope.wants("ascend")) check_card(scope, context, findings, more);
  if (options.wants_self_test && scope.names("cuda")) {
    more.none("selftest.device", words("no self-test of {}", "未对 {} 自检", shown(scope.device, 40)),
              words("this build has the CPU and Ascend", "本构建支持 CPU 与昇腾"));
  }
  for (Finding& finding : more.take()) findings.push_back(std::move(finding));
  return findings;
}

void run_doctor(const DoctorOptions& options, const Context& context) {
  const std::vector<Finding> findings = all_findings(options, context);
  if (options.wants_json) {
    print_exactly(to_json_text(doctor_json(findings), 2) + "\n");
  } else {
    print_exactly(doctor_page(findings, context.lang, stdout_is_terminal()));
  }
  const Diagnosis diagnosis = diagnose(findings);
  if (diagnosis.status != FindingStatus::kFailure) return;
  const Finding& first = *diagnosis.headline;
  throw Error(first.code, "doctor", headline_of(first, context.lang),
              context.lang == Lang::kZh ? first.fix.zh : first.fix.en);
}

}  // namespace

void add_doctor(CLI::App& app, Context& context) {
  const auto options = std::make_shared<DoctorOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "doctor", "check this machine, and say what to mend",
                                  "检查本机环境，并给出解决办法");
  const auto help = [lang](std::string_view en, std::string_view zh) {
    return std::string(tr(lang, en, zh));
  };
  command->add_flag("--json", options->wants_json, help("as JSON", "以 JSON 输出"));
  command->add_flag("--self-test", options->wants_self_test,
                    help("run a tiny model and compare every op with its scalar definition",
                         "运行一个微型模型，逐个算子与标量定义对比"));
  command->add_option("--device", options->device,
                      help("what to check for: auto (all), cpu, cuda or ascend",
                           "检查对象：auto（全部）、cpu、cuda 或 ascend"));
  command->add_option(
      "--model", options->model,
      help("say whether this model fits, and how fast it can be", "判断该模型能否装下，以及速度上限"));
  command
      ->add_option(
          "--ctx", options->context,
          help("positions of context for --model; 4096 by default", "--model 的上下文长度，默认 4096"))
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  command->add_option(
      "--root", options->root,
      help("check the machine whose files are below this folder", "检查文件位于该目录下的另一台机器"));
  command->callback(
      [options, &context] { context.action = [options, &context] { run_doctor(*options, context); }; });
}

}  // namespace chaski::cli
