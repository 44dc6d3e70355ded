#!/usr/bin/env bash
# A thousand peers by `wg syncconf`, added and removed while a client's traffic goes on.
#
#   c1 ──┐
#   c2 ──┴── net ── [penstockd] ── host
. "$(dirname "$0")/lib.sh"

topology 2
start_penstockd
start_host
start_client 1
check_traffic 'before' 1 4
handshake=$(client_handshake 1)

# The two clients and so many others, with keys of no one.
peers() { # COUNT
  printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\n' "$(key gateway)"
  printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.7.0.1%d/32, fd00:7::1%d/128\n' \
    "$(pub c1)" 1 1 "$(pub c2)" 2 2
  /usr/bin/python3 - "$1" <<'END'
import base64, hashlib, sys
for n in range(int(sys.argv[1])):
    key = base64.b64encode(hashlib.sha256(b"%d" % n).digest()).decode()
    print(f"[Peer]\nPublicKey = {key}\nAllowedIPs = 10.20.{n >> 8}.{n & 255}/32, fd00:20::{n:x}/128")
END
}
peers 998 >"$work/1000.conf"
peers 98 >"$work/100.conf"
count() { wg show "$wg_gateway" peers | wc -l; }

iperf_udp 1 4 up 8 20 >"$work/udp" &
udp=$!
sleep 1
started=${EPOCHREALTIME/./}
check 'wg syncconf takes 1,000 peers' wg syncconf "$wg_gateway" "$work/1000.conf"
ms=$(((${EPOCHREALTIME/./} - started) / 1000))
check "within 3 s ($ms ms)" at_most $ms 3000
check 'wg shows them' test "$(count)" = 1000
check 'with both allowed IPs each' test "$(wg show "$wg_gateway" allowed-ips | grep -c ' fd00:20::')" = 998
check 'again, nothing to change' wg syncconf "$wg_gateway" "$work/1000.conf"
check 'wg syncconf takes 900 of them away' wg syncconf "$wg_gateway" "$work/100.conf"
check 'wg shows the rest' test "$(count)" = 100
check 'and takes them back' wg syncconf "$wg_gateway" "$work/1000.conf"
wait "$udp"
read -r arrived lost <"$work/udp"
check "UDP went on meanwhile (${arrived:-0} arrived, ${lost:-all} lost)" \
  udp_well "$arrived" "$lost" 10000
check 'in the same session' test "$(client_handshake 1)" = "$handshake"
check_nothing_lost 'the gateway lost nothing'

start_client 2
check_traffic 'among 1,000 peers' 2 4
check_traffic 'among 1,000 peers' 1 6
