// From the sections of load-conn, load-pool and load-authority to the configuration of IKE.
// Nothing is loaded here. An error is a sentence that begins with the path of the key, such as
// "connections.gw.children.net.ipcomp: ...".
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/ike/auth/credentials.h"
#include "controlplane/ike/configuration.h"
#include "controlplane/vici/message.h"
#include "gateway/base/result.h"

namespace penstock::vici {

// What holds where a section does not say otherwise; of the gateway's own configuration.
struct ConnectionDefaults {
  bool require_pfs = false;
};

struct ParsedConnection {
  std::shared_ptr<const ike::ConnectionConfig> config;
  // For the credential store: `certs` and `cacerts` of the connection.
  std::vector<ike::CertificatePtr> certificates, authorities;
  std::vector<std::string> warnings;
  // As they were given, for --list-conns.
  std::vector<std::string> local_addrs, remote_addrs;
};
Result<ParsedConnection> parse_connection(const std::string& name, const Section& section,
                                          const ConnectionDefaults& defaults = {});

struct ParsedPool {
  ike::PoolConfig config;
  std::string base;  // the first address of `addrs` as it is written
  std::vector<std::string> warnings;
};
Result<ParsedPool> parse_pool(const std::string& name, const Section& section);

struct ParsedAuthority {
  ike::Authority authority;
  std::vector<std::string> warnings;
};
Result<ParsedAuthority> parse_authority(const std::string& name, const Section& section);

}  // namespace penstock::vici
