#!/usr/bin/env bash
# One port for both sides: tunnels end and clear traffic lives on the same network.
#
#   c1 ──┐
#        ├── net ──── outside [penstockd]
#   host ┘
. "$(dirname "$0")/lib.sh"

topology 1
# The host moves from the gateway's second port to the router.
in_ns host ip link del lan
link host lan net server
in_ns host ip address add 10.8.0.2/24 dev lan
in_ns host ip address add fd00:8::2/64 dev lan nodad
in_ns net ip address add 10.8.0.1/24 dev server
in_ns net ip address add fd00:8::1/64 dev server nodad
in_ns host ip route add default via 10.8.0.1
in_ns host ip route add default via fd00:8::1
# Inner addresses are behind the gateway.
in_ns net ip route add 10.7.0.0/24 via 192.0.2.1
in_ns net ip route add fd00:7::/64 via 2001:db8::1
write_penstock_conf
sed -i -e '/^\[port.inside\]/,/^$/d' -e 's/^role = outside/role = both\nforward = plain/' \
  "$work/penstock.conf"
start_penstockd
start_host
start_client 1
check_traffic 'one-armed' 1 4
check_traffic 'one-armed' 1 6
check_nothing_lost 'the gateway lost nothing'
