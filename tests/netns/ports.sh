#!/usr/bin/env bash
# Every kind of port, opened as penstockd opens it: frames of several sizes go over a wire, are sent
# back at the other end, and must come back whole.
#
#   port_echo send DEVICE ──────────── wire ──────────── port_echo echo DEVICE
#                          veth, tap, shared memory
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
echo_program=$root/${PENSTOCK_BUILD:-build}/tests/unit/worker/port_echo
namespace=ports$$
failed=0
echo_pid=

((EUID == 0)) || {
  echo 'not ok network namespaces need root'
  exit 1
}
work=$(mktemp -d)
clean_up() {
  trap '' INT TERM
  stop_echo 2>/dev/null
  ip netns delete "$namespace" 2>/dev/null
  rm -rf "$work"
}
trap 'clean_up; exit $failed' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

check() { # NAME COMMAND...
  local name=$1
  shift
  if "$@"; then
    echo "ok $name"
  else
    echo "not ok $name"
    sed 's/^/  # /' "$work"/echo.log "$work"/send.log 2>/dev/null
    failed=1
  fi
}
in_namespace() { ip netns exec "$namespace" "$@"; }

start_echo() { # DEVICE OPTION...
  : >"$work/echo.log" # what the last one said is not this one's
  ip netns exec "$namespace" "$echo_program" echo "$@" >"$work/echo.log" 2>&1 &
  echo_pid=$!
  for _ in {1..100}; do
    grep -qs "^ready" "$work/echo.log" && return 0
    kill -0 "$echo_pid" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}
stop_echo() {
  [[ -n $echo_pid ]] || return 0
  kill -TERM "$echo_pid"
  wait "$echo_pid"
  echo_pid=
}
send() { in_namespace timeout 30 "$echo_program" send "$@" >"$work/send.log" 2>&1; }
said() { grep -qE "$2" "$work/$1.log"; }
link_state_becomes() { # up|down
  for _ in {1..30}; do
    [[ $(grep '^link ' "$work/echo.log" | tail -n 1) == "link $1" ]] && return 0
    sleep 0.1
  done
  return 1
}
each_queue_received() { # of the echo side: queues=A,B
  local counts
  counts=$(grep -oE 'queues=[0-9,]+' "$work/echo.log" | tail -n 1)
  [[ $counts == *,* && ! ,${counts#queues=}, =~ ,0, ]]
}

# Opens both ends and sends frames of each size. The sender's device may be another than the echo's.
check_port() { # NAME ECHO_DEVICE SEND_DEVICE MTU [OPTION...]
  local name=$1 echo_device=$2 send_device=$3 mtu=$4 size
  shift 4
  if ! start_echo "$echo_device" "--mtu=$mtu" "$@"; then
    check "$name opens" false
    return
  fi
  for size in 60 $((mtu / 2)) $((mtu + 14)); do
    check "$name carries frames of $size bytes both ways" \
      send "$send_device" "--mtu=$mtu" "--size=$size" --count=1000 "$@"
  done
  stop_echo
  check "$name closes cleanly" test $? = 0
}

ip netns add "$namespace" || exit 1
in_namespace sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
for pair in 'v0 v1' 'w0 w1'; do
  read -r left right <<<"$pair"
  ip -n "$namespace" link add "$left" type veth peer name "$right"
  for device in "$left" "$right"; do
    in_namespace ethtool -K "$device" tx off tso off gso off gro off >/dev/null
    ip -n "$namespace" link set "$device" up
  done
done

check_port 'af_packet' af_packet:v0 af_packet:v1 1500
check_port 'af_packet with two queues' af_packet:v0 af_packet:v1 1500 --queues=2
check 'af_packet spreads flows over its queues' each_queue_received
check_port 'af_packet, jumbo' af_packet:v0 af_packet:v1 9000
check_port 'af_xdp' af_xdp:w0 af_packet:w1 1500
check_port 'memif' "memif:$work/m.sock,role=server" "memif:$work/m.sock" 1500 --hugepages
check_port 'memif after a restart, jumbo' \
  "memif:$work/m.sock,role=server" "memif:$work/m.sock" 9000 --hugepages
check_port 'memif on ordinary pages' "memif:$work/m.sock,role=server" "memif:$work/m.sock" 1500
check_port 'vhost and virtio_user' "vhost:$work/v.sock" "virtio_user:$work/v.sock" 1500 --hugepages
check_port 'virtio_user and vhost, jumbo' \
  "vhost:$work/v.sock" "virtio_user:$work/v.sock" 9000 --hugepages

# The tap's kernel end exists while the port does, and has another MAC address than the port.
check_tap() { # NAME MTU
  start_echo tap:pt0 "--mtu=$2" || {
    check "$1 opens" false
    return
  }
  ip -n "$namespace" link set pt0 up
  check "$1 carries frames both ways" \
    send af_packet:pt0 "--mtu=$2" "--size=$(($2 + 14))" --count=1000
  local kernel_mac
  kernel_mac=$(in_namespace cat /sys/class/net/pt0/address)
  stop_echo
  check "$1 closes cleanly" test $? = 0
  check "$1: the port's MAC address is not the kernel's" \
    test "$(grep -oE ' mac=[^ ]+' "$work/echo.log")" != " mac=$kernel_mac"
}
check_tap 'tap' 1500
start_echo tap:pt0 --mtu=9000
check 'a tap refuses the MTU that its driver cannot send' said echo 'more than the 1504'
wait "$echo_pid"
echo_pid=

# Links.
start_echo af_packet:v0 --state
check 'the link is up' link_state_becomes up
ip -n "$namespace" link set v1 down
check 'a link that goes down is seen' link_state_becomes down
ip -n "$namespace" link set v1 up
check 'a link that comes back is seen' link_state_becomes up
check 'it carries frames again' send af_packet:v1 --count=1000
stop_echo

# What cannot be opened.
send af_packet:nosuch0
check 'an interface that is not there is named' said send 'there is no network interface nosuch0$'
start_echo "memif:$work/m.sock,role=server" --hugepages
send "memif:$work/m.sock,role=server" --hugepages
check 'a socket on which another process listens is named' \
  said send "another process listens on $work/m.sock\$"
stop_echo
send "vhost:$work/no/dir/v.sock" --hugepages
check 'a socket in a folder that is not there is refused' said send 'there is no folder'
