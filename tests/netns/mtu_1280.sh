#!/usr/bin/env bash
# Ways with an MTU of 1,280, IPv4 and IPv6 outside, and a tunnel whose MTU fits: no outer packet is
# cut, and TCP is clamped to it.
#
#   c1 ──IPv4, MTU 1280──┐
#   c2 ──IPv6, MTU 1280──┴── net ── [penstockd, tunnel MTU 1200] ── host
. "$(dirname "$0")/lib.sh"

topology 2
wireguard_extra='mtu = 1200'
for n in 1 2; do
  set_mtu net "c$n" 1280
  set_mtu "c$n" wan 1280
done
tap_outside
start_penstockd
bridge_tap
start_host
start_client 1 4
start_client 2 6
capture net wan wire.pcap
for n in 1 2; do
  # IPv6 inside needs 1,280 bytes (RFC 8200 5), so IPv4 it is.
  in_ns "c$n" ip link set "$(client_device "$n")" mtu 1200
  datagram_bytes=1100
  check_traffic "client $n" "$n" 4
  check "client $n: the largest packet passes whole" \
    quietly in_ns host ping -q -M "do" -c 1 -W 2 -s 1172 "10.7.0.1$n"
done
# The client is not told of the tunnel's MTU: the gateway's clamp alone keeps segments small.
in_ns c1 ip link set "$(client_device 1)" mtu 1420
check 'TCP down is clamped' at_least "$(iperf_tcp 1 4 down 1)" 1000
stop_captures
check 'no packet on the outside is larger' at_most "$(wire largest "$work/wire.pcap")" 1280
check_nothing_lost 'the gateway lost nothing'
