#include "dataplane/wire/checksum.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace penstock {
namespace {

#ifdef __AVX2__

// Sums 16-bit words, 32 bytes a vector, and advances `from`. vpmaddwd adds neighbouring words into
// 32 bits but takes them as signed: each is lowered by 0x8000 before, and that is put back at the
// end. A lane moves by at most 2^16 a vector, so 2^15 vectors fit; kMaxVectorRun stays below.
constexpr size_t kVectorBytes = 32;
constexpr size_t kMaxVectorRun = size_t{1} << 19;

uint64_t sum_vectors(const uint8_t*& from, size_t vectors) {
  const __m256i flip = _mm256_set1_epi16(INT16_MIN);
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i lanes[4] = {};
  const auto add = [&](__m256i& lane, size_t index) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(from) + index);
    lane = _mm256_add_epi32(lane, _mm256_madd_epi16(_mm256_xor_si256(words, flip), ones));
  };
  size_t left = vectors;
  for (; left >= 4; left -= 4, from += 4 * kVectorBytes) {
    for (size_t i = 0; i < 4; ++i) add(lanes[i], i);
  }
  for (; left > 0; --left, from += kVectorBytes) add(lanes[0], 0);
  const auto widen = [](__m256i lane) {
    return _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(lane)),
                            _mm256_cvtepi32_epi64(_mm256_extracti128_si256(lane, 1)));
  };
  const __m256i sums = _mm256_add_epi64(_mm256_add_epi64(widen(lanes[0]), widen(lanes[1])),
                                        _mm256_add_epi64(widen(lanes[2]), widen(lanes[3])));
  const __m128i halves =
      _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  const int64_t total = _mm_extract_epi64(halves, 0) + _mm_extract_epi64(halves, 1);
  return static_cast<uint64_t>(total) + uint64_t{0x8000} * (vectors * kVectorBytes / 2);
}

#endif

}  // namespace

uint64_t sum_bytes(Bytes bytes, uint64_t sum) {
  const uint8_t* from = bytes.data();
  size_t left = bytes.size();
#ifdef __AVX2__
  while (left >= kVectorBytes) {
    const size_t run = std::min(left, kMaxVectorRun) / kVectorBytes;
    sum = add_with_carry(sum, sum_vectors(from, run));
    left -= run * kVectorBytes;
  }
#endif
  for (; left >= 8; left -= 8, from += 8) sum = add_with_carry(sum, load_unaligned<uint64_t>(from));
  uint64_t tail = 0;
  if ((left & 4) != 0) {
    tail = load_unaligned<uint32_t>(from);
    from += 4;
  }
  if ((left & 2) != 0) {
    tail += load_unaligned<uint16_t>(from);
    from += 2;
  }
  if ((left & 1) != 0) tail += *from;
  return add_with_carry(sum, tail);
}

}  // namespace penstock
