#include "lab/code_conversation.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>

#include "base/clock.h"
#include "base/error.h"

namespace chaski {
namespace {

/// Of what a program prints, this many times more than is kept is read; then it is stopped.
constexpr int64_t kFloodFactor = 16;
/// How long a verdict is awaited after the worker has gone: its last answer may be on the way.
constexpr double kLastWordS = 0.2;
constexpr size_t kBlockBytes = 64 << 10;

/// A JSON object as the harness reads it: its length in four bytes, then itself.
std::string framed(const Json& message) {
  const std::string text = to_json_text(message);
  std::string frame;
  for (int shift = 0; shift < 32; shift += 8) frame += static_cast<char>((text.size() >> shift) & 0xff);
  return frame + text;
}

Said said_in_message(const Json& json) {
  Said said;
  said.verdict = find_verdict(require_string(json, "verdict", "verdict")).value_or(CodeVerdict::kFailed);
  said.message = get_string(json, "message", "", "verdict");
  said.defines = get_bool(json, "defines", false, "verdict");
  said.writes = get_bool(json, "writes", false, "verdict");
  return said;
}

/// The judge's verdict in what came from it: the first whole frame that bears the token. One that cannot be
/// read is this test's failure, not the run's.
std::optional<Said> said_in(std::string_view bytes, const std::string& token) {
  while (bytes.size() >= 4) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length |= size_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    if (bytes.size() < 4 + length) return std::nullopt;
    const std::string_view frame = bytes.substr(4, length);
    bytes.remove_prefix(4 + length);
    try {
      const Json json = parse_json(frame, "verdict");
      if (get_string(json, "token", "", "verdict") == token) return said_in_message(json);
    } catch (const Error& error) {
      return Said{CodeVerdict::kFailed, error.what(), false, false};
    }
  }
  return std::nullopt;
}

pollfd awaited(const Pump& pump) {
  if (pump.is_over || (pump.held.empty() && pump.from < 0)) return {-1, 0, 0};
  return pump.held.empty() ? pollfd{pump.from, POLLIN, 0} : pollfd{pump.to, POLLOUT, 0};
}

void move(Pump& pump) {
  if (pump.held.empty()) {
    pump.held.resize(kBlockBytes);
    const ssize_t n = ::read(pump.from, pump.held.data(), pump.held.size());
    pump.held.resize(n > 0 ? static_cast<size_t>(n) : 0);
    pump.is_over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (pump.held.empty()) return;
  }
  const ssize_t n = ::write(pump.to, pump.held.data(), pump.held.size());
  if (n > 0) pump.held.erase(0, static_cast<size_t>(n));
  pump.is_over = n < 0 && errno != EAGAIN && errno != EINTR;
}

/// Reads what there is. False at the end.
bool read_into(int fd, std::string& text) {
  char block[kBlockBytes];
  const ssize_t n = ::read(fd, block, sizeof block);
  if (n > 0) text.append(block, static_cast<size_t>(n));
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/// A write to a process that is gone is an error here, not a signal.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    sigset_t pipe;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, &before_);
    was_blocked_ = ::sigismember(&before_, SIGPIPE) == 1;
  }
  ~WithoutSigpipe() {
    if (was_blocked_) return;
    sigset_t pipe;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    const timespec at_once{0, 0};
    while (::sigtimedwait(&pipe, nullptr, &at_once) > 0) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t before_{};
  bool was_blocked_ = false;
};

}  // namespace

Conversation::Conversation(SandboxedProcess& worker, SandboxedProcess& judge, const Json& job,
                           std::string token)
    : worker_(worker), judge_(judge), token_(std::move(token)) {
  pumps_[0] = {-1, judge.channel(0).to, framed(job), false};
  pumps_[1] = {judge.channel(1).from, worker.channel(0).to, {}, false};
  pumps_[2] = {worker.channel(0).from, judge.channel(1).to, {}, false};
}

Conversation::Outcome Conversation::run(double seconds, int64_t max_output, const CancelToken& cancel) {
  const WithoutSigpipe without_sigpipe;
  const Stopwatch clock;
  std::optional<double> worker_ended_at;
  while (true) {
    cancel.throw_if_cancelled("run code");
    const double now = clock.seconds();
    if (worker_ended_at && now > *worker_ended_at + kLastWordS) return Outcome::kWorkerEnded;
    if (now >= seconds) return Outcome::kTimeUp;
    std::array<pollfd, 7> polled;
    for (size_t i = 0; i < 3; ++i) polled[i] = awaited(pumps_[i]);
    polled[3] = {is_output_over_ ? -1 : worker_.output(), POLLIN, 0};
    polled[4] = {judge_.channel(0).from, POLLIN, 0};
    polled[5] = {worker_ended_at ? -1 : worker_.ended(), POLLIN, 0};
    polled[6] = {judge_.ended(), POLLIN, 0};
    const double wait_s = std::min(0.05, seconds - now);
    if (::poll(polled.data(), polled.size(), static_cast<int>(std::ceil(wait_s * 1000))) <= 0) continue;
    for (size_t i = 0; i < 3; ++i) {
      if (polled[i].revents != 0) move(pumps_[i]);
    }
    if (polled[3].revents != 0) is_output_over_ = !take_output(max_output);
    if (polled[4].revents != 0) {
      const bool goes_on = read_into(judge_.channel(0).from, verdict_);
      said_ = said_in(verdict_, token_);
      if (said_) return Outcome::kVerdict;
      if (!goes_on) return Outcome::kJudgeEnded;
    }
    if (polled[5].revents != 0) worker_ended_at = clock.seconds();
    if (polled[6].revents != 0) return Outcome::kJudgeEnded;
    if (n_output_ > kFloodFactor * max_output) return Outcome::kFlood;
  }
}

void Conversation::drain(int64_t max_output) {
  while (!is_output_over_ && n_output_ <= kFloodFactor * max_output) {
    pollfd one{worker_.output(), POLLIN, 0};
    if (::poll(&one, 1, 0) <= 0) return;
    is_output_over_ = !take_output(max_output);
  }
}

bool Conversation::take_output(int64_t max_output) {
  std::string block;
  const bool goes_on = read_into(worker_.output(), block);
  n_output_ += static_cast<int64_t>(block.size());
  output_.append(block, 0,
                 static_cast<size_t>(max_output) - std::min(output_.size(), static_cast<size_t>(max_output)));
  return goes_on;
}

}  // namespace chaski
