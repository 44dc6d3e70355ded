// A client's bytes in two reads, as the VICI server takes them apart: segments, packets, messages,
// and the configuration parsers with whatever sections a message has.
#include <cstdlib>

#include "controlplane/vici/configuration.h"
#include "controlplane/vici/packet.h"

using namespace penstock;
using namespace penstock::vici;

namespace {

void write(MessageWriter& writer, const Section& section) {
  for (const auto& entry : section.entries()) {
    if (const auto* value = std::get_if<Value>(&entry.content)) {
      writer.value(entry.name, value->bytes());
    } else if (const auto* list = std::get_if<Section::List>(&entry.content)) {
      std::vector<std::string> items;
      for (const Value& item : *list) items.emplace_back(item.text());
      writer.list(entry.name, items);
    } else {
      writer.begin_section(entry.name);
      write(writer, *std::get<std::unique_ptr<Section>>(entry.content));
      writer.end_section();
    }
  }
}

void check_message(Bytes bytes) {
  const auto root = parse_message(bytes);
  if (!root.ok()) return;
  // What was taken can be said again, in the same bytes.
  MessageWriter writer;
  write(writer, *root);
  if (writer.ok() && !equal_bytes(writer.bytes(), bytes)) std::abort();
  for (const auto& entry : root->entries()) {
    const Section* const section = root->section(entry.name);
    if (section == nullptr) continue;
    const auto connection = parse_connection(entry.name, *section);
    // Nothing is loaded that has no proposals or selectors.
    if (connection.ok()) {
      if (connection->config->proposals.empty()) std::abort();
      for (const auto& child : connection->config->children) {
        if (child->proposals.empty() || child->local_ts.empty()) std::abort();
      }
    }
    (void)parse_pool(entry.name, *section);
    (void)parse_authority(entry.name, *section);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes all(data, size);
  check_message(all);
  SegmentSplitter splitter;
  const size_t half = size / 2;
  for (const Bytes part : {all.first(half), all.subspan(half)}) {
    splitter.append(part);
    for (auto segment = splitter.next(); segment.ok() && segment->has_value();
         segment = splitter.next()) {
      const auto packet = parse_packet(**segment);
      if (packet.ok()) check_message(packet->message);
    }
  }
  return 0;
}
