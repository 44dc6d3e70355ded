#include "gateway/cli/table.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace penstock::cli {
namespace {

constexpr const char* kGap = "  ";

// Columns of a terminal, near enough: UTF-8 continuation bytes take none.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

void Table::add(std::vector<std::string> cells) {
  for (std::string& cell : cells) {
    for (char& c : cell) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    }
  }
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::to_string() const {
  std::vector<std::string> titles;
  std::vector<size_t> widths;
  for (const Column& column : columns_) {
    titles.push_back(column.title);
    widths.push_back(width_of(column.title));
  }
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string out;
  const auto put = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - width_of(row[i]), ' ');
      if (i > 0) line += kGap;
      line += columns_[i].align == Align::kRight ? padding + row[i] : row[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  put(titles);
  for (const auto& row : rows_) put(row);
  return out;
}

std::string with_thousands(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t i = text.size(); i > 3;) {
    i -= 3;
    text.insert(i, 1, ',');
  }
  return text;
}

std::string bytes_for_people(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.2f %s", value, kUnits[unit]);
  return text;
}

std::string age_for_people(uint64_t seconds) {
  char text[48];
  const auto part = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  if (seconds < 60) {
    std::snprintf(text, sizeof text, "%llus", part(seconds));
  } else if (seconds < 3600) {
    std::snprintf(text, sizeof text, "%llum %02llus", part(seconds / 60), part(seconds % 60));
  } else if (seconds < 86400) {
    std::snprintf(text, sizeof text, "%lluh %02llum", part(seconds / 3600),
                  part(seconds / 60 % 60));
  } else {
    std::snprintf(text, sizeof text, "%llud %02lluh", part(seconds / 86400),
                  part(seconds / 3600 % 24));
  }
  return text;
}

}  // namespace penstock::cli
