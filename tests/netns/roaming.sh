#!/usr/bin/env bash
# Clients behind one NAT address, whose ports change; clients that move to another address and to
# the other family. The gateway follows authenticated packets, and nothing else.
#
#   c1 ──┐ (NAT: 192.0.2.200)
#   c2 ──┤ (the same)
#   c3 ──┴── net ── [penstockd] ── host
. "$(dirname "$0")/lib.sh"

topology 3
start_penstockd
start_host
endpoint() { wg show "$wg_gateway" endpoints | awk -v key="$(pub "c$1")" '$1 == key { print $2 }'; }

nat 1 40001
nat 2 40002
start_client 1
start_client 2
check_traffic 'behind NAT' 1 4
check_traffic 'behind the same NAT' 2 4
check 'the gateway knows the ports' test "$(endpoint 1) $(endpoint 2)" = \
  '192.0.2.200:40001 192.0.2.200:40002'
handshake=$(client_handshake 1)
nat 1 40005
check 'packets from a new port are answered there' ping_host 1 4 -c 3 -i 0.2
check 'the endpoint moved' test "$(endpoint 1)" = 192.0.2.200:40005
check 'without a new handshake' test "$(client_handshake 1)" = "$handshake"
check_traffic 'after the port changed' 1 4

start_client 3
check_traffic 'before roaming' 3 4
check 'at its address' test "$(endpoint 3)" = 100.64.3.2:51820
in_ns c3 ip address del 100.64.3.2/24 dev wan
in_ns c3 ip address add 100.64.3.3/24 dev wan
in_ns c3 ip route replace default via 100.64.3.1
client_wg 3 set peer "$(pub gateway)" endpoint 192.0.2.1:51820 # it remembers the old source
check 'a client with a new address' ping_host 3 4 -c 3 -i 0.2
check 'the endpoint followed' test "$(endpoint 3)" = 100.64.3.3:51820
check_traffic 'at a new address' 3 4
client_wg 3 set peer "$(pub gateway)" endpoint '[2001:db8::1]:51820'
check 'a client that moved to IPv6' ping_host 3 4
check 'the endpoint followed to IPv6' test "$(endpoint 3)" = '[2001:db8:3::2]:51820'
check_traffic 'after moving to IPv6' 3 6

# A forged packet from elsewhere moves nothing.
before=$(endpoint 3)
check_refused 'forged packet' tunnel_unknown_index attack net forge 1234567890 1
check 'the endpoint stayed' test "$(endpoint 3)" = "$before"
