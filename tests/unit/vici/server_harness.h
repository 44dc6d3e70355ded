// A server with its event loop on a thread of its own, and a client that speaks packets.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <string>
#include <thread>

#include "controlplane/vici/packet.h"
#include "controlplane/vici/server.h"
#include "tests/unit/vici/fake_backend.h"

namespace penstock::vici {

inline std::string content(const std::string& name) {
  std::ifstream file(std::string(PENSTOCK_VECTORS "/vici/") + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A connection with a child, and whatever else is added to its section.
inline MessageWriter connection(const std::string& name, const std::string& key = {},
                                const std::string& value = {}) {
  MessageWriter writer;
  writer.begin_section(name).value("version", "2");
  if (!key.empty()) writer.value(key, value);
  writer.begin_section("local").value("auth", "psk").end_section();
  writer.begin_section("remote").value("auth", "psk").end_section();
  writer.begin_section("children").begin_section("net").end_section();
  writer.begin_section("shunt").value("mode", "pass").end_section().end_section().end_section();
  return writer;
}

inline MessageWriter with(std::initializer_list<std::pair<const char*, std::string>> values) {
  MessageWriter writer;
  for (const auto& [key, value] : values) writer.value(key, value);
  return writer;
}

class Client {
 public:
  explicit Client(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connected_ =
        connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  [[nodiscard]] bool connected() const { return connected_; }
  void close() { fd_.reset(); }

  void send_bytes(Bytes bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t now = ::send(fd_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (now <= 0) return;
      sent += static_cast<size_t>(now);
    }
  }
  void send(PacketType type, const std::string& name, Bytes message = {}) {
    send_bytes(make_packet(type, message, name));
  }

  struct Received {
    bool any = false;  // false: the connection is over, or nothing came in time
    PacketType type{};
    std::string name;  // of an event
    std::shared_ptr<Section> message;
    [[nodiscard]] std::string text(std::string_view key) const { return message->text(key); }
  };
  Received receive(int timeout_ms = 5000) {
    Received received;
    ByteVector header = read_exact(4, timeout_ms);
    if (header.size() != 4) return received;
    const ByteVector segment = read_exact(Reader(header).be32(), timeout_ms);
    Reader reader(segment);
    received.type = static_cast<PacketType>(reader.u8());
    if (received.type == PacketType::kEvent) received.name = text_of(reader.take(reader.u8()));
    auto message = parse_message(reader.take_rest());
    if (!message.ok()) {
      ADD_FAILURE() << message.error().text;
      return received;
    }
    received.message = std::make_shared<Section>(std::move(*message));
    received.any = true;
    return received;
  }
  [[nodiscard]] bool closed_by_server(int timeout_ms = 5000) {
    return read_exact(1, timeout_ms).empty();
  }

  Received request(const std::string& command, const MessageWriter& message = {}) {
    send(PacketType::kCommandRequest, command, message.bytes());
    return receive();
  }
  bool register_for(const std::string& event) {
    send(PacketType::kEventRegister, event);
    return receive().type == PacketType::kEventConfirm;
  }

 private:
  ByteVector read_exact(size_t length, int timeout_ms) {
    ByteVector bytes(length);
    size_t used = 0;
    while (used < length) {
      pollfd wait{fd_.get(), POLLIN, 0};
      if (poll(&wait, 1, timeout_ms) != 1) return {};
      const ssize_t got = recv(fd_.get(), bytes.data() + used, length - used, 0);
      if (got <= 0) return {};
      used += static_cast<size_t>(got);
    }
    return bytes;
  }
  FileDescriptor fd_;
  bool connected_ = false;
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    char pattern[] = "/tmp/penstock-vici-XXXXXX";
    directory_ = mkdtemp(pattern);
    path_ = directory_ + "/vici";
    auto loop = EventLoop::create();
    loop_ = std::move(*loop);
    options_.path = path_;
    options_.version = "0.1.0";
  }
  ~ServerTest() override {
    if (thread_.joinable()) {
      on_loop([this] { server_.reset(); });
      loop_->stop();
      thread_.join();
    }
    std::filesystem::remove_all(directory_);
  }
  void start() {
    auto server = Server::create(*loop_, options_, backend_, credentials_);
    ASSERT_TRUE(server.ok()) << server.error().text;
    server_ = std::move(*server);
    thread_ = std::thread([this] { loop_->run(); });
  }
  // Runs on the loop's thread and waits for its end.
  void on_loop(const std::function<void()>& task) {
    std::promise<void> done;
    loop_->post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  void notify(const ike::Notify& notify) {
    on_loop([&] { server_->on_notify(notify); });
  }
  std::vector<std::string> calls() {
    std::vector<std::string> copy;
    on_loop([&] { copy = backend_.calls; });
    return copy;
  }
  size_t count(const std::string& prefix) {
    size_t found = 0;
    on_loop([&] { found = backend_.count(prefix); });
    return found;
  }

  std::string directory_, path_;
  ServerOptions options_;
  std::unique_ptr<EventLoop> loop_;
  FakeBackend backend_;
  ike::CredentialStore credentials_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

}  // namespace penstock::vici
