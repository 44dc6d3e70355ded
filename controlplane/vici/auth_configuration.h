// The local and remote sections of a connection: who authenticates how.
#pragma once

#include <string>
#include <vector>

#include "controlplane/vici/drafts.h"
#include "controlplane/vici/message.h"

namespace penstock::vici {

Result<AuthDraft> parse_auth_section(const std::string& path, const Section& section, bool local,
                                     std::vector<std::string>& warnings);
// `path`: of the section.
Status finish_local(const std::string& path, const AuthDraft& draft, ike::LocalAuth& local);
Status finish_remote(const std::string& path, const AuthDraft& draft, ike::RemoteAuth& remote);

// What clients with EAP, Windows and Apple among them, ask of the gateway's certificate.
void check_server_certificate(const ike::ConnectionConfig& config,
                              std::vector<std::string>& warnings);

}  // namespace penstock::vici
