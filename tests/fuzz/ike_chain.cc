// libFuzzer target: what a sealed message holds, after decryption: a byte that names the first
// payload, then the chain. Proposals go on into the choice against what is configured.
//
// Checks beside crashes: a chain that parses can be built again; what is chosen is of what was
// offered, and an initiator that offered it takes the answer.
#include <algorithm>

#include "controlplane/ike/crypto/proposals.h"
#include "tests/fuzz/ike_rebuild.h"

using namespace penstock;
using namespace penstock::ike;

namespace {

void choose(ProtocolId protocol, const std::vector<Proposal>& offered,
            const SelectOptions& options) {
  static const std::vector<Proposal> ike = default_proposals(ProtocolId::kIke);
  static const std::vector<Proposal> esp = default_proposals(ProtocolId::kEsp);
  const auto selection =
      select_proposal(protocol, offered, protocol == ProtocolId::kIke ? ike : esp, options);
  if (!selection.ok()) {
    if (selection.error().text.empty() || selection.error().text.size() > 2000) std::abort();
    return;
  }
  const auto same_number = [&selection](const Proposal& proposal) {
    return proposal.number == selection->number && proposal.spi == selection->spi;
  };
  // Two proposals of one number are the peer's mistake: the answer then fits one of them.
  if (std::count_if(offered.begin(), offered.end(), same_number) != 1) return;
  const Proposal answer = selection->answer(selection->spi);
  const auto theirs = std::find_if(offered.begin(), offered.end(), same_number);
  if (!check_answer(protocol, {&*theirs, 1}, {&answer, 1}, options).ok()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto payloads = parse_chain(PayloadType{data[0]}, Bytes(data + 1, size - 1));
  if (!payloads.ok()) {
    if (payloads.error().to_string().empty()) std::abort();
    return 0;
  }
  check_rebuild(*payloads);
  if (payloads->sa) {
    SelectOptions options;
    if (payloads->key_exchange) options.ke_group = payloads->key_exchange->group;
    choose(ProtocolId::kIke, payloads->sa->proposals, options);
    choose(ProtocolId::kEsp, payloads->sa->proposals, options);
    options.prefer_configured = false;
    options.ignore_groups = true;
    choose(ProtocolId::kEsp, payloads->sa->proposals, options);
  }
  return 0;
}
