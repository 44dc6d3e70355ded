#!/usr/bin/env bash
# Real clients send real traffic through the gateway: IPv4 and IPv6, inside and outside, mixed; one
# with a pre-shared key; tunnels begun from either side.
#
#   c1 ──IPv4──┐
#   c2 ──IPv6──┼── net ── [penstockd] ── host
#   c3 ──IPv4, PSK──┘
. "$(dirname "$0")/lib.sh"

topology 3
make_psk 3
start_penstockd
start_host
start_client 1 4
start_client 2 6
start_client 3 4

for n in 1 2 3; do
  for family in 4 6; do
    check_traffic "client $n" "$n" "$family"
  done
done
check_nothing_lost 'the gateway lost nothing'
