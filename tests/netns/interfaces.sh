#!/usr/bin/env bash
# Two WireGuard interfaces with keys and ports of their own. Clients reach the host, and each other:
# within one interface, and from one to the other.
#
#   c1, c2 ── first interface, port 51820 ───┐
#   c3 ────── second interface, port 51821 ──┴── [penstockd] ── host
. "$(dirname "$0")/lib.sh"

topology 3
make_key second
cat >"$work/second.conf" <<END
[Interface]
PrivateKey = $(key second)
ListenPort = 51821
Address = 10.9.0.1/24, fd00:9::1/64
[Peer]
PublicKey = $(pub c3)
AllowedIPs = 10.9.0.13/32, fd00:9::13/128
END
chmod 600 "$work/second.conf"
write_penstock_conf
printf '[wireguard.%s]\nfile = %s\n' "${wg_gateway}2" "$work/second.conf" >>"$work/penstock.conf"
start_penstockd
start_host
for n in 1 2 3; do start_client "$n"; done

# Client 3 belongs to the second interface.
device=$(client_device 3)
client_wg 3 set peer "$(pub gateway)" remove
client_wg 3 set peer "$(pub second)" endpoint 192.0.2.1:51821 \
  allowed-ips 10.7.0.0/24,10.8.0.0/24,fd00:7::/64,fd00:8::/64
in_ns c3 ip address flush dev "$device"
in_ns c3 ip address add 10.9.0.13/24 dev "$device"
in_ns c3 ip address add fd00:9::13/64 dev "$device" nodad
for network in 10.7.0.0/24 10.8.0.0/24 fd00:7::/64 fd00:8::/64; do
  in_ns c3 ip route replace "$network" dev "$device"
done
for n in 1 2; do
  client_wg "$n" set peer "$(pub gateway)" \
    allowed-ips 10.7.0.0/24,10.8.0.0/24,10.9.0.0/24,fd00:7::/64,fd00:8::/64,fd00:9::/64
  in_ns "c$n" ip route add 10.9.0.0/24 dev "$(client_device "$n")"
  in_ns "c$n" ip route add fd00:9::/64 dev "$(client_device "$n")"
done

check_traffic 'first interface' 1 4
check_traffic 'second interface' 3 4
check_traffic 'second interface' 3 6
daemon c2 server2.log iperf3 -s -p 5201
daemon c2 server3.log iperf3 -s -p 5203
check 'client 2 is connected' ping_host 2 4
server4=10.7.0.12 server6=fd00:7::12 server_namespace=c2
check_traffic 'client 1 to client 2' 1 4
check_traffic 'client 1 to client 2' 1 6
check_traffic 'client 3 to client 2' 3 4
check_traffic 'client 3 to client 2' 3 6
check_nothing_lost 'the gateway lost nothing'
check 'wg shows both' test "$(wg show "${wg_gateway}2" public-key)" = "$(pub second)"
