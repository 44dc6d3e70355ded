#include "gateway/cli/render.h"

#include <nlohmann/json.hpp>

#include "gateway/cli/table.h"

namespace penstock::cli {
namespace {

using Json = nlohmann::ordered_json;

// A member as text; "-" where it is null, absent or of another kind.
std::string text(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return "-";
  if (found->is_string()) {
    const auto& value = found->get_ref<const std::string&>();
    return value.empty() ? "-" : value;
  }
  if (found->is_number_unsigned()) return std::to_string(found->get<uint64_t>());
  if (found->is_number_integer()) return std::to_string(found->get<int64_t>());
  return "-";
}

uint64_t number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::string count(const Json& object, const char* key) {
  return with_thousands(number(object, key));
}

bool is_true(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

std::string joined(const Json& object, const char* key) {
  std::string all;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return "-";
  for (const Json& item : *found) {
    if (!item.is_string()) continue;
    if (!all.empty()) all += ", ";
    all += item.get_ref<const std::string&>();
  }
  return all.empty() ? "-" : all;
}

// The objects in the list `key`.
std::vector<const Json*> list(const Json& object, const char* key) {
  std::vector<const Json*> items;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return items;
  for (const Json& item : *found) {
    if (item.is_object()) items.push_back(&item);
  }
  return items;
}

std::string per_mille(uint64_t value) {
  return std::to_string(value / 10) + "." + std::to_string(value % 10) + " %";
}

std::string render_status(const Json& answer) {
  std::string out = "penstockd " + text(answer, "version") + ", pid " + text(answer, "pid") +
                    ", up " + age_for_people(number(answer, "uptime_s")) + "\n\n";
  Table ports({{"port"}, {"role"}, {"link"}});
  for (const Json* port : list(answer, "ports")) {
    ports.add(
        {text(*port, "port"), text(*port, "role"), is_true(*port, "link_up") ? "up" : "down"});
  }
  Table interfaces({{"interface"},
                    {"listen port", Align::kRight},
                    {"peers", Align::kRight},
                    {"sessions", Align::kRight},
                    {"addresses"},
                    {"public key"}});
  for (const Json* one : list(answer, "interfaces")) {
    const bool is_wireguard = one->contains("peers");
    interfaces.add(
        {text(*one, "interface"), text(*one, "listen_port"),
         is_wireguard ? count(*one, "peers") : "-", is_wireguard ? count(*one, "sessions") : "-",
         joined(*one, "addresses"),
         is_wireguard ? text(*one, "public_key") : "(IPsec, if_id " + text(*one, "if_id") + ")"});
  }
  std::string ipsec;
  if (const auto found = answer.find("ipsec"); found != answer.end() && found->is_object()) {
    ipsec = "IPsec: " + count(*found, "connections") + " connections, " + count(*found, "ike_sas") +
            " IKE SAs (" + count(*found, "half_open") + " half open), " +
            count(*found, "children") + " children; since start " +
            count(*found, "established_total") + " established, " + count(*found, "failed_total") +
            " failed\n\n";
  }
  Table workers({{"worker"},
                 {"lcore", Align::kRight},
                 {"busy turns", Align::kRight},
                 {"sleeps", Align::kRight},
                 {"received", Align::kRight},
                 {"sent", Align::kRight},
                 {"punted", Align::kRight},
                 {"dropped", Align::kRight},
                 {"lent batches", Align::kRight},
                 {"helped batches", Align::kRight}});
  for (const Json* worker : list(answer, "workers")) {
    const uint64_t turns = number(*worker, "turns");
    const uint64_t idle = std::min(number(*worker, "idle_turns"), turns);
    // Not of the time: an idle turn is shorter, or a sleep.
    const std::string busy = turns == 0 ? "-" : per_mille((turns - idle) * 1000 / turns);
    workers.add({text(*worker, "worker"), text(*worker, "lcore"), busy, count(*worker, "sleeps"),
                 count(*worker, "rx_packets"), count(*worker, "tx_packets"),
                 count(*worker, "punts"), count(*worker, "drops"), count(*worker, "lent_batches"),
                 count(*worker, "helped_batches")});
  }
  return out + ports.to_string() + "\n" + interfaces.to_string() + "\n" + ipsec +
         workers.to_string();
}

// What tells devices apart. Further arguments make lines long; --json has them.
std::string device_for_people(const Json& port) {
  const std::string device = text(port, "device");
  const size_t second_comma = device.find(',', device.find(',') + 1);
  if (device.find(',') != std::string::npos) return device.substr(0, second_comma);
  return device + " (" + text(port, "driver") + ")";
}

std::string render_ports(const Json& answer) {
  Table table({{"port"},
               {"role"},
               {"link"},
               {"mac"},
               {"mtu", Align::kRight},
               {"queues", Align::kRight},
               {"received", Align::kRight},
               {"missed", Align::kRight},
               {"errors", Align::kRight},
               {"sent", Align::kRight},
               {"errors", Align::kRight},
               {"device"}});
  for (const Json* port : list(answer, "ports")) {
    std::string link = is_true(*port, "link_up") ? "up" : "down";
    if (is_true(*port, "link_up") && number(*port, "link_mbps") > 0)
      link += " " + text(*port, "link_mbps") + " Mbit/s";
    table.add({text(*port, "port"), text(*port, "role"), link, text(*port, "mac"),
               text(*port, "mtu"), text(*port, "rx_queues") + "/" + text(*port, "tx_queues"),
               count(*port, "rx_packets"),
               with_thousands(number(*port, "rx_missed") + number(*port, "rx_no_buffer")),
               count(*port, "rx_errors"), count(*port, "tx_packets"), count(*port, "tx_errors"),
               device_for_people(*port)});
  }
  return table.to_string();
}

std::string render_peers(const Json& answer) {
  Table table({{"interface"},
               {"peer"},
               {"state"},
               {"endpoint"},
               {"handshake", Align::kRight},
               {"received", Align::kRight},
               {"sent", Align::kRight},
               {"last error"},
               {"allowed ips"}});
  for (const Json* tunnel : list(answer, "tunnels")) {
    const auto age = tunnel->find("handshake_age_s");
    table.add({text(*tunnel, "interface"), text(*tunnel, "public_key"), text(*tunnel, "state"),
               text(*tunnel, "endpoint"),
               age != tunnel->end() && age->is_number()
                   ? age_for_people(number(*tunnel, "handshake_age_s")) + " ago"
                   : "never",
               bytes_for_people(number(*tunnel, "rx_bytes")),
               bytes_for_people(number(*tunnel, "tx_bytes")), text(*tunnel, "last_error"),
               joined(*tunnel, "allowed_ips")});
  }
  return table.empty() ? "" : table.to_string();
}

// Handshakes of WireGuard that no peer's key fits.
std::string render_refused(const Json& answer) {
  Table table({{"interface"},
               {"refused public key"},
               {"endpoint"},
               {"attempts", Align::kRight},
               {"last", Align::kRight},
               {"why"}});
  for (const Json* one : list(answer, "refused")) {
    table.add({text(*one, "interface"), text(*one, "public_key"), text(*one, "endpoint"),
               count(*one, "attempts"), age_for_people(number(*one, "age_s")) + " ago",
               text(*one, "error")});
  }
  return table.empty() ? "" : table.to_string();
}

// Seconds as people read them; "-" where there are none.
std::string seconds(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? age_for_people(number(object, key)) : "-";
}

// Who it is: the EAP identity where there is one, as the IKE identity says little then.
std::string identity_of(const Json& sa) {
  const std::string eap = text(sa, "eap_id");
  return eap != "-" ? eap : text(sa, "remote_id");
}

// One line for each child; for an IKE SA without any, and a connection that is down, one too.
std::string render_ipsec(const Json& answer) {
  Table table({{"connection"},
               {"child"},
               {"state"},
               {"peer"},
               {"identity"},
               {"algorithms"},
               {"spi in/out"},
               {"age", Align::kRight},
               {"rekey in", Align::kRight},
               {"received", Align::kRight},
               {"sent", Align::kRight},
               {"addresses"},
               {"last error"}});
  for (const Json* sa : list(answer, "ipsec")) {
    std::string error = text(*sa, "last_error");
    if (error != "-" && sa->contains("error_age_s"))
      error += ", " + seconds(*sa, "error_age_s") + " ago";
    const auto add = [&](const Json& child, const std::string& name) {
      const bool has_sa = text(child, "spi_in") != "-" && number(child, "child_id") != 0;
      table.add({text(*sa, "connection"), name, text(child, "state"), text(*sa, "remote"),
                 identity_of(*sa), text(child, "algorithms"),
                 has_sa ? text(child, "spi_in") + "/" + text(child, "spi_out") : "-",
                 seconds(child, "age_s"), seconds(child, "rekey_in_s"),
                 bytes_for_people(number(child, "rx_bytes")),
                 bytes_for_people(number(child, "tx_bytes")), joined(*sa, "addresses"), error});
    };
    const auto children = list(*sa, "children");
    for (const Json* child : children) add(*child, text(*child, "child"));
    if (children.empty()) add(*sa, "-");
  }
  return table.empty() ? "" : table.to_string();
}

std::string render_tunnels(const Json& answer) {
  std::string out;
  for (const std::string& part :
       {render_peers(answer), render_refused(answer), render_ipsec(answer)}) {
    if (!out.empty() && !part.empty()) out += "\n";
    out += part;
  }
  return out.empty() ? "no tunnels\n" : out;
}

std::string render_drops(const Json& answer) {
  Table table({{"packets", Align::kRight}, {"reason"}, {"meaning"}});
  for (const Json* drop : list(answer, "drops")) {
    if (number(*drop, "packets") == 0) continue;
    table.add({count(*drop, "packets"), text(*drop, "reason"), text(*drop, "text")});
  }
  return table.empty() ? "no drops\n" : table.to_string();
}

std::string render_neighbours(const Json& answer) {
  Table table({{"port"}, {"address"}, {"mac"}, {"state"}, {"age", Align::kRight}});
  for (const Json* one : list(answer, "neighbours")) {
    table.add({text(*one, "port"), text(*one, "address"), text(*one, "mac"), text(*one, "state"),
               age_for_people(number(*one, "age_s"))});
  }
  return table.empty() ? "no neighbours\n" : table.to_string();
}

std::string render_routes(const Json& answer) {
  Table table({{"prefix"}, {"kind"}, {"via"}, {"device"}});
  for (const Json* route : list(answer, "routes")) {
    table.add({text(*route, "prefix"), text(*route, "kind"), text(*route, "via"),
               text(*route, "device")});
  }
  return table.empty() ? "no routes\n" : table.to_string();
}

Result<Json> parse(std::string_view answer) {
  Json json = Json::parse(answer, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return errorf("the gateway's answer is not JSON");
  if (const auto error = json.find("error"); error != json.end() && error->is_string()) {
    return errorf("%s", error->get_ref<const std::string&>().c_str());
  }
  return json;
}

}  // namespace

Result<std::string> render(std::string_view command, std::string_view answer) {
  PENSTOCK_TRY(const Json json, parse(answer));
  if (command == "status") return render_status(json);
  if (command == "ports") return render_ports(json);
  if (command == "tunnels") return render_tunnels(json);
  if (command == "drops") return render_drops(json);
  if (command == "neighbours") return render_neighbours(json);
  if (command == "routes") return render_routes(json);
  return errorf("no table for \"%s\"", std::string(command).c_str());
}

Result<std::string> render_json(std::string_view answer) {
  PENSTOCK_TRY(const Json json, parse(answer));
  return json.dump(2) + "\n";
}

}  // namespace penstock::cli
