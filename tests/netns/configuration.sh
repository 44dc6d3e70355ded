#!/usr/bin/env bash
# Mistakes in the configuration: each is named with file, line and key, and nothing changes. What the
# machine lacks is one sentence.
#
#   [penstockd]
. "$(dirname "$0")/lib.sh"

topology 1
start_penstockd
start_host
start_client 1
check_traffic 'before' 1 4
try() { # penstockd with this configuration: prints what it says, returns its status
  in_ns gw timeout 20 "$build/gateway/app/penstockd" --config "$@" 2>&1
}
good=$work/penstock.conf
variant() { # NAME SED_EXPRESSION...: a changed copy, whose sockets are its own
  local name=$1 arguments=()
  shift
  for expression; do arguments+=(-e "$expression"); done
  sed "${arguments[@]}" -e "s|$work/run|$work/run.$name|" -e "s|file_prefix = .*|&$name|" \
    -e "s|$wg_gateway|${wg_gateway}v|" "$good" >"$work/$name.conf"
  mkdir -p "$work/run.$name"
  echo "$work/$name.conf"
}

check 'the good one passes --check' try "$good" --check
bad=$(variant bad 's/^workers = 1/workers = none/' 's/^role = inside/role = sideways/' \
  's|^address = 10.8.0.1/24|address = 10.8.0.1/33|' 's/^idle = sleep/iddle = sleep/')
said=$(try "$bad" --check)
check 'a bad one does not' test $? != 0
for key in workers role address iddle; do
  line=$(grep -n -m 1 -E "$key = (none|sideways|sleep|10.8.0.1/33)" "$bad" | cut -d: -f1)
  check "the mistake in '$key' is named with its line" grep -qE "bad.conf:$line:.*$key" <<<"$said"
done
try "$bad" >/dev/null
check 'the daemon refuses it too' test $? != 0

sentence() { # NAME WORDS SED_EXPRESSION...
  local said status
  said=$(try "$(variant "$1" "${@:3}")")
  status=$?
  check "$1: exits with an error ($status)" test $status != 0 -a $status != 124
  check "$1: says so" grep -qiE "$2" <<<"$said"
}
sentence 'missing-port' 'nosuch' 's/af_packet:outside/af_packet:nosuch/'
sentence 'missing-cpu' 'cpu|lcore' '1i lcores = 900'
sentence 'huge-memory' 'huge|memory' 's/^file_prefix.*/&\nmemory_mb = 900000\nhugepages = yes/'
sentence 'duplicate-address' '192.0.2.1' 's|^address = 10.8.0.1/24|address = 192.0.2.1/24|'
sed '/^ListenPort/a PostUp = iptables -A FORWARD -j ACCEPT' "$work/wg.conf" >"$work/hook.conf"
sentence 'wg-hook' 'PostUp' "s|^file = .*|file = $work/hook.conf|"

check_traffic 'after all these' 1 4
