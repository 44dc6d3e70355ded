# shellcheck shell=bash
# The vocabulary of the tests in network namespaces, beside that of deploy/lab.sh, whose picture
# shows the topology. Every test sources this file, calls `topology CLIENTS`, starts what it needs,
# calls `check`, and just ends: cleaning up, and the exit status, follow from the checks.

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  echo 'lib.sh is sourced by the tests beside it.' >&2
  exit 2
fi
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# PENSTOCK_BUILD=build-asan tests another build.
build=$root/${PENSTOCK_BUILD:-build}
# Names carry our process id, so that what a killed test left behind can be told from a live one's.
id=pst$$
work= # made by `topology`
failed=0

# --- checks ----------------------------------------------------------------------------------------

check() { # NAME COMMAND...: passes if the command succeeds
  local name=$1
  shift
  if "$@"; then
    echo "ok $name"
  else
    echo "not ok $name"
    echo "  # false: $*"
    failed=1
  fi
}

quietly() { "$@" >/dev/null 2>&1; }
not() { ! "$@"; }
at_least() { (($1 >= $2)); }
at_most() { (($1 <= $2)); }

# For what the test itself needs: without it no check means anything.
require() {
  "$@" || {
    echo "not ok the laboratory: $*"
    failed=1
    exit 1
  }
}

# shellcheck source=../../deploy/lab.sh
. "$root/deploy/lab.sh"
# Ahead of all else on the machine, as on CPUs of its own: what the gateway drops because it was not
# let run says nothing about it.
gateway_prefix=(chrt --rr 1)

clean_up() {
  local status=$? log
  trap '' INT TERM
  if ((failed)); then
    for log in "$work"/*.log; do
      # Without wireguard-go's advertisement of the kernel's module.
      [[ -s $log ]] && printf '  # %s:\n' "${log##*/}" && grep -v '^[┌│└]' "$log" | tail -n 25
    done
    gateway_running && gateway_command drops
  fi
  exec 2>/dev/null # bash tells of every child that is killed
  remove_topology
  rm -rf "$work"
  ((status == 0)) && status=$failed
  exit "$status"
}

topology() { # CLIENTS
  ((EUID == 0)) || {
    echo 'not ok network namespaces need root'
    exit 1
  }
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  work=$(mktemp -d -t "$id.XXXX")
  build_topology "$1"
}

# What a killed test left behind: namespaces of ours whose process is gone.
remove_stale_topologies() {
  local namespace pid
  for namespace in $(ip netns list | awk '/^pst[0-9]+-/ { print $1 }'); do
    pid=${namespace#pst}
    pid=${pid%%-*}
    [[ -d /proc/$pid ]] || remove_namespace "$namespace"
    [[ -d /proc/$pid ]] || rm -rf /tmp/"pst$pid".* /var/run/wireguard/"pst$pid"[gx]*.sock
  done
}

# --- the gateway -----------------------------------------------------------------------------------

# wireguard-go and the kernel's routing in penstockd's place, with PENSTOCK_TEST_GATEWAY=wireguard-go:
# tells whether a test fails because of the laboratory. What asks penstockd itself fails then.
start_reference_gateway() {
  [[ -f $work/wg.conf ]] || write_wg_conf
  in_ns gw sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0 \
    net.ipv6.conf.outside.disable_ipv6=0 net.ipv6.conf.inside.disable_ipv6=0 \
    net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  in_ns gw ip address add 192.0.2.1/24 dev outside
  in_ns gw ip address add 2001:db8::1/64 dev outside nodad
  in_ns gw ip address add 10.8.0.1/24 dev inside
  in_ns gw ip address add fd00:8::1/64 dev inside nodad
  in_ns gw ip route add default via 192.0.2.254
  in_ns gw ip route add default via 2001:db8::fe
  start_wireguard_go gw "$wg_gateway"
  gateway_pid=$daemon_pid
  grep -vE '^Address' "$work/wg.conf" >"$work/wg.stripped"
  require in_ns gw wg setconf "$wg_gateway" "$work/wg.stripped"
  in_ns gw ip address add 10.7.0.1/24 dev "$wg_gateway"
  in_ns gw ip address add fd00:7::1/64 dev "$wg_gateway" nodad
  in_ns gw ip link set "$wg_gateway" mtu 1420 up
}

if [[ ${PENSTOCK_TEST_GATEWAY-} == wireguard-go ]]; then
  start_penstockd() { start_reference_gateway; }
fi

# The outside port is a tap of DPDK's, bridged to the cable: call tap_outside before the gateway
# starts, and bridge_tap after. Unlike an AF_PACKET port, where the kernel reassembles IPv4 fragments
# before it hands them over, it shows the gateway what was on the wire.
tap_outside() { outside_device=tap:tap0; }
bridge_tap() {
  in_ns gw ip link add bridge0 type bridge
  in_ns gw ip link set bridge0 up
  in_ns gw ip link set outside master bridge0
  in_ns gw ip link set tap0 master bridge0
}

drops() { # LABEL...: packets dropped for these reasons so far
  gateway_command drops --json |
    jq -r '[.drops[] | select(.reason | IN($ARGS.positional[])) | .packets] | add // 0' --args "$@"
}
# The labels of all reasons with packets, in one line.
drop_reasons() {
  gateway_command drops --json |
    jq -r '[.drops[] | select(.packets > 0) | .reason] | sort | join(" ")'
}
# Runs a command that sends packets and prints how many: each must be dropped, for this reason (or
# one of these, separated by commas), within 3 s.
check_refused() { # NAME LABEL[,LABEL] COMMAND...
  local name=$1 labels before sent now=0 deadline
  IFS=, read -ra labels <<<"$2"
  before=$(drops "${labels[@]}")
  sent=$("${@:3}")
  deadline=$((SECONDS + 3))
  while now=$(($(drops "${labels[@]}") - before)) && ((now < sent && SECONDS <= deadline)); do
    sleep 0.2
  done
  check "$name: $2 counts all ${sent:-?} packets" test "${sent:-0}" -gt 0 -a "$now" -ge "${sent:-1}"
}
# Nothing that belongs into or out of a tunnel was lost inside the gateway. (fragment_timeout: a
# fragment was lost on the way.)
check_nothing_lost() { # NAME
  check "$1" test -z "$(drop_reasons | tr ' ' '\n' |
    grep -E '^(tunnel_|neighbour_|hand_over|tx_full|no_buffer|punt_|no_route|fragment_[^t])')"
}

# On few CPUs that many programs share, queues of the kernel and of the clients overflow now and then:
# half of the packets must arrive, and the gateway's counters are the judge of what it loses itself
# (check_nothing_lost).
udp_well() { # ARRIVED LOST [LEAST]
  ((${1:-0} >= ${3:-100} && ${1:-0} >= ${2:-1}))
}
# TCP and UDP, both ways, through one client's tunnel.
check_traffic() { # WHAT N 4|6 [SECONDS]
  local what=$1 n=$2 family=$3 seconds=${4:-1} direction arrived lost
  ping_host "$n" "$family" || {
    check "$what: the host answers over inner IPv$family" false
    return
  }
  for direction in up down; do
    check "$what: TCP $direction over inner IPv$family" \
      at_least "$(iperf_tcp "$n" "$family" "$direction" "$seconds")" 1000
    check_udp "$what: UDP $direction over inner IPv$family" 100 \
      "$n" "$family" "$direction" "$seconds"
  done
}
check_udp() { # NAME LEAST N 4|6 up|down SECONDS [MBIT_S]
  local arrived lost
  read -r arrived lost < <(iperf_udp "${@:3}")
  check "$1 (${arrived:-0} arrived, ${lost:-all} lost)" udp_well "$arrived" "$lost" "$2"
}

# --- watching and disturbing the way ---------------------------------------------------------------

captures=()
capture() { # NAMESPACE DEVICE FILE [FILTER]: until stop_captures
  daemon "$1" "tcpdump.$3.log" tcpdump -n -U -B 16384 -i "$2" -w "$work/$3" "${@:4}"
  captures+=("$daemon_pid")
  require wait_until 5 grep -q 'listening on' "$work/tcpdump.$3.log"
}
stop_captures() {
  sleep 1.2 # the kernel hands packets over in blocks, at the latest after a second
  kill -INT "${captures[@]}"
  wait "${captures[@]}"
  captures=()
}

# Rules on the routed way between clients and gateway, in nft's words; they replace those before.
disturb() { # RULE...: `disturb 'udp dport 51820 numgen random mod 10 < 1 drop'`
  in_ns net nft delete table inet disturb 2>/dev/null
  (($#)) || return 0
  in_ns net nft -f - <<END
table inet disturb {
  chain way {
    type filter hook forward priority 0;
$(printf '    %s\n' "$@")
  }
}
END
}

# Client N appears as 192.0.2.200:PORT. Each port is a conntrack zone of its own, so that a new one
# acts at once, on connections that exist too.
nat() { # N PORT
  in_ns net nft delete table ip "nat_$1" 2>/dev/null
  in_ns net nft -f - <<END
table ip nat_$1 {
  chain zones {
    type filter hook prerouting priority raw;
    iifname c$1 ct zone set $2
    iifname wan ip daddr 192.0.2.200 udp dport $2 ct zone set $2
  }
  chain out {
    type nat hook postrouting priority srcnat;
    oifname wan udp sport 51820 ip saddr 100.64.$1.2 snat to 192.0.2.200:$2
  }
}
END
  # The router answers ARP for it.
  in_ns net ip address replace 192.0.2.200/24 dev wan
}

# What scapy sends; see attack.py.
attack() { # NAMESPACE COMMAND ARGUMENT...
  in_ns "$1" /usr/bin/python3 "$root/tests/netns/attack.py" "${@:2}"
}
wire() { # COMMAND ARGUMENT...: reads captures; see wire.py
  /usr/bin/python3 "$root/tests/netns/wire.py" "$@"
}
