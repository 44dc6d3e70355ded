#!/usr/bin/env bash
# One laboratory for bench/sets/namespaces.py: a client, a gateway and a host in network namespaces,
# with one of two gateways in the middle. Clients, cables and iperf3 are those of tests/netns.
#
#   c1 (wireguard-go or strongSwan) ── net ── [the gateway that is measured] ── host (iperf3 -s)
#
#   bench/sets/namespaces.sh wireguard penstock|wireguard-go
#   bench/sets/namespaces.sh ike       penstock|strongswan
#
# Says `ready` when the tunnel is up, then takes commands from standard input and answers each with a
# line of JSON: `up SECONDS` and `down SECONDS` send TCP from the client to the host and back, `pause`
# and `resume` stop the gateway and let it go on, so that it takes nothing while another one is
# measured. The end of standard input ends the laboratory, and nothing of it is left.
protocol=${1-} server=${2-}
[[ $server == penstock ]] || export PENSTOCK_TEST_GATEWAY=$server
# shellcheck source=../../tests/netns/strongswan.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tests/netns/strongswan.sh"
# Both gateways run as the machine's scheduler likes: no priority for one of them.
# shellcheck disable=SC2034  # for lab.sh
gateway_prefix=()

connection() { # LOCAL_ID REMOTE_ID LINE...: one connection with a pre-shared key
  cat <<END
connections {
  home {
    proposals = aes256gcm16-prfsha256-x25519
    $3
    local {
      auth = psk
      id = $1
    }
    remote {
      auth = psk
      id = $2
    }
    children {
      net {
        esp_proposals = aes128gcm16
        $4
      }
    }
  }
}
secrets {
  ike-1 {
    id = c1.lab
    secret = "of the laboratory"
  }
}
END
}

start_wireguard() {
  start_penstockd
  start_client 1 4
}

start_ike() {
  start_ike_gateway
  load_gateway < <(connection gw.lab c1.lab 'pools = rw4' 'local_ts = 10.8.0.0/24'
    printf 'pools {\n  rw4 {\n    addrs = 10.9.0.0/24\n  }\n}\n')
  start_strongswan c1 c1
  require load_swanctl c1 < <(connection c1.lab gw.lab "local_addrs = $(client4 1)
    remote_addrs = $gateway4
    vips = 0.0.0.0" 'remote_ts = 10.8.0.0/24')
  require initiate c1 net
}

# User and system time of the gateway, all its threads, in clock ticks.
gateway_ticks() { awk '{ print $14 + $15 }' "/proc/$gateway_pid/stat"; }

measure() { # up|down SECONDS
  local ticks json
  # The session may be old, and routes are found anew.
  ping_host 1 4 </dev/null || {
    echo '{"error": "the host does not answer through the tunnel"}'
    return
  }
  ticks=$(gateway_ticks)
  json=$(iperf 1 4 "$1" "$2" </dev/null)
  ticks=$(($(gateway_ticks) - ticks))
  jq -c --argjson ticks "$ticks" --argjson hertz "$(getconf CLK_TCK)" '
    if .error then { error } else
      { mbit_s: (.end.sum_received.bits_per_second / 1e6), gateway_cpu_s: ($ticks / $hertz),
        retransmits: (.end.sum_sent.retransmits // 0) }
    end' <<<"$json"
}

case $protocol/$server in
  wireguard/penstock | wireguard/wireguard-go | ike/penstock | ike/strongswan) ;;
  *)
    sed -n '2,/^protocol/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
    ;;
esac
topology 1
start_host
"start_$protocol"
require ping_host 1 4 </dev/null
echo ready
while read -r command seconds; do
  case $command in
    up | down) measure "$command" "$seconds" ;;
    pause) kill -STOP "$gateway_pid" && echo '{}' ;;
    resume) kill -CONT "$gateway_pid" && echo '{}' ;;
  esac
done
