// Puts the fragments of one message together (RFC 7383 section 2.6). One object stands for one
// message that is awaited: its SPIs, message ID and direction are the owner's business.
//
// Only fragments whose ICV was right are added; may_add() tells before decryption whether one is
// wanted at all, so that duplicates cost no cryptography.
#pragma once

#include <optional>
#include <vector>

#include "controlplane/ike/wire/iana.h"
#include "gateway/base/bytes.h"

namespace penstock::ike {

enum class FragmentVerdict : uint8_t {
  kWanted,     // may_add: decrypt it. add: kept, others are missing
  kComplete,   // add: that was the last one
  kDuplicate,  // this one is here already
  kOldTotal,   // of fewer fragments than one that came before (the peer has gone to smaller ones)
  kInvalid,    // number 0, or beyond the total
  kTooMany,    // more fragments, or more bytes, than the bounds
};
const char* to_string(FragmentVerdict verdict);

class FragmentReassembler {
 public:
  struct Limits {
    uint16_t fragments = 128;
    size_t bytes = 65535;  // of plain text together
  };
  FragmentReassembler() = default;
  explicit FragmentReassembler(const Limits& limits) : limits_(limits) {}

  [[nodiscard]] FragmentVerdict may_add(uint16_t number, uint16_t total) const;
  // `plain` is what the fragment held, `first` its Next Payload field (counts for number 1 only).
  // A higher total than before drops what is there and begins anew.
  FragmentVerdict add(uint16_t number, uint16_t total, PayloadType first, Bytes plain);

  struct Whole {
    PayloadType first = PayloadType::kNone;
    ByteVector chain;
  };
  // The message, once add() said kComplete; empties the reassembler.
  std::optional<Whole> take();
  void clear();
  [[nodiscard]] bool empty() const { return received_ == 0; }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  Limits limits_;
  uint16_t total_ = 0;
  uint16_t received_ = 0;
  size_t bytes_ = 0;
  PayloadType first_ = PayloadType::kNone;
  std::vector<std::optional<ByteVector>> parts_;  // by number - 1
};

}  // namespace penstock::ike
