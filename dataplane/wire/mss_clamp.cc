#include "dataplane/wire/mss_clamp.h"

#include "dataplane/wire/checksum.h"

namespace penstock {

bool clamp_tcp_segment(MutableBytes segment, uint16_t mss) {
  const size_t at = find_tcp_mss(segment);
  if (at == 0) return false;
  auto* value = reinterpret_cast<Be16*>(segment.data() + at);
  if (value->get() <= mss) return false;
  Be16 before = *value;
  Be16 after(mss);
  value->set(mss);
  if (at % 2 != 0) {
    // Behind an odd number of NOPs the value lies across two checksum words: each of its bytes
    // counts in the other half of a word (RFC 1071 2 (B)).
    before = Be16::from_raw(byte_swap(before.raw()));
    after = Be16::from_raw(byte_swap(after.raw()));
  }
  auto* tcp = reinterpret_cast<TcpHeader*>(segment.data());
  tcp->checksum = update_checksum(tcp->checksum, before, after);
  return true;
}

}  // namespace penstock
