#include "controlplane/api/wg_quick.h"

#include <charconv>
#include <map>
#include <utility>

#include "gateway/base/text.h"

namespace penstock::wireguard {

namespace {

constexpr uint16_t kLowestMtu = 576, kHighestMtu = 9200;

// Reads one file top to bottom; each line goes to the function of its section.
class WgQuickParser {
 public:
  WgQuickParser(const std::string& path, HookPolicy hooks, Diagnostics& diagnostics)
      : path_(path), hooks_(hooks), diagnostics_(diagnostics) {
    file_.device.replace_peers = true;
  }

  WgQuickFile parse(std::string_view text);

 private:
  enum class Section : uint8_t { kNone, kUnknown, kInterface, kPeer };

  void section_line(std::string_view name);
  void key_line(std::string_view text);
  void interface_key(std::string_view key, std::string_view value);
  bool hook_key(std::string_view key, std::string_view value);
  void peer_key(std::string_view key, std::string_view value);
  void end_of_peer();
  void table(std::string_view value);
  void addresses(std::string_view value);
  void allowed_ips(std::string_view value);
  void endpoint(std::string_view value);
  void public_key(std::string_view value);
  std::optional<Secret<32>> secret(std::string_view value);
  // A scalar key that comes again: the tools take the last one, so do we, and say so.
  void note_repeat(std::string_view key);

  void say(Severity severity, size_t line, std::string_view key, std::string text) {
    diagnostics_.push_back({severity, path_, line, std::string(key), std::move(text)});
  }
  void error(std::string text) { say(Severity::kError, line_, key_, std::move(text)); }
  void warn(std::string text) { say(Severity::kWarning, line_, key_, std::move(text)); }
  PeerChange& peer() { return file_.device.peers.back(); }

  const std::string& path_;
  HookPolicy hooks_;
  Diagnostics& diagnostics_;
  WgQuickFile file_;
  Section section_ = Section::kNone;
  size_t line_ = 0;
  std::string_view key_;      // as written in the current line
  size_t section_start_ = 0;  // line of the current section's header
  bool peer_has_key_ = false;
  std::map<std::string, size_t> seen_;  // scalar keys of this section, lower case, with their line
  std::map<PublicKey, size_t> peer_lines_;
  std::map<IpPrefix, std::pair<size_t, size_t>> owners_;  // of allowed IPs: peer and line
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

WgQuickFile WgQuickParser::parse(std::string_view text) {
  text = without_byte_order_mark(text);
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view content = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++line_;
    key_ = {};
    content = trim(content.substr(0, content.find('#')));
    if (content.empty()) continue;
    if (content.front() == '[') {
      section_line(content);
    } else {
      key_line(content);
    }
  }
  end_of_peer();
  return std::move(file_);
}

void WgQuickParser::section_line(std::string_view name) {
  end_of_peer();
  section_start_ = line_;
  seen_.clear();
  if (equal_ignoring_case(name, "[Interface]")) {
    section_ = Section::kInterface;
  } else if (equal_ignoring_case(name, "[Peer]")) {
    section_ = Section::kPeer;
    peer_has_key_ = false;
    file_.device.peers.emplace_back().replace_allowed_ips = true;
  } else {
    section_ = Section::kUnknown;
    error("unknown section " + std::string(name) + ": only [Interface] and [Peer] are known");
  }
}

void WgQuickParser::end_of_peer() {
  if (section_ == Section::kPeer && !peer_has_key_) {
    say(Severity::kError, section_start_, "[Peer]", "the peer has no PublicKey");
  }
}

void WgQuickParser::key_line(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return error("not a section and not KEY = VALUE");
  key_ = trim(text.substr(0, equals));
  const std::string_view value = trim(text.substr(equals + 1));
  switch (section_) {
    case Section::kNone:
      return error("stands before the first section");
    case Section::kUnknown:
      return;  // its header was reported
    case Section::kInterface:
      return interface_key(key_, value);
    case Section::kPeer:
      return peer_key(key_, value);
  }
}

void WgQuickParser::note_repeat(std::string_view key) {
  const auto [entry, first] = seen_.emplace(lower(key), line_);
  if (!first) warn("also in line " + std::to_string(entry->second) + ": the last one counts");
}

void WgQuickParser::interface_key(std::string_view key, std::string_view value) {
  const auto is = [key](std::string_view name) { return equal_ignoring_case(key, name); };
  if (is("Address")) return addresses(value);
  if (is("DNS")) {
    for (const std::string_view item : split(value, ',')) file_.dns.emplace_back(item);
    return say(Severity::kNotice, line_, key_, "has no meaning on a gateway, not used");
  }
  if (hook_key(key, value)) return;
  note_repeat(key);
  if (is("PrivateKey")) {
    file_.device.private_key = secret(value);
    file_.private_key_line = line_;
  } else if (is("ListenPort")) {
    const auto port = parse_unsigned(value, UINT16_MAX);
    if (!port) return error("must be a port, 0 to 65535");
    file_.device.listen_port = static_cast<uint16_t>(*port);
    file_.listen_port_line = line_;
  } else if (is("FwMark")) {
    const bool hex = value.starts_with("0x") || value.starts_with("0X");
    const std::string_view digits = hex ? value.substr(2) : value;
    uint32_t mark = 0;
    const auto [end, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), mark, hex ? 16 : 10);
    if (equal_ignoring_case(value, "off")) {
      mark = 0;
    } else if (digits.empty() || failure != std::errc{} || end != digits.data() + digits.size()) {
      return error("must be off or a 32-bit number, decimal or 0x...");
    }
    file_.device.fwmark = mark;
  } else if (is("MTU")) {
    const auto mtu = parse_unsigned(value, kHighestMtu);
    if (!mtu || *mtu < kLowestMtu) return error("must be 576 to 9200 (bytes)");
    file_.mtu = static_cast<uint16_t>(*mtu);
    file_.mtu_line = line_;
  } else if (is("Table")) {
    table(value);
  } else {
    error("unknown key in [Interface]");
  }
}

void WgQuickParser::table(std::string_view value) {
  if (equal_ignoring_case(value, "off")) {
    file_.routes = false;
  } else if (equal_ignoring_case(value, "auto")) {
    file_.routes = true;
  } else {
    error("the kernel's routing tables play no part here: only auto and off are possible, not \"" +
          std::string(value) + "\"");
  }
}

bool WgQuickParser::hook_key(std::string_view key, std::string_view value) {
  const bool save = equal_ignoring_case(key, "SaveConfig");
  bool hook = save;
  for (const std::string_view name : {"PreUp", "PostUp", "PreDown", "PostDown"}) {
    hook = hook || equal_ignoring_case(key, name);
  }
  if (!hook) return false;
  if (save && equal_ignoring_case(value, "false")) return true;
  if (save && !equal_ignoring_case(value, "true")) {
    error("must be true or false");
    return true;
  }
  const std::string what =
      save ? "the gateway never writes this file" : "the gateway runs no commands";
  if (hooks_ == HookPolicy::kRefuse) {
    error(what + "; remove the line, or set hooks = warn in penstock.conf to skip it");
  } else {
    warn(what + ": skipped");
    file_.hooks.push_back(std::string(key) + " = " + std::string(value));
  }
  return true;
}

void WgQuickParser::addresses(std::string_view value) {
  for (const std::string_view item : split(value, ',')) {
    const auto address = InterfaceAddress::parse(item);
    if (!address) {
      error("\"" + std::string(item) + "\" is not an address such as 10.0.0.1/24 or fd00::1/64");
      continue;
    }
    file_.addresses.push_back(*address);
    file_.address_lines.push_back(line_);
  }
}

// Exactly 44 characters of base64, 32 bytes. The copy that decoding makes is wiped.
std::optional<Secret<32>> WgQuickParser::secret(std::string_view value) {
  auto bytes = value.size() == 44 ? from_base64(value) : std::nullopt;
  std::optional<Secret<32>> key;
  if (bytes && bytes->size() == 32) {
    key = Secret<32>::copy_of(*bytes);
  } else {
    error("must be a key: 32 bytes in base64, 44 characters");
  }
  if (bytes) wipe(*bytes);
  return key;
}

void WgQuickParser::public_key(std::string_view value) {
  const auto key = secret(value);
  peer_has_key_ = true;  // or reported
  if (!key) return;
  std::copy_n(key->data(), 32, peer().public_key.begin());
  const auto [entry, first] = peer_lines_.emplace(peer().public_key, line_);
  if (!first) error("line " + std::to_string(entry->second) + " has the same peer");
}

void WgQuickParser::peer_key(std::string_view key, std::string_view value) {
  const auto is = [key](std::string_view name) { return equal_ignoring_case(key, name); };
  if (is("AllowedIPs")) return allowed_ips(value);
  note_repeat(key);
  if (is("PublicKey")) {
    public_key(value);
  } else if (is("PresharedKey")) {
    peer().preshared_key = secret(value);
  } else if (is("Endpoint")) {
    endpoint(value);
  } else if (is("PersistentKeepalive")) {
    const auto seconds =
        equal_ignoring_case(value, "off") ? uint64_t{0} : parse_unsigned(value, UINT16_MAX);
    if (!seconds) return error("must be off or 0 to 65535 (seconds)");
    peer().persistent_keepalive_s = static_cast<uint16_t>(*seconds);
  } else {
    error("unknown key in [Peer]");
  }
}

void WgQuickParser::allowed_ips(std::string_view value) {
  if (value.empty()) return;  // a peer that owns nothing yet
  for (const std::string_view item : split(value, ',')) {
    const auto prefix = IpPrefix::parse(item);
    if (!prefix) {
      error("\"" + std::string(item) + "\" is not a network such as 10.0.0.0/24 or fd00::/64");
      continue;
    }
    peer().allowed_ips.push_back({*prefix, false});
    const size_t owner = file_.device.peers.size();
    const auto [entry, first] = owners_.try_emplace(*prefix, owner, line_);
    if (!first && entry->second.first != owner) {
      warn(prefix->to_string() + " moves here from the peer of line " +
           std::to_string(entry->second.second));
      entry->second = {owner, line_};
    }
  }
}

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_') return false;
  }
  // What ends in a number is a mistyped IPv4 address, no name (RFC 1123, section 2.1).
  const std::string_view last = text.substr(text.rfind('.') + 1);
  return !parse_unsigned(last).has_value();
}

void WgQuickParser::endpoint(std::string_view value) {
  const size_t peer_index = file_.device.peers.size() - 1;
  std::erase_if(file_.names, [&](const NamedEndpoint& n) { return n.peer == peer_index; });
  peer().endpoint = Endpoint::parse(value);
  if (peer().endpoint && peer().endpoint->port != 0) return;
  const size_t colon = value.rfind(':');
  const std::string_view host = value.substr(0, colon);
  const auto port = colon == std::string_view::npos
                        ? std::nullopt
                        : parse_unsigned(value.substr(colon + 1), UINT16_MAX);
  if (!port || *port == 0 || !is_host_name(host)) {
    return error("must be ADDRESS:PORT, [IPV6]:PORT or NAME:PORT");
  }
  file_.names.push_back({peer_index, std::string(host), static_cast<uint16_t>(*port), line_});
}

}  // namespace

WgQuickFile parse_wg_quick(std::string_view text, const std::string& path, HookPolicy hooks,
                           Diagnostics& diagnostics) {
  return WgQuickParser(path, hooks, diagnostics).parse(text);
}

}  // namespace penstock::wireguard
