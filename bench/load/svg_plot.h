// A line plot as inline SVG.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace penstock::load {

struct PlotLine {
  std::string name;
  std::vector<std::pair<double, double>> points;  // by x
};

struct Plot {
  std::string title, x_label, y_label;
  bool x_logarithmic = false, y_logarithmic = false;  // then all values are above 0
  std::vector<PlotLine> lines;
  // x values with words of their own (packet sizes); empty: round numbers.
  std::vector<std::pair<double, std::string>> x_marks;
};

std::string escaped_html(const std::string& text);
// Empty where no line has a point.
std::string svg_of(const Plot& plot);

}  // namespace penstock::load
