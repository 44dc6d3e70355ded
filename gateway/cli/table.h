// Text in aligned columns for a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace penstock::cli {

enum class Align : unsigned char { kLeft, kRight };

class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // As many cells as columns. Control characters in them become '?', as on a log line.
  void add(std::vector<std::string> cells);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  // Title line and rows; nothing hangs over at the end of a line.
  [[nodiscard]] std::string to_string() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

std::string with_thousands(uint64_t number);   // 1,234,567
std::string bytes_for_people(uint64_t bytes);  // "1.46 MiB"
std::string age_for_people(uint64_t seconds);  // "2m 03s"

}  // namespace penstock::cli
