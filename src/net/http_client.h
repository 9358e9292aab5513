// An HTTP/1.1 client over libcurl with limits, for what is asked of other machines: streams of a chat server,
// a judge, later the hubs. One client is used by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/error.h"

namespace chaski {

struct HttpRequest {
  std::string method = "GET";
  std::string url;                                           ///< http or https
  std::vector<std::pair<std::string, std::string>> headers;  ///< no line breaks in them
  std::string body;                                          ///< of POST, PUT and PATCH
  double connect_timeout_s = 10;
  double stall_timeout_s = 60;  ///< without a byte; there is no limit on the whole
  int64_t max_body_bytes = int64_t{64} << 20;
  /// Redirects followed; 0: a redirect is an answer like others. Never from https to http, nor from a public
  /// address to a private one; headers named Authorization or Cookie do not go to another origin. A POST
  /// becomes a GET after 301, 302 and 303.
  int max_redirects = 0;
  std::string ca_file;         ///< certificates to trust in place of the system's; empty: the system's
  bool receives_bulk = false;  ///< large buffers: for speed where much comes
};

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;                                          ///< empty where it was streamed
  std::string url;                                           ///< after redirects
  /// Seconds from the call until connected, until the request was sent whole, until the first byte of the
  /// answer.
  double connected_s = 0, sent_s = 0, first_byte_s = 0;

  /// The header's value; empty where there is none.
  std::string_view header(std::string_view lower_case_name) const;
};

/// Whether an IP address is of this machine, of a private network or of a link, and so nothing that a server
/// on the internet may send us to. False for what is no address.
bool is_private_address(const std::string& ip);

/// Hears of an answer below 400 that is no redirect to be followed, when its headers are there and before its
/// body goes to on_body; not called where there is no body. False stops as on_body does.
using OnAnswer = std::function<bool(const HttpResponse& answer)>;

/// The server is not who it should be, as far as its certificate says: asking again does not help.
class CertificateError : public Error {
 public:
  using Error::Error;
};

class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Sends and waits. With `on_body`, the pieces of an answer below 400 go there as they arrive instead of
  /// into the response; false stops, and the response is what came so far. Throws Error(kNetwork) saying host
  /// and what failed (a CertificateError where that is it), Error(kCancelled), Error(kUsage) for a URL or
  /// header that cannot be sent, and what on_body throws; a status of 400 and above is no error. Proxies are
  /// those that the environment names (https_proxy, no_proxy, …), but never for this machine's own addresses.
  HttpResponse send(const HttpRequest& request, const CancelToken& cancel,
                    const std::function<bool(std::string_view piece)>& on_body = {},
                    const OnAnswer& on_answer = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace chaski
