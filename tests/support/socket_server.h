// A server on a port of this machine for one test: a thread accepts, and hands each connection to the test's
// function.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace chaski::test {

/// A connection as the server's side sees it.
class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {}
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// The next request, headers and body; empty where the other side closed.
  std::string read_request() {
    while (true) {
      const size_t end = unread_.find("\r\n\r\n");
      if (end != std::string::npos) {
        const size_t length = end + 4 + content_length(unread_.substr(0, end));
        if (unread_.size() >= length) {
          const std::string request = unread_.substr(0, length);
          unread_.erase(0, length);
          return request;
        }
      }
      char bytes[4096];
      const ssize_t n = ::recv(fd_, bytes, sizeof(bytes), 0);
      if (n <= 0) return {};
      unread_.append(bytes, static_cast<size_t>(n));
    }
  }

  /// False once the other side is gone.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  bool send_chunk(std::string_view text) { return send(fmt::format("{:x}\r\n{}\r\n", text.size(), text)); }
  void send_answer(std::string_view status, std::string_view headers, std::string_view body) {
    send(fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(), headers, body));
  }

  /// End it by RST: what was not read is lost.
  void reset() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  }
  /// Wait until the other side goes away.
  void wait_for_end() {
    char byte;
    while (::recv(fd_, &byte, 1, 0) > 0) {
    }
  }

 private:
  static size_t content_length(std::string_view head) {
    const size_t at = head.find("Content-Length: ");
    return at == std::string_view::npos ? 0 : static_cast<size_t>(std::atoi(head.data() + at + 16));
  }

  int fd_;
  std::string unread_;
};

class SocketServer {
 public:
  explicit SocketServer(std::function<void(Connection&)> serve, in_addr_t address_to_hear = INADDR_LOOPBACK)
      : serve_(std::move(serve)) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(address_to_hear);
    socklen_t length = sizeof(address);
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(fd_, 16) != 0)
      std::abort();
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~SocketServer() {
    ends_ = true;
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
    ::close(fd_);
  }
  SocketServer(const SocketServer&) = delete;
  SocketServer& operator=(const SocketServer&) = delete;

  std::string url(std::string_view path = "/") const {
    return fmt::format("http://127.0.0.1:{}{}", port_, path);
  }
  int port() const { return port_; }
  int n_connections() const { return n_connections_; }

 private:
  void accept_all() {
    while (!ends_) {
      pollfd waits{fd_, POLLIN, 0};
      if (::poll(&waits, 1, 20) <= 0) continue;
      const int fd = ::accept(fd_, nullptr, nullptr);
      if (fd < 0) continue;
      ++n_connections_;
      threads_.emplace_back([this, fd] {
        Connection connection(fd);
        serve_(connection);
      });
    }
  }

  std::function<void(Connection&)> serve_;
  int fd_ = -1, port_ = 0;
  std::atomic<bool> ends_{false};
  std::atomic<int> n_connections_{0};
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace chaski::test
