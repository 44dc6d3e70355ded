#!/usr/bin/env bash
# A real client renews its session after 120 s, as WireGuard does, in the middle of traffic both
# ways. The gateway, which answers here, loses nothing.
#
#   c1 ── net ── [penstockd] ── host
. "$(dirname "$0")/lib.sh"

topology 1
start_penstockd
start_host
start_client 1
capture net wan wire.pcap -s 128 udp port 51820
check 'the client begins a session' ping_host 1 4
first=$(client_handshake 1)
sockets=$(($(socket_losses host) + $(socket_losses c1)))
iperf 1 4 up 126 -u -b 4M -l 1000 --bidir >"$work/iperf.json"
check 'the client renewed its session' at_least "$(client_handshake 1)" $((first + 100))
check_nothing_lost 'the gateway lost nothing'
stop_captures
sockets=$(($(socket_losses host) + $(socket_losses c1) - sockets))
lost=$(jq '[.end.sum.lost_packets, .end.sum_bidir_reverse.lost_packets] | add' "$work/iperf.json")
lost=$((${lost:-1000000} - sockets))
check "UDP went on both ways ($lost lost on the way)" at_most "$lost" 1000
for sender in 192.0.2.1 100.64.1.2; do
  read -r sessions packets missing repeated < <(wire counters "$work/wire.pcap" "$sender")
  check "counters of $sender are continuous ($packets packets, $sessions sessions)" \
    test "$sessions" -ge 2 -a "$missing" -eq 0 -a "$repeated" -eq 0
done
