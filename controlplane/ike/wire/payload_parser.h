// The parser of one chain. Internal to this folder: users call parse_chain() or parse_message().
#pragma once

#include "controlplane/ike/wire/payloads.h"

namespace penstock::ike {

class PayloadParser {
 public:
  // `message` is what the chain lies in, from `offset` to its end; `in_clear` chains may end in SK
  // or SKF.
  PayloadParser(Bytes message, size_t offset, bool in_clear)
      : message_(message), offset_(offset), in_clear_(in_clear) {}

  Result<Payloads, WireError> parse(PayloadType first);

 private:
  // Each parses one payload's body and says whether it is good; what is not is in error_.
  bool payload(PayloadType type, bool critical, Bytes body);
  bool security_association(Bytes body);
  bool proposal(Reader& reader, bool& more);
  bool transform(Reader& reader, bool expect_more, Proposal& proposal);
  bool key_exchange(Bytes body);
  bool id(Bytes body, std::optional<IdPayload>& into);
  bool cert(Bytes body);
  bool cert_request(Bytes body);
  bool auth(Bytes body);
  bool nonce(Bytes body);
  bool notify(Bytes body);
  bool deletion(Bytes body);
  bool selectors(Bytes body, std::optional<TsPayload>& into);
  bool selector(Reader& reader, TsPayload& into);
  bool configuration(Bytes body);
  bool eap(Bytes body);
  bool encrypted(PayloadType type, PayloadType next, Bytes body);

  bool fail(WireFault fault, const char* what, NotifyType notify = NotifyType::kInvalidSyntax);

  Bytes message_;
  size_t offset_;
  bool in_clear_;
  PayloadType current_ = PayloadType::kNone;
  Payloads out_;
  WireError error_;
};

}  // namespace penstock::ike
