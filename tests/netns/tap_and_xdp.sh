#!/usr/bin/env bash
# Other ports than AF_PACKET, a tap outside and AF_XDP inside; and all of it without huge pages.
#
#   c1 ── net ── tap [penstockd] AF_XDP ── host
. "$(dirname "$0")/lib.sh"

topology 1
tap_outside
inside_device=af_xdp:inside
write_penstock_conf
sed -i '/^file_prefix/a hugepages = no' "$work/penstock.conf"
start_penstockd
bridge_tap
start_host
start_client 1
check_traffic 'tap and AF_XDP' 1 4
check_traffic 'tap and AF_XDP' 1 6
check_nothing_lost 'the gateway lost nothing'
ports=$(gateway_command ports --json | jq -r '[.ports[].driver] | sort | join(" ")')
check "these are the drivers ($ports)" test "$ports" = 'net_af_xdp net_tap'
