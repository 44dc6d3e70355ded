#include "controlplane/ike/wire/fragments.h"

namespace penstock::ike {

const char* to_string(FragmentVerdict verdict) {
  switch (verdict) {
    case FragmentVerdict::kWanted:
      return "wanted";
    case FragmentVerdict::kComplete:
      return "complete";
    case FragmentVerdict::kDuplicate:
      return "duplicate fragment";
    case FragmentVerdict::kOldTotal:
      return "fragment of an earlier, coarser division";
    case FragmentVerdict::kInvalid:
      return "impossible fragment number";
    case FragmentVerdict::kTooMany:
      return "more fragments or bytes than the bounds allow";
  }
  return "unknown";
}

FragmentVerdict FragmentReassembler::may_add(uint16_t number, uint16_t total) const {
  if (number == 0 || number > total) return FragmentVerdict::kInvalid;
  if (total > limits_.fragments) return FragmentVerdict::kTooMany;
  if (total < total_) return FragmentVerdict::kOldTotal;
  if (total == total_ && parts_[number - 1U]) return FragmentVerdict::kDuplicate;
  return FragmentVerdict::kWanted;
}

FragmentVerdict FragmentReassembler::add(uint16_t number, uint16_t total, PayloadType first,
                                         Bytes plain) {
  const FragmentVerdict verdict = may_add(number, total);
  if (verdict != FragmentVerdict::kWanted) return verdict;
  if (total > total_) {  // RFC 7383 2.6: the peer divides anew, into smaller ones
    clear();
    total_ = total;
    parts_.resize(total);
  }
  if (plain.size() > limits_.bytes - bytes_) return FragmentVerdict::kTooMany;
  parts_[number - 1U] = to_vector(plain);
  bytes_ += plain.size();
  ++received_;
  if (number == 1) first_ = first;
  return received_ == total_ ? FragmentVerdict::kComplete : FragmentVerdict::kWanted;
}

std::optional<FragmentReassembler::Whole> FragmentReassembler::take() {
  if (total_ == 0 || received_ != total_) return std::nullopt;
  Whole whole;
  whole.first = first_;
  whole.chain.reserve(bytes_);
  for (const std::optional<ByteVector>& part : parts_) {
    whole.chain.insert(whole.chain.end(), part->begin(), part->end());
  }
  clear();
  return whole;
}

void FragmentReassembler::clear() {
  total_ = 0;
  received_ = 0;
  bytes_ = 0;
  first_ = PayloadType::kNone;
  parts_.clear();
}

}  // namespace penstock::ike
