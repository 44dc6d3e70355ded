#include "controlplane/driver/uapi_server.h"

#include <cerrno>

#include "controlplane/api/uapi.h"
#include "gateway/base/log.h"

namespace penstock {
namespace {

using wireguard::DeviceStatus;
namespace uapi = wireguard::uapi;

constexpr size_t kPeersPerPiece = 256;
constexpr size_t kConnectionLimit = 32;  // wg(8) opens an extra one for each command

class Splitter final : public StreamSplitter {
 public:
  void append(std::string_view bytes) override { splitter_.append(bytes); }
  Result<std::optional<std::string>, std::string> next() override {
    auto request = splitter_.next();
    if (!request.ok()) return uapi::format_errno(uapi::errno_of(request.error()));
    if (!request->has_value()) return std::optional<std::string>();
    return std::optional<std::string>(std::move((*request)->text));
  }

 private:
  uapi::RequestSplitter splitter_;
};

// A status with peers [from, from + count) alone, as text without the closing errno.
std::string format_peers(DeviceStatus& all, size_t from) {
  DeviceStatus part;
  const size_t count = std::min(kPeersPerPiece, all.peers.size() - from);
  const auto begin = all.peers.begin() + static_cast<std::ptrdiff_t>(from);
  part.peers.assign(std::make_move_iterator(begin),
                    std::make_move_iterator(begin + static_cast<std::ptrdiff_t>(count)));
  std::string text = uapi::format_get(part);
  text.resize(text.size() - uapi::format_errno(0).size());
  return text;
}

// A device's answer can be tens of megabytes: its peers follow in pieces of one snapshot.
StreamReply answer_get(const WireguardInterface& interface) {
  auto status = std::make_shared<DeviceStatus>(interface.status());
  if (status->peers.size() <= kPeersPerPiece) return {uapi::format_get(*status), nullptr, false};
  std::vector<wireguard::PeerStatus> peers;
  peers.swap(status->peers);
  std::string head = uapi::format_get(*status);
  head.resize(head.size() - uapi::format_errno(0).size());
  peers.swap(status->peers);
  StreamReply reply;
  reply.text = std::move(head);
  reply.more = [status, from = size_t{0}, ended = false]() mutable -> std::string {
    if (from < status->peers.size()) {
      std::string piece = format_peers(*status, from);
      from += kPeersPerPiece;
      return piece;
    }
    if (std::exchange(ended, true)) return {};
    return uapi::format_errno(0);
  };
  return reply;
}

StreamReply answer_set(WireguardInterface& interface, std::string_view request) {
  const auto change = uapi::parse_set(request);
  if (!change.ok()) {
    log_warning("%s: wg set refused, line %zu: %s", interface.name().c_str(), change.error().line,
                change.error().text.c_str());
    return {uapi::format_errno(EINVAL), nullptr, false};
  }
  const auto applied = interface.apply(*change);
  if (!applied.ok()) {
    log_warning("%s: wg set refused: %s", interface.name().c_str(), applied.error().text.c_str());
    return {uapi::format_errno(applied.error().error), nullptr, false};
  }
  return {uapi::format_errno(0), nullptr, false};
}

}  // namespace

Result<std::unique_ptr<StreamServer>> make_uapi_server(EventLoop& loop,
                                                       WireguardInterface& interface,
                                                       const std::string& directory) {
  StreamServerOptions options;
  options.path = directory + "/" + interface.name() + ".sock";
  options.mode = 0600;
  options.connection_limit = kConnectionLimit;
  options.make_splitter = [] { return std::make_unique<Splitter>(); };
  return StreamServer::create(loop, std::move(options), [&interface](std::string_view request) {
    return request.starts_with("get=1\n") ? answer_get(interface) : answer_set(interface, request);
  });
}

}  // namespace penstock
