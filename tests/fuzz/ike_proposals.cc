// libFuzzer target: the text of a `proposals` or `esp_proposals` key. First byte: bit 0 says which.
//
// Checks beside crashes: what is accepted is written in a form that means the same, can be offered
// on the wire, and is chosen by a peer with the same configuration; refusals have words.
#include <cstdlib>

#include "controlplane/ike/crypto/proposals.h"
#include "controlplane/ike/wire/build.h"

using namespace penstock;
using namespace penstock::ike;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const ProtocolId protocol = (data[0] & 1) != 0 ? ProtocolId::kIke : ProtocolId::kEsp;
  const std::string_view text = text_of(Bytes(data + 1, size - 1));
  const auto proposal = parse_proposal(protocol, text);
  if (!proposal.ok()) {
    if (proposal.error().text.empty() || proposal.error().text.size() > 400) std::abort();
    return 0;
  }
  const std::string written = to_string(*proposal);
  const auto again = parse_proposal(protocol, written);
  if (!again.ok() || again->transforms != proposal->transforms) std::abort();

  const bool is_ike = protocol == ProtocolId::kIke;
  const auto offer = to_offer({&*proposal, 1}, is_ike ? 0 : 4, is_ike ? 0 : 0xc0000001, {});
  ChainBuilder chain;
  if (!chain.sa(offer).ok()) std::abort();
  const auto parsed = parse_chain(chain.first(), chain.bytes());
  if (!parsed.ok() || parsed->sa->proposals.size() != offer.size()) std::abort();
  SelectOptions options;
  if (const DhGroup group = first_group(offer); group != DhGroup::kNone) {
    options.ke_group = static_cast<uint16_t>(group);
  }
  const auto selection = select_proposal(protocol, parsed->sa->proposals, {&*proposal, 1}, options);
  if (!selection.ok()) std::abort();
  const Proposal answer = selection->answer(is_ike ? 0 : 0xc0000002);
  if (!check_answer(protocol, offer, {&answer, 1}, options).ok()) std::abort();
  return 0;
}
