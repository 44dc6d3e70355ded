// Internet checksums: of an IPv4 header as each packet's is verified, the TTL's incremental update,
// and whole payloads as UDP over IPv6 needs them.
#include <vector>

#include "bench/micro/cycles.h"
#include "dataplane/wire/checksum.h"

namespace penstock {
namespace {

constexpr size_t kPackets = 8192;
constexpr size_t kSlice = 1024;

std::vector<Ipv4Header> make_headers() {
  std::vector<Ipv4Header> headers(256);
  for (size_t i = 0; i < headers.size(); ++i) {
    Ipv4Header& header = headers[i];
    header = Ipv4Header{};
    header.version_length = kIpv4PlainVersionLength;
    header.total_length = Be16(static_cast<uint16_t>(64 + i));
    header.ttl = 255;
    header.source = Ipv4Address::from_host(0x0a000001U + static_cast<uint32_t>(i));
    set_plain_header_checksum(header);
  }
  return headers;
}

void checksum_verify_ipv4_header(benchmark::State& state) {
  const std::vector<Ipv4Header> headers = make_headers();
  measure_cycles(
      state, kPackets, kSlice, [] {},
      [&](size_t first) {
        for (size_t i = first; i < first + kSlice; ++i) {
          benchmark::DoNotOptimize(plain_header_checksum_ok(headers[i % headers.size()]));
        }
      });
}
BENCHMARK(checksum_verify_ipv4_header)->UseManualTime();

void checksum_decrement_ttl(benchmark::State& state) {
  std::vector<Ipv4Header> headers = make_headers();
  measure_cycles(
      state, kPackets, kSlice, [&] { headers = make_headers(); },
      [&](size_t first) {
        for (size_t i = first; i < first + kSlice; ++i) decrement_ttl(headers[i % headers.size()]);
        benchmark::DoNotOptimize(headers.data());
      });
}
BENCHMARK(checksum_decrement_ttl)->UseManualTime();

void checksum_buffer(benchmark::State& state) {
  const std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)), 0xa5);
  measure_cycles(
      state, kPackets, kSlice, [] {},
      [&](size_t first) {
        for (size_t i = first; i < first + kSlice; ++i) {
          benchmark::DoNotOptimize(internet_checksum(bytes));
        }
      });
}
BENCHMARK(checksum_buffer)
    ->ArgName("bytes")
    ->Arg(64)
    ->Arg(512)
    ->Arg(1448)
    ->Arg(9000)
    ->UseManualTime();

}  // namespace
}  // namespace penstock
