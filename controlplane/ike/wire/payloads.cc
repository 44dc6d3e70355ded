#include "controlplane/ike/wire/payloads.h"

#include <algorithm>

#include "controlplane/ike/wire/payload_parser.h"

namespace penstock::ike {

uint16_t NotifyPayload::data_u16() const {
  Reader reader(data);
  const uint16_t value = reader.be16();
  return reader.ok() && reader.at_end() ? value : uint16_t{0};
}

uint32_t NotifyPayload::data_u32() const {
  Reader reader(data);
  const uint32_t value = reader.be32();
  return reader.ok() && reader.at_end() ? value : 0;
}

const NotifyPayload* Payloads::find(NotifyType type) const {
  const auto found = std::find_if(notifies.begin(), notifies.end(),
                                  [type](const NotifyPayload& n) { return n.type == type; });
  return found != notifies.end() ? &*found : nullptr;
}

const NotifyPayload* Payloads::first_error() const {
  const auto found = std::find_if(notifies.begin(), notifies.end(),
                                  [](const NotifyPayload& n) { return is_error(n.type); });
  return found != notifies.end() ? &*found : nullptr;
}

std::string Payloads::summary() const {
  std::string text = "[ ";
  size_t notify = 0;
  for (const PayloadType type : order) {
    text += to_string(type);
    if (type == PayloadType::kNotify && notify < notifies.size()) {
      text += "(" + to_string(notifies[notify++].type) + ")";
    }
    if (type == PayloadType::kEncryptedFragment && encrypted) {
      text += "(" + std::to_string(encrypted->fragment) + "/" +
              std::to_string(encrypted->fragments) + ")";
    }
    text += ' ';
  }
  return text + "]";
}

Result<Payloads, WireError> parse_chain(PayloadType first, Bytes chain) {
  return PayloadParser(chain, 0, false).parse(first);
}

}  // namespace penstock::ike
