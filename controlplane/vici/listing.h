// What the engine knows, in the keys that swanctl's listings and charon's events have. swanctl
// prints "(null)" for a key that it wants and does not find: so all of those are there.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controlplane/vici/backend.h"
#include "controlplane/vici/configuration.h"
#include "controlplane/vici/message.h"

namespace penstock::vici {

// The keys of an IKE SA, without its children. Into the open section.
void write_ike_sa(MessageWriter& writer, const ike::IkeSaInfo& sa, const ike::Now& now);
void write_child_sa(MessageWriter& writer, const ike::ChildSaInfo& child,
                    const std::optional<ChildTraffic>& traffic, const ike::Now& now);
// The name of the section of an IKE SA: that of its connection, if there is one yet.
std::string section_name(const ike::IkeSaInfo& sa);
std::string section_name(const ike::ChildSaInfo& child);

// Whole messages of events.
MessageWriter list_sa_event(const ike::IkeSaInfo& sa, const Backend& backend);
MessageWriter list_conn_event(const ParsedConnection& connection);
MessageWriter list_policy_event(const ike::PolicyInfo& policy);
MessageWriter ike_updown_event(const ike::IkeSaInfo& sa, bool up, const Backend& backend);
MessageWriter ike_rekey_event(const ike::IkeSaInfo& before, const ike::IkeSaInfo& after,
                              const Backend& backend);
MessageWriter child_updown_event(const ike::IkeSaInfo& sa, uint32_t child_id, bool up,
                                 const Backend& backend);
MessageWriter child_rekey_event(const ike::IkeSaInfo& sa, uint32_t before, uint32_t after,
                                const Backend& backend);

}  // namespace penstock::vici
