#include "controlplane/vici/commands.h"

#include "gateway/base/random.h"
#include "gateway/base/text.h"

namespace penstock::vici {

MessageWriter success() {
  MessageWriter writer;
  writer.value("success", "yes");
  return writer;
}

MessageWriter failure(const std::string& why) {
  MessageWriter writer;
  writer.value("success", "no").value("errmsg", why.substr(0, 4096));
  return writer;
}

const Commands::Entry Commands::kEntries[] = {
    {"version", &Commands::version},
    {"stats", &Commands::stats},
    {"reload-settings", &Commands::reload_settings},
    {"initiate", &Commands::initiate},
    {"terminate", &Commands::terminate},
    {"rekey", &Commands::rekey},
    {"redirect", &Commands::redirect},
    {"install", &Commands::install},
    {"uninstall", &Commands::uninstall},
    {"list-sas", &Commands::list_sas},
    {"list-policies", &Commands::list_policies},
    {"list-conns", &Commands::list_conns},
    {"list-certs", &Commands::list_certs},
    {"list-authorities", &Commands::list_authorities},
    {"get-conns", &Commands::get_conns},
    {"get-pools", &Commands::get_pools},
    {"get-authorities", &Commands::get_authorities},
    {"get-algorithms", &Commands::get_algorithms},
    {"get-counters", &Commands::get_counters},
    {"reset-counters", &Commands::reset_counters},
    {"load-conn", &Commands::load_conn},
    {"unload-conn", &Commands::unload_conn},
    {"load-pool", &Commands::load_pool},
    {"unload-pool", &Commands::unload_pool},
    {"load-cert", &Commands::load_cert, true},
    {"load-key", &Commands::load_key, true},
    {"unload-key", &Commands::unload_key, true},
    {"get-keys", &Commands::get_keys, true},
    {"load-token", &Commands::load_token, true},
    {"load-shared", &Commands::load_shared, true},
    {"unload-shared", &Commands::unload_shared, true},
    {"get-shared", &Commands::get_shared, true},
    {"flush-certs", &Commands::flush_certs, true},
    {"clear-creds", &Commands::clear_creds, true},
    {"load-authority", &Commands::load_authority, true},
    {"unload-authority", &Commands::unload_authority, true},
};

Commands::Commands(const ServerOptions& options, Backend& backend,
                   ike::CredentialStore& credentials)
    : options_(options),
      backend_(backend),
      credentials_(credentials),
      started_boot_ns_(backend.now().boot_ns),
      started_wall_ns_(backend.now().wall_ns) {
  SystemRandom().fill(digest_key_);
}

std::optional<Answer> Commands::run(std::string_view command, const Section& request,
                                    Bytes message) {
  for (const Entry& entry : kEntries) {
    if (entry.name != command) continue;
    // Whatever uses credentials finds them all.
    if (!entry.changes_credentials) publish_credentials();
    return (this->*entry.handler)(request, message);
  }
  return std::nullopt;
}

void Commands::publish_credentials() {
  if (!credentials_changed_) return;
  credentials_changed_ = false;
  backend_.set_credentials(credentials_.snapshot());
}

Commands::Digest Commands::digest_of(Bytes message,
                                     const std::vector<ike::CertificatePtr>& also) const {
  crypto_generichash_state state;
  Digest digest{};
  crypto_generichash_init(&state, digest_key_.data(), digest_key_.size(), digest.size());
  crypto_generichash_update(&state, message.data(), message.size());
  for (const auto& certificate : also) {
    crypto_generichash_update(&state, certificate->fingerprint().data(),
                              certificate->fingerprint().size());
  }
  crypto_generichash_final(&state, digest.data(), digest.size());
  return digest;
}

}  // namespace penstock::vici
