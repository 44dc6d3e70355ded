#include "controlplane/ike/eap/tls_fragments.h"

namespace penstock::ike {

void TlsReassembly::clear() {
  message_.clear();
  announced_size_ = 0;
}

TlsReassembly::Outcome TlsReassembly::add(Bytes data) {
  Reader reader(data);
  const uint8_t flags = reader.u8();
  const bool more = (flags & kTlsMoreFragments) != 0;
  if ((flags & kTlsStart) != 0) reader.fail();  // only ours to send
  if ((flags & kTlsLengthIncluded) != 0) {
    const uint32_t size = reader.be32();
    const bool first = message_.empty();
    if (size == 0 || size > kTlsMessageMaxSize || (!first && size != announced_size_))
      reader.fail();
    announced_size_ = size;
  }
  const Bytes part = reader.take_rest();
  const size_t size = message_.size() + part.size();
  if (!reader.ok() || size > kTlsMessageMaxSize || (more && part.empty()) ||
      (announced_size_ != 0 && size > announced_size_)) {
    return Outcome::kBroken;
  }
  if (part.empty() && message_.empty()) {
    return announced_size_ == 0 ? Outcome::kEmpty : Outcome::kBroken;
  }
  message_.insert(message_.end(), part.begin(), part.end());
  if (more) return Outcome::kMore;
  return announced_size_ == 0 || announced_size_ == size ? Outcome::kMessage : Outcome::kBroken;
}

void TlsFragmenter::set(ByteVector message) {
  message_ = std::move(message);
  next_ = 0;
}

ByteVector TlsFragmenter::next() {
  const size_t left = message_.size() - next_;
  const size_t size = std::min(left, fragment_max_);
  const bool first = next_ == 0;
  ByteVector out(1 + (first ? 4 : 0) + size);
  Writer writer(out);
  const unsigned flags = (first ? kTlsLengthIncluded : 0U) | (size < left ? kTlsMoreFragments : 0U);
  writer.u8(static_cast<uint8_t>(flags));
  if (first) writer.be32(static_cast<uint32_t>(message_.size()));
  writer.bytes(Bytes(message_).subspan(next_, size));
  next_ += size;
  return out;
}

}  // namespace penstock::ike
