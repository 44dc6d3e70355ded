// What there is: version, statistics, listings, counters.
#include <malloc.h>
#include <sys/utsname.h>

#include <ctime>

#include "controlplane/ike/crypto/suite.h"
#include "controlplane/vici/commands.h"
#include "controlplane/vici/listing.h"
#include "gateway/base/log.h"
#include "gateway/base/text.h"

namespace penstock::vici {
namespace {

// The response is bounded: what does not fit is left out, and said in the log.
constexpr size_t kLeasesLimitBytes = kSegmentLimitBytes - 4096;

// charon's way: "2 hours", "61 seconds", "3 days".
std::string duration(Nanoseconds time_ns) {
  struct Unit {
    int64_t seconds;
    const char* name;
  };
  constexpr Unit kUnits[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
  const int64_t seconds = time_ns / kSecond;
  for (const Unit& unit : kUnits) {
    // Two of a unit at least, so that not half of the time is left out.
    if (seconds < 2 * unit.seconds && unit.seconds != 1) continue;
    const int64_t count = seconds / unit.seconds;
    return std::to_string(count) + " " + unit.name + (count == 1 ? "" : "s");
  }
  return "0 seconds";
}

std::string local_time(Nanoseconds wall_ns) {
  const time_t seconds = wall_ns / kSecond;
  tm parts{};
  localtime_r(&seconds, &parts);
  char text[64];
  const size_t length = std::strftime(text, sizeof text, "%b %d %H:%M:%S %Y", &parts);
  return {text, length};
}

void write_priorities(MessageWriter& writer, uint64_t high) {
  writer.value("critical", uint64_t{0}).value("high", high);
  writer.value("medium", uint64_t{0}).value("low", uint64_t{0});
}

// An event for each element, made when it is asked for.
template <class Element>
StreamAnswer stream(std::string_view event, std::vector<Element> elements,
                    std::function<std::optional<MessageWriter>(const Element&)> make) {
  struct State {
    std::vector<Element> elements;
    size_t next = 0;
  };
  auto state = std::make_shared<State>(State{std::move(elements), 0});
  return {event, [state, make = std::move(make)]() -> std::optional<MessageWriter> {
            while (state->next < state->elements.size()) {
              auto made = make(state->elements[state->next++]);
              if (made) return made;  // else it is gone by now
            }
            return std::nullopt;
          }};
}

// X509, X509_CRL, ...; swanctl also has x509ca, x509ocsp, x509crl and so on.
struct CertificateFilter {
  bool x509 = true, crl = true;
  std::string flag = "ANY";
};
CertificateFilter filter_of(const Section& request) {
  const std::string type = request.text("type", "ANY");
  CertificateFilter filter;
  if (equal_ignoring_case(type, "ANY")) return filter;
  filter.crl = equal_ignoring_case(type, "X509_CRL") || equal_ignoring_case(type, "x509crl");
  filter.x509 = equal_ignoring_case(type, "X509");
  if (filter.x509) filter.flag = request.text("flag", "ANY");
  for (const auto& [name, flag] :
       {std::pair{"x509ca", "CA"}, std::pair{"x509ocsp", "OCSP"}, std::pair{"x509aa", "AA"}}) {
    if (!equal_ignoring_case(type, name)) continue;
    filter.x509 = true;
    filter.flag = flag;
  }
  return filter;
}

struct ListedCertificate {
  std::string_view type, flag;
  bool has_private_key = false;
  ike::CertificatePtr certificate;
  ike::CrlPtr crl;
};

void write_algorithms(MessageWriter& writer, std::string_view section,
                      const std::vector<std::string>& names, const char* implementation) {
  writer.begin_section(section);
  for (const std::string& name : names) writer.value(name, implementation);
  writer.end_section();
}

void write_counters(MessageWriter& writer, const std::string& name, const ike::Counters& counters) {
  writer.begin_section(name);
  for (size_t i = 0; i < ike::kCounterCount; ++i) {
    writer.value(ike::kCounterNames[i], counters[i]);
  }
  writer.end_section();
}

}  // namespace

Answer Commands::version(const Section&, Bytes) {
  MessageWriter writer;
  writer.value("daemon", options_.daemon).value("version", options_.version);
  utsname names{};
  uname(&names);
  writer.value("sysname", names.sysname).value("release", names.release);
  writer.value("machine", names.machine);
  return writer;
}

Answer Commands::stats(const Section&, Bytes) {
  const ike::EngineTotals totals = backend_.totals();
  MessageWriter writer;
  writer.begin_section("uptime");
  writer.value("running", duration(backend_.now().boot_ns - started_boot_ns_));
  writer.value("since", local_time(started_wall_ns_)).end_section();

  // The compute threads are the workers: they take the slow jobs of handshakes.
  const uint64_t busy = std::min<uint64_t>(totals.compute_jobs, options_.compute_threads);
  writer.begin_section("workers").value("total", uint64_t{options_.compute_threads});
  writer.value("idle", options_.compute_threads - busy).begin_section("active");
  write_priorities(writer, busy);
  writer.end_section().end_section();
  writer.begin_section("queues");
  write_priorities(writer, totals.compute_jobs - busy);
  writer.end_section();
  writer.value("scheduled", uint64_t{0});

  writer.begin_section("ikesas").value("total", uint64_t{totals.ike_sas});
  writer.value("half-open", uint64_t{totals.half_open}).end_section();
  writer.list("plugins", {"openssl", "ipsec-mb", "libsodium", "vici"});
  const struct mallinfo2 memory = mallinfo2();
  writer.begin_section("mallinfo").value("sbrk", uint64_t{memory.arena});
  writer.value("mmap", uint64_t{memory.hblkhd}).value("used", uint64_t{memory.uordblks});
  writer.value("free", uint64_t{memory.fordblks}).end_section();
  return writer;
}

Answer Commands::reload_settings(const Section&, Bytes) {
  if (!options_.reload_settings) return failure("the settings cannot be read again");
  options_.reload_settings();
  return success();
}

Answer Commands::list_sas(const Section& request, Bytes) {
  const std::string ike = request.text("ike");
  const auto id = parse_unsigned(request.text("ike-id", "0"), UINT32_MAX);
  if (!id) return failure("\"ike-id\" must be a number");
  std::vector<uint32_t> ids;
  backend_.for_each_ike_sa(ike, static_cast<uint32_t>(*id),
                           [&](const ike::IkeSaInfo& sa) { ids.push_back(sa.unique_id); });
  return stream<uint32_t>("list-sa", std::move(ids), [this](const uint32_t& each) {
    std::optional<MessageWriter> event;
    backend_.for_each_ike_sa(
        {}, each, [&](const ike::IkeSaInfo& sa) { event = list_sa_event(sa, backend_); });
    return event;
  });
}

Answer Commands::list_policies(const Section& request, Bytes) {
  const std::string ike = request.text("ike"), child = request.text("child");
  std::vector<ike::PolicyInfo> wanted;
  for (auto& policy : backend_.policies()) {
    const char* const kind = policy.mode == ike::ChildMode::kTunnel ? "trap"
                             : policy.mode == ike::ChildMode::kPass ? "pass"
                                                                    : "drop";
    if (!request.has(kind) || (!ike.empty() && policy.connection != ike) ||
        (!child.empty() && policy.child != child)) {
      continue;
    }
    wanted.push_back(std::move(policy));
  }
  return stream<ike::PolicyInfo>(
      "list-policy", std::move(wanted),
      [](const ike::PolicyInfo& policy) { return std::optional(list_policy_event(policy)); });
}

Answer Commands::list_conns(const Section& request, Bytes) {
  const std::string ike = request.text("ike");
  std::vector<std::string> names;
  for (const auto& [name, connection] : connections_) {
    if (ike.empty() || name == ike) names.push_back(name);
  }
  return stream<std::string>("list-conn", std::move(names),
                             [this](const std::string& name) -> std::optional<MessageWriter> {
                               const auto found = connections_.find(name);
                               if (found == connections_.end()) return std::nullopt;
                               return list_conn_event(found->second.parsed);
                             });
}

Answer Commands::list_certs(const Section& request, Bytes) {
  publish_credentials();
  const CertificateFilter filter = filter_of(request);
  std::optional<ike::Identity> subject;
  if (const std::string text = request.text("subject"); !text.empty()) {
    auto parsed = ike::Identity::parse(text);
    if (!parsed.ok()) return failure(parsed.error().text);
    subject = std::move(*parsed);
  }
  const auto snapshot = credentials_.snapshot();
  std::vector<ListedCertificate> listed;
  // charon's order: end entities, CAs, OCSP signers; then CRLs.
  for (const std::string_view flag : {"NONE", "CA", "OCSP"}) {
    if (!filter.x509) break;
    if (!equal_ignoring_case(filter.flag, "ANY") && !equal_ignoring_case(filter.flag, flag)) {
      continue;
    }
    for (const auto& stored : snapshot->certificates()) {
      const std::string_view its = stored.flag == ike::CertificateFlag::kOcsp ? "OCSP"
                                   : stored.certificate->is_ca()              ? "CA"
                                                                              : "NONE";
      if (its != flag) continue;
      if (subject && stored.certificate->match(*subject) == ike::kMatchNone) continue;
      const bool has_key = snapshot->key_for(*stored.certificate) != nullptr;
      listed.push_back({"X509", flag, has_key, stored.certificate, nullptr});
    }
  }
  if (filter.crl) {
    for (const auto& crl : snapshot->crls()) {
      if (subject && crl->issuer().match(*subject) == ike::kMatchNone) continue;
      listed.push_back({"X509_CRL", "", false, nullptr, crl});
    }
  }
  return stream<ListedCertificate>(
      "list-cert", std::move(listed), [](const ListedCertificate& each) {
        MessageWriter writer;
        writer.value("type", each.type);
        if (!each.flag.empty()) writer.value("flag", each.flag);
        writer.flag("has_privkey", each.has_private_key);
        writer.value("data", each.crl ? each.crl->der() : each.certificate->der());
        return std::optional(std::move(writer));
      });
}

Answer Commands::list_authorities(const Section& request, Bytes) {
  const std::string wanted = request.text("name");
  std::vector<ike::Authority> authorities;
  for (const auto& authority : credentials_.snapshot()->authorities()) {
    if (wanted.empty() || authority.name == wanted) authorities.push_back(authority);
  }
  return stream<ike::Authority>(
      "list-authority", std::move(authorities), [](const ike::Authority& authority) {
        MessageWriter writer;
        writer.begin_section(authority.name);
        writer.value("cacert", authority.ca->subject().to_string());
        writer.list("crl_uris", authority.crl_uris).list("ocsp_uris", authority.ocsp_uris);
        writer.end_section();
        return std::optional(std::move(writer));
      });
}

Answer Commands::get_conns(const Section&, Bytes) {
  std::vector<std::string> names;
  for (const auto& [name, connection] : connections_) names.push_back(name);
  MessageWriter writer;
  writer.list("conns", names);
  return writer;
}

Answer Commands::get_pools(const Section& request, Bytes) {
  const std::string wanted = request.text("name");
  const bool with_leases = request.text("leases") == "yes";
  MessageWriter writer;
  size_t left_out = 0;
  for (const auto& pool : backend_.pools()) {
    if (!wanted.empty() && pool.name != wanted) continue;
    const auto known = pools_.find(pool.name);
    writer.begin_section(pool.name);
    writer.value("base", known != pools_.end() ? known->second.base : pool.first.to_string());
    writer.value("size", pool.size).value("online", pool.online).value("offline", pool.offline);
    if (with_leases) {
      writer.begin_section("leases");
      size_t index = 0;
      for (const auto& lease : backend_.leases(pool.name)) {
        if (writer.size() + lease.identity.size() > kLeasesLimitBytes) {
          ++left_out;
          continue;
        }
        writer.begin_section(std::to_string(index++));
        writer.value("address", lease.address.to_string()).value("identity", lease.identity);
        writer.value("status", lease.online ? "online" : "offline").end_section();
      }
      writer.end_section();
    }
    writer.end_section();
  }
  if (left_out > 0) {
    log_warning("vici: %zu leases did not fit into the answer to get-pools", left_out);
  }
  return writer;
}

Answer Commands::get_authorities(const Section&, Bytes) {
  std::vector<std::string> names;
  for (const auto& authority : credentials_.snapshot()->authorities()) {
    names.push_back(authority.name);
  }
  MessageWriter writer;
  writer.list("authorities", names);
  return writer;
}

Answer Commands::get_algorithms(const Section&, Bytes) {
  using ike::DhGroup, ike::EncryptionId, ike::IntegrityId, ike::PrfId;
  const auto names = [](auto ids, auto name) {
    std::vector<std::string> all;
    for (const auto id : ids) all.push_back(name(static_cast<uint16_t>(id)));
    return all;
  };
  constexpr const char* kImplementation = "openssl";
  MessageWriter writer;
  write_algorithms(writer, "encryption",
                   names(std::array{EncryptionId::kAesCbc}, ike::encryption_name), kImplementation);
  write_algorithms(writer, "integrity",
                   names(std::array{IntegrityId::kHmacSha256_128, IntegrityId::kHmacSha384_192,
                                    IntegrityId::kHmacSha512_256},
                         ike::integrity_name),
                   kImplementation);
  write_algorithms(writer, "aead",
                   names(std::array{EncryptionId::kAesGcm16, EncryptionId::kChacha20Poly1305},
                         ike::encryption_name),
                   kImplementation);
  write_algorithms(
      writer, "hasher",
      {"HASH_SHA1", "HASH_SHA2_256", "HASH_SHA2_384", "HASH_SHA2_512", "HASH_IDENTITY"},
      kImplementation);
  write_algorithms(
      writer, "prf",
      names(std::array{PrfId::kHmacSha256, PrfId::kHmacSha384, PrfId::kHmacSha512}, ike::prf_name),
      kImplementation);
  write_algorithms(
      writer, "ke",
      names(std::array{DhGroup::kModp2048, DhGroup::kModp3072, DhGroup::kModp4096, DhGroup::kEcp256,
                       DhGroup::kEcp384, DhGroup::kEcp521, DhGroup::kCurve25519},
            ike::group_name),
      kImplementation);
  write_algorithms(writer, "rng", {"RNG_STRONG"}, "kernel");
  write_algorithms(writer, "nonce-gen", {"NONCE_GEN"}, "kernel");
  return writer;
}

Answer Commands::get_counters(const Section& request, Bytes) {
  const std::string name = request.text("name");
  std::vector<std::string> names;
  if (request.has("all")) {
    names = backend_.counted_connections();
  } else {
    names.push_back(name);
  }
  MessageWriter writer = success();
  writer.begin_section("counters");
  if (request.has("all")) write_counters(writer, "", backend_.counters());
  for (const std::string& each : names) {
    const auto counters =
        each.empty() ? std::optional(backend_.counters()) : backend_.counters(each);
    if (counters) {
      write_counters(writer, each, *counters);
    } else if (!request.has("all")) {
      return failure("no counters found for this connection");
    }
  }
  writer.end_section();
  return writer;
}

Answer Commands::reset_counters(const Section& request, Bytes) {
  const std::string name = request.text("name");
  if (!name.empty() && !backend_.counters(name)) {
    return failure("no counters found for this connection");
  }
  backend_.reset_counters(name);
  return success();
}

}  // namespace penstock::vici
