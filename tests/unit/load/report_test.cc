#include "bench/load/report.h"

#include <gtest/gtest.h>

#include "bench/load/svg_plot.h"
#include "bench/load/work_meter.h"

namespace penstock::load {
namespace {

TrialResult a_trial(double rate, uint64_t lost) {
  TrialResult trial;
  trial.asked_rate = rate;
  trial.seconds = 2;
  trial.busy = rate / 1000;
  trial.up.sent = 1000;
  trial.up.good = 1000 - lost;
  trial.up.good_bytes = 100 * trial.up.good;
  trial.up_latency = {1000, 1e3, 3e3, 2e3, 9e3, 20e3, 30e3};
  return trial;
}

Report a_report() {
  Report report;
  report.options.mode = Mode::kSearch;
  report.options.direction = Direction::kUp;
  report.options.tunnels = {1, 10};
  report.options.sizes = {*parse_size_mix("100", 60)};
  report.machine = "a <machine>";
  for (const uint32_t tunnels : report.options.tunnels) {
    CaseResult& one = report.cases.emplace_back();
    one.tunnels = tunnels;
    one.mix = report.options.sizes[0];
    one.trials = {a_trial(600, 100), a_trial(500, 0)};
    one.found = {{0, 500, false}, {0.005, 510, true}};
    one.latency_trials = {a_trial(250, 0)};
  }
  return report;
}

TEST(LoadReport, json_has_the_figures) {
  const auto json = json_of(a_report());
  EXPECT_EQ(json["mode"], "search");
  const auto& one = json["cases"][1];
  EXPECT_EQ(one["tunnels"], 10);
  EXPECT_EQ(one["found"][0]["pps_per_direction"], 500);
  EXPECT_EQ(one["found"][0]["bps_per_direction"], 400'000);
  EXPECT_EQ(one["found"][1]["limited_by_generator"], true);
  EXPECT_EQ(one["trials"][0]["up"]["lost"], 100);
  EXPECT_DOUBLE_EQ(one["trials"][0]["loss_ratio"], 0.1);
  EXPECT_EQ(one["trials"][0]["received_pps"], 450);
  EXPECT_DOUBLE_EQ(one["trials"][0]["generator_busy"], 0.6);
  EXPECT_EQ(one["trials"][0]["up"]["latency_ns"]["p99_9"], 20e3);
  EXPECT_FALSE(one["trials"][0].contains("down"));
  EXPECT_EQ(one["latency"].size(), 1U);
}

TEST(LoadReport, page_stands_alone_and_escapes) {
  const std::string page = html_of(a_report());
  EXPECT_NE(page.find("<svg"), std::string::npos);
  EXPECT_NE(page.find("Throughput by number of tunnels"), std::string::npos);
  EXPECT_NE(page.find("Latency, 10 tunnels, 100 B"), std::string::npos);
  EXPECT_NE(page.find("a &lt;machine&gt;"), std::string::npos);
  for (const char* outside : {"http://", "https://", "src=", "<link", "nan", "inf\""}) {
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  }
}

TEST(LoadReport, table_says_when_the_generator_is_the_limit) {
  const std::string table = table_of(a_report());
  EXPECT_NE(table.find("the generator's limit"), std::string::npos);
  EXPECT_NE(table.find("500 pps"), std::string::npos);
}

TEST(LoadReport, table_says_how_busy_the_generator_was) {
  Report report = a_report();
  // Found by a trial, and by none.
  EXPECT_NE(table_of(report).find("   50 %  \n"), std::string::npos) << table_of(report);
  EXPECT_NE(table_of(report).find("      -  the generator's limit"), std::string::npos);
  report.options.mode = Mode::kRate;
  EXPECT_NE(table_of(report).find("  50 %\n"), std::string::npos) << table_of(report);
}

TEST(WorkMeter, share_is_that_of_turns_with_work) {
  WorkMeter meter;
  EXPECT_EQ(meter.share(), 0);
  meter.note_work();
  meter.begin(1000);
  meter.end_turn(1300);  // what was noted before the beginning does not count
  meter.note_work();
  meter.note_work();
  meter.end_turn(1400);
  meter.end_turn(1900);
  meter.note_work();
  meter.end_turn(2000);
  EXPECT_DOUBLE_EQ(meter.share(), 0.2);
  meter.begin(5000);
  EXPECT_EQ(meter.share(), 0);
}

TEST(LoadReport, table_names_the_mtu_where_packets_come_in_fragments) {
  Report report = a_report();
  EXPECT_EQ(table_of(report).find("fragments"), std::string::npos);
  report.cases[0].trials[0].up.fragmented = 77;
  EXPECT_NE(table_of(report).find("77 came in fragments"), std::string::npos);
  report.options.mode = Mode::kRate;
  EXPECT_NE(table_of(report).find("77 came in fragments"), std::string::npos);
  EXPECT_EQ(report.cases[0].trials[0].wrong(), 0U);
  EXPECT_EQ(json_of(report)["cases"][0]["trials"][0]["up"]["fragmented"], 77);
}

TEST(LoadReport, storm_counts_handshakes) {
  Report report;
  report.options.mode = Mode::kConnect;
  report.storms.push_back({100, 90, 90, 10, 0.5, {}, "late"});
  EXPECT_EQ(json_of(report)["storms"][0]["handshakes_per_second"], 180);
  EXPECT_NE(table_of(report).find("180"), std::string::npos);
}

TEST(SvgPlot, one_point_and_none_are_no_trouble) {
  Plot plot;
  EXPECT_EQ(svg_of(plot), "");
  plot.lines.push_back({"one", {{100, 0}}});
  EXPECT_EQ(svg_of(plot).find("nan"), std::string::npos);
  plot.x_logarithmic = plot.y_logarithmic = true;
  plot.lines[0].points = {{64, 3}};
  EXPECT_EQ(svg_of(plot).find("nan"), std::string::npos);
}

}  // namespace
}  // namespace penstock::load
