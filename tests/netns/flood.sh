#!/usr/bin/env bash
# A flood of handshakes from thousands of spoofed addresses, each with a good first MAC. Established
# tunnels keep their packets, and a client that was not connected gets in.
#
#   c1 ──┐
#   c2 ──┴── net ── [penstockd] ── host
#             └── attacker
. "$(dirname "$0")/lib.sh"

topology 2
start_penstockd
start_host
start_client 1
check_traffic 'before the flood' 1 4
handshakes=(handshake_rate_limited handshake_needs_cookie handshake_queue_full handshake_invalid
  punt_queue_full)
before=$(drops "${handshakes[@]}")

attack net flood "$(pub gateway)" 25 6000 >"$work/flood.sent" &
flood=$!
flooding() { (($(drops "${handshakes[@]}") > before + 6000)); }
check 'the flood has begun' wait_until 30 flooding
check_udp 'UDP up during the flood' 1000 1 4 up 4
check_udp 'UDP down during the flood' 1000 1 4 down 4
start_client 2
check 'a new client gets in during the flood' wait_until 15 ping_host 2 4 -W 1
check 'the flood was still going on' kill -0 "$flood"
wait "$flood"
check 'the gateway answered with cookies' at_least "$(drops handshake_needs_cookie)" 1
check 'no data packet was lost inside the gateway' \
  test "$(drops tunnel_no_session tunnel_auth_failed tx_full no_buffer hand_over_full)" = 0
check_traffic 'after the flood' 1 6
check_traffic 'after the flood' 2 4
