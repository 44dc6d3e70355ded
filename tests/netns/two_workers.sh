#!/usr/bin/env bash
# Two workers, each with queues of its own: the flows of one tunnel arrive at both.
#
#   c1 ──┐                 ┌ worker 0 ┐
#   c2 ──┼── net ── [penstockd        ] ── host
#   c3 ──┘                 └ worker 1 ┘
. "$(dirname "$0")/lib.sh"

topology 3
workers=2
start_penstockd
start_host
for n in 1 2 3; do
  start_client "$n" $((n % 2 ? 4 : 6))
  check_traffic "client $n" "$n" 4
  check_traffic "client $n" "$n" 6
done

# Several flows through one tunnel at the same time.
for direction in up down; do
  rate=$(iperf 1 4 "$direction" 3 -P 8 | jq '.end.sum_received.bits_per_second / 1000 | floor')
  check "eight TCP flows $direction in one tunnel ($rate kbit/s)" at_least "${rate:-0}" 10000
done
# All tunnels at the same time.
for n in 1 2 3; do iperf_udp "$n" 4 up 3 20 >"$work/udp.$n" & pids[n]=$!; done
wait "${pids[@]}"
for n in 1 2 3; do
  read -r arrived lost <"$work/udp.$n"
  check "client $n among the others (${arrived:-0} arrived, ${lost:-all} lost)" \
    udp_well "$arrived" "$lost" 1000
done
check_nothing_lost 'the gateway lost nothing'
check 'both workers received packets' \
  test "$(gateway_command status --json | jq '[.workers[] | select(.rx_packets > 100)] | length')" = 2
