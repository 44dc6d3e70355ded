// One text to one value, or the sentence that says what the value must be.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "gateway/base/text.h"
#include "gateway/config/config.h"

namespace penstock::config {

// Stores the value of `text`, or says what is wrong and stores nothing.
using Setter = std::function<Status(std::string_view text)>;

template <class T>
Setter number(T& field, uint64_t minimum, uint64_t maximum, const std::string& unit = "") {
  static_assert(std::is_unsigned_v<T>);
  return [&field, minimum, maximum, unit](std::string_view text) -> Status {
    const auto value = parse_unsigned(text, maximum);
    if (!value || *value < minimum) {
      return Error{"must be " + std::to_string(minimum) + " to " + std::to_string(maximum) +
                   (unit.empty() ? "" : " (" + unit + ")")};
    }
    field = static_cast<T>(*value);
    return {};
  };
}

template <class T>
Setter choice(T& field, std::vector<std::pair<std::string, T>> words) {
  return [&field, words = std::move(words)](std::string_view text) -> Status {
    std::string all;
    for (const auto& [word, value] : words) {
      if (equal_ignoring_case(word, text)) {
        field = value;
        return {};
      }
      all += (all.empty() ? "" : word == words.back().first ? " or " : ", ") + word;
    }
    return Error{"must be " + all};
  };
}

Setter yes_no(bool& field);
Setter power_of_two(uint16_t& field, uint16_t minimum, uint16_t maximum);
Setter plain_text(std::string& field);     // not empty, printable
Setter absolute_path(std::string& field);  // "/..."
// "1-3,5": CPU numbers, each once.
Setter cpu_list(std::vector<uint16_t>& field);
Setter device(std::string& field);
Setter unicast_mac(std::optional<MacAddress>& field);
Setter add_address(std::vector<InterfaceAddress>& field);
Setter add_neighbour(std::vector<StaticNeighbour>& field);
Setter add_words(std::vector<std::string>& field);
// "PREFIX via ADDRESS [port NAME]", "PREFIX port NAME", "PREFIX interface NAME", "PREFIX
// blackhole".
Setter add_route(std::vector<RouteConfig>& field);

// A name for ports and interfaces: 1 to 15 letters, digits, '-' and '_'.
bool is_name(std::string_view text);

// ", did you mean X?" for the candidate nearest to `text`, or nothing where none is near.
std::string hint(std::string_view text, const std::vector<std::string>& candidates);

}  // namespace penstock::config
