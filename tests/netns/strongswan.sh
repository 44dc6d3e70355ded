# shellcheck shell=bash
# The vocabulary of the tests of IKEv2, beside those of lib.sh and deploy/strongswan.sh: the gateway
# with [ipsec], real strongSwans as its peers, and what they are asked.
#
# Client N's strongSwan is called cN and runs in the namespace cN of lab.sh. The gateway serves
# 10.8.0.0/24 and fd00:8::/64 and leases 10.9.0.0/24 and fd00:9::/112.
#
# PENSTOCK_TEST_GATEWAY=strongswan puts a strongSwan in penstockd's place, which tells whether a test
# fails because of the laboratory; what asks penstockd itself is left out then.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=../../deploy/strongswan.sh
. "$root/deploy/strongswan.sh"
# shellcheck source=pki.sh
. "$root/tests/netns/pki.sh"

# shellcheck disable=SC2034  # for the tests
gateway4=192.0.2.1 gateway6=2001:db8::1
client4() { echo "100.64.$1.2"; }
client6() { echo "2001:db8:$1::2"; }

# --- the gateway -----------------------------------------------------------------------------------

reference_gateway() { [[ ${PENSTOCK_TEST_GATEWAY-} == strongswan ]]; }

# Lines for its section [ipsec]; for the strongswan.conf of a strongSwan in its place.
ipsec_extra='' reference_extra=''
start_ike_gateway() {
  swanctl_folders gateway
  if reference_gateway; then
    start_reference_gateway
    start_strongswan gateway gw "$reference_extra"
    gateway_pid=$daemon_pid
    return
  fi
  [[ -f $work/penstock.conf ]] || write_penstock_conf
  grep -qF '[ipsec]' "$work/penstock.conf" ||
    printf '\n[ipsec]\nvici_socket = %s\n%s\n' "$work/gateway.vici" "$ipsec_extra" >>"$work/penstock.conf"
  start_penstockd
  require wait_until 10 swanctl_in gateway --stats
}

# Makes standard input the gateway's swanctl.conf. What it lacks a test names itself.
load_gateway() { require load_swanctl gateway; }

# The gateway's own words since `mark_log`; a reference gateway has others.
log_mark=0
gateway_log() {
  if reference_gateway; then echo "$work/gateway.log"; else echo "$work/penstockd.log"; fi
}
mark_log() { log_mark=$(wc -l <"$(gateway_log)"); }
gateway_said() { tail -n +"$((log_mark + 1))" "$(gateway_log)" | grep -Eiq -- "$1"; }
check_gateway_says() { # NAME EXTENDED_REGEX
  reference_gateway && return 0
  if wait_until 5 gateway_said "$2"; then
    check "$1" true
  else
    check "$1" gateway_said "$2"
    tail -n +"$((log_mark + 1))" "$(gateway_log)" | tail -n 6 | sed 's/^/  # log: /'
  fi
}

# --- what strongSwan is asked ----------------------------------------------------------------------

# Each waits: nothing is in a hurry on a machine that others use.
initiate() { # NAME CHILD [SWANCTL_OPTION...]
  swanctl_in "$1" --initiate --child "$2" --timeout "${initiate_timeout:-30}" "${@:3}" \
    >"$work/$1.initiate.log" 2>&1 && grep -q 'completed successfully' "$work/$1.initiate.log"
}
# Tells how it ended: `check_up ... || return` goes on only where there is something to test.
check_up() { # NAME CLIENT CHILD [SWANCTL_OPTION...]
  if initiate "${@:2}"; then
    check "$1" true
  else
    check "$1" false
    tail -n 5 "$work/$2.initiate.log" | sed "s/^/  # $2: /"
    return 1
  fi
}
refused() { # NAME CHILD: must not succeed; what it said is in $work/NAME.initiate.log
  ! initiate "$@"
}
# The client's reason, as strongSwan writes it: AUTH_FAILED, NO_PROP, TS_UNACCEPT, ...
check_refused_with() { # NAME CLIENT CHILD NOTIFY_REGEX
  check "$1: refused" refused "$2" "$3"
  check "$1: $4" grep -Eq -- "$4" "$work/$2.initiate.log"
}
terminate() { # NAME IKE_CONNECTION
  swanctl_in "$1" --terminate --ike "$2" --timeout 15 >"$work/$1.terminate.log" 2>&1
}
sas() { swanctl_in "$1" --list-sas; } # NAME
sas_raw() { swanctl_in "$1" --list-sas --raw; }
established() { # NAME [IKE_CONNECTION]: how many IKE SAs are up
  sas_raw "$1" 2>/dev/null | grep -Eo "[ {]${2:-[^ {=]+} \{uniqueid=[^}]* state=ESTABLISHED" | wc -l
}
installed() { # NAME: how many children are up
  sas_raw "$1" 2>/dev/null | grep -o 'state=INSTALLED' | wc -l
}
has_ike_sas() { (($(established "$1" "${@:3}") == $2)); } # NAME COUNT [IKE_CONNECTION]
has_children() { (($(installed "$1") == $2)); }       # NAME COUNT
no_sas() { (($(sas "$1" 2>/dev/null | grep -c .) == 0)); } # NAME
# One value of the listing: `sa_value gateway initiator-spi`.
sa_value() { # NAME KEY
  sas_raw "$1" 2>/dev/null | grep -Eo "(^|[ {])$2=[^ }]*" | head -n 1 | sed 's/^[^=]*=//'
}
sa_values() { # NAME KEY: all of them
  sas_raw "$1" 2>/dev/null | grep -Eo "(^|[ {])$2=[^ }]*" | sed 's/^[^=]*=//'
}

# Networks behind client N, with itself as their only host: before its strongSwan starts.
site() { # N
  in_ns "c$1" ip link add site type bridge
  in_ns "c$1" ip address add "10.20.$1.1/24" dev site
  in_ns "c$1" ip address add "10.21.$1.1/24" dev site
  in_ns "c$1" ip address add "fd00:20:$1::1/64" dev site nodad
  in_ns "c$1" ip link set site up
}
# It is there, and another than it was.
is_renewed() { # NAME KEY BEFORE
  local now
  now=$(sa_value "$1" "$2")
  [[ -n $now && $now != "$3" ]]
}

# --- ways that change ------------------------------------------------------------------------------

# IKE and ESP of client N come from 192.0.2.200:PORT and the port after it, as lib.sh's `nat` does for
# WireGuard.
nat_ike() { # N PORT
  in_ns net nft delete table ip "nat_$1" 2>/dev/null
  in_ns net nft -f - <<END
table ip nat_$1 {
  chain zones {
    type filter hook prerouting priority raw;
    iifname c$1 ct zone set $2
    iifname wan ip daddr 192.0.2.200 udp dport { $2, $(($2 + 1)) } ct zone set $2
  }
  chain out {
    type nat hook postrouting priority srcnat;
    oifname wan udp sport 500 ip saddr 100.64.$1.2 snat to 192.0.2.200:$2
    oifname wan udp sport 4500 ip saddr 100.64.$1.2 snat to 192.0.2.200:$(($2 + 1))
  }
}
END
  # The router answers ARP for it.
  in_ns net ip address replace 192.0.2.200/24 dev wan
}
# Pings ten times a second in the background while something changes; check_pings ends it.
start_pings() { # NAMESPACE TARGET [SECONDS]
  in_ns "$1" ping -q -i 0.1 -c $((${3:-8} * 10)) -W 1 "$2" >"$work/pings.out" 2>&1 &
  pings_pid=$!
}
check_pings() { # NAME MOST_LOST
  local sent received
  wait "$pings_pid"
  read -r sent received < <(awk '/packets transmitted/ { print $1, $4 }' "$work/pings.out")
  check "$1 ($received of $sent answered)" test "${received:-0}" -ge $((${sent:-999} - $2))
}

# --- traffic ---------------------------------------------------------------------------------------

# The virtual address of a client, once it has one.
virtual4() { in_ns "$1" ip -4 -o address show dev ipsec0 2>/dev/null | grep -o '10\.9\.[0-9.]*' | head -n 1; }
virtual6() { in_ns "$1" ip -6 -o address show dev ipsec0 2>/dev/null | grep -o 'fd00:9:[0-9a-f:]*' | head -n 1; }
ping_from() { # NAMESPACE TARGET [PING_OPTION...]
  in_ns "$1" ping -q -c 1 -W 6 "${@:3}" "$2" >/dev/null
}
# Packets that a client's strongSwan did not take in time, as it was not let run: of its own TUN
# device, and of its socket.
client_losses() { # NAMESPACE
  echo $(($(in_ns "$1" cat /sys/class/net/ipsec0/statistics/tx_dropped) + $(socket_losses "$1")))
}
# Unbroken sequences both ways at once, up over inner IPv4 and down over inner IPv6: whatever one end
# sends, the other end receives.
check_sequences() { # NAME N SECONDS
  local before after direction arrived lost pids=()
  in_ns host ss -Hltn 'sport = :5300' | grep -q . || daemon host iperf3.log iperf3 -s -p 5300
  wait_until 5 eval "in_ns host ss -Hltn 'sport = :5300' | grep -q ."
  before=$(client_losses "c$2")
  iperf "$2" 4 up "$3" -u -b 4M -l 1200 >"$work/sequence.up" &
  pids+=($!)
  iperf_port=5300 iperf "$2" 6 down "$3" -u -b 4M -l 1200 >"$work/sequence.down" &
  pids+=($!)
  wait "${pids[@]}"
  after=$(client_losses "c$2")
  for direction in up down; do
    # What the receiver misses in the sequence.
    read -r arrived lost < <(jq -r '.end.sum_received | "\(.packets - .lost_packets) \(.lost_packets)"' \
      "$work/sequence.$direction")
    check "$1: UDP $direction is unbroken (${arrived:-0} arrived, ${lost:-all} lost)" \
      test "${arrived:-0}" -ge $(($3 * 300)) -a "${lost:-1}" -le $((after - before))
  done
}
check_ike_nothing_lost() { # NAME
  reference_gateway && return 0
  check_nothing_lost "$1"
}

# Ends what SAs there are, as the ground for the next scenario.
forget() { # NAME...
  local name number
  for name; do
    for number in $(sas "$name" 2>/dev/null | sed -n 's/^[^ :]*: #\([0-9]*\), .*/\1/p'); do
      quietly swanctl_in "$name" --terminate --ike-id "$number" --force --timeout 5
    done
  done
}
