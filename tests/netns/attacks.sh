#!/usr/bin/env bash
# What an attacker on the outside can send, each refused for its own reason while a client's traffic
# goes on: replayed, forged and truncated packets, clear text that claims inner addresses, sources
# that the peer may not use, keys that nobody knows.
#
#   c1 ──┐
#   c2 ──┴── net ── [penstockd] ── host
#             └── attacker
. "$(dirname "$0")/lib.sh"

topology 2
start_penstockd
make_key c2 # so that the gateway does not know client 2
start_host
start_client 1
start_client 2
capture net wan seen.pcap udp port 51820
check_traffic 'before the attacks' 1 4
stop_captures

check_refused 'replayed data packets' tunnel_replay attack net replay "$work/seen.pcap" 20
index=$(wire receivers "$work/seen.pcap" 100.64.1.2 | awk '{ print $NF }')
check_refused 'data packet with a forged tag' tunnel_auth_failed attack net forge "$index" 500000
check_refused 'forged tag over IPv6' tunnel_auth_failed attack net forge "$index" 500001 6
check_refused 'data packet for no session' tunnel_unknown_index \
  attack net forge $((index ^ 0x40000000)) 0
check_refused 'truncated data packets' tunnel_malformed attack net truncated 4
for kind in 1 2 3; do
  check_refused "handshake messages of type $kind with a wrong length" \
    handshake_malformed,tunnel_malformed attack net truncated "$kind"
done
check_refused 'initiation with a wrong first MAC' handshake_bad_mac \
  attack net initiation "$(pub gateway)" bad
check_refused 'initiation that does not authenticate' handshake_invalid \
  attack net initiation "$(pub gateway)" good
check_refused 'clear text from outside for a tunnel, IPv4' cleartext_from_outside \
  attack net cleartext 10.7.0.11 10.8.0.2
check_refused 'clear text from outside for a tunnel, IPv6' cleartext_from_outside \
  attack net cleartext fd00:7::11 fd00:8::2

stranger() { ping_host 2 4 -W 1 || echo 1; }
check_refused 'a client whose key nobody knows' handshake_unknown_peer stranger

pings_from() { # SOURCE TARGET: five packets
  in_ns c1 ip address add "$1" dev "$(client_device 1)"
  in_ns c1 ping -q -c 5 -i 0.2 -W 1 -I "${1%/*}" "$2" >/dev/null || echo 5
}
check_refused 'inner source that is not the client'"'"'s, IPv4' tunnel_source_not_allowed \
  pings_from 10.7.0.12/32 10.8.0.2
check_refused 'inner source that is not the client'"'"'s, IPv6' tunnel_source_not_allowed \
  pings_from fd00:7::12/128 fd00:8::2

in_ns c1 ip address del 10.7.0.12/32 dev "$(client_device 1)"
in_ns c1 ip address del fd00:7::12/128 dev "$(client_device 1)"
check_traffic 'after the attacks' 1 4
check_traffic 'after the attacks' 1 6
