#include "bench/load/measure.h"

#include <pthread.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <functional>
#include <mutex>

#include "bench/load/loop.h"
#include "bench/load/report.h"
#include "dataplane/worker/eal.h"

namespace penstock::load {
namespace {

constexpr unsigned kLoopLcore = 1;  // start_eal()'s first worker
// A handshake that has no answer by then is tried again: WireGuard's own time (paper 6.1), as a
// shorter one takes a slow gateway for a silent one, whose late answers are then for nothing.
constexpr Nanoseconds kAnswerWithinNs = 5 * kSecond;

// Runs work on the loop's lcore while this thread shows how it goes.
class Stage {
 public:
  explicit Stage(Progress& progress)
      : progress_(progress), on_terminal_(isatty(STDERR_FILENO) == 1) {}

  // `each_second`: on this thread, while the work goes on.
  void run(const std::function<void()>& work, const std::function<std::string()>& each_second) {
    work_ = &work;
    done_ = false;
    if (rte_eal_remote_launch(enter, this, kLoopLcore) != 0) std::abort();  // it waits: we do
    {
      std::unique_lock lock(mutex_);
      while (!finished_.wait_for(lock, std::chrono::seconds(1), [this] { return done_; })) {
        lock.unlock();
        show(each_second());
        lock.lock();
      }
    }
    rte_eal_wait_lcore(kLoopLcore);
    show({});
  }
  // A line that stays.
  void say(const std::string& line) {
    show({});
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  [[nodiscard]] const Progress& progress() const { return progress_; }

 private:
  static int enter(void* self) {
    auto* const stage = static_cast<Stage*>(self);
    (*stage->work_)();
    const std::lock_guard lock(stage->mutex_);
    stage->done_ = true;
    stage->finished_.notify_one();
    return 0;
  }
  // One line that is written over; into a file nothing.
  void show(const std::string& line) {
    if (!on_terminal_ || (line.empty() && !shown_)) return;
    std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
    shown_ = !line.empty();
  }

  Progress& progress_;
  const bool on_terminal_;
  bool shown_ = false;
  const std::function<void()>* work_ = nullptr;
  std::mutex mutex_;
  std::condition_variable finished_;
  bool done_ = false;
};

std::string machine() {
  std::string model = "unknown CPU";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("model name")) continue;
    model = line.substr(std::min(line.find(':') + 2, line.size()));
    break;
  }
  utsname name{};
  return uname(&name) == 0 ? model + ", " + name.sysname + " " + name.release : model;
}

std::string utc_now() {
  const time_t now = time(nullptr);
  tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

Status write_text(const char* option, const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  if (file.good()) return {};
  return errorf("--%s %s: cannot be written", option, path.c_str());
}

// One measurement and what it needs.
class Measurement {
 public:
  Measurement(const Options& options, const Plan& plan, Ports& ports, Sessions& sessions,
              Peers& peers, const AeadEngines& engines)
      : options_(options),
        stage_(progress_),
        loop_(plan, ports, sessions, peers, engines, progress_) {
    report_.options = options;
    report_.started = utc_now();
    report_.machine = machine();
    report_.outside = ports.describe(kOutside);
    report_.inside = ports.describe(kInside);
    report_.cipher = plan.protocol() == Protocol::kClear
                         ? "none"
                         : engines.of(SaAlgorithm::kChacha20Poly1305).description();
  }

  Status run();
  [[nodiscard]] const Report& report() const { return report_; }
  [[nodiscard]] bool good() const { return good_; }

 private:
  Status connect(uint32_t tunnels);
  TrialResult trial(const TrialSpec& spec, const std::string& what);
  void search(CaseResult& one);
  [[nodiscard]] TrialSpec spec_of(const CaseResult& one) const;
  [[nodiscard]] std::string traffic_line(const std::string& what) const;
  void say_samples();

  const Options& options_;
  Progress progress_;
  Stage stage_;
  PacketLoop loop_;
  Report report_;
  bool good_ = true;
  uint32_t samples_said_ = 0;
};

std::string Measurement::traffic_line(const std::string& what) const {
  char line[160];
  std::snprintf(line, sizeof line, "%s: %lu sent, %lu back, %lu on the way or lost, %lu wrong",
                what.c_str(), progress_.sent.load(), progress_.good.load(), progress_.lost.load(),
                progress_.wrong.load());
  return line;
}

Status Measurement::connect(uint32_t tunnels) {
  StormSpec spec;
  spec.tunnels = tunnels;
  spec.window = options_.window;
  spec.give_up_s = options_.wait_s;
  if (options_.mode == Mode::kConnect) {
    spec.rate = options_.connect_rate;
    spec.prepared = true;
  }
  StormResult storm;
  stage_.run([&] { storm = loop_.connect(spec); },
             [&] {
               return std::to_string(progress_.tunnels_up.load()) + " of " +
                      std::to_string(tunnels) + " tunnels are up";
             });
  report_.storms.push_back(storm);
  if (storm.up == tunnels) return {};
  good_ = false;
  if (options_.mode == Mode::kConnect && storm.up > 0) return {};
  return errorf("%u of %u tunnels come up: %s", storm.up, tunnels, storm.trouble.c_str());
}

TrialResult Measurement::trial(const TrialSpec& spec, const std::string& what) {
  TrialResult result;
  samples_said_ = 0;
  stage_.run([&] { result = loop_.run(spec); },
             [&] {
               say_samples();
               return traffic_line(what);
             });
  say_samples();
  if (result.wrong() > 0) good_ = false;
  return result;
}

// A soak's lines, as its intervals end. What is on the way counts as lost in one, and as found in
// the next.
void Measurement::say_samples() {
  const std::vector<Sample>& samples = loop_.samples();
  for (const uint32_t have = progress_.samples.load(std::memory_order_acquire);
       samples_said_ < have; ++samples_said_) {
    const Sample& now = samples[samples_said_];
    const Sample before = samples_said_ == 0 ? Sample{} : samples[samples_said_ - 1];
    const auto sent = [](const Sample& one) { return one.up.offered() + one.down.offered(); };
    const auto good = [](const Sample& one) { return one.up.good + one.down.good; };
    const uint64_t sent_now = sent(now) - sent(before), good_now = good(now) - good(before);
    std::printf("%10.1f s  sent %12lu  back %12lu  lost %8ld  since the beginning %10lu\n",
                now.at_s, sent_now, good_now,
                static_cast<long>(sent_now) - static_cast<long>(good_now),
                now.up.lost() + now.down.lost());
    std::fflush(stdout);
  }
}

TrialSpec Measurement::spec_of(const CaseResult& one) const {
  TrialSpec spec;
  spec.tunnels = one.tunnels;
  spec.mix = one.mix;
  spec.direction = options_.direction;
  spec.order = options_.order;
  spec.seconds = options_.seconds;
  spec.drain_s = options_.drain_s;
  spec.rekey_rate = options_.rekey_rate;
  if (options_.rate.value > 0) spec.rate = options_.rate.packets_per_second(one.mix);
  if (options_.mode == Mode::kSoak) spec.interval_s = options_.interval_s;
  return spec;
}

void Measurement::search(CaseResult& one) {
  const std::string what = std::to_string(one.tunnels) + " tunnels, " + one.mix.name;
  TrialSpec spec = spec_of(one);
  one.trials.push_back(trial(spec, what + ", full speed"));
  RateSearch::Options search_options;
  search_options.precision = options_.precision;
  search_options.smallest_rate = 100;
  search_options.most_trials = options_.most_trials;
  RateSearch search(search_options, options_.loss, one.trials.back().outcome());
  while (const auto rate = search.next()) {
    spec.rate = *rate;
    one.trials.push_back(trial(spec, what + ", " + format_packet_rate(*rate)));
    search.record(one.trials.back().outcome());
    stage_.say(what + ": " + format_packet_rate(*rate) + " each way, lost " +
               std::to_string(one.trials.back().loss_ratio() * 100) + " %");
  }
  for (const double loss : options_.loss) {
    one.found.push_back({loss, search.found(loss), search.limited_by_generator(loss)});
  }
  one.gave_up = search.gave_up();
  for (const uint32_t percent : options_.latency_percent) {
    spec.rate = one.found.front().packets_per_second * percent / 100;
    if (spec.rate < search_options.smallest_rate) continue;
    one.latency_trials.push_back(trial(spec, what + ", latency"));
  }
}

Status Measurement::run() {
  Status met;
  stage_.run([&] { met = loop_.meet_gateway(options_.wait_s); },
             [] { return std::string("waiting for the gateway"); });
  PENSTOCK_CHECK(std::move(met));
  for (const uint32_t tunnels : options_.tunnels) {
    PENSTOCK_CHECK(connect(tunnels));
    if (options_.mode == Mode::kConnect) continue;
    for (const SizeMix& mix : options_.sizes) {
      CaseResult& one = report_.cases.emplace_back();
      one.tunnels = tunnels;
      one.mix = mix;
      if (options_.mode == Mode::kSearch) {
        search(one);
      } else {
        const std::string what = std::to_string(tunnels) + " tunnels, " + mix.name;
        one.trials.push_back(trial(spec_of(one), what));
      }
    }
  }
  return {};
}

}  // namespace

unsigned loop_cpu(const Options& options) {
  if (options.cpu != UINT16_MAX) return options.cpu;
  const std::vector<unsigned> usable = usable_cpus();
  return usable.empty() ? 0 : usable.back();
}

unsigned gateway_cpu(const Options& options) {
  if (options.gateway_cpu != UINT16_MAX) return options.gateway_cpu;
  const unsigned ours = loop_cpu(options);
  const std::vector<unsigned> usable = usable_cpus();
  const auto other =
      std::find_if(usable.begin(), usable.end(), [&](unsigned one) { return one != ours; });
  return other == usable.end() ? ours : *other;
}

Result<bool> measure(const Options& options, const Plan& plan) {
  const unsigned cpu = loop_cpu(options);
  SystemRandom random;
  PENSTOCK_TRY(const auto ports, Ports::open(options, plan, cpu, random));
  // Where the loop runs, not where the gateway does: what this thread takes must not be the
  // gateway's loss.
  cpu_set_t own;
  CPU_ZERO(&own);
  CPU_SET(cpu, &own);
  (void)pthread_setaffinity_np(pthread_self(), sizeof own, &own);
  PENSTOCK_TRY(const AeadEngines engines, AeadEngines::create());
  const bool esp = plan.protocol() == Protocol::kEsp;
  const SaAlgorithm algorithm = esp ? options.esp_algorithm : SaAlgorithm::kChacha20Poly1305;
  PENSTOCK_TRY(Sessions sessions, Sessions::create(plan.tunnels(), algorithm));
  // Before the run is given up, so that it can say why.
  const Nanoseconds within_ns = std::min(kAnswerWithinNs, options.wait_s * kSecond * 6 / 10);
  std::unique_ptr<Peers> peers;
  switch (plan.protocol()) {
    case Protocol::kWireguard:
      peers = make_wireguard_peers(plan, random, within_ns);
      break;
    case Protocol::kEsp: {
      const EspWish wish{options.esp_algorithm, options.esp_in_udp, options.esp_esn};
      PENSTOCK_TRY(peers, make_ike_peers(plan, wish, random, within_ns));
      break;
    }
    case Protocol::kClear:
      peers = make_clear_peers();
      break;
  }
  Measurement measurement(options, plan, *ports, sessions, *peers, engines);
  PENSTOCK_CHECK(measurement.run());
  std::fputs(table_of(measurement.report()).c_str(), stdout);
  if (!options.json.empty()) {
    PENSTOCK_CHECK(write_text("json", options.json, json_of(measurement.report()).dump(1) + "\n"));
  }
  if (!options.html.empty()) {
    PENSTOCK_CHECK(write_text("html", options.html, html_of(measurement.report())));
  }
  return measurement.good();
}

}  // namespace penstock::load
