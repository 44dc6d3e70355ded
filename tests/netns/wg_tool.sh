#!/usr/bin/env bash
# The unmodified wg(8) changes and shows the gateway as it does any WireGuard interface.
#
#   c1 ──┐
#   c2 ──┴── net ── [penstockd] ── host
. "$(dirname "$0")/lib.sh"

topology 2
start_penstockd
start_host
start_client 1
start_client 2
check_traffic 'client 1' 1 4
check_traffic 'client 2' 2 4
gw() { wg "$1" "$wg_gateway" "${@:2}"; }
allowed() { gw show allowed-ips | awk -v key="$(pub "$1")" -F'\t' '$1 == key { print $2 }'; }
stranger=$(wg genkey | wg pubkey)

check 'show lists the interface' grep -qw "$wg_gateway" <(wg show interfaces)
check 'show tells the public key' test "$(gw show public-key)" = "$(pub gateway)"
check 'show tells the port' test "$(gw show listen-port)" = 51820
check 'show dump has a line for the interface and for each peer' test "$(gw show dump | wc -l)" = 3
check 'show dump counts bytes both ways' \
  test "$(gw show dump | awk 'NR > 1 && $6 > 100000 && $7 > 100000' | wc -l)" = 2
check 'show tells a recent handshake' \
  test "$(gw show latest-handshakes | awk -v now="$EPOCHSECONDS" '$2 > now - 60' | wc -l)" = 2
check 'showconf can be read back' gw syncconf <(wg showconf "$wg_gateway")
check 'the peers are still there' test "$(gw show peers | wc -l)" = 2

check 'a peer is added' gw set peer "$stranger" allowed-ips 10.30.0.0/24,fd00:30::/64
check 'with its allowed IPs' test "$(gw show allowed-ips | grep -c 10.30.0.0/24)" = 1
check 'an allowed IP moves to another peer' gw set peer "$stranger" allowed-ips 10.30.0.0/24,10.7.0.12/32
check 'and is gone from the first' test "$(allowed c2)" = 'fd00:7::12/128'
check 'so its packets are refused' test "$(ping_host 2 4 -W 1; echo $?)" = 1
check 'it moves back' gw set peer "$(pub c2)" allowed-ips 10.7.0.12/32,fd00:7::12/128
check_traffic 'after moving back' 2 4
check 'a peer is removed' gw set peer "$stranger" remove
check 'and not shown' test "$(gw show peers | wc -l)" = 2
check 'removing it again is no error' gw set peer "$stranger" remove
check 'persistent keepalive is set' gw set peer "$(pub c2)" persistent-keepalive 25
check 'and shown' grep -q "$(printf '%s\t25' "$(pub c2)")" <(gw show persistent-keepalive)
check 'addconf adds' gw addconf <(printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.31.0.0/24\n' "$stranger")
check 'to what is there' test "$(gw show peers | wc -l)" = 3

# A new pre-shared key counts from the next handshake on; the running session goes on.
make_psk 1
handshake=$(client_handshake 1)
gw set peer "$(pub c1)" preshared-key "$work/c1.psk"
client_wg 1 set peer "$(pub gateway)" preshared-key "$work/c1.psk"
check_traffic 'with a new pre-shared key' 1 4
check 'the session went on' test "$(client_handshake 1)" = "$handshake"

grep -v '^Address' "$work/wg.conf" >"$work/wg.stripped"
check 'setconf replaces all' gw setconf "$work/wg.stripped"
check 'the stranger is gone' test "$(gw show peers | wc -l)" = 2
check 'a port that is another program'"'"'s or ours again is no error' gw set listen-port 51820
check 'the port changes' gw set listen-port 51999
client_wg 1 set peer "$(pub gateway)" endpoint 192.0.2.1:51999 preshared-key /dev/null
check 'traffic follows to the new port' wait_until 20 ping_host 1 4
check_traffic 'on the new port' 1 4
