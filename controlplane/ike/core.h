// The inside of Engine. Split by exchange: datagram.cc (what a message must show first),
// ike_sa_init_*.cc, ike_auth_*.cc, eap_flow.cc, create_child_*.cc, rekey_ike.cc, informational.cc,
// mobike.cc; and by concern: exchanges.cc (requests, responses, retransmission),
// child_agreement.cc, children.cc (CHILD_SAs and their tunnels), child_lifetimes.cc, traps.cc,
// connections.cc (which configuration a peer gets), uniqueness.cc, reauthentication.cc, timers.cc,
// commands.cc, listing.cc, engine.cc (tables, life and death of IKE SAs).
#pragma once

#include <deque>
#include <map>
#include <set>
#include <unordered_map>

#include "controlplane/ike/crypto/proposals.h"
#include "controlplane/ike/engine.h"
#include "controlplane/ike/half_open.h"
#include "controlplane/ike/ike_sa.h"
#include "controlplane/ike/pool/pool.h"
#include "controlplane/ike/selectors.h"
#include "controlplane/sansio/deadline_heap.h"

namespace penstock::ike {

using ConnectionPtr = std::shared_ptr<const ConnectionConfig>;
using ChildConfigPtr = std::shared_ptr<const ChildConfig>;

// Why something is refused: the notify for the peer, the words for us.
struct Refusal {
  NotifyType notify = NotifyType::kNone;
  Reason reason = Reason::kNone;
  std::string text;
  uint16_t group = 0;  // of INVALID_KE_PAYLOAD
};

struct ConnectionEntry {
  ConnectionPtr config;
  uint64_t order = 0;  // of loading, for ties
};

struct Trap {
  std::string connection;
  ChildConfigPtr config;
  ConnectionPtr connection_config;
  Line line;
  Nanoseconds pending_until_ns = 0;  // an initiation for it is under way
};

class Engine::Core {
 public:
  Core(RandomSource& random, Host& host, const Options& options);
  ~Core();

  // --- connections.cc
  Status load_connection(const Now& now, ConnectionPtr connection);
  bool unload_connection(const Now& now, const std::string& name);
  [[nodiscard]] std::vector<ConnectionPtr> connections() const;
  Status load_pool(const PoolConfig& pool);
  Status unload_pool(const std::string& name);
  void set_credentials(CredentialSnapshotPtr credentials);
  void on_resolved(const Now& now, const std::string& name, std::vector<IpAddress> addresses);

  // --- commands.cc
  void initiate(const Now& now, CommandId command, const std::string& connection,
                const std::string& child);
  size_t terminate(const Now& now, CommandId command, const SaSelection& selection, bool force,
                   Nanoseconds timeout_ns);
  size_t rekey(const Now& now, const SaSelection& selection, bool reauthenticate);
  void forget_command(CommandId command);
  size_t shutdown(const Now& now);

  // --- traps.cc
  Status install(const Now& now, const std::string& connection, const std::string& child);
  Status uninstall(const Now& now, const std::string& connection, const std::string& child);
  void on_acquire(const Now& now, ChildTunnel tunnel, Bytes packet);

  // --- datagram.cc
  void on_datagram(const Now& now, const Arrival& arrival, Bytes message);
  void on_unknown_spi(const Now& now, const Endpoint& source, const Endpoint& destination,
                      uint32_t spi);

  // --- timers.cc
  void on_timeout(const Now& now);
  [[nodiscard]] Nanoseconds next_timeout() const;
  void on_tunnel_events(const Now& now, ChildTunnel tunnel, uint32_t flags, uint32_t inbound_spi,
                        const Endpoint& source, const IpAddress& destination);

  // --- engine.cc
  void on_compute(const Now& now, ComputeId id, ComputeResult result);
  void on_fetched(const Now& now, uint64_t id);
  [[nodiscard]] std::optional<Effect> poll();

  // --- children.cc
  void on_install_failed(const Now& now, ChildTunnel tunnel, uint32_t inbound_spi,
                         const std::string& why);

  // --- mobike.cc
  void on_addresses_changed(const Now& now);

  // --- listing.cc
  void for_each_ike_sa(const std::string& connection, uint32_t ike_id,
                       const std::function<void(const IkeSaInfo&)>& visit) const;
  [[nodiscard]] std::vector<PolicyInfo> policies() const;
  [[nodiscard]] std::vector<PoolInfo> pools() const;
  [[nodiscard]] std::vector<LeaseInfo> leases(const std::string& pool) const;
  [[nodiscard]] Counters counters() const { return counters_; }
  [[nodiscard]] std::optional<Counters> counters(const std::string& connection) const;
  void reset_counters(const std::string& connection);
  [[nodiscard]] std::vector<std::string> counted_connections() const;
  [[nodiscard]] EngineTotals totals() const;
  [[nodiscard]] std::vector<ConnectionError> last_errors() const;

 private:
  // What a job was for.
  enum class JobKind : uint8_t {
    kInitPublic,
    kInitFinish,
    kInitRespond,
    kAuthSign,
    kAuthVerify,
    kAuthRespondVerify,
    kAuthRespondSign,
    kEap,
    kExchangePublic,
    kExchangeFinish,
    kPassive
  };
  struct Job {
    uint32_t ike_id = 0;  // unique id
    JobKind kind{};
    uint32_t message_id = 0;           // of the exchange or request
    std::unique_ptr<Opened> response;  // kExchangeFinish
    Selection selection;
    Arrival arrival;
  };

  // --- engine.cc
  void emit(Effect effect);
  uint64_t fresh_spi();
  IkeSa* make_sa(bool initiator);
  [[nodiscard]] IkeSa* find_sa(uint32_t unique_id) const;
  [[nodiscard]] IkeSa* find_by_spi(uint64_t own_spi) const;
  void register_spi(IkeSa& sa, uint64_t own_spi);
  void set_connection(IkeSa& sa, const ConnectionPtr& connection);
  // The handshake is over, or the IKE SA is: frees what only half-open ones have.
  void end_handshake(IkeSa& sa);
  // Takes everything of the IKE SA down; the reference is dead afterwards.
  void destroy(IkeSa& sa, Reason reason, const std::string& text);
  void set_timer(IkeSa& sa, Timer which, Nanoseconds at_ns);
  void submit(IkeSa& sa, JobKind kind, ComputeJob job, uint32_t message_id = 0,
              std::unique_ptr<Opened> response = nullptr, const Selection& selection = {},
              const Arrival& arrival = {});
  void stop_timer(IkeSa& sa, Timer which) { sa.timer(which) = kNever; }
  void release_negotiation(Negotiation& negotiation);
  [[nodiscard]] static std::string text_of_proposals(const std::vector<Proposal>& proposals);

  ByteVector nonce();
  Nanoseconds jittered(Nanoseconds at_ns, Nanoseconds random_ns);
  uint64_t jittered_limit(uint64_t limit, uint64_t random);
  void count(IkeSa* sa, Counter counter);
  void log(const IkeSa* sa, LogLevel level, Reason reason, std::string text);
  void log_peer(const Endpoint& peer, LogLevel level, Reason reason, std::string text,
                const std::string& connection = {});
  void remember_error(const std::string& connection, const Endpoint& peer, const std::string& text);
  void fail(IkeSa& sa, Reason reason, const std::string& text);
  [[nodiscard]] std::vector<CommandId> commands_of(const IkeSa& sa) const;

  // --- datagram.cc
  void refuse_version(const Arrival& arrival, Bytes bytes, const WireError& error);
  void on_init_datagram(const Arrival& arrival, Bytes bytes, const Header& header);
  bool take_hint();
  void hint_unknown_spi(const Arrival& arrival, const Header& header);
  void on_protected(const Arrival& arrival, Bytes bytes, const Header& header);
  void on_unprotected_hint(IkeSa& sa, const Payloads& payloads);
  std::optional<Opened> open(IkeSa& sa, const EncryptedPayload& sealed,
                             std::unique_ptr<FragmentReassembler>& parts,
                             std::optional<WireError>& error);
  void on_request(IkeSa& sa, const Arrival& arrival, const Header& header,
                  const EncryptedPayload& sealed);
  void drop_if_hammered(IkeSa& sa);
  void dispatch_request(IkeSa& sa, const Arrival& arrival, const Header& header, Opened opened);
  void on_response(IkeSa& sa, const Arrival& arrival, const Header& header,
                   const EncryptedPayload& sealed);
  void dispatch_response(IkeSa& sa, const Arrival& arrival, Opened opened);
  void refuse_syntax(IkeSa& sa, const Arrival& arrival, const Header& header,
                     const WireError& error);

  // --- exchanges.cc
  void enqueue(IkeSa& sa, Task task, bool first = false);
  void start_next(IkeSa& sa);
  // False: there is nothing to do.
  bool start_task(IkeSa& sa);
  void end_exchange(IkeSa& sa);
  void retry_later(IkeSa& sa, Task task);
  [[nodiscard]] Header header_of(const IkeSa& sa, ExchangeType type, bool response,
                                 uint32_t message_id) const;
  [[nodiscard]] size_t max_message_bytes(const Endpoint& local, const Endpoint& remote) const;
  std::vector<ByteVector> seal(IkeSa& sa, const Header& header, const ChainBuilder& chain);
  void send_raw(const Endpoint& local, const Endpoint& remote, Bytes message, uint8_t dscp);
  void send_unprotected(const Arrival& arrival, const ByteVector& message);
  void send_request(IkeSa& sa, ExchangeType type, const ChainBuilder& chain);
  void transmit(IkeSa& sa);
  void retransmit(IkeSa& sa);
  void exchange_timed_out(IkeSa& sa);
  // The peer does not answer, or makes no sense: everything goes, dpd_action says what then.
  void peer_is_dead(IkeSa& sa, Reason reason, const std::string& text);
  void respond(IkeSa& sa, const Arrival& arrival, uint32_t message_id, ExchangeType type,
               const ChainBuilder& chain);
  void repeat_response(IkeSa& sa, const Arrival& arrival, ExchangeType type);
  void respond_error(IkeSa& sa, const Arrival& arrival, uint32_t message_id, ExchangeType type,
                     const Refusal& refusal);

  // --- ike_sa_init_common.cc
  void add_nat_detection(ChainBuilder& chain, uint64_t spi_initiator, uint64_t spi_responder,
                         const Endpoint& local, const Endpoint& remote, bool lie) const;
  bool detect_nat(IkeSa& sa, const Payloads& payloads, const Arrival& arrival,
                  uint64_t spi_initiator, uint64_t spi_responder);
  void add_init_notifies(ChainBuilder& chain, bool initiator);
  void take_init_notifies(IkeSa& sa, const Payloads& payloads);
  void derive(IkeSa& sa, Bytes shared);
  void use_keys(IkeSa& sa, IkeKeys keys);
  // --- ike_sa_init_initiator.cc
  IkeSa* start_initiation(const ConnectionPtr& connection);
  // May end with the IKE SA destroyed, as everything that can fail below.
  void begin_init(IkeSa& sa);
  void generate_init_key(IkeSa& sa);
  void on_init_public(IkeSa& sa, DhResult result);
  void send_init(IkeSa& sa);
  bool on_init_error(IkeSa& sa, const Message& message);
  void on_init_response(IkeSa& sa, const Arrival& arrival, Bytes bytes, const Message& message);
  void on_init_finish(IkeSa& sa, DhResult result);
  void initiation_failed(IkeSa& sa, Reason reason, const std::string& text);
  void give_up_initiation(IkeSa& sa, Reason reason, const std::string& text);
  // --- ike_sa_init_responder.cc
  void refuse_init(const Arrival& arrival, const Header& header, const Refusal& refusal);
  bool admit_init(const Arrival& arrival, Bytes bytes, const Message& message);
  void on_init_request(const Arrival& arrival, Bytes bytes, const Message& message);
  void accept_init(const Arrival& arrival, Bytes bytes, const Message& message,
                   const Selection& selection, const std::vector<ConnectionPtr>& candidates);
  void on_init_respond(IkeSa& sa, DhResult result);

  // --- ike_auth_initiator.cc
  void begin_auth(IkeSa& sa);
  void on_auth_signed(IkeSa& sa, SignResult result);
  void send_auth(IkeSa& sa, AuthMethod method, Bytes auth);
  void add_configuration_request(const ConnectionConfig& config, ChainBuilder& chain) const;
  void add_first_child(IkeSa& sa, ChainBuilder& chain);
  void on_auth_response(IkeSa& sa, const Arrival& arrival, Opened opened);
  void verify_responder(IkeSa& sa);
  void on_responder_verified(IkeSa& sa, VerifyResult result);
  void refuse_responder(IkeSa& sa, Reason reason, const std::string& text);
  void responder_is_good(IkeSa& sa);
  void take_configuration(IkeSa& sa, const Payloads& payloads);
  void take_first_child(IkeSa& sa, const Payloads& payloads, const Task& task,
                        const Negotiation& child, const ByteVector& nonce_initiator,
                        const ByteVector& nonce_responder);

  // --- ike_auth_responder.cc
  void on_auth_request(IkeSa& sa, const Arrival& arrival, const Header& header, Opened opened);
  void try_candidate(IkeSa& sa);
  void next_candidate(IkeSa& sa, const Refusal& refusal);
  void verify_initiator(IkeSa& sa);
  void on_initiator_verified(IkeSa& sa, VerifyResult result);
  void initiator_is_good(IkeSa& sa);
  void sign_response(IkeSa& sa);
  void on_response_signed(IkeSa& sa, SignResult result);
  void send_auth_response(IkeSa& sa, AuthMethod method, Bytes auth);
  void complete_responder(IkeSa& sa, ChainBuilder chain);
  void answer_configuration(IkeSa& sa, const Payloads& payloads, ChainBuilder& chain,
                            std::optional<Refusal>& refusal);
  std::optional<IpAddress> lease_address(IkeSa& sa, Family family, Bytes wanted, bool& exhausted);
  std::optional<ChildPlan> answer_first_child(IkeSa& sa, const Payloads& payloads,
                                              ChainBuilder& chain, uint32_t& spi,
                                              std::optional<Refusal>& refusal);
  void refuse_auth(IkeSa& sa, const Refusal& refusal);

  // --- ike_auth_common.cc
  bool choose_own_auth(IkeSa& sa, Refusal& refusal, std::shared_ptr<const PrivateKey>& key);
  [[nodiscard]] ByteVector own_octets(const IkeSa& sa) const;
  [[nodiscard]] ByteVector peer_octets(const IkeSa& sa) const;
  [[nodiscard]] bool shared_auth_is_good(const IkeSa& sa, Bytes secret, Bytes data) const;
  void add_certs(const IkeSa& sa, ChainBuilder& chain) const;
  void add_cert_request(const std::vector<ConnectionPtr>& candidates, ChainBuilder& chain) const;
  void take_cert_requests(IkeSa& sa, const Payloads& payloads) const;
  void take_peer_certs(IkeSa& sa, const Payloads& payloads) const;
  [[nodiscard]] VerifyJob verify_job(const IkeSa& sa, const AuthPayload& auth, PeerRole role) const;
  [[nodiscard]] Refusal judge(const IkeSa& sa, const VerifyResult& result) const;
  bool start_fetches(IkeSa& sa, const std::vector<StatusFetch>& fetches, bool all);
  void schedule_lifetimes(IkeSa& sa);
  void established(IkeSa& sa);

  // --- eap_flow.cc
  void begin_eap(IkeSa& sa);
  void start_eap(IkeSa& sa, ChainBuilder chain);
  void on_eap_request(IkeSa& sa, const Arrival& arrival, const Header& header, Opened opened);
  void on_eap_step(IkeSa& sa, EapResult result);
  void on_eap_abandoned(IkeSa& sa, const Arrival& arrival, const Header& header,
                        const Payloads& payloads);
  void on_eap_auth(IkeSa& sa, const Arrival& arrival, const Header& header, Opened opened);

  // --- create_child_initiator.cc
  bool start_new_child(IkeSa& sa);
  bool start_rekey_child(IkeSa& sa);
  bool prepare_child(IkeSa& sa, const ChildConfigPtr& config);
  void generate_exchange_key(IkeSa& sa);
  void on_exchange_public(IkeSa& sa, Job& job, DhResult result);
  void send_create_child(IkeSa& sa);
  void on_create_child_response(IkeSa& sa, const Arrival& arrival, Opened opened);
  void on_exchange_shared(IkeSa& sa, Job& job, DhResult result);
  void deleted_before_made(IkeSa& sa);
  void bad_answer(IkeSa& sa, const Payloads& payloads, const std::string& text);
  void finish_child_response(IkeSa& sa, const Payloads& payloads, const Selection& selection,
                             Bytes shared);
  void finish_rekey(IkeSa& sa, const Task& task, const ChildPlan& plan, uint32_t spi,
                    const ChildKeys& keys, const ByteVector& low,
                    const std::optional<Collision>& collision);
  void first_child_up(IkeSa& sa, const Child& child, const Task& task);
  void child_failed(IkeSa& sa, const Task& task, Reason reason, const std::string& text);
  void child_refused(IkeSa& sa, const Task& task, const Refusal& refusal);
  void on_create_child_error(IkeSa& sa, const NotifyPayload& error);
  void child_rekey_refused(IkeSa& sa, Task task, NotifyType error, const std::string& text);
  // --- create_child_responder.cc
  [[nodiscard]] std::optional<Refusal> refuse_child_request(const IkeSa& sa,
                                                            const NotifyPayload* rekey,
                                                            const Child* old) const;
  void on_create_child_request(IkeSa& sa, const Arrival& arrival, const Header& header,
                               Opened opened);
  void on_passive_computed(IkeSa& sa, DhResult result);
  void finish_child_request(IkeSa& sa, Bytes ke_public, Bytes shared);

  // --- rekey_ike.cc
  bool start_rekey_ike(IkeSa& sa);
  void send_rekey_ike(IkeSa& sa);
  void finish_rekey_ike_response(IkeSa& sa, const Payloads& payloads, const Selection& selection,
                                 const DhResult& result);
  void ike_rekey_refused(IkeSa& sa, Task task, const std::optional<Collision>& collision,
                         const std::string& text);
  [[nodiscard]] std::optional<Refusal> refuse_ike_rekey(const IkeSa& sa) const;
  void on_rekey_ike_request(IkeSa& sa, const Arrival& arrival, const Header& header, Opened opened);
  void finish_rekey_ike_request(IkeSa& sa, const DhResult& result);
  IkeSa* make_successor(const IkeSa& old, bool initiator, uint64_t own_spi, uint64_t peer_spi,
                        const Suite& suite, Bytes shared, Bytes nonce_initiator,
                        Bytes nonce_responder);
  void settle_by_use(IkeSa& sa);
  void inherit(IkeSa& old, IkeSa& fresh);

  // --- informational.cc
  void on_informational_request(IkeSa& sa, const Arrival& arrival, const Header& header,
                                Opened opened);
  void take_deletes(IkeSa& sa, const Payloads& payloads, ChainBuilder& answer);
  void on_child_deleted(IkeSa& sa, Child& child);
  void on_ike_deleted(IkeSa& sa);
  void on_informational_response(IkeSa& sa, const Arrival& arrival, Opened opened);
  bool start_delete_child(IkeSa& sa);
  void child_delete_done(IkeSa& sa, const Task& task);
  void start_delete_ike(IkeSa& sa);
  void delete_ike_done(IkeSa& sa);

  // --- mobike.cc
  [[nodiscard]] bool encapsulates(const IkeSa& sa) const;
  void update_endpoints(IkeSa& sa);
  void move_to(IkeSa& sa, const Endpoint& local, const Endpoint& remote);
  void follow(IkeSa& sa, const Arrival& arrival);
  void on_roamed(IkeSa& sa, const Endpoint& source, const IpAddress& destination);
  void on_update_addresses(IkeSa& sa, const Arrival& arrival, const Payloads& payloads,
                           ChainBuilder& answer);
  void take_additional_addresses(IkeSa& sa, const Payloads& payloads);
  void add_additional_addresses(const IkeSa& sa, ChainBuilder& chain) const;
  [[nodiscard]] std::optional<std::pair<IpAddress, IpAddress>> best_path(const IkeSa& sa) const;
  void announce_move(IkeSa& sa);
  void start_move_address(IkeSa& sa);
  void on_address_moved(IkeSa& sa, const Arrival& arrival, const Payloads& payloads);
  bool try_other_address(IkeSa& sa);

  // --- child_agreement.cc
  [[nodiscard]] std::vector<IpAddress> local_dynamic(const IkeSa& sa) const;
  [[nodiscard]] std::vector<IpAddress> remote_dynamic(const IkeSa& sa) const;
  void offer_selectors(const IkeSa& sa, const Task& task, Negotiation& negotiation) const;
  [[nodiscard]] Result<ChildPlan, Refusal> plan_child(const IkeSa& sa, const Payloads& payloads,
                                                      const SelectOptions& options,
                                                      const Child* rekeyed) const;
  [[nodiscard]] Result<ChildPlan, Refusal> plan_from_answer(const Payloads& payloads,
                                                            const ChildConfigPtr& config,
                                                            const Negotiation& negotiation,
                                                            const SelectOptions& options) const;
  // --- children.cc
  static uint32_t priority_of(const ChildConfig& config, uint32_t base);
  void add_policies(Line& line, uint32_t priority, PolicyAction action);
  void remove_policies(Line& line);
  Line& make_line(const IkeSa& sa, const ChildPlan& plan, ChildTunnel trap);
  void set_endpoint(const IkeSa& sa, Line& line);
  void set_selectors(Line& line, const ChildPlan& plan);
  void remove_line(ChildTunnel tunnel);
  Child& install_child(IkeSa& sa, const ChildPlan& plan, uint32_t inbound_spi,
                       const ChildKeys& keys, bool by_us, ChildTunnel tunnel, SaRole role,
                       ChildTunnel trap);
  // Its SAs go; the line too, if it was the last on it. With `linger` inbound packets are taken on.
  void remove_child(IkeSa& sa, uint32_t child_id, bool linger, Reason reason);
  void child_updown(const IkeSa& sa, const Child& child, bool up, Reason reason);
  void tell_rekeyed(const IkeSa& sa, const Child& old, const Child& fresh);
  [[nodiscard]] bool child_is_up(const std::string& connection, const std::string& child,
                                 uint32_t except_ike_id) const;
  void act_on_loss(const ConnectionPtr& connection, const ChildConfigPtr& child, bool restart,
                   bool trap);
  void send_waiting(ChildTunnel tunnel, std::vector<ByteVector> packets);
  void make_last_current(const IkeSa& sa, ChildTunnel tunnel);
  void drop_lingering(IkeSa& sa, uint32_t child_id);

  // --- child_lifetimes.cc
  void arm_children(IkeSa& sa);
  void request_rekey(IkeSa& sa, Child& child, CommandId command = 0);
  void request_delete(IkeSa& sa, Child& child, Reason reason, CommandId command);
  void children_due(IkeSa& sa);

  // --- traps.cc
  Trap* find_trap(const std::string& connection, const std::string& child);
  // The packet that the task was for is not waited for any more: the next one may try again.
  void release_trap(const Task& task);
  Status add_trap(const ConnectionPtr& connection, const ChildConfigPtr& child);
  void remove_trap(const std::string& connection, const std::string& child);

  // --- commands.cc
  void command_begins(CommandId command, size_t parts);
  void command_ends(CommandId command);
  void command_done(CommandId command);
  void command_failed(CommandId command, Reason reason, const std::string& text,
                      const Endpoint& peer);
  [[nodiscard]] IkeSa* usable_sa(const ConnectionPtr& connection) const;
  void initiate_alone(const ConnectionPtr& connection, CommandId command);
  static bool merge_into(Task& under_way, Task& task);
  static bool merge_into(IkeSa& sa, Task& task);
  void initiate_child(const ConnectionPtr& connection, Task task);
  static bool selects(const SaSelection& selection, const IkeSa& sa);
  static bool selects(const SaSelection& selection, const Child& child);
  [[nodiscard]] std::vector<std::pair<uint32_t, uint32_t>> chosen_by(const SaSelection& selection,
                                                                     bool established) const;
  void terminate_ike(IkeSa& sa, CommandId command, bool force, Nanoseconds timeout_ns);

  // --- connections.cc
  // What start_action = start has made goes with its configuration.
  void stop_children(const std::string& connection, const ChildConfig& child);
  void start_children(const ConnectionPtr& connection, const ConnectionConfig* previous);
  void index_connection(const ConnectionEntry& entry);
  void unindex_connection(const ConnectionEntry& entry);
  [[nodiscard]] unsigned match_addresses(const AddressMatches& list,
                                         const IpAddress& address) const;
  [[nodiscard]] std::vector<ConnectionPtr> candidates_for(const IpAddress& local,
                                                          const IpAddress& remote) const;
  [[nodiscard]] std::vector<ConnectionPtr> choose_by_identity(
      const IkeSa& sa, const std::vector<ConnectionPtr>& candidates, const Identity& initiator,
      const std::optional<Identity>& responder, std::optional<AuthMethod> auth,
      Refusal& refusal) const;
  [[nodiscard]] std::optional<IpAddress> remote_of(const ConnectionConfig& connection,
                                                   const std::string** unresolved) const;
  void release_leases(IkeSa& sa);

  // --- uniqueness.cc
  void enter_identity(IkeSa& sa);
  void leave_identity(IkeSa& sa);
  [[nodiscard]] std::vector<uint32_t> others_of(const IkeSa& sa) const;
  [[nodiscard]] bool has_other_sa(const IkeSa& sa) const;
  // False: the new one has to go.
  [[nodiscard]] bool check_uniqueness(const IkeSa& sa) const;
  void act_on_uniqueness(IkeSa& sa);
  void settle_simultaneous_start(IkeSa& sa);

  // --- reauthentication.cc
  [[nodiscard]] std::vector<ChildConfigPtr> children_of(const IkeSa& sa) const;
  void reauthenticate(IkeSa& sa);
  void initiate_again(const ConnectionPtr& connection, const std::vector<ChildConfigPtr>& children,
                      uint32_t replaces, const Endpoint& remote);
  void reauthenticated(const IkeSa& fresh, uint32_t replaces);
  void take_auth_lifetime(IkeSa& sa, uint32_t seconds);

  // --- timers.cc
  void timer_due(IkeSa& sa, Timer which);
  [[nodiscard]] Nanoseconds handshake_limit() const;
  [[nodiscard]] Nanoseconds dpd_delay_of(const IkeSa& sa) const;
  void arm_keepalive(IkeSa& sa);
  void arm_liveness(IkeSa& sa);
  void probe_if_silent(IkeSa& sa);

  // --- listing.cc
  static IkeState state_of(const IkeSa& sa);
  [[nodiscard]] ChildSaInfo info_of(const Child& child) const;
  [[nodiscard]] IkeSaInfo info_of(const IkeSa& sa) const;
  [[nodiscard]] std::shared_ptr<const IkeSaInfo> snapshot_of(const IkeSa& sa) const;

  RandomSource& random_;
  Host& host_;
  const Options options_;
  Now now_;  // of the input that is being worked on
  CredentialSnapshotPtr credentials_;

  std::vector<std::unique_ptr<IkeSa>> sas_;  // by slot
  std::vector<uint32_t> free_slots_;
  std::unordered_map<uint64_t, uint32_t> by_spi_;              // our own SPI -> slot
  std::map<uint32_t, uint32_t> by_unique_id_;                  // -> slot
  std::map<std::pair<uint64_t, Endpoint>, uint32_t> by_init_;  // of half-open responders -> slot
  std::map<std::string, std::set<uint32_t>> by_connection_;    // -> unique ids
  std::unordered_map<std::string, std::set<uint32_t>> by_identity_;  // -> unique ids
  std::unordered_map<ChildTunnel, Line> lines_;
  std::map<ChildTunnel, Trap> traps_;  // by the tunnel of the trap
  std::map<std::pair<std::string, std::string>, ChildTunnel> trap_names_;  // connection, child
  uint32_t next_unique_id_ = 1;
  uint32_t next_child_id_ = 1;
  uint32_t next_tunnel_ = 1;
  uint32_t next_policy_ = 1;
  uint32_t next_reqid_ = 1;

  std::map<std::string, ConnectionEntry> connections_;
  using Entries = std::set<const ConnectionEntry*>;
  std::map<IpAddress, Entries> by_remote_;  // connections of remote addresses
  Entries wide_;                            // all others
  uint64_t next_order_ = 1;
  struct ResolvedName {
    std::vector<IpAddress> addresses;
    Nanoseconds at_ns = 0;
  };
  std::map<std::string, ResolvedName> resolved_;
  std::set<std::string> resolving_;
  std::map<std::string, std::unique_ptr<Pool>> pools_;

  HalfOpenGuard guard_;
  DeadlineHeap deadlines_;  // of IKE SAs, by slot
  struct Initiation {       // to come
    ConnectionPtr connection;
    Task task;
  };
  std::multimap<Nanoseconds, Initiation> restarts_;

  ComputeId next_compute_ = 1;
  std::unordered_map<ComputeId, Job> jobs_;
  uint64_t next_fetch_ = 1;
  std::map<uint64_t, uint32_t> fetches_;        // -> unique id of the IKE SA that waits
  std::map<std::string, Nanoseconds> fetched_;  // by StatusFetch::key: when it was asked for last
  uint32_t next_serial_ = 0;
  struct PendingCommand {
    size_t parts = 1;
    Reason reason = Reason::kNone;  // of the last part that failed
    std::string text;
    Endpoint peer;
  };
  std::map<CommandId, PendingCommand> commands_;

  Counters counters_{};
  std::map<std::string, std::shared_ptr<ConnectionStats>> stats_;
  EngineTotals totals_;  // children: of all IKE SAs, neither unused nor lingering
  std::map<std::string, ConnectionError> errors_;  // by connection
  std::deque<Effect> effects_;
  size_t datagrams_waiting_ = 0;
  Nanoseconds hints_from_ns_ = 0;
  uint32_t hints_sent_ = 0;
};

}  // namespace penstock::ike
