#!/usr/bin/env bash
# The gateway has answered an initiation, but the client has not confirmed the new session yet. A
# forged packet for it must not make it current: the gateway goes on sending under the old one.
#
#   c1 ── net (loses data, not handshakes) ── [penstockd] ── host
#          └── attacker
. "$(dirname "$0")/lib.sh"

topology 1
start_penstockd
start_host
start_client 1
check 'the first session works' ping_host 1 4
capture net wan old.pcap udp port 51820
check_traffic 'first session' 1 4
stop_captures
old=$(wire receivers "$work/old.pcap" 192.0.2.1)

# Data packets are lost, so after 15 s without an answer the client begins a new session.
capture net wan new.pcap udp port 51820
disturb 'meta l4proto udp @th,64,8 4 drop'
daemon c1 ping.log ping -i 0.5 10.8.0.2
begun() { (($(wire handshakes "$work/new.pcap" 192.0.2.1 | awk '{ print $2 }') > 0)); }
check 'the client begins a new session' wait_until 30 begun
kill "$daemon_pid"
read -r next client_next < <(wire indices "$work/new.pcap" 192.0.2.1)
check_refused 'forged packet under the next keypair' tunnel_auth_failed attack net forge "$next" 0
stop_captures

# Now only the client's data is lost, so nothing confirms the new session.
disturb 'ip daddr 192.0.2.1 udp dport 51820 @th,64,8 4 drop'
capture net wan after.pcap udp port 51820
in_ns host ping -q -c 3 -i 0.2 -W 1 10.7.0.11 >/dev/null
stop_captures
check 'the gateway still sends under the old session' \
  test "$(wire receivers "$work/after.pcap" 192.0.2.1)" = "$old"

disturb
capture net wan confirmed.pcap udp port 51820
check_traffic 'new session' 1 4
stop_captures
check 'the genuine packet makes the new session current' \
  grep -qw "$client_next" <(wire receivers "$work/confirmed.pcap" 192.0.2.1)
