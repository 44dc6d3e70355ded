#include "gateway/config/values.h"

#include <algorithm>
#include <numeric>

namespace penstock::config {

namespace {

constexpr uint16_t kMaxCpu = 1023;
constexpr size_t kMaxAddresses = 64;  // of one port or interface

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool is_hex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdefABCDEF") == text.npos;
}

// "0000:3b:00.0" or "3b:00.0".
bool is_pci(std::string_view text) {
  const auto colons = std::count(text.begin(), text.end(), ':');
  if (colons == 2) {
    if (text.size() != 12 || !is_hex(text.substr(0, 4)) || text[4] != ':') return false;
    text.remove_prefix(5);
  }
  return text.size() == 7 && is_hex(text.substr(0, 2)) && text[2] == ':' &&
         is_hex(text.substr(3, 2)) && text[5] == '.' && text[6] >= '0' && text[6] <= '7';
}

// DPDK's own name, or a short form: "af_packet:eth0", "null".
bool is_virtual(std::string_view text) {
  if (text.starts_with("net_") || text == "null" || text == "ring") return true;
  const std::string_view kind = text.substr(0, text.find(':'));
  constexpr std::string_view kKinds[] = {"af_packet",   "af_xdp", "tap",  "memif", "vhost",
                                         "virtio_user", "pcap",   "null", "ring"};
  return kind != text && std::find(std::begin(kKinds), std::end(kKinds), kind) != std::end(kKinds);
}

// What may stand as an address of a host: neither the network itself nor its broadcast address.
Status check_own_address(const InterfaceAddress& own) {
  const IpAddress& address = own.address;
  if (address.is_unspecified() || address.is_multicast() || address.is_loopback()) {
    return Error{"\"" + own.to_string() + "\" cannot be an address of the gateway"};
  }
  if (address.is_v4() && own.length < 31) {
    const uint32_t host_mask = own.length == 0 ? UINT32_MAX : UINT32_MAX >> own.length;
    const uint32_t host = address.v4().host() & host_mask;
    if (host == 0 || host == host_mask) {
      return Error{"\"" + own.to_string() + "\" is the network's own or its broadcast address"};
    }
  }
  return {};
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!(text = trim(text)).empty()) {
    const size_t end = std::min(text.find_first_of(" \t"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

}  // namespace

Setter yes_no(bool& field) { return choice<bool>(field, {{"yes", true}, {"no", false}}); }

Setter power_of_two(uint16_t& field, uint16_t minimum, uint16_t maximum) {
  return [&field, minimum, maximum](std::string_view text) -> Status {
    const auto value = parse_unsigned(text, maximum);
    if (!value || *value < minimum || (*value & (*value - 1)) != 0) {
      return Error{"must be a power of two, " + std::to_string(minimum) + " to " +
                   std::to_string(maximum)};
    }
    field = static_cast<uint16_t>(*value);
    return {};
  };
}

Setter plain_text(std::string& field) {
  return [&field](std::string_view text) -> Status {
    if (text.empty() || !is_printable(text)) return Error{"must be a text"};
    field = text;
    return {};
  };
}

Setter absolute_path(std::string& field) {
  return [&field](std::string_view text) -> Status {
    if (!text.starts_with('/') || !is_printable(text)) return Error{"must be an absolute path"};
    field = text;
    return {};
  };
}

Setter cpu_list(std::vector<uint16_t>& field) {
  return [&field](std::string_view text) -> Status {
    std::vector<uint16_t> cpus;
    for (const std::string_view item : split(text, ',')) {
      const size_t dash = item.find('-');
      const auto first = parse_unsigned(item.substr(0, dash), kMaxCpu);
      const auto last = dash == item.npos ? first : parse_unsigned(item.substr(dash + 1), kMaxCpu);
      if (!first || !last || *last < *first) {
        return Error{"must be a list of CPUs such as 2-5,8"};
      }
      for (uint64_t cpu = *first; cpu <= *last; ++cpu) {
        if (std::find(cpus.begin(), cpus.end(), cpu) != cpus.end()) {
          return Error{"CPU " + std::to_string(cpu) + " stands here twice"};
        }
        if (cpus.size() == kMaxWorkers) {
          return Error{"more than " + std::to_string(kMaxWorkers) + " workers"};
        }
        cpus.push_back(static_cast<uint16_t>(cpu));
      }
    }
    field = std::move(cpus);
    return {};
  };
}

// What kind of device; the rest is judged with its port's MTU and queues, in check_devices().
Setter device(std::string& field) {
  return [&field](std::string_view text) -> Status {
    const std::string_view name = text.substr(0, text.find(','));
    if (!is_printable(text) || !(is_pci(name) || is_virtual(name))) {
      return Error{
          "must be a PCI address such as 0000:3b:00.0, or a virtual device such as "
          "af_packet:eth0 or net_af_packet0,iface=eth0"};
    }
    field = text;
    const bool short_pci = is_pci(name) && name.size() == 7;
    if (short_pci) field.insert(0, "0000:");
    return {};
  };
}

Setter unicast_mac(std::optional<MacAddress>& field) {
  return [&field](std::string_view text) -> Status {
    const auto mac = MacAddress::parse(text);
    if (!mac || *mac == MacAddress{} || (mac->bytes[0] & 1) != 0) {
      return Error{"must be a unicast MAC address such as 02:00:00:00:00:01"};
    }
    field = mac;
    return {};
  };
}

Setter add_address(std::vector<InterfaceAddress>& field) {
  return [&field](std::string_view text) -> Status {
    const auto own = InterfaceAddress::parse(text);
    if (!own || text.find('/') == text.npos) {
      return Error{"must be ADDRESS/LENGTH such as 192.0.2.1/24 or 2001:db8::1/64"};
    }
    PENSTOCK_CHECK(check_own_address(*own));
    if (field.size() == kMaxAddresses) return Error{"more than 64 addresses"};
    field.push_back(*own);
    return {};
  };
}

Setter add_neighbour(std::vector<StaticNeighbour>& field) {
  return [&field](std::string_view text) -> Status {
    const auto words = words_of(text);
    const auto address = words.size() == 2 ? IpAddress::parse(words[0]) : std::nullopt;
    std::optional<MacAddress> mac;
    if (!address || !unicast_mac(mac)(words[1]) || address->is_multicast()) {
      return Error{"must be ADDRESS MAC, both unicast"};
    }
    field.push_back({*address, *mac});
    return {};
  };
}

Setter add_words(std::vector<std::string>& field) {
  return [&field](std::string_view text) -> Status {
    constexpr size_t kMaxWords = 64;
    const auto words = words_of(text);
    if (words.empty() || !is_printable(text)) return Error{"must be one or more arguments"};
    if (field.size() + words.size() > kMaxWords) return Error{"more than 64 arguments"};
    field.insert(field.end(), words.begin(), words.end());
    return {};
  };
}

namespace {

std::optional<RouteConfig> parse_route(const std::vector<std::string_view>& words) {
  using Kind = RouteConfig::Kind;
  RouteConfig route;
  const auto prefix = words.empty() ? std::nullopt : IpPrefix::parse(words[0]);
  if (!prefix) return std::nullopt;
  route.prefix = *prefix;
  if (words.size() == 2 && words[1] == "blackhole") {
    route.kind = Kind::kBlackhole;
  } else if (words.size() == 3 && words[1] == "port") {
    route.kind = Kind::kPort;
    route.port = words[2];
  } else if (words.size() == 3 && words[1] == "interface") {
    route.kind = Kind::kInterface;
    route.interface = words[2];
  } else if ((words.size() == 3 || (words.size() == 5 && words[3] == "port")) &&
             words[1] == "via") {
    const auto gateway = IpAddress::parse(words[2]);
    if (!gateway) return std::nullopt;
    route.kind = Kind::kGateway;
    route.gateway = *gateway;
    if (words.size() == 5) route.port = words[4];
  } else {
    return std::nullopt;
  }
  return route;
}

}  // namespace

Setter add_route(std::vector<RouteConfig>& field) {
  return [&field](std::string_view text) -> Status {
    const auto words = words_of(text);
    const auto route = parse_route(words);
    if (!route) {
      return Error{
          "must be PREFIX via ADDRESS [port NAME], PREFIX port NAME, PREFIX interface NAME or "
          "PREFIX blackhole"};
    }
    const auto exact = InterfaceAddress::parse(words[0]);
    if (exact && exact->address != route->prefix.address) {
      return Error{"bits behind the prefix length are set: " + route->prefix.to_string() +
                   " is meant?"};
    }
    if (route->kind == RouteConfig::Kind::kGateway) {
      if (route->gateway.family() != route->prefix.address.family()) {
        return Error{"prefix and gateway are not of the same family"};
      }
      if (route->gateway.is_unspecified() || route->gateway.is_multicast()) {
        return Error{"the gateway must be a unicast address"};
      }
    }
    field.push_back(*route);
    return {};
  };
}

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > 15) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

namespace {

// Levenshtein's distance, row by row.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string hint(std::string_view text, const std::vector<std::string>& candidates) {
  constexpr size_t kLongest = 64;
  if (text.size() > kLongest) return "";
  size_t best_distance = std::max<size_t>(2, text.size() / 3) + 1;
  std::string best;
  for (const std::string& candidate : candidates) {
    const size_t d = distance(text, candidate);
    if (d < best_distance && d < candidate.size()) {
      best_distance = d;
      best = candidate;
    }
  }
  return best.empty() ? "" : ", did you mean \"" + best + "\"?";
}

}  // namespace penstock::config
