// Connections, pools, authorities and credentials: load, unload, get.
#include "controlplane/vici/commands.h"
#include "gateway/base/log.h"
#include "gateway/base/text.h"

namespace penstock::vici {
namespace {

constexpr size_t kConnectionsMax = 65'536;
constexpr size_t kPoolsMax = 4'096;

// load-conn, load-pool and load-authority have one section, which is the name's.
struct Named {
  std::string name;
  const Section* section = nullptr;
};
Result<Named> only_section(const Section& request) {
  if (request.entries().size() == 1) {
    const auto& entry = request.entries().front();
    if (const auto* section = std::get_if<std::unique_ptr<Section>>(&entry.content)) {
      if (entry.name.empty()) return errorf("the section has no name");
      return Named{entry.name, section->get()};
    }
  }
  return errorf("the message must hold one section and nothing else");
}

void log_all(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) log_warning("vici: %s", warning.c_str());
}

MessageWriter success_with(const std::vector<std::string>& warnings) {
  MessageWriter writer = success();
  if (!warnings.empty()) writer.list("warnings", warnings);
  return writer;
}

MessageWriter keys_list(const std::vector<std::string>& ids) {
  MessageWriter writer;
  writer.list("keys", ids);
  return writer;
}

}  // namespace

// What the certificates of a connection are trusted for is the engine's business; in the store they
// are found for chains, as CAs of CERTREQ and by identity.
Status Commands::store_certificates(const ParsedConnection& parsed) {
  if (of_connections_.size() >= ike::kCertificatesMax) of_connections_.clear();
  for (const auto* set : {&parsed.certificates, &parsed.authorities}) {
    const auto flag =
        set == &parsed.authorities ? ike::CertificateFlag::kCa : ike::CertificateFlag::kNone;
    for (const auto& certificate : *set) {
      const std::pair entry(certificate->fingerprint(), flag);
      if (of_connections_.contains(entry)) continue;
      const auto added = credentials_.add_certificate(certificate->der(), flag);
      if (!added.ok()) return added.error();
      of_connections_.insert(entry);
      credentials_changed_ = true;
    }
  }
  return {};
}

Answer Commands::load_conn(const Section& request, Bytes message) {
  const auto named = only_section(request);
  if (!named.ok()) return failure(named.error().text);
  auto parsed = parse_connection(named->name, *named->section, options_.defaults);
  if (!parsed.ok()) return failure(parsed.error().text);
  std::vector<ike::CertificatePtr> certificates = parsed->certificates;
  certificates.insert(certificates.end(), parsed->authorities.begin(), parsed->authorities.end());
  const Digest digest = digest_of(message, certificates);
  const auto known = connections_.find(named->name);
  if (known != connections_.end() && known->second.digest == digest) {
    return success_with(parsed->warnings);
  }
  if (known == connections_.end() && connections_.size() >= kConnectionsMax) {
    return failure("there are " + std::to_string(kConnectionsMax) + " connections already");
  }
  const Status stored = store_certificates(*parsed);
  if (!stored.ok()) return failure(stored.error().text);
  publish_credentials();
  const Status loaded = backend_.load_connection(parsed->config);
  if (!loaded.ok()) return failure(loaded.error().text);
  log_info("vici: connection %s %s", named->name.c_str(),
           known == connections_.end() ? "loaded" : "replaced");
  log_all(parsed->warnings);
  MessageWriter answer = success_with(parsed->warnings);
  connections_.insert_or_assign(named->name, Connection{digest, std::move(*parsed)});
  return answer;
}

Answer Commands::unload_conn(const Section& request, Bytes) {
  const std::string name = request.text("name");
  if (name.empty()) return failure("unload: missing connection name");
  const auto known = connections_.find(name);
  if (known == connections_.end()) return failure("unload: connection '" + name + "' not found");
  connections_.erase(known);
  if (!backend_.unload_connection(name)) {
    return failure("unload: connection '" + name + "' not found");
  }
  log_info("vici: connection %s unloaded", name.c_str());
  return success();
}

Answer Commands::load_pool(const Section& request, Bytes) {
  const auto named = only_section(request);
  if (!named.ok()) return failure(named.error().text);
  auto parsed = parse_pool(named->name, *named->section);
  if (!parsed.ok()) return failure(parsed.error().text);
  const auto known = pools_.find(named->name);
  if (known != pools_.end() && known->second.config == parsed->config) {
    return success_with(parsed->warnings);
  }
  if (known == pools_.end() && pools_.size() >= kPoolsMax) {
    return failure("there are " + std::to_string(kPoolsMax) + " pools already");
  }
  const Status loaded = backend_.load_pool(parsed->config);
  if (!loaded.ok()) return failure(loaded.error().text);
  log_all(parsed->warnings);
  pools_.insert_or_assign(named->name, PoolEntry{std::move(parsed->config), parsed->base});
  return success_with(parsed->warnings);
}

Answer Commands::unload_pool(const Section& request, Bytes) {
  const std::string name = request.text("name");
  if (name.empty()) return failure("missing pool name to unload");
  if (!pools_.contains(name)) return failure(name + " not found");
  const Status unloaded = backend_.unload_pool(name);
  if (!unloaded.ok()) return failure(unloaded.error().text);
  pools_.erase(name);
  return success();
}

Answer Commands::load_authority(const Section& request, Bytes message) {
  const auto named = only_section(request);
  if (!named.ok()) return failure(named.error().text);
  auto parsed = parse_authority(named->name, *named->section);
  if (!parsed.ok()) return failure(parsed.error().text);
  const Digest digest = digest_of(message, {parsed->authority.ca});
  const auto known = authorities_.find(named->name);
  if (known == authorities_.end() || known->second != digest) {
    const Status loaded = credentials_.load_authority(std::move(parsed->authority));
    if (!loaded.ok()) return failure(loaded.error().text);
    credentials_changed_ = true;
    log_all(parsed->warnings);
    authorities_.insert_or_assign(named->name, digest);
  }
  return success_with(parsed->warnings);
}

Answer Commands::unload_authority(const Section& request, Bytes) {
  const std::string name = request.text("name");
  if (name.empty()) return failure("unload: missing authority name");
  const Status unloaded = credentials_.unload_authority(name);
  if (!unloaded.ok()) return failure(unloaded.error().text);
  authorities_.erase(name);
  credentials_changed_ = true;
  return success();
}

Answer Commands::load_cert(const Section& request, Bytes message) {
  const Value* const data = request.value("data");
  if (data == nullptr || data->bytes().empty()) return failure("certificate data missing");
  const std::string type = request.text("type");
  if (type.empty()) return failure("certificate type missing");
  const Digest digest = digest_of(message, {});
  if (certificates_.contains(digest)) return success();
  const Status loaded = credentials_.load_cert(type, request.text("flag"), data->bytes());
  if (!loaded.ok()) return failure(loaded.error().text);
  if (certificates_.size() >= ike::kCertificatesMax) certificates_.clear();
  certificates_.insert(digest);
  credentials_changed_ = true;
  return success();
}

Answer Commands::load_key(const Section& request, Bytes message) {
  const Value* const data = request.value("data");
  if (data == nullptr || data->bytes().empty()) return failure("key data missing");
  const std::string type = request.text("type");
  if (type.empty()) return failure("key type missing");
  const Digest digest = digest_of(message, {});
  const auto known = keys_.find(digest);
  std::string id;
  if (known != keys_.end()) {
    id = known->second;
  } else {
    auto loaded = credentials_.load_key(type, data->bytes());
    if (!loaded.ok()) return failure(loaded.error().text);
    id = std::move(*loaded);
    if (keys_.size() >= ike::kKeysMax) keys_.clear();
    keys_.emplace(digest, id);
    credentials_changed_ = true;
  }
  MessageWriter writer = success();
  writer.value("id", id);
  return writer;
}

Answer Commands::unload_key(const Section& request, Bytes) {
  const std::string id = request.text("id");
  if (id.empty()) return failure("key id missing");
  const Status unloaded = credentials_.unload_key(id);
  if (!unloaded.ok()) return failure(unloaded.error().text);
  std::erase_if(keys_, [&](const auto& entry) { return equal_ignoring_case(entry.second, id); });
  credentials_changed_ = true;
  return success();
}

Answer Commands::get_keys(const Section&, Bytes) { return keys_list(credentials_.key_ids()); }

Answer Commands::load_token(const Section& request, Bytes) {
  const Status loaded = credentials_.load_token(request.text("handle"));
  return loaded.ok() ? success() : failure(loaded.error().text);
}

Answer Commands::load_shared(const Section& request, Bytes message) {
  const Value* const data = request.value("data");
  if (data == nullptr || data->bytes().empty()) return failure("shared key data missing");
  const std::string type_name = request.text("type");
  if (type_name.empty()) return failure("shared key type missing");
  // secrets.xauth is another name of secrets.eap.
  const auto type =
      ike::parse_secret_type(equal_ignoring_case(type_name, "xauth") ? "EAP" : type_name);
  if (!type.ok()) return failure(type.error().text);
  ike::SharedSecret secret;
  secret.id = request.text("id");
  secret.type = *type;
  const Digest digest = digest_of(message, {});
  const auto known = shared_.find(secret.id);
  if (!secret.id.empty() && known != shared_.end() && known->second == digest) return success();
  if (const Section::List* const owners = request.list("owners")) {
    if (owners->size() > ike::kSecretOwnersMax) {
      return failure("a secret has more than " + std::to_string(ike::kSecretOwnersMax) + " ids");
    }
    for (const Value& owner : *owners) {
      auto identity = ike::Identity::parse(owner.text());
      if (!identity.ok()) {
        return failure("parsing shared key owners failed: " + identity.error().text);
      }
      secret.owners.push_back(std::move(*identity));
    }
  }
  secret.value = SecretBytes::copy_of(data->bytes());
  const std::string id = secret.id;
  const Status loaded = credentials_.load_shared(std::move(secret));
  if (!loaded.ok()) return failure(loaded.error().text);
  if (!id.empty()) shared_.insert_or_assign(id, digest);
  credentials_changed_ = true;
  return success();
}

Answer Commands::unload_shared(const Section& request, Bytes) {
  const std::string id = request.text("id");
  if (id.empty()) return failure("unique identifier missing");
  const Status unloaded = credentials_.unload_shared(id);
  if (!unloaded.ok()) return failure(unloaded.error().text);
  shared_.erase(id);
  credentials_changed_ = true;
  return success();
}

Answer Commands::get_shared(const Section&, Bytes) { return keys_list(credentials_.shared_ids()); }

Answer Commands::flush_certs(const Section&, Bytes) {
  credentials_.flush_certs();
  credentials_changed_ = true;
  publish_credentials();
  return success();
}

Answer Commands::clear_creds(const Section&, Bytes) {
  credentials_.clear();
  certificates_.clear();
  keys_.clear();
  shared_.clear();
  of_connections_.clear();
  // Certificates of connections stay loaded with them.
  for (const auto& [name, connection] : connections_) {
    const Status stored = store_certificates(connection.parsed);
    if (!stored.ok()) return failure(stored.error().text);
  }
  credentials_changed_ = true;
  return success();
}

}  // namespace penstock::vici
