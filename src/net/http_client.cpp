// libcurl's multi interface with one transfer at a time: it alone can be polled, so that cancelling and
// stalling are noticed at once. Redirects are followed here and not by libcurl, to decide which headers go
// where.
#include "net/http_client.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <exception>
#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "net/curl_api.h"

namespace chaski {
namespace {

constexpr size_t kMaxHeaderBytes = size_t{256} << 10;
constexpr int kPollMs = 50;  // how late Ctrl-C may be noticed

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

Error usage(std::string_view what) { return Error(ErrorCode::kUsage, "ask a server", what); }

/// A URL in its parts.
class Url {
 public:
  /// Throws Error(kUsage) for what is no http or https URL, or carries a password.
  explicit Url(const std::string& text) : handle_(curl().url(), curl().url_cleanup) {
    CHECK(handle_ != nullptr, "libcurl gives no URL");
    set(text);
  }
  /// Where a redirect's Location leads, which may be relative.
  void follow(const std::string& location) { set(location); }

  std::string text() const { return part(CURLUPART_URL, 0); }
  std::string host() const { return lower(part(CURLUPART_HOST, 0)); }
  bool is_https() const { return part(CURLUPART_SCHEME, 0) == "https"; }
  /// Scheme, host and port.
  std::string origin() const {
    return part(CURLUPART_SCHEME, 0) + "://" + host() + ":" + part(CURLUPART_PORT, CURLU_DEFAULT_PORT);
  }
  /// Whether it is this machine's own address.
  bool is_loopback() const {
    std::string name = host();
    if (!name.empty() && name.back() == '.') name.pop_back();
    const std::string_view end = ".localhost";
    return name == "localhost" || name == "[::1]" || name.rfind("127.", 0) == 0 ||
           (name.size() > end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0);
  }

 private:
  void set(const std::string& text) {
    const std::string shown = printable(text, 200);
    const bool is_plain = std::all_of(
        text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7F; });
    const CURLUcode code =
        is_plain ? curl().url_set(handle_.get(), CURLUPART_URL, text.c_str(), 0) : CURLUE_MALFORMED_INPUT;
    if (code != CURLUE_OK) throw usage(fmt::format("\"{}\" is no URL", shown));
    const std::string scheme = part(CURLUPART_SCHEME, 0);
    if (scheme != "http" && scheme != "https") {
      throw usage(fmt::format("expected a URL of http or https, found \"{}\"", shown));
    }
    if (!part(CURLUPART_USER, 0).empty() || !part(CURLUPART_PASSWORD, 0).empty()) {
      throw usage(fmt::format(
          "the URL of {} carries a user's name or password, which would end up in records", host()));
    }
  }

  std::string part(CURLUPart which, unsigned flags) const {
    char* text = nullptr;
    if (curl().url_get(handle_.get(), which, &text, flags) != CURLUE_OK || text == nullptr) return {};
    std::string copy(text);
    curl().free(text);
    return copy;
  }

  std::unique_ptr<CURLU, decltype(CurlApi::url_cleanup)> handle_;
};

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// Headers as libcurl takes them.
class HeaderList {
 public:
  HeaderList() = default;
  ~HeaderList() { curl().slist_free_all(list_); }
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;

  void add(const std::string& line) {
    curl_slist* longer = curl().slist_append(list_, line.c_str());
    CHECK(longer != nullptr, "no memory for a header");
    list_ = longer;
  }
  curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

void check_header(const std::string& name, const std::string& value) {
  const auto is_bad = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7F;
  };
  const bool is_name_fine = !name.empty() && std::none_of(name.begin(), name.end(), [&](char c) {
    return is_bad(c) || c == ':' || c == ' ';
  });
  if (!is_name_fine || std::any_of(value.begin(), value.end(), is_bad)) {
    throw usage(fmt::format("the header \"{}\" has characters that no header may have", printable(name)));
  }
}

/// Empty where it is no IP address.
std::string ip_of(const curl_sockaddr& address) {
  std::array<char, NI_MAXHOST> text{};
  ::getnameinfo(&address.addr, address.addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
  const std::string ip(text.data());
  return ip.substr(0, ip.find('%'));  // behind it, the network that a link's own address belongs to
}

/// One hop: what libcurl's callbacks know.
struct Transfer {
  const HttpRequest& request;
  const CancelToken& cancel;
  const std::function<bool(std::string_view)>& on_body;
  const OnAnswer& on_answer;
  const Stopwatch& clock;  ///< since the call
  HttpResponse& response;
  bool follows = false;          ///< a redirect's body is nobody's
  bool refuses_private = false;  ///< a public server sent us here

  size_t header_bytes = 0;
  int64_t body_bytes = 0;
  double last_byte_s = 0;
  curl_off_t moved = 0;       ///< bytes up and down so far
  bool is_announced = false;  ///< on_answer was called
  bool was_stopped = false;
  std::string refusal{};  ///< why we ended it
  std::exception_ptr thrown{};

  bool is_dropped() const { return follows && is_redirect(response.status); }

  /// Throws nothing through libcurl: false ends the transfer.
  bool take_header(std::string_view line) {
    if (response.first_byte_s == 0) response.first_byte_s = clock.seconds();
    header_bytes += line.size();
    if (header_bytes > kMaxHeaderBytes) {
      refusal = fmt::format("sent more than {} KiB of headers", kMaxHeaderBytes >> 10);
      return false;
    }
    while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
    if (line.rfind("HTTP/", 0) == 0) {  // a line of status; one with 100 may come before
      const size_t space = line.find(' ');
      response.status = 0;
      response.headers.clear();
      for (size_t i = space == std::string_view::npos ? line.size() : space + 1;
           i < line.size() && line[i] >= '0' && line[i] <= '9' && response.status < 1000; ++i) {
        response.status = response.status * 10 + (line[i] - '0');
      }
      return true;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return true;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    response.headers.emplace_back(lower(line.substr(0, colon)), std::string(value));
    return true;
  }

  bool take_body(std::string_view piece) {
    body_bytes += static_cast<int64_t>(piece.size());
    if (body_bytes > request.max_body_bytes) {
      refusal = fmt::format("sent more than the {} bytes that were allowed", request.max_body_bytes);
      return false;
    }
    if (is_dropped()) return true;
    if (!on_body || response.status >= 400) {
      response.body.append(piece);
      return true;
    }
    if (!is_announced && on_answer) was_stopped = !on_answer(response);
    is_announced = true;
    if (!was_stopped) was_stopped = !on_body(piece);
    return !was_stopped;
  }

  template <typename Take>
  size_t guarded(size_t n_bytes, Take take) noexcept {
    try {
      if (take()) return n_bytes;
    } catch (...) {
      thrown = std::current_exception();
    }
    return n_bytes == 0 ? 1 : 0;  // another number than was given ends the transfer
  }

  static size_t on_header(char* bytes, size_t one, size_t n, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    return transfer->guarded(one * n, [&] { return transfer->take_header({bytes, one * n}); });
  }
  static size_t on_piece(char* bytes, size_t one, size_t n, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    return transfer->guarded(one * n, [&] { return transfer->take_body({bytes, one * n}); });
  }
  /// About to connect.
  static curl_socket_t on_socket(void* self, curlsocktype, curl_sockaddr* to) {
    auto* transfer = static_cast<Transfer*>(self);
    if (transfer->refuses_private && is_private_address(ip_of(*to))) {
      transfer->refusal = "is a private address that a public server redirects to, which is not followed";
      return CURL_SOCKET_BAD;
    }
    return ::socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
  }
  static int on_progress(void* self, curl_off_t, curl_off_t down, curl_off_t, curl_off_t up) {
    auto* transfer = static_cast<Transfer*>(self);
    if (down + up != transfer->moved) transfer->last_byte_s = transfer->clock.seconds();
    transfer->moved = down + up;
    const auto all = static_cast<curl_off_t>(transfer->request.body.size());
    if (transfer->response.sent_s == 0 && all > 0 && up >= all)
      transfer->response.sent_s = transfer->clock.seconds();
    return transfer->cancel.is_cancelled() ? 1 : 0;
  }
};

}  // namespace

bool is_private_address(const std::string& ip) {
  std::array<unsigned char, 16> b{};
  if (::inet_pton(AF_INET6, ip.c_str(), b.data()) == 1) {
    const bool is_v4 = std::all_of(b.begin(), b.begin() + 10, [](auto c) { return c == 0; }) &&
                       ((b[10] == 0xFF && b[11] == 0xFF) || (b[10] == 0 && b[11] == 0));
    // ::1 and :: have zeros where an embedded IPv4 address has its first bytes.
    if (!is_v4) return (b[0] & 0xFE) == 0xFC || (b[0] == 0xFE && (b[1] & 0xC0) == 0x80);
    std::copy(b.begin() + 12, b.end(), b.begin());
  } else if (::inet_pton(AF_INET, ip.c_str(), b.data()) != 1) {
    return false;
  }
  return b[0] == 0 || b[0] == 10 || b[0] == 127 || (b[0] == 100 && (b[1] & 0xC0) == 64) ||
         (b[0] == 169 && b[1] == 254) || (b[0] == 172 && (b[1] & 0xF0) == 16) || (b[0] == 192 && b[1] == 168);
}

std::string_view HttpResponse::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

struct HttpClient::State {
  /// Each keeps connections open from one request to the next: to any server, and those that were opened
  /// where private addresses are refused.
  CURLM* to_any = nullptr;
  CURLM* to_public = nullptr;
  CURL* easy = nullptr;
  char reason[CURL_ERROR_SIZE] = {};

  State() {
    to_any = curl().multi_init();
    to_public = curl().multi_init();
    easy = curl().easy_init();
    CHECK(to_any != nullptr && to_public != nullptr && easy != nullptr, "libcurl does not start");
  }
  ~State() {
    curl().easy_cleanup(easy);
    curl().multi_cleanup(to_public);
    curl().multi_cleanup(to_any);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void prepare(const Url& url, const std::string& method, const HeaderList& headers, Transfer& transfer);
  CURLcode perform(Transfer& transfer);
  void hop(const Url& url, const std::string& method, bool is_first_origin, Transfer& transfer);
  /// Whether what answered last is on the internet: it or the proxy before it.
  bool is_peer_public() const {
    char* ip = nullptr;
    return curl().easy_getinfo(easy, CURLINFO_PRIMARY_IP, &ip) == CURLE_OK && ip != nullptr && *ip != '\0' &&
           !is_private_address(ip);
  }
  [[noreturn]] void fail(CURLcode code, const Url& url, const Transfer& transfer) const;
};

void HttpClient::State::prepare(const Url& url, const std::string& method, const HeaderList& headers,
                                Transfer& transfer) {
  curl().easy_reset(easy);
  reason[0] = '\0';
  const auto set = [this](CURLoption option, auto value) {
    const CURLcode code = curl().easy_setopt(easy, option, value);
    CHECK(code == CURLE_OK, "libcurl refuses option {}: {}", static_cast<int>(option),
          curl().easy_strerror(code));
  };
  const HttpRequest& request = transfer.request;
  const std::string address = url.text();
  set(CURLOPT_ERRORBUFFER, &reason[0]);
  set(CURLOPT_URL, address.c_str());
  set(CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_USERAGENT, "chaski");
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!request.ca_file.empty()) set(CURLOPT_CAINFO, request.ca_file.c_str());
  if (request.receives_bulk) set(CURLOPT_BUFFERSIZE, 512L << 10);
  set(CURLOPT_OPENSOCKETFUNCTION, &Transfer::on_socket);
  set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(&transfer));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout_s * 1000));
  if (url.is_loopback()) set(CURLOPT_PROXY, "");
  if (method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (method != "GET") {
    const bool has_body = method == "POST" || method == "PUT" || method == "PATCH";
    if (has_body) {
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDS, request.body.data());
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    }
    if (method != "POST") set(CURLOPT_CUSTOMREQUEST, method.c_str());
  }
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_piece);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  set(CURLOPT_NOPROGRESS, 0L);
}

CURLcode HttpClient::State::perform(Transfer& transfer) {
  CURLM* const multi = transfer.refuses_private ? to_public : to_any;
  CHECK(curl().multi_add_handle(multi, easy) == CURLM_OK, "libcurl takes no transfer");
  struct Removal {
    CURLM* multi;
    CURL* easy;
    ~Removal() { curl().multi_remove_handle(multi, easy); }
  } const removal{multi, easy};
  transfer.last_byte_s = transfer.clock.seconds();
  transfer.moved = 0;
  bool is_connected = false;
  for (;;) {
    int n_running = 0;
    if (curl().multi_perform(multi, &n_running) != CURLM_OK) return CURLE_FAILED_INIT;
    int n_left = 0;
    while (const CURLMsg* message = curl().multi_info_read(multi, &n_left)) {
      if (message->msg == CURLMSG_DONE) return message->data.result;
    }
    if (transfer.cancel.is_cancelled()) return CURLE_ABORTED_BY_CALLBACK;
    const double now_s = transfer.clock.seconds();
    if (!is_connected) {  // until then the connect timeout holds
      curl_off_t connected_us = 0;
      curl().easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
      is_connected = connected_us > 0;
      if (is_connected) transfer.last_byte_s = std::max(transfer.last_byte_s, now_s);
    } else if (now_s - transfer.last_byte_s > transfer.request.stall_timeout_s) {
      transfer.refusal = fmt::format("sent nothing for {:g} s", transfer.request.stall_timeout_s);
      return CURLE_OPERATION_TIMEDOUT;
    }
    if (curl().multi_poll(multi, nullptr, 0, kPollMs, nullptr) != CURLM_OK) return CURLE_FAILED_INIT;
  }
}

void HttpClient::State::fail(CURLcode code, const Url& url, const Transfer& transfer) const {
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  if (transfer.cancel.is_cancelled())
    throw Error(ErrorCode::kCancelled, "ask a server", "stopped on request");
  if (!transfer.refusal.empty()) {
    throw Error(ErrorCode::kNetwork, "ask a server", fmt::format("{} {}", url.origin(), transfer.refusal));
  }
  std::string hint;
  if (code == CURLE_COULDNT_CONNECT) hint = "is the server running, and is this its address?";
  if (code == CURLE_COULDNT_RESOLVE_HOST) hint = "check the name, and that this computer is online";
  if (code == CURLE_COULDNT_RESOLVE_PROXY) hint = "check the proxy that http_proxy or https_proxy names";
  const std::string detail = printable(reason, 200);
  const std::string what =
      fmt::format("{}: {}{}{}", url.origin(), curl().easy_strerror(code), detail.empty() ? "" : ": ", detail);
  if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
    throw CertificateError(ErrorCode::kNetwork, "ask a server", what,
                           "check this computer's clock, and that an authority that it trusts vouches for "
                           "the server; SSL_CERT_FILE names a file of others, as a company's proxy needs");
  }
  throw Error(ErrorCode::kNetwork, "ask a server", what, hint);
}

void HttpClient::State::hop(const Url& url, const std::string& method, bool is_first_origin,
                            Transfer& transfer) {
  HeaderList headers;
  headers.add("Expect:");  // no asking beforehand whether a body is welcome
  for (const auto& [name, value] : transfer.request.headers) {
    check_header(name, value);
    const std::string key = lower(name);
    if (!is_first_origin && (key == "authorization" || key == "cookie")) continue;
    if (method == "GET" && key.rfind("content-", 0) == 0) continue;
    headers.add(value.empty() ? name + ";" : name + ": " + value);
  }
  const double begin_s = transfer.clock.seconds();
  prepare(url, method, headers, transfer);
  const CURLcode code = perform(transfer);
  const auto seconds_of = [this](CURLINFO info) {
    curl_off_t us = 0;
    curl().easy_getinfo(easy, info, &us);
    return static_cast<double>(us) * 1e-6;
  };
  HttpResponse& response = transfer.response;
  response.connected_s =
      begin_s + std::max(seconds_of(CURLINFO_CONNECT_TIME_T), seconds_of(CURLINFO_APPCONNECT_TIME_T));
  if (response.sent_s == 0) response.sent_s = begin_s + seconds_of(CURLINFO_PRETRANSFER_TIME_T);
  if (code != CURLE_OK && !transfer.was_stopped) fail(code, url, transfer);
}

HttpClient::HttpClient() = default;
HttpClient::~HttpClient() = default;

HttpResponse HttpClient::send(const HttpRequest& request, const CancelToken& cancel,
                              const std::function<bool(std::string_view piece)>& on_body,
                              const OnAnswer& on_answer) {
  if (state_ == nullptr) state_ = std::make_unique<State>();
  Url url(request.url);
  const std::string first_origin = url.origin();
  std::string method = request.method;
  const Stopwatch clock;
  bool is_first_public = false;  // of the server that was asked for
  for (int n_redirects = 0;; ++n_redirects) {
    HttpResponse response;
    Transfer transfer{request, cancel, on_body, on_answer, clock, response};
    transfer.follows = request.max_redirects > 0;
    transfer.refuses_private = is_first_public && url.origin() != first_origin;
    state_->hop(url, method, url.origin() == first_origin, transfer);
    if (n_redirects == 0) is_first_public = state_->is_peer_public();
    response.url = url.text();
    const std::string location(response.header("location"));
    if (!transfer.is_dropped() || location.empty()) return response;
    const std::string from = url.origin();
    const auto refuse = [&](std::string_view why) {
      return Error(ErrorCode::kNetwork, "ask a server", fmt::format("{} redirects {}", from, why));
    };
    if (n_redirects == request.max_redirects) {
      throw refuse(fmt::format("more than {} times", request.max_redirects));
    }
    const bool was_https = url.is_https();
    try {
      url.follow(location);
    } catch (const Error& error) {
      throw refuse(fmt::format("to what cannot be followed: {}", error.what()));
    }
    if (was_https && !url.is_https()) throw refuse("from https to http, which is not followed");
    if (response.status == 303 || (response.status <= 302 && method == "POST"))
      method = method == "HEAD" ? "HEAD" : "GET";
  }
}

}  // namespace chaski
