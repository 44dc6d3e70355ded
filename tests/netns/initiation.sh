#!/usr/bin/env bash
# Tunnels are begun from either side, over IPv4 and IPv6; also on a way that loses three packets in
# ten, handshakes among them.
#
#   c1 ──IPv4──┐
#   c2 ──IPv6──┼── net ── [penstockd] ── host
#   c3 ──IPv4──┘
. "$(dirname "$0")/lib.sh"

topology 3
peer_extra[1]='Endpoint = 100.64.1.2:51820'
peer_extra[2]='Endpoint = [2001:db8:2::2]:51820'
start_penstockd
start_host
start_client 1 4
start_client 2 6
capture net wan wire.pcap udp port 51820
check 'the gateway begins a tunnel over IPv4' ping_client 1 4
check 'the gateway begins a tunnel over IPv6' ping_client 2 6
stop_captures
check 'its initiations were on the wire' \
  at_least "$(wire handshakes "$work/wire.pcap" 192.0.2.1 | cut -d' ' -f1)" 1
check 'the clients sent none' test "$(wire handshakes "$work/wire.pcap" 100.64.1.2)" = '0 1 0'
check_traffic 'begun by the gateway' 1 4
check_traffic 'begun by the gateway' 2 6

disturb 'udp dport 51820 numgen random mod 10 < 3 drop'
start_client 3 4
check 'a tunnel comes up in spite of loss' wait_until 60 ping_host 3 4 -W 1
disturb 'udp dport 51820 numgen random mod 100 < 3 drop'
rate=$(iperf_tcp 3 4 up 3)
check "TCP goes on with 3 packets lost in 100 ($rate kbit/s)" at_least "$rate" 500
answers=$(in_ns c3 ping -q -c 100 -i 0.02 10.8.0.2 | sed -n 's/.* \([0-9]*\) received.*/\1/p')
check "$answers of 100 echoes come back" at_least "$answers" 80
disturb
check_traffic 'after the loss' 3 4
