#!/usr/bin/env bash
# The generator against a real penstockd over shared memory: what it sends comes back whole at a low
# rate, its figures are where they should be, and what is wrong is said in words.
#
#   penstock-load ══ out.sock (memif) ══ penstockd ══ in.sock (memif) ══ penstock-load
#    peers, CPU 1                          CPU 0                           hosts, CPU 1
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$root/${PENSTOCK_BUILD:-build}
failed=0
gateway_pid=

((EUID == 0)) || {
  echo 'not ok memory shared with a gateway needs root'
  exit 1
}
work=$(mktemp -d)
clean_up() {
  trap '' INT TERM
  stop_gateway 2>/dev/null
  rm -rf "$work"
}
trap 'clean_up; exit $failed' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

check() { # NAME COMMAND...
  local name=$1
  shift
  if "$@"; then
    echo "ok $name"
  else
    echo "not ok $name"
    tail -n 15 "$work/load.log" "$work/gateway.log" 2>/dev/null | sed 's/^/  # /'
    failed=1
  fi
}

load() { # ARGUMENT...
  revive_gateway
  rm -f "$work/load.json" # what the last run said is not this one's
  timeout 40 "$build/bench/load/penstock-load" --outside "memif:$work/gw/out.sock" \
    --inside "memif:$work/gw/in.sock" "$@" >"$work/load.log" 2>&1
}
said() { grep -qE -- "$1" "$work/load.log"; }
figures() { jq -e "$1" "$work/load.json" >/dev/null; }

start_gateway() { # OPTION... of penstock-load
  rm -rf "$work/gw"
  load --write-gateway-config "$work/gw" "$@" && launch_gateway
}
launch_gateway() {
  # Asleep when nothing comes: a worker that is put aside in the middle of a poll while its peer goes
  # is taken down by DPDK's memif.
  "$build/gateway/app/penstockd" --config "$work/gw/penstock.conf" --idle sleep \
    >"$work/gateway.log" 2>&1 &
  gateway_pid=$!
  for _ in {1..100}; do
    timeout 2 "$build/gateway/cli/penstock" --socket "$work/gw/control.sock" status \
      >/dev/null 2>&1 && return 0
    kill -0 "$gateway_pid" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}
# On a machine with much else to do that happens even so; the next run then finds a new gateway.
revive_gateway() {
  [[ -z $gateway_pid ]] || kill -0 "$gateway_pid" 2>/dev/null || launch_gateway
}
stop_gateway() {
  [[ -n $gateway_pid ]] || return 0
  kill -TERM "$gateway_pid" 2>/dev/null
  wait "$gateway_pid"
  gateway_pid=
}

# What needs no gateway.
load --help
check 'the manual names the modes' said '^  search   '
load rate --rate 5
check 'a rate without its unit is refused in words' said '^penstock-load: --rate 5: .*such as 500kpps'
load rate --wait 1
check 'a folder that is not there is named' said '--outside memif:.*there is no folder .*/gw'
mkdir "$work/gw"
load rate --wait 1
check 'a gateway that is not there is named' said '--outside .memif:.*does the gateway run'

# WireGuard.
check 'the gateway takes the configuration that was written' \
  start_gateway --tunnels 64 --size 64,1420,9000
low=(--trial 0.5 --rate 2kpps)
load rate --tunnels 4,64 --flows 2 --size 64,1420,9000 "${low[@]}" --order random \
  --json "$work/load.json" --html "$work/load.html"
check 'a fixed rate run ends well' test $? = 0
check 'it loses nothing at a low rate' \
  figures '[.cases[].trials[] | .loss_ratio == 0 and .wrong == 0 and .up.received > 900 and
            .down.received > 900] | length == 6 and all'
check 'the figures have latencies' \
  figures '[.cases[].trials[] | .up, .down | .latency_ns |
            .p50 > 0 and .p50 <= .p99 and .p99 <= .p99_9 and .p99_9 <= .max] | all'
check 'the page has plots and needs nothing else' \
  grep -q '<svg' "$work/load.html"
load rate --tunnels 64 --size 512 "${low[@]}" --rekey-rate 100 --json "$work/load.json"
check 'tunnels are rekeyed beside the traffic without loss' \
  figures '.cases[0].trials[0] | .rekeys.done > 20 and .rekeys.failed == 0 and .loss_ratio == 0'
load soak --tunnels 4 --size 512 --rate 5kpps --trial 2 --interval 1 --json "$work/load.json"
check 'a soak has a line per interval' said '^ +1\.0 s  sent '
check 'and its intervals in the figures' figures '.cases[0].trials[0].intervals | length >= 2'
load search --tunnels 4 --size 1420 --trial 0.2 --precision 10 --loss 1 --trials 8 \
  --latency-at 20 --json "$work/load.json"
check 'a search finds a rate' figures '.cases[0].found[0].pps_per_direction > 1000'
check 'with the latency at a share of it' figures '.cases[0].latency[0].up.latency_ns.p99 > 0'
load connect --tunnels 64 --json "$work/load.json"
check 'a connect storm brings all tunnels up and says how fast' \
  figures '.storms[0] | .up == 64 and .handshakes_per_second > 10 and .latency_ns.p50 > 0'
load rate --tunnels 4 "${low[@]}" --seed another --wait 3
check 'a wrong key ends the run' test $? = 1
check 'and is said in words' said '0 of 4 tunnels come up: the gateway does not answer .*--seed'
stop_gateway

# IPv6 inside and outside.
six=(--outer 6 --inner 6 --tunnels 4 --size '80,1420')
check 'a gateway of IPv6 takes its configuration' start_gateway "${six[@]}"
load rate "${six[@]}" "${low[@]}" --json "$work/load.json"
check 'IPv6 outside and inside loses nothing at a low rate' \
  figures '[.cases[].trials[] | .loss_ratio == 0 and .wrong == 0 and .down.received > 900] | all'
stop_gateway

# No tunnel: plain forwarding, by IPv4 and IPv6.
for inner in 4 6; do
  clear=(--protocol clear --inner "$inner" --tunnels 8 --flows 2 --size "80,1420,9000")
  check "a gateway that forwards IPv$inner in clear takes its configuration" start_gateway "${clear[@]}"
  load rate "${clear[@]}" "${low[@]}" --json "$work/load.json"
  check "IPv$inner in clear loses nothing at a low rate" \
    figures '[.cases[].trials[] | .loss_ratio == 0 and .wrong == 0 and .up.received > 900 and
              .down.received > 900] | length == 3 and all'
  stop_gateway
done
load connect --protocol clear
check 'a connect storm in clear is refused in words' said 'connect: --protocol clear has no tunnels'

# IKEv2 and ESP.
load_swanctl() {
  SWANCTL_DIR=$work/gw swanctl --load-all --file "$work/gw/swanctl.conf" \
    --uri "unix://$work/gw/vici.sock" >"$work/swanctl.log" 2>&1
}
lossless='[.cases[].trials[] | .loss_ratio == 0 and .wrong == 0 and .up.received > 900 and
  .down.received > 900] | length > 0 and all'
esp=(--protocol esp --tunnels 16)
check 'a gateway of IKEv2 takes its configuration' start_gateway "${esp[@]}"
check 'swanctl loads the connections that were written' load_swanctl
load connect "${esp[@]}" --json "$work/load.json"
check 'a connect storm of IKEv2 brings all tunnels up' \
  figures '.storms[0] | .up == 16 and .handshakes == 16 and .latency_ns.p50 > 0'
load rate "${esp[@]}" --size 64,1420 "${low[@]}" --json "$work/load.json"
check 'ESP in UDP loses nothing at a low rate' figures "$lossless"
load rate "${esp[@]}" --size 512 "${low[@]}" --rekey-rate 50 --json "$work/load.json"
check 'rekeyed tunnels of ESP lose nothing' figures "$lossless"
check 'and are rekeyed' figures '.cases[0].trials[0].rekeys | .done > 10 and .failed == 0'
stop_gateway

esp+=(--esp-in-udp no --esp-cipher chacha20poly1305)
check 'a gateway of ESP without UDP takes its configuration' start_gateway "${esp[@]}"
check 'swanctl loads another cipher' load_swanctl
load rate "${esp[@]}" --size 64,1420 "${low[@]}" --json "$work/load.json"
check 'ESP as protocol 50 with ChaCha20-Poly1305 loses nothing' figures "$lossless"
stop_gateway
