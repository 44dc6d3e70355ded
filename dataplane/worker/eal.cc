#include "dataplane/worker/eal.h"

#include <fcntl.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>

#include "dataplane/worker/dpdk_log.h"
#include "gateway/base/log.h"
#include "gateway/base/text.h"

namespace penstock {
namespace {

constexpr uint32_t kMinimumMemoryMb = 64;

std::string last_error_line;  // control thread only: read after a call has failed

// DPDK's lines are for whoever debugs DPDK; what an operator must know is in our own sentences.
ssize_t write_log(void*, const char* text, size_t size) {
  size_t length = size;
  while (length > 0 && text[length - 1] == '\n') --length;
  if (length == 0) return static_cast<ssize_t>(size);
  const int level = rte_log_cur_msg_loglevel();
  if (level > 0 && level <= static_cast<int>(RTE_LOG_ERR)) last_error_line.assign(text, length);
  PENSTOCK_LOG(LogLevel::kDebug, "dpdk: %.*s", static_cast<int>(length), text);
  return static_cast<ssize_t>(size);
}

void redirect_log() {
  cookie_io_functions_t functions{};
  functions.write = write_log;
  if (FILE* stream = fopencookie(nullptr, "w", functions); stream != nullptr) {
    rte_openlog_stream(stream);
  }
}

// EAL's usage text goes to standard output when an argument is wrong.
class SilentStandardOutput {
 public:
  SilentStandardOutput() : saved_(dup(STDOUT_FILENO)) {
    std::fflush(stdout);
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0) return;
    dup2(null, STDOUT_FILENO);
    close(null);
  }
  ~SilentStandardOutput() {
    std::fflush(stdout);
    if (saved_ < 0) return;
    dup2(saved_, STDOUT_FILENO);
    close(saved_);
  }
  SilentStandardOutput(const SilentStandardOutput&) = delete;
  SilentStandardOutput& operator=(const SilentStandardOutput&) = delete;

 private:
  const int saved_;
};

// The primary process of a prefix holds a lock on this file; EAL would exit the process on it.
bool prefix_in_use(const std::string& prefix) {
  const int file = open(("/var/run/dpdk/" + prefix + "/config").c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) return false;
  const bool locked = lockf(file, F_TEST, 0) != 0;
  close(file);
  return locked;
}

bool hugetlbfs_is_mounted() {
  std::ifstream mounts("/proc/mounts");
  std::string line;
  while (std::getline(mounts, line)) {
    if (line.find(" hugetlbfs ") != std::string::npos) return true;
  }
  return false;
}

uint64_t read_number(const std::filesystem::path& path) {
  std::ifstream file(path);
  uint64_t number = 0;
  file >> number;
  return file.fail() ? 0 : number;
}

// What the kernel would hand out without pushing others to swap; 0: unknown.
uint64_t available_memory_mb() {
  std::ifstream info("/proc/meminfo");
  std::string key, rest;
  uint64_t kilobytes = 0;
  while (info >> key >> kilobytes && std::getline(info, rest)) {
    if (key == "MemAvailable:") return kilobytes >> 10;
  }
  return 0;
}

// EAL does not come to an end in reasonable time with ordinary pages that are not there.
Status check_ordinary_memory(uint32_t memory_mb) {
  const uint64_t available_mb = available_memory_mb();
  if (available_mb == 0 || memory_mb <= available_mb) return {};
  return errorf("%u MiB of memory are needed and %llu MiB are available", memory_mb,
                static_cast<unsigned long long>(available_mb));
}

Status check_cpus(const EalConfig& config) {
  if (config.worker_cpus.empty()) return errorf("no worker has a CPU");
  const std::vector<unsigned> usable = usable_cpus();
  for (const unsigned cpu : config.worker_cpus) {
    if (std::find(usable.begin(), usable.end(), cpu) == usable.end()) {
      return errorf("lcore %u: there is no such CPU, or this process may not run on it", cpu);
    }
  }
  return {};
}

Result<bool> choose_hugepages(const EalConfig& config, uint32_t memory_mb) {
  if (config.hugepages == HugepageUse::kNo) return false;
  const uint64_t free_mb = free_hugepage_mb();
  if (free_mb >= memory_mb && !config.in_memory && !hugetlbfs_is_mounted()) {
    const char* sentence =
        "no hugetlbfs is mounted, which hugepages need unless dpdk.in_memory = yes";
    if (config.hugepages == HugepageUse::kYes) return errorf("%s", sentence);
    log_warning("%s: using ordinary pages, which is slower", sentence);
    return false;
  }
  if (free_mb >= memory_mb) return true;
  if (config.hugepages == HugepageUse::kYes) {
    return errorf(
        "%u MiB of hugepages are needed and %llu MiB are free: reserve more (sysctl -w "
        "vm.nr_hugepages=N), or set dpdk.hugepages = auto",
        memory_mb, static_cast<unsigned long long>(free_mb));
  }
  log_warning(
      "only %llu MiB of hugepages are free and %u MiB are needed: using ordinary pages, which is "
      "slower (sysctl -w vm.nr_hugepages=N reserves more)",
      static_cast<unsigned long long>(free_mb), memory_mb);
  return false;
}

// "0@(0,3),1@1,2@2": lcore 0 is the control thread, anywhere but on the workers' CPUs.
std::string lcore_map(const EalConfig& config, const std::vector<unsigned>& control_cpus) {
  std::string map = "0@(";
  for (size_t i = 0; i < control_cpus.size(); ++i) {
    map += (i > 0 ? "," : "") + std::to_string(control_cpus[i]);
  }
  map += ")";
  for (size_t i = 0; i < config.worker_cpus.size(); ++i) {
    map += "," + std::to_string(i + 1) + "@" + std::to_string(config.worker_cpus[i]);
  }
  return map;
}

std::vector<unsigned> control_cpus_beside(const std::vector<unsigned>& workers) {
  std::vector<unsigned> usable = usable_cpus();
  std::vector<unsigned> others;
  std::copy_if(usable.begin(), usable.end(), std::back_inserter(others), [&](unsigned cpu) {
    return std::find(workers.begin(), workers.end(), cpu) == workers.end();
  });
  return others.empty() ? usable : others;
}

std::vector<std::string> make_arguments(const EalConfig& config, bool hugepages,
                                        uint32_t memory_mb) {
  std::vector<std::string> arguments = {"penstockd", "--main-lcore=0", "--lcores",
                                        lcore_map(config, control_cpus_beside(config.worker_cpus)),
                                        "--file-prefix=" + config.file_prefix};
  if (!hugepages) {
    arguments.insert(arguments.end(), {"--no-huge", "-m", std::to_string(memory_mb)});
    // EAL refuses --in-memory beside --no-huge; this is its part that keeps files away.
    if (config.in_memory) arguments.emplace_back("--no-shconf");
  } else {
    // A vhost peer maps our memory file by file, and only a few of them.
    arguments.emplace_back("--single-file-segments");
    if (config.in_memory) arguments.emplace_back("--in-memory");
  }
  if (config.pci_devices.empty()) {
    arguments.insert(arguments.end(), {"--no-pci", "--iova-mode=va"});
  }
  for (const std::string& device : config.pci_devices) {
    arguments.insert(arguments.end(), {"-a", device});
  }
  if (config.debug) {
    arguments.insert(arguments.end(), {"--log-level=lib.*:debug", "--log-level=pmd.*:debug"});
  }
  arguments.insert(arguments.end(), config.extra.begin(), config.extra.end());
  return arguments;
}

std::string explain_failure(const EalConfig& config, int error) {
  if (error == EALREADY) return "DPDK was started in this process before";
  if (const std::string reason = take_dpdk_error(); !reason.empty()) {
    return "DPDK does not start: " + reason;
  }
  if (error == EACCES || error == EPERM) return "DPDK lacks permission: run as root";
  return std::string("DPDK does not start: ") + rte_strerror(error) +
         (config.extra.empty() ? "" : "; are its further arguments (dpdk.eal) right?");
}

}  // namespace

std::string take_dpdk_error() { return std::exchange(last_error_line, {}); }

std::vector<unsigned> usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<unsigned> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

uint64_t free_hugepage_mb() {
  uint64_t total_kb = 0;
  std::error_code failure;
  for (const auto& entry :
       std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", failure)) {
    // "hugepages-2048kB"
    const std::string name = entry.path().filename();
    const std::string digits = name.substr(std::min<size_t>(10, name.size()));
    const auto size_kb = parse_unsigned(digits.substr(0, digits.find('k')));
    if (size_kb) total_kb += *size_kb * read_number(entry.path() / "free_hugepages");
  }
  return total_kb >> 10;
}

Status start_eal(const EalConfig& config) {
  PENSTOCK_CHECK(check_cpus(config));
  const uint32_t memory_mb =
      std::max(config.memory_mb != 0 ? config.memory_mb : config.needed_mb, kMinimumMemoryMb);
  PENSTOCK_TRY(const bool hugepages, choose_hugepages(config, memory_mb));
  if (!hugepages) PENSTOCK_CHECK(check_ordinary_memory(memory_mb));
  if (hugepages && geteuid() != 0) return errorf("hugepages need root: run as root");
  if (!config.in_memory && prefix_in_use(config.file_prefix)) {
    return errorf(
        "another process uses the DPDK file prefix '%s': stop it, or set dpdk.file_prefix",
        config.file_prefix.c_str());
  }
  redirect_log();
  static std::vector<std::string> arguments;  // EAL keeps pointers into them
  arguments = make_arguments(config, hugepages, memory_mb);
  std::vector<char*> argv;
  for (std::string& text : arguments) argv.push_back(text.data());
  argv.push_back(nullptr);
  int parsed = -1;
  {
    const SilentStandardOutput silence;
    parsed = rte_eal_init(static_cast<int>(arguments.size()), argv.data());
  }
  return parsed < 0 ? Status{Error{explain_failure(config, rte_errno)}} : Status{};
}

}  // namespace penstock
