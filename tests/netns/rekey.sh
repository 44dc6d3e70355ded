#!/usr/bin/env bash
# Sessions are renewed every 2 s under traffic, and no packet is lost by it: the gateway drops
# nothing, and on the wire every session's counter is continuous.
#
#   c1 ── net ── [penstockd: rekey_after_s = 2] ── host
. "$(dirname "$0")/lib.sh"

topology 1
# Who begins a session renews it: the gateway begins.
peer_extra[1]='Endpoint = 100.64.1.2:51820'
write_penstock_conf
printf '[timers]\nrekey_after_s = 2\nrekey_timeout_s = 1\n' >>"$work/penstock.conf"
start_penstockd
start_host
start_client 1
capture net wan wire.pcap -s 128 udp port 51820
check 'the gateway begins a session' ping_client 1 4

for direction in up down; do
  check_udp "UDP $direction goes on" 1000 1 4 "$direction" 6 20
  check_udp "UDP $direction goes on over inner IPv6" 1000 1 6 "$direction" 4 20
  rate=$(iperf 1 4 "$direction" 4 -b 40M | jq '.end.sum_received.bits_per_second / 1000 | floor')
  check "TCP $direction goes on ($rate of 40000 kbit/s)" at_least "${rate:-0}" 30000
done
check_nothing_lost 'the gateway lost nothing'
stop_captures

read -r initiations _ < <(wire handshakes "$work/wire.pcap" 192.0.2.1)
check "the session was renewed ($initiations initiations)" at_least "$initiations" 8
for sender in 192.0.2.1 100.64.1.2; do
  read -r sessions packets missing repeated < <(wire counters "$work/wire.pcap" "$sender")
  check "counters of $sender are continuous ($packets packets, $sessions sessions)" \
    test "$sessions" -ge 8 -a "$missing" -eq 0 -a "$repeated" -eq 0
done
