#!/usr/bin/env bash
# A way with a small MTU cuts outer IPv4 packets: the gateway puts them together. Inside, it cuts
# what may be cut, and tells senders of the rest what fits.
#
#   c1 ──MTU 1280── net ── [penstockd, tunnel MTU 1420] ── host
. "$(dirname "$0")/lib.sh"

topology 1
set_mtu net c1 1280
set_mtu c1 wan 1280
tap_outside
start_penstockd
bridge_tap
start_host
start_client 1
capture net wan wire.pcap 'ip[6:2] & 0x3fff != 0'
check_traffic 'outer fragments' 1 4
check_traffic 'outer fragments' 1 6
datagram_bytes=1340
for direction in up down; do
  check_udp "UDP $direction in outer fragments" 500 1 4 "$direction" 2
done
check_nothing_lost 'the gateway lost nothing'
stop_captures
check 'fragments were on the wire' at_least "$(wire frames "$work/wire.pcap")" 2000

hears() { # FAMILY SIZE TARGET
  grep -qiE 'mtu *[=:] *1420' <<<"$(in_ns host ping -"$1" -M "do" -c 2 -i 0.3 -W 1 -s "$2" "$3" 2>&1)"
}
check 'the host hears of 1,420 bytes over IPv4' hears 4 1472 10.7.0.11
check 'the host hears of 1,420 bytes over IPv6' hears 6 1452 fd00:7::11
check 'what fits passes' quietly in_ns host ping -q -M "do" -c 1 -W 2 -s 1392 10.7.0.11
check 'what may be cut is cut' quietly in_ns host ping -q -M dont -c 1 -W 2 -s 1472 10.7.0.11
check 'what the host cut passes' quietly in_ns host ping -q -c 1 -W 2 -s 4000 fd00:7::11
