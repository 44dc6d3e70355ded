#include "bench/load/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace penstock::load {
namespace {

constexpr double kWidth = 640, kHeight = 340;
constexpr double kLeft = 78, kRight = 150, kTop = 34, kBottom = 52;
constexpr const char* kColours[] = {"#1b6ca8", "#c1440e", "#3f7d20",
                                    "#7b3fa0", "#b8860b", "#444444"};

[[gnu::format(printf, 2, 3)]] void append(std::string& text, const char* format, ...) {
  char line[640];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  text += line;
}

std::string short_number(double value) {
  const struct {
    double factor;
    const char* letter;
  } units[] = {{1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
  char text[32];
  for (const auto& unit : units) {
    if (std::fabs(value) < unit.factor) continue;
    std::snprintf(text, sizeof text, "%.3g%s", value / unit.factor, unit.letter);
    return text;
  }
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

struct Axis {
  double from = 0, to = 1;
  bool logarithmic = false;
  [[nodiscard]] double share(double value) const {
    if (logarithmic) return std::log(value / from) / std::log(to / from);
    return (value - from) / (to - from);
  }
  [[nodiscard]] std::vector<double> marks() const {
    std::vector<double> all;
    if (logarithmic) {
      for (double mark = std::pow(10, std::ceil(std::log10(from) - 1e-9)); mark <= to * 1.0001;
           mark *= 10) {
        all.push_back(mark);
      }
      if (all.size() >= 2) return all;
      return {from, to};
    }
    const double rough = (to - from) / 5;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    double step = power;
    for (const double factor : {2.0, 5.0, 10.0}) {
      if (step < rough) step = power * factor;
    }
    for (double mark = from; mark <= to * 1.0001; mark += step) all.push_back(mark);
    return all;
  }
};

Axis axis_of(const Plot& plot, bool x) {
  Axis axis;
  axis.logarithmic = x ? plot.x_logarithmic : plot.y_logarithmic;
  double least = INFINITY, most = -INFINITY;
  for (const PlotLine& line : plot.lines) {
    for (const auto& point : line.points) {
      least = std::min(least, x ? point.first : point.second);
      most = std::max(most, x ? point.first : point.second);
    }
  }
  if (axis.logarithmic) {
    // Whole decades upwards; sizes and tunnels as they are.
    axis.from = x ? least : std::pow(10, std::floor(std::log10(least)));
    axis.to = x ? most : std::pow(10, std::ceil(std::log10(most)));
    if (axis.to <= axis.from) axis.to = axis.from * 10;
  } else {
    axis.from = 0;
    axis.to = most > 0 ? most * 1.05 : 1;
  }
  return axis;
}

}  // namespace

std::string escaped_html(const std::string& text) {
  std::string escaped;
  for (const char letter : text) {
    switch (letter) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += letter;
    }
  }
  return escaped;
}

std::string svg_of(const Plot& plot) {
  if (std::all_of(plot.lines.begin(), plot.lines.end(),
                  [](const PlotLine& line) { return line.points.empty(); })) {
    return {};
  }
  const Axis x = axis_of(plot, true), y = axis_of(plot, false);
  const double width = kWidth - kLeft - kRight, height = kHeight - kTop - kBottom;
  const auto at_x = [&](double value) { return kLeft + width * x.share(value); };
  const auto at_y = [&](double value) { return kTop + height * (1 - y.share(value)); };

  std::string svg;
  append(svg,
         "<svg viewBox=\"0 0 %g %g\" width=\"%g\" height=\"%g\" role=\"img\" "
         "font-family=\"sans-serif\" font-size=\"12\">\n",
         kWidth, kHeight, kWidth, kHeight);
  append(svg, "<text x=\"%g\" y=\"18\" font-size=\"14\" font-weight=\"bold\">%s</text>\n", kLeft,
         escaped_html(plot.title).c_str());
  for (const double mark : y.marks()) {
    append(svg, "<path d=\"M%g %.1fh%g\" stroke=\"#ddd\"/>", kLeft, at_y(mark), width);
    append(svg, "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", kLeft - 6,
           at_y(mark) + 4, short_number(mark).c_str());
  }
  std::vector<std::pair<double, std::string>> x_marks = plot.x_marks;
  if (x_marks.empty()) {
    for (const double mark : x.marks()) x_marks.emplace_back(mark, short_number(mark));
  }
  for (const auto& [value, words] : x_marks) {
    append(svg, "<path d=\"M%.1f %gv5\" stroke=\"#000\"/>", at_x(value), kTop + height);
    append(svg, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%s</text>\n", at_x(value),
           kTop + height + 18, escaped_html(words).c_str());
  }
  append(svg, "<path d=\"M%g %gv%gh%g\" fill=\"none\" stroke=\"#000\"/>\n", kLeft, kTop, height,
         width);
  append(svg, "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">%s</text>\n", kLeft + width / 2,
         kHeight - 12, escaped_html(plot.x_label).c_str());
  append(
      svg,
      "<text x=\"16\" y=\"%g\" text-anchor=\"middle\" transform=\"rotate(-90 16 %g)\">%s</text>\n",
      kTop + height / 2, kTop + height / 2, escaped_html(plot.y_label).c_str());
  for (size_t i = 0; i < plot.lines.size(); ++i) {
    const PlotLine& line = plot.lines[i];
    const char* colour = kColours[i % std::size(kColours)];
    std::string way;
    for (const auto& point : line.points) {
      append(way, "%s%.1f %.1f", way.empty() ? "M" : "L", at_x(point.first), at_y(point.second));
      append(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>", at_x(point.first),
             at_y(point.second), colour);
    }
    svg += "<path d=\"" + way + "\" fill=\"none\" stroke=\"" + colour + "\" stroke-width=\"2\"/>\n";
    append(svg, "<text x=\"%g\" y=\"%g\" fill=\"%s\">%s</text>\n", kLeft + width + 10,
           kTop + 14 + 18 * static_cast<double>(i), colour, escaped_html(line.name).c_str());
  }
  return svg + "</svg>\n";
}

}  // namespace penstock::load
