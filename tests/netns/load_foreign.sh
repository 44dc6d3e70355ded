#!/usr/bin/env bash
# The generator against gateways that are not ours, set up with what it writes for them: what it
# counts as lost or wrong at a penstockd must not be a misunderstanding of its own.
#
#   penstock-load ── out ════ outside [wireguard-go | strongSwan | the kernel] inside ════ in ── penstock-load
#    peers                                                                                        hosts
. "$(dirname "$0")/strongswan.sh"

build_topology() {
  local device
  ns_create load
  ns_create gw
  link load out gw outside
  link load in gw inside
  # Whoever sends into the port of a program is answered by that program alone.
  in_ns load sysctl -qw net.ipv6.conf.all.disable_ipv6=1
  in_ns gw sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

load() { # ARGUMENT...
  rm -f "$work/load.json" # what the last run said is not this one's
  in_ns load timeout 60 "$build/bench/load/penstock-load" --outside af_packet:out \
    --inside af_packet:in "$@" >"$work/load.log" 2>&1
}
# What it said is gone with the next run.
check_load() { # NAME COMMAND...
  check "$@"
  "${@:2}" || sed 's/^/  # /' "$work/load.log"
}
said() { grep -qE -- "$1" "$work/load.log"; }
figures() { jq -e "$1" "$work/load.json" >/dev/null 2>&1; }
# AF_PACKET rings and a gateway that shares its CPU lose a few at times: one of a hundred may go, none
# may be changed, in the wrong tunnel or not to be decrypted.
check_rate() { # NAME CASES LOAD_OPTION...
  load rate --rate 500pps --trial 1 --json "$work/load.json" "${@:3}"
  check_load "$1" figures "[.cases[].trials[] | .loss_ratio <= 0.01 and .wrong == 0 and
    .up.received > 450 and .down.received > 450] | length == $2 and all"
}
check_connect() { # NAME LOAD_OPTION...
  load connect --json "$work/load.json" "${@:2}"
  check_load "$1" figures '.storms[0] | .up == .tunnels and .handshakes == .tunnels'
}
check_rekeys() { # NAME AT_LEAST
  check_load "$1" figures "[.cases[].trials[].rekeys | .done >= $2 and .failed == 0] | all"
}

# The written addresses and routes, as the kernel takes them.
write_config() { # LOAD_OPTION...
  rm -rf "$work/written"
  load --write-gateway-config "$work/written" "$@"
  in_ns gw ip address flush dev outside scope global
  in_ns gw ip address flush dev inside scope global
  awk '/^\[port\./ { split($0, part, /[].]/) }
       /^address = / { print "address add", $3, "dev", part[2], $3 ~ /:/ ? "nodad" : "" }
       /^route = .* via / { print "route replace", $3, "via", $5 }' "$work/written/penstock.conf" |
    in_ns gw ip -batch -
}

topology 0

# The kernel, which forwards what it is given.
clear=(--protocol clear --tunnels 8 --flows 2)
check 'the kernel takes addresses and routes as written' write_config "${clear[@]}"
check_rate 'a kernel that forwards in clear loses nothing' 2 "${clear[@]}" --size 64,1500
in_ns gw ip route del 10.128.0.0/9

# WireGuard: outside by IPv4 and by IPv6.
start_wireguard_go gw "$wg_gateway"
for outer in 4 6; do
  wireguard=(--outer "$outer" --inner "$outer" --tunnels 100)
  check "the kernel takes addresses and routes of IPv$outer" write_config "${wireguard[@]}"
  check "wg takes the wg.conf for IPv$outer" in_ns gw wg setconf "$wg_gateway" \
    <(wg-quick strip "$work/written/wg.conf")
  in_ns gw ip link set "$wg_gateway" mtu 1420 up
  in_ns gw ip route replace "$(awk '$1 == "route" && $4 == "interface" { print $3 }' \
    "$work/written/penstock.conf")" dev "$wg_gateway"
  check_connect "wireguard-go answers a connect storm over IPv$outer" "${wireguard[@]}"
  check_rate "wireguard-go loses nothing over IPv$outer" 2 "${wireguard[@]}" --tunnels 8 --size 80,1420
done
check_rate 'rekeyed tunnels to wireguard-go lose nothing' 1 "${wireguard[@]}" --tunnels 8 --size 512 \
  --rekey-rate 20
check_rekeys 'wireguard-go answers rekeyings' 10

# IKEv2: strongSwan with ESP in user space.
esp=(--protocol esp --tunnels 16)
check 'the kernel takes addresses and routes for strongSwan' write_config "${esp[@]}"
# Its routes into the tunnels want a source address in the hosts' network.
in_ns gw ip address add 10.1.255.254/32 dev lo
start_strongswan gateway gw
check 'strongSwan loads the connection' load_swanctl gateway <"$work/written/swanctl.conf"
load connect "${esp[@]}" --wait 2
check_load 'what this strongSwan cannot do is said in words' \
  said '0 of 16 tunnels come up: .*NO_PROPOSAL_CHOSEN.*--esp-esn no'
check 'and it is not asked without end' \
  at_most "$(grep -c 'ESN not supported' "$work/gateway.log")" 1000
esp+=(--esp-esn no)
write_config "${esp[@]}"
check 'strongSwan loads the connection without ESN' load_swanctl gateway <"$work/written/swanctl.conf"
check_connect 'strongSwan answers a connect storm' "${esp[@]}"
check_rate 'strongSwan loses nothing' 2 "${esp[@]}" --size 64,1400
check_rate 'rekeyed tunnels to strongSwan lose nothing' 1 "${esp[@]}" --size 512 --rekey-rate 10
check_rekeys 'strongSwan answers rekeyings' 5
load rate "${esp[@]}" --size 1420 --rate 100pps --trial 0.5 --direction down
check_load 'packets above its MTU are told from changed ones' said '[0-9]+ came in fragments'
