#include "bench/load/report.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace penstock::load {
namespace {

using nlohmann::json;

[[gnu::format(printf, 2, 3)]] void append(std::string& text, const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  text += line;
}

json json_of(const LatencySummary& latency) {
  return {{"packets", latency.packets}, {"min", latency.smallest}, {"mean", latency.mean},
          {"p50", latency.p50},         {"p99", latency.p99},      {"p99_9", latency.p999},
          {"max", latency.largest}};
}

json json_of(const Counts& counts, const LatencySummary& latency) {
  return {{"sent", counts.sent},
          {"refused", counts.refused},
          {"received", counts.good},
          {"lost", counts.lost()},
          {"reordered", counts.reordered},
          {"duplicate", counts.duplicate},
          {"too_late", counts.too_late},
          {"corrupt", counts.corrupt},
          {"wrong_tunnel", counts.wrong_tunnel},
          {"not_opened", counts.not_opened},
          {"fragmented", counts.fragmented},
          {"received_bytes", counts.good_bytes},
          {"latency_ns", json_of(latency)}};
}

json json_of(const TrialResult& trial, Direction direction) {
  json made = {{"asked_pps", trial.asked_rate},
               {"seconds", trial.seconds},
               {"received_pps", trial.good_packets_per_second()},
               {"received_bps", trial.good_bits_per_second()},
               {"loss_ratio", trial.loss_ratio()},
               {"wrong", trial.wrong()},
               {"generator_busy", trial.busy},
               {"generator_too_slow", trial.generator_too_slow()}};
  if (direction != Direction::kDown) made["up"] = json_of(trial.up, trial.up_latency);
  if (direction != Direction::kUp) made["down"] = json_of(trial.down, trial.down_latency);
  if (trial.rekeys + trial.rekeys_failed > 0) {
    made["rekeys"] = {{"done", trial.rekeys},
                      {"failed", trial.rekeys_failed},
                      {"latency_ns", json_of(trial.rekey_latency)}};
  }
  if (!trial.samples.empty()) {
    uint64_t sent = 0, good = 0;
    for (const Sample& sample : trial.samples) {
      const uint64_t sent_now = sample.up.offered() + sample.down.offered();
      const uint64_t good_now = sample.up.good + sample.down.good;
      made["intervals"].push_back(
          {{"end_s", sample.at_s}, {"sent", sent_now - sent}, {"received", good_now - good}});
      sent = sent_now;
      good = good_now;
    }
  }
  return made;
}

json json_of(const StormResult& storm) {
  return {{"tunnels", storm.tunnels},
          {"up", storm.up},
          {"handshakes", storm.handshakes},
          {"repeated", storm.repeated},
          {"seconds", storm.seconds},
          {"handshakes_per_second", storm.per_second()},
          {"latency_ns", json_of(storm.latency)},
          {"trouble", storm.trouble}};
}

double bits(double packets_per_second, const SizeMix& mix) {
  return 8 * packets_per_second * mix.mean_bytes();
}

// One of a trial's directions, or the slower one of both.
const LatencySummary& slower(const TrialResult& trial) {
  return trial.up_latency.p99 > trial.down_latency.p99 ? trial.up_latency : trial.down_latency;
}

void add_fragments(std::string& text, const TrialResult& trial) {
  const uint64_t fragmented = trial.up.fragmented + trial.down.fragmented;
  if (fragmented == 0) return;
  append(text, "%15s %lu came in fragments, lost: give the gateway's interfaces a larger MTU\n", "",
         fragmented);
}

// Of the generator in the trial that found this rate.
std::string busy_at(const CaseResult& one, const FoundRate& found) {
  for (const TrialResult& trial : one.trials) {
    const double sent = trial.outcome().sent_rate;
    const double rate = trial.asked_rate > 0 ? std::min(trial.asked_rate, sent) : sent;
    if (rate != found.packets_per_second || trial.loss_ratio() > found.loss) continue;
    char text[16];
    std::snprintf(text, sizeof text, "%.0f %%", trial.busy * 100);
    return text;
  }
  return "-";  // nothing was found
}

void add_search_row(std::string& text, const CaseResult& one, Direction direction) {
  const int ways = direction == Direction::kBoth ? 2 : 1;
  for (const FoundRate& found : one.found) {
    const double all = found.packets_per_second * ways;
    char loss[32];
    std::snprintf(loss, sizeof loss, found.loss > 0 ? "%.3g %%" : "none", found.loss * 100);
    append(text, "%8u %6s %9s %14s %14s %6s  %s%s\n", one.tunnels, one.mix.name.c_str(), loss,
           format_packet_rate(all).c_str(), format_bit_rate(bits(all, one.mix)).c_str(),
           busy_at(one, found).c_str(),
           found.limited_by_generator ? "the generator's limit, the gateway's is higher" : "",
           one.gave_up ? "  precision not reached: see --trials" : "");
  }
  if (!one.trials.empty()) add_fragments(text, one.trials.front());
  for (const TrialResult& trial : one.latency_trials) {
    const LatencySummary& latency = slower(trial);
    append(text, "%26s %14s  latency p50 %s, p99 %s, p99.9 %s; lost %.2g %%\n", "at",
           format_packet_rate(trial.asked_rate * ways).c_str(), format_time(latency.p50).c_str(),
           format_time(latency.p99).c_str(), format_time(latency.p999).c_str(),
           trial.loss_ratio() * 100);
  }
}

void add_trial_row(std::string& text, const CaseResult& one, const TrialResult& trial) {
  const LatencySummary& latency = slower(trial);
  append(text, "%8u %6s %14s %14s %10.4g %% %6lu %10s %10s %10s %4.0f %%%s\n", one.tunnels,
         one.mix.name.c_str(), format_packet_rate(trial.good_packets_per_second()).c_str(),
         format_bit_rate(trial.good_bits_per_second()).c_str(), trial.loss_ratio() * 100,
         trial.wrong(), format_time(latency.p50).c_str(), format_time(latency.p99).c_str(),
         format_time(latency.p999).c_str(), trial.busy * 100,
         trial.generator_too_slow() ? "  the generator did not reach the rate" : "");
  add_fragments(text, trial);
  if (trial.rekeys + trial.rekeys_failed > 0) {
    append(text, "%15s %lu rekeyings, %lu failed, answer p50 %s, p99 %s\n", "", trial.rekeys,
           trial.rekeys_failed, format_time(trial.rekey_latency.p50).c_str(),
           format_time(trial.rekey_latency.p99).c_str());
  }
}

}  // namespace

std::string table_of(const Report& report) {
  const Options& options = report.options;
  std::string text;
  if (options.mode == Mode::kConnect) {
    append(text, "%8s %8s %12s %10s %10s %10s %9s\n", "tunnels", "up", "handshakes/s", "p50", "p99",
           "p99.9", "repeated");
    for (const StormResult& storm : report.storms) {
      append(text, "%8u %8u %12.0f %10s %10s %10s %9lu\n", storm.tunnels, storm.up,
             storm.per_second(), format_time(storm.latency.p50).c_str(),
             format_time(storm.latency.p99).c_str(), format_time(storm.latency.p999).c_str(),
             storm.repeated);
    }
    return text;
  }
  append(text, "%s, direction %s, %u flows a tunnel, order %s; rates of inner packets%s.\n\n",
         std::string(name_of(options.plan.protocol)).c_str(),
         std::string(name_of(options.direction)).c_str(), options.plan.flows,
         std::string(name_of(options.order)).c_str(),
         options.direction == Direction::kBoth ? ", both directions together" : "");
  if (options.mode == Mode::kSearch) {
    append(text, "%8s %6s %9s %14s %14s %6s\n", "tunnels", "size", "loss", "packets", "inner bits",
           "busy");
    for (const CaseResult& one : report.cases) add_search_row(text, one, options.direction);
    return text;
  }
  append(text, "%8s %6s %14s %14s %12s %6s %10s %10s %10s %6s\n", "tunnels", "size", "received",
         "inner bits", "lost", "wrong", "p50", "p99", "p99.9", "busy");
  for (const CaseResult& one : report.cases) {
    for (const TrialResult& trial : one.trials) add_trial_row(text, one, trial);
  }
  return text;
}

json json_of(const Report& report) {
  const Options& options = report.options;
  json made = {{"started", report.started},
               {"machine", report.machine},
               {"mode", name_of(options.mode)},
               {"protocol", name_of(options.plan.protocol)},
               {"direction", name_of(options.direction)},
               {"order", name_of(options.order)},
               {"flows", options.plan.flows},
               {"outer", options.plan.outer_v6 ? 6 : 4},
               {"inner", options.plan.inner_v6 ? 6 : 4},
               {"outside", report.outside},
               {"inside", report.inside},
               {"cipher", report.cipher},
               {"trial_seconds", options.seconds},
               {"storms", json::array()},
               {"cases", json::array()}};
  for (const StormResult& storm : report.storms) made["storms"].push_back(json_of(storm));
  for (const CaseResult& one : report.cases) {
    json entry = {{"tunnels", one.tunnels},
                  {"size", one.mix.name},
                  {"mean_bytes", one.mix.mean_bytes()},
                  {"trials", json::array()}};
    for (const TrialResult& trial : one.trials) {
      entry["trials"].push_back(json_of(trial, options.direction));
    }
    for (const FoundRate& found : one.found) {
      entry["found"].push_back({{"loss_ratio", found.loss},
                                {"pps_per_direction", found.packets_per_second},
                                {"bps_per_direction", bits(found.packets_per_second, one.mix)},
                                {"limited_by_generator", found.limited_by_generator}});
    }
    for (const TrialResult& trial : one.latency_trials) {
      entry["latency"].push_back(json_of(trial, options.direction));
    }
    if (!one.found.empty()) entry["precision_reached"] = !one.gave_up;
    made["cases"].push_back(std::move(entry));
  }
  return made;
}

}  // namespace penstock::load
