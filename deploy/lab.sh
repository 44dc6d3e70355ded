# shellcheck shell=bash
# A laboratory on one machine: real WireGuard clients, the gateway and a host, each in a network
# namespace of its own, with real cables between them. Sourced by deploy/quickstart and by the tests
# in namespaces.
#
#   c1 ── 100.64.1.0/24, 2001:db8:1::/64 ──┐                    ┌─────────┐
#   c2 ── 100.64.2.0/24, 2001:db8:2::/64 ──┤ net ── outside ──  │ gateway │  ── inside ── host
#   ...                                    ┘    192.0.2.0/24    └─────────┘  10.8.0.0/24
#                                               2001:db8:0::/64              fd00:8::/64
#
# Client N is .2 in its network and 10.7.0.1N, fd00:7::1N inside the tunnel; the gateway is .1 of
# every network that it is in, the host is 10.8.0.2, fd00:8::2. The gateway's ends of the cables
# have no addresses in the kernel: they are penstockd's, which takes the packets off them.
#
# Whoever sources this sets
#   id     what the names of namespaces and WireGuard interfaces begin with (at most 12 characters)
#   work   an existing folder for keys, configurations and logs
#   build  where penstockd was built
# and defines `require COMMAND...`, which ends the program if the command fails.
# shellcheck disable=SC2154  # id, work and build are the caller's

# The control sockets of WireGuard interfaces are global, so their names carry the id.
wg_gateway=${id}g
client_device() { echo "${id}x$1"; }
clients=0

wait_until() { # SECONDS COMMAND...: tries ten times a second
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS <= deadline)) || return 1
    sleep 0.1
  done
}

# --- namespaces and cables -------------------------------------------------------------------------

in_ns() { # NAMESPACE COMMAND...
  local namespace=$id-$1
  shift
  ip netns exec "$namespace" "$@"
}

ns_create() { # NAME
  require ip netns add "$id-$1"
  in_ns "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
    net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
  in_ns "$1" ip link set lo up
}

# A cable between two namespaces. Without offloads: the kernel would leave checksums to a NIC that
# is not there, and hand over segments larger than the MTU.
link() { # NAMESPACE DEVICE NAMESPACE DEVICE
  require ip link add name "$2" netns "$id-$1" type veth peer name "$4" netns "$id-$3"
  local namespace device
  for namespace in "$1" "$3"; do
    [[ $namespace == "$1" ]] && device=$2 || device=$4
    in_ns "$namespace" ethtool -K "$device" tx off tso off gso off gro off >/dev/null
    in_ns "$namespace" ip link set "$device" up
  done
}

set_mtu() { # NAMESPACE DEVICE MTU
  in_ns "$1" ip link set "$2" mtu "$3"
}

build_topology() { # CLIENTS
  local n
  ns_create net
  ns_create gw
  ns_create host
  in_ns gw sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
  link net wan gw outside
  link gw inside host lan
  in_ns net sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  in_ns net ip address add 192.0.2.254/24 dev wan
  in_ns net ip address add 2001:db8::fe/64 dev wan nodad
  in_ns host ip address add 10.8.0.2/24 dev lan
  in_ns host ip address add fd00:8::2/64 dev lan nodad
  in_ns host ip route add default via 10.8.0.1
  in_ns host ip route add default via fd00:8::1
  make_key gateway
  for ((n = 1; n <= $1; ++n)); do
    ns_create "c$n"
    link "c$n" wan net "c$n"
    in_ns net ip address add "100.64.$n.1/24" dev "c$n"
    in_ns net ip address add "2001:db8:$n::1/64" dev "c$n" nodad
    in_ns "c$n" ip address add "100.64.$n.2/24" dev wan
    in_ns "c$n" ip address add "2001:db8:$n::2/64" dev wan nodad
    in_ns "c$n" ip route add default via "100.64.$n.1"
    in_ns "c$n" ip route add default via "2001:db8:$n::1"
    make_key "c$n"
  done
  clients=$1
}

remove_namespace() { # FULL_NAME
  local pids
  mapfile -t pids < <(ip netns pids "$1" 2>/dev/null)
  ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null
  ip netns delete "$1"
}

remove_topology() {
  local namespace
  for namespace in $(ip netns list | awk -v id="$id-" 'index($1, id) == 1 { print $1 }'); do
    remove_namespace "$namespace"
  done
  rm -f /var/run/wireguard/"$id"[gx]*.sock
}

# Starts a program in a namespace in the background; sets $daemon_pid, which is the program itself.
daemon() { # NAMESPACE LOG COMMAND...
  local namespace=$id-$1 log=$work/$2
  shift 2
  # In a session of its own, so that Ctrl-C reaches the script alone, which then cleans up; and
  # without the script's lock.
  (exec setsid ip netns exec "$namespace" "$@") >>"$log" 2>&1 </dev/null 9>&- &
  daemon_pid=$!
}

# --- the gateway -----------------------------------------------------------------------------------

make_key() { # NAME
  (umask 077 && wg genkey >"$work/$1.key" && wg pubkey <"$work/$1.key" >"$work/$1.pub")
}
make_psk() { # CLIENT
  (umask 077 && wg genpsk >"$work/c$1.psk")
}
key() { cat "$work/$1.key"; }
pub() { cat "$work/$1.pub"; }

# wg.conf of the gateway: one peer for each client, or for the first $wireguard_clients of them.
# `peer_extra[N]` holds more lines for client N.
declare -A peer_extra=()
wireguard_clients=
write_wg_conf() {
  local n
  {
    printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\n' "$(key gateway)"
    printf 'Address = 10.7.0.1/24, fd00:7::1/64\n'
    for ((n = 1; n <= ${wireguard_clients:-$clients}; ++n)); do
      printf '\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.7.0.1%d/32, fd00:7::1%d/128\n' \
        "$(pub "c$n")" "$n" "$n"
      [[ ! -f $work/c$n.psk ]] || printf 'PresharedKey = %s\n' "$(cat "$work/c$n.psk")"
      printf '%s\n' "${peer_extra[$n]-}"
    done
  } >"$work/wg.conf"
  chmod 600 "$work/wg.conf"
}

# penstock.conf. A test changes it through these, or appends sections to $work/penstock.conf.
workers=1
outside_device=af_packet:outside
inside_device=af_packet:inside
top_extra='' outside_extra='' inside_extra='' wireguard_extra=''
write_penstock_conf() {
  cat >"$work/penstock.conf" <<END
workers = $workers
idle = sleep
state_dir = $work/state
control_socket = $work/run/control.sock
$top_extra

[dpdk]
file_prefix = $id

[port.outside]
device = $outside_device
role = outside
address = 192.0.2.1/24
address = 2001:db8::1/64
$outside_extra

[port.inside]
device = $inside_device
role = inside
address = 10.8.0.1/24
address = fd00:8::1/64
$inside_extra

[route]
route = 0.0.0.0/0 via 192.0.2.254
route = ::/0 via 2001:db8::fe

[wireguard.$wg_gateway]
file = $work/wg.conf
$wireguard_extra
END
}

# What the gateway is started with: `chrt` and the like.
gateway_prefix=()
start_penstockd() {
  [[ -f $work/wg.conf ]] || write_wg_conf
  [[ -f $work/penstock.conf ]] || write_penstock_conf
  mkdir -p "$work/run" "$work/state"
  daemon gw penstockd.log "${gateway_prefix[@]}" \
    "$build/gateway/app/penstockd" --config "$work/penstock.conf"
  gateway_pid=$daemon_pid
  require wait_until 15 gateway_command status
}

gateway_pid=
gateway_running() { [[ -n $gateway_pid ]] && kill -0 "$gateway_pid" 2>/dev/null; }
gateway_command() { # COMMAND ARGUMENT...: penstock(1)
  timeout 5 "$build/gateway/cli/penstock" --socket "$work/run/control.sock" "$@"
}
# Sends SIGTERM and waits; sets $stop_ms and $stop_status.
stop_penstockd() {
  local started=${EPOCHREALTIME/./}
  kill -TERM "$gateway_pid"
  wait "$gateway_pid"
  # shellcheck disable=SC2034  # for the caller
  stop_status=$? stop_ms=$(((${EPOCHREALTIME/./} - started) / 1000))
  gateway_pid=
}

# --- the clients -----------------------------------------------------------------------------------

start_wireguard_go() { # NAMESPACE DEVICE
  daemon "$1" "$1.log" env LOG_LEVEL=error wireguard-go -f "$2"
  require wait_until 5 test -S "/var/run/wireguard/$2.sock"
  # The kernel's own WireGuard device has no link-local address and joins no group; a TUN device would
  # send router solicitations and MLD reports through the tunnel, which the peer's allowed IPs refuse.
  in_ns "$1" ip link set "$2" multicast off addrgenmode none
}

# A real client: wireguard-go and wg. Outer IPv4 or IPv6; further lines for its [Peer] may follow.
start_client() { # N [4|6] [LINE...]
  local n=$1 family=${2:-4} endpoint=192.0.2.1:51820 device
  device=$(client_device "$n")
  [[ $family == 4 ]] || endpoint='[2001:db8::1]:51820'
  {
    printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\n' "$(key "c$n")"
    printf '[Peer]\nPublicKey = %s\nEndpoint = %s\n' "$(pub gateway)" "$endpoint"
    printf 'AllowedIPs = 10.7.0.0/24, fd00:7::/64, 10.8.0.0/24, fd00:8::/64\n'
    [[ ! -f $work/c$n.psk ]] || printf 'PresharedKey = %s\n' "$(cat "$work/c$n.psk")"
    printf '%s\n' "${@:3}"
  } >"$work/c$n.conf"
  start_wireguard_go "c$n" "$device"
  require in_ns "c$n" wg setconf "$device" "$work/c$n.conf"
  in_ns "c$n" ip address add "10.7.0.1$n/24" dev "$device"
  in_ns "c$n" ip address add "fd00:7::1$n/64" dev "$device" nodad
  in_ns "c$n" ip link set "$device" mtu 1420 up
  in_ns "c$n" ip route add 10.8.0.0/24 dev "$device"
  in_ns "c$n" ip route add fd00:8::/64 dev "$device"
}
client_wg() { # N COMMAND ARGUMENT...: `wg COMMAND DEVICE ARGUMENT...` at the client
  in_ns "c$1" wg "$2" "$(client_device "$1")" "${@:3}"
}
# Seconds since 1970 of the client's last handshake; 0: none.
client_handshake() { client_wg "$1" show latest-handshakes | awk '{ print $2 }'; }

# --- traffic ---------------------------------------------------------------------------------------

start_host() { # iperf3 servers, one for each client
  local n
  for ((n = 1; n <= clients; ++n)); do
    daemon host iperf3.log iperf3 -s -p $((5200 + n))
  done
  require wait_until 5 eval "(( \$(in_ns host ss -Hltn 'sport >= :5201' | wc -l) >= $clients ))"
}

ping_host() { # N 4|6 [PING_OPTION...]: one answer from the server is enough
  local target=$server4
  [[ $2 == 4 ]] || target=$server6
  in_ns "c$1" ping -q -c 1 -W 6 "${@:3}" "$target" >/dev/null
}
ping_client() { # N 4|6 [PING_OPTION...]: from the host
  local target=10.7.0.1$1
  [[ $2 == 4 ]] || target=fd00:7::1$1
  in_ns host ping -q -c 1 -W 6 "${@:3}" "$target" >/dev/null
}

# The server of client N listens on port 5200 + N here; iperf_port=... names another.
server4=10.8.0.2 server6=fd00:8::2 server_namespace=host
iperf() { # N 4|6 up|down SECONDS IPERF_OPTION...: prints iperf3's JSON
  local target=$server4 reverse=() deadline=$((SECONDS + 10)) json error
  [[ $2 == 4 ]] || target=$server6
  [[ $3 == up ]] || reverse=(-R)
  while :; do
    json=$(in_ns "c$1" timeout $(($4 + 15)) iperf3 -J -c "$target" -p "${iperf_port:-$((5200 + $1))}" -t "$4" \
      --connect-timeout 8000 "${reverse[@]}" "${@:5}")
    error=$(jq -r '.error // empty' <<<"$json")
    # The server takes a moment to see that an earlier client is gone.
    if [[ $error != *busy* ]] || ((SECONDS > deadline)); then break; fi
    sleep 0.5
  done
  [[ -z $error ]] || echo "  # iperf3: $error" >&2
  printf '%s\n' "$json"
}
iperf_tcp() { # N 4|6 up|down SECONDS: prints kbit/s that arrived
  iperf "$@" | jq -r '(.end.sum_received.bits_per_second // 0) / 1000 | floor'
}
# Packets that sockets in this namespace lost because their program did not read them in time.
socket_losses() { # NAMESPACE
  in_ns "$1" cat /proc/net/snmp /proc/net/snmp6 | awk '
    $1 == "Udp:" && !names { for (i = 2; i <= NF; ++i) if ($i == "RcvbufErrors") column = i
                             names = 1; next }
    $1 == "Udp:" { sum += $column }
    $1 == "Udp6RcvbufErrors" { sum += $2 }
    END { print sum + 0 }'
}
# Bytes of a datagram that iperf_udp sends.
datagram_bytes=1200
# Prints how many packets arrived, and how many were lost on the way: not those that iperf3 itself
# did not read in time, where CPUs are short.
iperf_udp() { # N 4|6 up|down SECONDS [MBIT_S]
  local receiver=c$1 before json arrived lost
  [[ $3 == down ]] || receiver=${server_namespace}
  before=$(socket_losses "$receiver")
  json=$(iperf "$1" "$2" "$3" "$4" -u -b "${5:-10}M" -l "$datagram_bytes")
  # Where nothing arrived, `sum` repeats what was sent, and calls nothing lost.
  read -r arrived lost < <(jq -r '.end | (.sum_received | (.packets - .lost_packets) // 0) as $arrived
    | "\($arrived) \((.sum.packets // 0) - $arrived)"' <<<"$json")
  lost=$((lost - $(socket_losses "$receiver") + before))
  echo "$arrived $((lost > 0 ? lost : 0))"
}
