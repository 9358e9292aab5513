#include "cli/pull_offer.h"

#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "cli/models.h"
#include "cli/pull_screen.h"
#include "cli/terminal.h"
#include "hub/pull.h"

namespace chaski::cli {
namespace {

/// Whether the next line begins with y. No more than the line is read: what follows is for others.
bool reads_yes() {
  char first = '\0', c = '\0';
  for (int n = 0;; ++n) {
    const ssize_t n_read = ::read(STDIN_FILENO, &c, 1);
    if (n_read <= 0 || c == '\n') break;
    if (n == 0) first = c;
  }
  return first == 'y' || first == 'Y';
}

bool is_missing(const std::string& model) {
  try {
    resolve_model(model);
    return false;
  } catch (const Error& error) {
    return error.code() == ErrorCode::kNotFound;
  }
}

}  // namespace

void offer_pull(const std::string& model, const Context& context) {
  if (!stdin_is_terminal() || !stderr_is_terminal() || environment_is_offline() || !is_missing(model)) return;
  PullOptions options;
  try {
    options.repo = parse_repo(model, "", "");
  } catch (const Error&) {
    return;  // no hub's name: opening it says what is wrong
  }
  note(trf(context.lang, "{} is not on this computer. Fetch {} from {} now? [y/N] ",
           "本机没有 {}。现在下载 {}（来自 {}）吗？[y/N] ", model, options.repo.id, options.repo.hub));
  const bool wants_it = reads_yes();
  context.cancel.throw_if_cancelled("pull");
  if (!wants_it) return;
  options.access = access_from_environment(options.repo, "");
  PullScreen screen(false, false, context.lang);
  pull(
      options, [&](const PullEvent& event) { screen.show(event); }, context.cancel);
}

}  // namespace chaski::cli
