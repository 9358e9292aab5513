// The HTTP client against a server of sockets that behaves as each test wants.
#include "net/http_client.h"

#include <gmock/gmock.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/clock.h"
#include "net/curl_api.h"
#include "support/error_of.h"
#include "support/socket_server.h"

namespace chaski {
namespace {

using test::Connection;
using test::error_of;
using test::SocketServer;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using namespace std::chrono_literals;

const CancelToken kNeverCancelled;

HttpRequest get(const std::string& url) {
  HttpRequest request;
  request.url = url;
  return request;
}

HttpResponse send(const HttpRequest& request) { return HttpClient().send(request, kNeverCancelled); }

/// An environment variable for as long as this lives.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    ::setenv(name, value, 1);
  }
  ~ScopedVariable() {
    if (old_) {
      ::setenv(name_, old_->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }

 private:
  const char* name_;
  std::optional<std::string> old_;
};

TEST(HttpClient, APostIsSentWholeAndItsAnswerIsRead) {
  std::string seen;
  const SocketServer server([&](Connection& connection) {
    seen = connection.read_request();
    connection.send_answer("201 Created", "X-Thing:  one two \r\n", "hello");
  });
  HttpRequest request = get(server.url("/v1/chat?x=1"));
  request.method = "POST";
  request.headers = {{"Content-Type", "application/json"}, {"Authorization", "Bearer k"}};
  request.body = std::string(100'000, 'b');
  const HttpResponse response = send(request);
  EXPECT_THAT(seen, StartsWith("POST /v1/chat?x=1 HTTP/1.1\r\n"));
  EXPECT_THAT(seen, HasSubstr("\r\nContent-Type: application/json\r\n"));
  EXPECT_THAT(seen, HasSubstr("\r\nAuthorization: Bearer k\r\n"));
  EXPECT_THAT(seen, Not(HasSubstr("Expect:")));
  EXPECT_EQ(seen.substr(seen.size() - 100'000), request.body);
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(response.body, "hello");
  EXPECT_EQ(response.header("x-thing"), "one two");
  EXPECT_EQ(response.header("not-there"), "");
  EXPECT_EQ(response.url, server.url("/v1/chat?x=1"));
  EXPECT_LE(0, response.connected_s);
  EXPECT_LE(response.connected_s, response.sent_s);
  EXPECT_LE(response.sent_s, response.first_byte_s);
}

TEST(HttpClient, AStreamOfChunksArrivesPieceByPieceWhileItIsSent) {
  const SocketServer server([](Connection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (const char* piece : {"one ", "two ", "three"}) {
      connection.send_chunk(piece);
      std::this_thread::sleep_for(60ms);
    }
    connection.send("0\r\n\r\n");
  });
  const Stopwatch clock;
  std::vector<double> times;
  std::string text;
  const HttpResponse response =
      HttpClient().send(get(server.url()), kNeverCancelled, [&](std::string_view piece) {
        times.push_back(clock.seconds());
        text += piece;
        return true;
      });
  EXPECT_EQ(text, "one two three");
  EXPECT_EQ(response.body, "");
  EXPECT_GE(times.size(), 2u);  // a pause in between is seen, even where a busy machine joins pieces
  EXPECT_LE(response.first_byte_s, times.front());
}

TEST(HttpClient, TheBodyOfAnErrorIsInTheResponseEvenWhereAnswersAreStreamed) {
  const SocketServer server([](Connection& connection) {
    connection.read_request();
    connection.send_answer("503 Busy", "", "{\"error\":1}");
  });
  const HttpResponse response = HttpClient().send(get(server.url()), kNeverCancelled, [](std::string_view) {
    ADD_FAILURE() << "an error is no stream";
    return true;
  });
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, "{\"error\":1}");
}

TEST(HttpClient, AConnectionIsKeptForTheNextRequest) {
  const SocketServer server([](Connection& connection) {
    while (!connection.read_request().empty()) connection.send_answer("200 OK", "", "again");
  });
  {
    HttpClient client;
    for (int i = 0; i < 3; ++i) EXPECT_EQ(client.send(get(server.url()), kNeverCancelled).body, "again");
  }
  EXPECT_EQ(server.n_connections(), 1);
}

TEST(HttpClient, ARedirectIsFollowedOnlyWhereAskedAndSoOften) {
  const SocketServer server([](Connection& connection) {
    for (std::string request; !(request = connection.read_request()).empty();) {
      if (request.rfind("GET /end", 0) == 0) {
        connection.send_answer("200 OK", "", "arrived");
      } else if (request.rfind("GET /loop", 0) == 0) {
        connection.send_answer("302 Found", "Location: /loop\r\n", "moved");
      } else {
        connection.send_answer("302 Found", "Location: end?a=b\r\n", "moved");
      }
    }
  });
  HttpRequest request = get(server.url("/start"));
  EXPECT_EQ(send(request).status, 302);
  EXPECT_EQ(send(request).body, "moved");
  request.max_redirects = 2;
  std::string streamed;
  const HttpResponse response = HttpClient().send(request, kNeverCancelled, [&](std::string_view piece) {
    streamed += piece;
    return true;
  });
  EXPECT_EQ(streamed, "arrived");
  EXPECT_EQ(response.url, server.url("/end?a=b"));
  request.url = server.url("/loop");
  const Error error = error_of([&] { send(request); });
  EXPECT_EQ(error.code(), ErrorCode::kNetwork);
  EXPECT_THAT(error.what(), HasSubstr("redirects more than 2 times"));
}

TEST(HttpClient, SecretsDoNotFollowToAnotherOriginAndAPostBecomesAGet) {
  std::string at_other, at_same;
  const SocketServer other([&](Connection& connection) {
    at_other = connection.read_request();
    connection.send_answer("200 OK", "", "other");
  });
  const SocketServer server([&](Connection& connection) {
    for (std::string request; !(request = connection.read_request()).empty();) {
      if (request.find(" /same ") != std::string::npos) {
        at_same = request;
        connection.send_answer("303 See Other", fmt::format("Location: {}\r\n", other.url("/other")), "");
      } else {
        connection.send_answer("307 Again", "Location: /same\r\n", "");
      }
    }
  });
  HttpRequest request = get(server.url("/begin"));
  request.method = "POST";
  request.body = "secret question";
  request.headers = {
      {"AUTHORIZATION", "Bearer k"}, {"Cookie", "c=1"}, {"Content-Type", "text/plain"}, {"X-Mine", "m"}};
  request.max_redirects = 5;
  EXPECT_EQ(send(request).body, "other");
  EXPECT_THAT(at_same, StartsWith("POST /same"));  // 307 keeps method, body and, at home, secrets
  EXPECT_THAT(at_same, HasSubstr("Bearer k"));
  EXPECT_THAT(at_same, HasSubstr("secret question"));
  EXPECT_THAT(at_other, StartsWith("GET /other"));
  EXPECT_THAT(at_other, HasSubstr("X-Mine: m"));
  EXPECT_THAT(at_other, Not(HasSubstr("Bearer k")));
  EXPECT_THAT(at_other, Not(HasSubstr("c=1")));
  EXPECT_THAT(at_other, Not(HasSubstr("secret question")));
  EXPECT_THAT(at_other, Not(HasSubstr("Content-Type")));
}

TEST(HttpClient, ARedirectToAnotherSchemeIsRefused) {
  for (const char* target :
       {"file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x", "http://user:pw@127.0.0.1/"}) {
    const SocketServer server([&](Connection& connection) {
      connection.read_request();
      connection.send_answer("302 Found", fmt::format("Location: {}\r\n", target), "");
    });
    HttpRequest request = get(server.url());
    request.max_redirects = 1;
    const Error error = error_of([&] { send(request); });
    EXPECT_EQ(error.code(), ErrorCode::kNetwork) << target;
    EXPECT_THAT(error.what(), HasSubstr("cannot be followed")) << target;
  }
}

TEST(HttpClient, WhatIsNoHttpUrlOrNoHeaderIsAUsageError) {
  for (const char* url : {"", "localhost:8080", "file:///etc/passwd", "ftp://x/", "http://", "http://a b/",
                          "http://x/\r\nX: y", "http://user:password@127.0.0.1/"}) {
    const Error error = error_of([&] { send(get(url)); });
    EXPECT_EQ(error.code(), ErrorCode::kUsage) << url;
    EXPECT_THAT(error.what(), Not(HasSubstr("password@"))) << url;
  }
  HttpRequest request = get("http://127.0.0.1:1/");
  for (const auto& header : std::vector<std::pair<std::string, std::string>>{
           {"X", "a\r\nY: b"}, {"X\n", "a"}, {"", "a"}, {"X: y", "a"}, {"X", std::string("a\0b", 3)}}) {
    request.headers = {header};
    EXPECT_EQ(error_of([&] { send(request); }).code(), ErrorCode::kUsage) << printable(header.first);
  }
}

TEST(HttpClient, AServerThatIsNotThereIsNamed) {
  int port = 0;
  {
    const SocketServer gone([](Connection&) {});
    port = gone.port();
  }
  const Error error = error_of([&] { send(get(fmt::format("http://127.0.0.1:{}/", port))); });
  EXPECT_EQ(error.code(), ErrorCode::kNetwork);
  EXPECT_THAT(error.what(), HasSubstr(fmt::format("127.0.0.1:{}", port)));
  EXPECT_THAT(error.hint(), HasSubstr("is the server running"));
}

TEST(HttpClient, AStreamThatStallsEndsAndOnlyThen) {
  const SocketServer server([](Connection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 4; ++i) {  // longer than the limit in all, never without a byte for so long
      connection.send_chunk("tick");
      std::this_thread::sleep_for(200ms);
    }
    connection.wait_for_end();
  });
  HttpRequest request = get(server.url());
  request.stall_timeout_s = 0.6;
  std::string text;
  const Error error = error_of([&] {
    HttpClient().send(request, kNeverCancelled, [&](std::string_view piece) {
      text += piece;
      return true;
    });
  });
  EXPECT_EQ(error.code(), ErrorCode::kNetwork);
  EXPECT_THAT(error.what(), HasSubstr("sent nothing for 0.6 s"));
  EXPECT_EQ(text, "ticktickticktick");
}

TEST(HttpClient, AServerThatNeverAnswersStallsToo) {
  const SocketServer server([](Connection& connection) { connection.wait_for_end(); });
  HttpRequest request = get(server.url());
  request.stall_timeout_s = 0.1;
  EXPECT_THAT(error_of([&] { send(request); }).what(), HasSubstr("sent nothing for 0.1 s"));
}

TEST(HttpClient, AConnectionThatBreaksIsAnErrorWhereverItBreaks) {
  for (const char* begin : {"", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"}) {
    for (const bool resets : {false, true}) {
      const SocketServer server([&](Connection& connection) {
        connection.read_request();
        connection.send(begin);
        if (resets) connection.reset();
      });
      EXPECT_EQ(error_of([&] { send(get(server.url())); }).code(), ErrorCode::kNetwork) << begin << resets;
    }
  }
}

TEST(HttpClient, WhatIsNotHttpIsAnError) {
  for (const char* answer : {"SSH-2.0-OpenSSH\r\n", "HTTP/9.9 200 OK\r\n\r\n", "\r\n\r\n\r\n",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n"}) {
    const SocketServer server([&](Connection& connection) {
      connection.read_request();
      connection.send(answer);
    });
    EXPECT_EQ(error_of([&] { send(get(server.url())); }).code(), ErrorCode::kNetwork) << answer;
  }
}

TEST(HttpClient, AnAnswerIsNeverLargerThanAllowed) {
  const SocketServer server([](Connection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (connection.send_chunk(std::string(4096, 'x'))) {
    }
  });
  HttpRequest request = get(server.url());
  request.max_body_bytes = 100'000;
  size_t n_bytes = 0;
  const auto count = [&](std::string_view piece) {
    n_bytes += piece.size();
    return true;
  };
  EXPECT_THAT(error_of([&] { HttpClient().send(request, kNeverCancelled, count); }).what(),
              HasSubstr("more than the 100000 bytes"));
  EXPECT_LE(n_bytes, 100'000u);
  EXPECT_THAT(error_of([&] { send(request); }).what(), HasSubstr("more than the 100000 bytes"));
}

TEST(HttpClient, HeadersWithoutEndAreRefused) {
  const SocketServer server([](Connection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\n");
    while (connection.send("X-More: " + std::string(1000, 'x') + "\r\n")) {
    }
  });
  EXPECT_THAT(error_of([&] { send(get(server.url())); }).what(), HasSubstr("KiB of headers"));
}

TEST(HttpClient, CancellingEndsAWaitAtOnce) {
  const SocketServer server([](Connection& connection) { connection.wait_for_end(); });
  CancelToken cancel;
  std::thread canceller([&] {
    std::this_thread::sleep_for(100ms);
    cancel.cancel();
  });
  EXPECT_EQ(error_of([&] { HttpClient().send(get(server.url()), cancel); }).code(), ErrorCode::kCancelled);
  canceller.join();
  EXPECT_EQ(error_of([&] { HttpClient().send(get(server.url()), cancel); }).code(), ErrorCode::kCancelled);
}

TEST(HttpClient, TheReaderMayStopOrThrowAndTheClientGoesOn) {
  const SocketServer server([](Connection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (connection.send_chunk("more")) std::this_thread::sleep_for(1ms);
  });
  HttpClient client;
  const HttpResponse response =
      client.send(get(server.url()), kNeverCancelled, [](std::string_view) { return false; });
  EXPECT_EQ(response.status, 200);
  const auto throws = [](std::string_view) -> bool { throw Error(ErrorCode::kCorrupt, "test", "no more"); };
  EXPECT_EQ(error_of([&] { client.send(get(server.url()), kNeverCancelled, throws); }).code(),
            ErrorCode::kCorrupt);
}

TEST(HttpClient, AProxyOfTheEnvironmentIsUsedButNotForThisMachine) {
  std::string asked;
  const SocketServer proxy([&](Connection& connection) {
    asked = connection.read_request();
    connection.send_answer("200 OK", "", "by proxy");
  });
  const SocketServer server([](Connection& connection) {
    connection.read_request();
    connection.send_answer("200 OK", "", "direct");
  });
  const ScopedVariable http_proxy("http_proxy", proxy.url().c_str());
  const ScopedVariable no_proxy("no_proxy", "");
  EXPECT_EQ(send(get("http://somewhere.invalid/x")).body, "by proxy");
  EXPECT_THAT(asked, StartsWith("GET http://somewhere.invalid/x"));
  EXPECT_EQ(send(get(server.url())).body, "direct");
  EXPECT_EQ(send(get(fmt::format("http://localhost:{}/", server.port()))).body, "direct");
}

TEST(HttpClient, AnAnswerIsToldOfBeforeItsBodyAndMayBeStoppedThere) {
  const SocketServer server([](Connection& connection) {
    while (!connection.read_request().empty())
      connection.send_answer("206 Part", "Content-Range: x\r\n", "hello");
  });
  std::string seen, body;
  const auto take = [&](std::string_view piece) {
    body += piece;
    return true;
  };
  HttpClient client;
  client.send(get(server.url()), kNeverCancelled, take, [&](const HttpResponse& answer) {
    seen = fmt::format("{} {} {}", answer.status, answer.header("content-range"), body.size());
    return true;
  });
  EXPECT_EQ(seen, "206 x 0");
  EXPECT_EQ(body, "hello");
  client.send(get(server.url()), kNeverCancelled, take, [](const HttpResponse&) { return false; });
  EXPECT_EQ(body, "hello");
}

TEST(HttpClient, AddressesOfThisMachineAndOfPrivateNetworksAreKnown) {
  for (const char* ip :
       {"127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "0.0.0.0", "::1", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"}) {
    EXPECT_TRUE(is_private_address(ip)) << ip;
  }
  for (const char* ip : {"8.8.8.8", "172.32.0.1", "172.15.0.1", "192.169.0.1", "100.128.0.1", "2001:db8::1",
                         "::ffff:8.8.8.8", "", "host"}) {
    EXPECT_FALSE(is_private_address(ip)) << ip;
  }
}

/// What `test` returns in a process of its own with no network but itself and one public address,
/// 203.0.113.5; nothing where this machine does not allow that.
std::optional<int> on_the_internet(const std::function<int()>& test) {
  constexpr int kNotAllowed = 77;
  const pid_t child = ::fork();
  if (child == 0) {
    ifreq lo{};
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) ::_exit(kNotAllowed);
    const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    std::strcpy(lo.ifr_name, "lo");
    lo.ifr_flags = IFF_UP;
    bool is_set = ::ioctl(socket, SIOCSIFFLAGS, &lo) == 0;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    ::inet_pton(AF_INET, "203.0.113.5", &address.sin_addr);
    std::strcpy(lo.ifr_name, "lo:1");
    std::memcpy(&lo.ifr_addr, &address, sizeof(address));
    is_set = is_set && ::ioctl(socket, SIOCSIFADDR, &lo) == 0;
    ::close(socket);
    int result = kNotAllowed;
    if (is_set) result = test();
    std::fflush(nullptr);
    ::_exit(result);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  if (WEXITSTATUS(status) == kNotAllowed) return std::nullopt;
  return WEXITSTATUS(status);
}

TEST(HttpClient, APublicServerDoesNotLeadToAPrivateAddressNotEvenToAConnectionThatIsOpen) {
  const std::optional<int> result = on_the_internet([] {
    const auto is_true = [](bool claim, int line) {
      if (!claim) std::fprintf(stderr, "line %d does not hold\n", line);
      return claim;
    };
    int n_private = 0;
    const SocketServer here([&](Connection& connection) {
      while (!connection.read_request().empty()) {
        ++n_private;
        connection.send_answer("200 OK", "", "secret");
      }
    });
    const SocketServer elsewhere(
        [](Connection& connection) {
          while (!connection.read_request().empty()) connection.send_answer("200 OK", "", "public");
        },
        INADDR_ANY);
    const std::string public_url = fmt::format("http://203.0.113.5:{}/", elsewhere.port());
    std::string target = here.url();
    const SocketServer redirecting(
        [&](Connection& connection) {
          while (!connection.read_request().empty())
            connection.send_answer("302 Found", "Location: " + target + "\r\n", "");
        },
        INADDR_ANY);
    HttpRequest request = get(fmt::format("http://203.0.113.5:{}/", redirecting.port()));
    request.max_redirects = 3;
    HttpClient client;
    bool is_right = is_true(client.send(get(here.url()), kNeverCancelled).body == "secret", __LINE__);
    const Error error = error_of([&] { client.send(request, kNeverCancelled); });
    is_right =
        is_true(std::string(error.what()).find("private address") != std::string::npos, __LINE__) && is_right;
    is_right = is_true(n_private == 1, __LINE__) && is_right;
    target = public_url;
    is_right = is_true(client.send(request, kNeverCancelled).body == "public", __LINE__) && is_right;
    // A server of this machine may lead anywhere.
    request.url = redirecting.url();
    target = here.url();
    is_right = is_true(client.send(request, kNeverCancelled).body == "secret", __LINE__) && is_right;
    return is_right ? 0 : 1;
  });
  if (!result) GTEST_SKIP() << "this machine gives no network of one's own";
  EXPECT_EQ(*result, 0);
}

TEST(Libcurl, WhereThereIsNoneTheErrorSaysWhatToInstall) {
  const std::array names{"libchaski-has-no-such-library.so.4", "libnor-this-one.so"};
  const Error error = error_of([&] { open_curl(names); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.what(), HasSubstr("libchaski-has-no-such-library.so.4"));
  EXPECT_THAT(error.what(), HasSubstr("libnor-this-one.so"));
  EXPECT_THAT(error.hint(), HasSubstr("libcurl4"));
}

TEST(Libcurl, AnotherLibraryOfThatNameIsAnErrorThatNamesWhatItLacks) {
  const std::array names{"libm.so.6"};
  EXPECT_THAT(error_of([&] { open_curl(names); }).what(), HasSubstr("libm.so.6 has no curl_"));
}

TEST(Libcurl, TheFirstThatOpensIsTaken) {
  const std::array names{"libchaski-has-no-such-library.so.4", "libcurl.so.4"};
  const CurlApi api = open_curl(names);
  EXPECT_STREQ(api.easy_strerror(CURLE_OK), "No error");
}

}  // namespace
}  // namespace chaski
