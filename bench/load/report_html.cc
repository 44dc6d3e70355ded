// The report as a page that needs nothing else: words, plots, the table, the figures as JSON.
#include <algorithm>
#include <cstdio>
#include <map>

#include "bench/load/report.h"
#include "bench/load/svg_plot.h"

namespace penstock::load {
namespace {

// Inner bits a second, all directions, that a case came to at a tolerance (search) or at its trial.
struct Throughput {
  std::string name;
  double bits_per_second = 0;
};

std::vector<Throughput> throughputs_of(const CaseResult& one, Direction direction) {
  const double ways = direction == Direction::kBoth ? 2 : 1;
  std::vector<Throughput> all;
  for (const FoundRate& found : one.found) {
    char name[48];
    std::snprintf(name, sizeof name, found.loss > 0 ? "loss <= %.3g %%" : "no loss",
                  found.loss * 100);
    all.push_back({name, found.packets_per_second * ways * 8 * one.mix.mean_bytes()});
  }
  if (all.empty() && !one.trials.empty()) {
    all.push_back({"received", one.trials.front().good_bits_per_second()});
  }
  return all;
}

template <class XOf, class SeriesOf>
void add_points(Plot& plot, const Report& report, const XOf& x_of, const SeriesOf& series_of) {
  std::map<std::string, std::vector<std::pair<double, double>>> lines;
  for (const CaseResult& one : report.cases) {
    for (const Throughput& each : throughputs_of(one, report.options.direction)) {
      lines[series_of(one) + each.name].emplace_back(x_of(one), each.bits_per_second / 1e9);
    }
  }
  for (auto& [name, points] : lines) {
    std::sort(points.begin(), points.end());
    plot.lines.push_back({name, points});
  }
}

std::string throughput_by_size(const Report& report) {
  Plot plot;
  plot.title = "Throughput by packet size";
  plot.x_label = "inner packet, bytes (imix at its mean)";
  plot.y_label = "inner Gbit/s";
  plot.x_logarithmic = true;
  const bool several = report.options.tunnels.size() > 1;
  for (const SizeMix& mix : report.options.sizes) {
    plot.x_marks.emplace_back(mix.mean_bytes(), mix.name);
  }
  add_points(
      plot, report, [](const CaseResult& one) { return one.mix.mean_bytes(); },
      [&](const CaseResult& one) {
        return several ? std::to_string(one.tunnels) + " tunnels, " : std::string();
      });
  return svg_of(plot);
}

std::string throughput_by_tunnels(const Report& report) {
  if (report.options.tunnels.size() < 2) return {};
  Plot plot;
  plot.title = "Throughput by number of tunnels";
  plot.x_label = "tunnels";
  plot.y_label = "inner Gbit/s";
  plot.x_logarithmic = true;
  for (const uint32_t tunnels : report.options.tunnels) {
    plot.x_marks.emplace_back(tunnels, std::to_string(tunnels));
  }
  add_points(
      plot, report, [](const CaseResult& one) { return static_cast<double>(one.tunnels); },
      [](const CaseResult& one) { return one.mix.name + ", "; });
  return svg_of(plot);
}

// Of every trial of a case that lost little: latency over the rate.
std::string latency_curve(const CaseResult& one, Direction direction) {
  std::vector<const TrialResult*> trials;
  for (const TrialResult& trial : one.trials) trials.push_back(&trial);
  for (const TrialResult& trial : one.latency_trials) trials.push_back(&trial);
  const double ways = direction == Direction::kBoth ? 2 : 1;
  PlotLine p50{"p50", {}}, p99{"p99", {}}, p999{"p99.9", {}};
  for (const TrialResult* trial : trials) {
    if (trial->asked_rate <= 0 || trial->loss_ratio() > 0.01) continue;
    const LatencySummary& latency =
        trial->up_latency.p99 > trial->down_latency.p99 ? trial->up_latency : trial->down_latency;
    if (latency.packets == 0 || latency.p50 <= 0) continue;
    const double rate = trial->asked_rate * ways;
    p50.points.emplace_back(rate, latency.p50 / 1e3);
    p99.points.emplace_back(rate, latency.p99 / 1e3);
    p999.points.emplace_back(rate, latency.p999 / 1e3);
  }
  Plot plot;
  plot.title = "Latency, " + std::to_string(one.tunnels) + " tunnels, " + one.mix.name +
               (one.mix.sizes.size() == 1 ? " B" : "");
  plot.x_label = "packets a second";
  plot.y_label = "microseconds";
  plot.y_logarithmic = true;
  for (PlotLine* line : {&p50, &p99, &p999}) {
    std::sort(line->points.begin(), line->points.end());
    plot.lines.push_back(*line);
  }
  return svg_of(plot);
}

std::string soak_plot(const CaseResult& one) {
  Plot plot;
  plot.title = "Packets lost per interval, " + one.mix.name;
  plot.x_label = "seconds";
  plot.y_label = "packets";
  PlotLine lost{"lost", {}};
  uint64_t before = 0;
  for (const TrialResult& trial : one.trials) {
    for (const Sample& sample : trial.samples) {
      const uint64_t so_far = sample.up.lost() + sample.down.lost();
      lost.points.emplace_back(sample.at_s, static_cast<double>(so_far - std::min(before, so_far)));
      before = so_far;
    }
  }
  plot.lines.push_back(lost);
  return svg_of(plot);
}

}  // namespace

std::string html_of(const Report& report) {
  std::string page =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<title>penstock-load</title>\n<style>body{font-family:sans-serif;max-width:56em;margin:2em "
      "auto;padding:0 1em}pre{background:#f4f4f4;padding:1em;overflow-x:auto}dt{font-weight:bold}"
      "dd{margin:0 0 .4em 1em}</style></head><body>\n<h1>penstock-load: " +
      escaped_html(std::string(name_of(report.options.mode))) + "</h1>\n<dl>\n";
  const std::pair<const char*, std::string> facts[] = {
      {"Started", report.started},
      {"Machine", report.machine},
      {"Outside", report.outside},
      {"Inside", report.inside},
      {"Protocol", std::string(name_of(report.options.plan.protocol)) + ", direction " +
                       std::string(name_of(report.options.direction))},
      {"Generator's cipher", report.cipher}};
  for (const auto& [name, value] : facts) {
    page += std::string("<dt>") + name + "</dt><dd>" + escaped_html(value) + "</dd>\n";
  }
  page += "</dl>\n<pre>" + escaped_html(table_of(report)) + "</pre>\n";
  page += throughput_by_size(report) + throughput_by_tunnels(report);
  for (const CaseResult& one : report.cases) {
    page += report.options.mode == Mode::kSoak ? soak_plot(one)
                                               : latency_curve(one, report.options.direction);
  }
  page +=
      "<p>Every packet that came back was held against what was sent. Latency is from the moment "
      "before a packet is sealed to the moment it is taken from the port. Rates are of inner IP "
      "packets.</p>\n<details><summary>All figures (JSON)</summary><pre>" +
      escaped_html(json_of(report).dump(1)) + "</pre></details>\n</body></html>\n";
  return page;
}

}  // namespace penstock::load
