// The keys of pools.<name>, authorities.<name> and secrets.*.
#include "controlplane/vici/drafts.h"

namespace penstock::vici {
namespace {

constexpr size_t kUrisPerAuthority = 16;

constexpr auto kValue = Shape::kValue;
constexpr auto kList = Shape::kList;
constexpr auto kFiles = Shape::kFiles;
constexpr auto kHonoured = Handling::kHonoured;
constexpr auto kHarmless = Handling::kHarmless;
constexpr auto kRefused = Handling::kRefused;

Status set_addresses(PoolDraft& draft, const KeyInput& input) {
  draft.addresses = input.text();
  return {};
}

// Of every attribute the pool's parser reads the values (configuration.cc).
Status leave_to_pool(PoolDraft&, const KeyInput&) { return {}; }

constexpr Key<PoolDraft> kPool[] = {
    {{"addrs", kValue, kHonoured, "",
      "a prefix (without its first and last address) or a range FROM-TO, of one family", ""},
     set_addresses},
    {{"dns", kList, kHonoured, "", "addresses", ""}, leave_to_pool},
    {{"nbns", kList, kHonoured, "", "IPv4 addresses", ""}, leave_to_pool},
    {{"dhcp", kList, kHonoured, "", "addresses", ""}, leave_to_pool},
    {{"netmask", kList, kHonoured, "", "IPv4 netmasks", ""}, leave_to_pool},
    {{"server", kList, kHonoured, "", "addresses", ""}, leave_to_pool},
    {{"subnet", kList, kHonoured, "", "prefixes", ""}, leave_to_pool},
    {{"split_include", kList, kHonoured, "", "prefixes", ""}, leave_to_pool},
    {{"split_exclude", kList, kHonoured, "", "prefixes", ""}, leave_to_pool},
    {{"<number>", kList, kHonoured, "", "addresses, prefixes or text", ""}, leave_to_pool},
};

Status set_ca(AuthorityDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(draft.authority.ca, ike::Certificate::parse(input.bytes()));
  return {};
}

Status set_ca_file(AuthorityDraft& draft, const KeyInput& input) {
  PENSTOCK_TRY(draft.authority.ca, read_certificate(std::string(input.text())));
  return {};
}

Status set_uris(std::vector<std::string>& uris, std::vector<std::string>& warnings,
                const KeyInput& input, const char* key) {
  if (input.values().size() > kUrisPerAuthority) {
    return errorf("more than %zu URIs", kUrisPerAuthority);
  }
  for (const std::string_view text : input.texts()) {
    if (text.size() > ike::kUriMaxSize) return errorf("a URI is too long");
    if (!text.starts_with("http://")) {
      warnings.push_back(std::string(key) + ": only http:// is fetched, not \"" +
                         std::string(text) + "\"");
    }
    uris.emplace_back(text);
  }
  return {};
}

constexpr std::string_view kNoTokens = "tokens and smart cards are not supported";

constexpr Key<AuthorityDraft> kAuthority[] = {
    {{"cacert", kFiles, kHonoured, "", "the CA's certificate", ""}, set_ca},
    {{"file", kValue, kHonoured, "", "an absolute path, read by penstockd", ""}, set_ca_file},
    {{"handle", kValue, kRefused, "", kNoTokens, ""}, nullptr},
    {{"slot", kValue, kRefused, "", kNoTokens, ""}, nullptr},
    {{"module", kValue, kRefused, "", kNoTokens, ""}, nullptr},
    {{"crl_uris", kList, kHonoured, "", "URIs; of these http:// is fetched", ""},
     [](AuthorityDraft& draft, const KeyInput& input) {
       return set_uris(draft.authority.crl_uris, draft.warnings, input, "crl_uris");
     }},
    {{"ocsp_uris", kList, kHonoured, "", "URIs; of these http:// is asked", ""},
     [](AuthorityDraft& draft, const KeyInput& input) {
       return set_uris(draft.authority.ocsp_uris, draft.warnings, input, "ocsp_uris");
     }},
    {{"cert_uri_base", kValue, kHarmless, "",
      "certificates are sent as they are, never by hash and URL", ""},
     nullptr},
};

constexpr KeyInfo kOwnerId = {
    "id<suffix>", kValue, kHonoured, "", "an identity that it is for", ""};
constexpr std::string_view kPassphrase =
    "read by swanctl itself, which unlocks the file and sends what is in it";

const KeyTable kSecrets[] = {
    {"secrets.ike<suffix>",
     {{"secret", kValue, kHonoured, "", "text, 0xHEX or 0sBASE64: a preshared key", ""}, kOwnerId}},
    {"secrets.eap<suffix>",
     {{"secret", kValue, kHonoured, "", "text, 0xHEX or 0sBASE64: a password", ""}, kOwnerId}},
    {"secrets.xauth<suffix>",
     {{"secret", kValue, kHonoured, "", "the same as secrets.eap", ""}, kOwnerId}},
    {"secrets.ntlm<suffix>",
     {{"secret", kValue, kHonoured, "", "0xHEX or 0sBASE64: the NT hash of a password", ""},
      kOwnerId}},
    {"secrets.ppk<suffix>",
     {{"secret", kValue, kRefused, "", "postquantum preshared keys are not supported", ""},
      {"id<suffix>", kValue, kRefused, "", "postquantum preshared keys are not supported", ""}}},
    {"secrets.private<suffix>, rsa<suffix>, ecdsa<suffix>, pkcs8<suffix>, pkcs12<suffix>",
     {{"file", kValue, kHonoured, "", kPassphrase, ""},
      {"secret", kValue, kHonoured, "", kPassphrase, ""}}},
    {"secrets.token<suffix>",
     {{"handle", kValue, kRefused, "", kNoTokens, ""},
      {"slot", kValue, kRefused, "", kNoTokens, ""},
      {"module", kValue, kRefused, "", kNoTokens, ""},
      {"pin", kValue, kRefused, "", kNoTokens, ""}}},
};

}  // namespace

constinit const std::span<const Key<PoolDraft>> kPoolKeys = kPool;
constinit const std::span<const Key<AuthorityDraft>> kAuthorityKeys = kAuthority;

std::span<const KeyTable> secret_tables() { return kSecrets; }

}  // namespace penstock::vici
