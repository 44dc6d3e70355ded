#!/usr/bin/env bash
# The gateway is a router like any other: it answers echo at its own addresses, shows itself in a
# traceroute, learns neighbours, forgets them, and follows one that got a new card.
#
#   c1 ── net ── [penstockd] ── host
. "$(dirname "$0")/lib.sh"

topology 1
start_penstockd
start_host
start_client 1
check_traffic 'client' 1 4

answers() { in_ns "$1" ping -q -c 2 -i 0.2 -W 2 "$2" >/dev/null; }
for target in 'host 10.8.0.1' 'host fd00:8::1' 'c1 10.7.0.1' 'c1 fd00:7::1' 'c1 192.0.2.1' \
  'c1 2001:db8::1' 'net 192.0.2.1'; do
  read -r from to <<<"$target"
  check "the gateway answers $from at $to" answers "$from" "$to"
done

hops() { # FROM TARGET: the addresses on the way
  in_ns "$1" traceroute -n -q 1 -w 2 -m 5 "$2" 2>/dev/null | awk 'NR > 1 { printf "%s%s", s, $2; s = " " }'
}
check 'traceroute from the client' test "$(hops c1 10.8.0.2)" = '10.7.0.1 10.8.0.2'
check 'traceroute from the client, IPv6' test "$(hops c1 fd00:8::2)" = 'fd00:7::1 fd00:8::2'
check 'traceroute from the host' test "$(hops host 10.7.0.11)" = '10.8.0.1 10.7.0.11'
check 'traceroute from the host, IPv6' test "$(hops host fd00:7::11)" = 'fd00:8::1 fd00:7::11'

check 'the host is a neighbour' grep -q 10.8.0.2 <(gateway_command neighbours)
in_ns host sysctl -qw net.ipv4.conf.lan.arp_notify=1 net.ipv6.conf.lan.ndisc_notify=1
in_ns host ip link set lan down
in_ns host ip link set lan address 02:00:00:00:99:99
in_ns host ip link set lan up
in_ns host ip address replace fd00:8::2/64 dev lan nodad
in_ns host ip route replace default via 10.8.0.1
in_ns host ip route replace default via fd00:8::1
check 'the host answers with a new MAC address' ping_host 1 4
check 'the gateway has learned it' grep -q 02:00:00:00:99:99 <(gateway_command neighbours)
check_traffic 'with a new MAC address' 1 4

nobody() { in_ns c1 ping -q -c 3 -i 0.2 -W 4 10.8.0.77 >/dev/null || echo 3; }
check_refused 'a neighbour that nobody is' neighbour_unresolved nobody
nowhere() { in_ns host ping -q -c 3 -i 0.2 -W 1 10.7.0.200 >/dev/null || echo 3; }
check_refused 'an address that no peer has' tunnel_no_peer nowhere
