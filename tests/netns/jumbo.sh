#!/usr/bin/env bash
# Jumbo frames on both sides of the gateway: packets of 8,920 bytes in the tunnel.
#
#   c1 ──9000── net ──9000── [penstockd] ──9000── host
. "$(dirname "$0")/lib.sh"

topology 1
outside_extra='mtu = 9000' inside_extra='mtu = 9000' wireguard_extra='mtu = 8920'
for end in 'c1 wan' 'net c1' 'net wan' 'gw outside' 'gw inside' 'host lan'; do
  read -r namespace device <<<"$end"
  set_mtu "$namespace" "$device" 9000
done
start_penstockd
start_host
start_client 1
in_ns c1 ip link set "$(client_device 1)" mtu 8920
check_traffic 'jumbo' 1 4
check_traffic 'jumbo' 1 6
check 'the largest packet passes whole, up' quietly in_ns c1 ping -q -M "do" -c 1 -W 2 -s 8892 10.8.0.2
check 'the largest packet passes whole, down' quietly in_ns host ping -q -M "do" -c 1 -W 2 -s 8892 10.7.0.11
check_nothing_lost 'the gateway lost nothing'
