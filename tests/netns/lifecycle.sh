#!/usr/bin/env bash
# Starts, stops within a second, and never lets clear text out: not while it starts, not when it is
# killed, not when it stops.
#
#   c1 ── net ── [penstockd] ── host
. "$(dirname "$0")/lib.sh"

topology 1
capture net wan wire.pcap -s 128
# The host sends to the client from before the start to after the end.
daemon host ping.log ping -q -i 0.05 10.7.0.11
daemon host ping6.log ping -q -i 0.05 fd00:7::11
start_penstockd
start_host
start_client 1
check_traffic 'first run' 1 4
socket=/var/run/wireguard/$wg_gateway.sock
check 'the socket for wg is root'"'"'s alone' test "$(stat -c %a "$socket")" = 600
ticks() { awk '{ print $14 + $15 }' "/proc/$gateway_pid/stat"; } # a hundred are one CPU's second
before=$(ticks)
sleep 3
idle=$(($(ticks) - before))
check "an idle gateway leaves the CPU alone ($idle of 300 ticks)" at_most "$idle" 75

stop_penstockd
check "exit status 0 after SIGTERM ($stop_status)" test "$stop_status" = 0
check "stops within a second ($stop_ms ms)" at_most "$stop_ms" 1000
check 'the sockets are gone' test ! -e "$socket" -a ! -e "$work/run/control.sock"

start_penstockd
check 'the client comes back after a restart' wait_until 30 ping_host 1 4 -W 1
check_traffic 'second run' 1 4
kill -KILL "$gateway_pid"
wait "$gateway_pid" 2>/dev/null
gateway_pid=
start_penstockd
check 'it starts over what a killed one left' gateway_running
check 'and the client comes back' wait_until 30 ping_host 1 4 -W 1
check_traffic 'third run' 1 6
stop_penstockd
sleep 0.5
stop_captures
check 'no clear text was on the outside at any moment' test "$(wire cleartext "$work/wire.pcap")" = 0
