#!/usr/bin/env bash
# Keys are renewed every 2 s under traffic, children and IKE SAs, by either side and by both at once,
# and no packet is lost by it: the gateway drops nothing, what one end sends arrives at the other, and
# the sequence numbers of every SA on the wire are continuous.
#
#   c1 ── net ── [penstockd] ── host
. "$(dirname "$0")/strongswan.sh"

cases=(child_gateway child_client child_both ike_gateway ike_client ike_both packets)
declare -A what=(
  [child_gateway]='the gateway renews children' [child_client]='the client renews children'
  [child_both]='both renew children at once' [ike_gateway]='the gateway renews the IKE SA'
  [ike_client]='the client renews the IKE SA' [ike_both]='both renew the IKE SA at once'
  [packets]='the gateway renews children every 500 packets'
)
times() { # CASE gateway|client: lines for connection and child
  local ike=0 child=0 packets=0
  case $1 in
    child_"$2" | child_both) child=2s ;;
    ike_"$2" | ike_both) ike=2s ;;
    packets) [[ $2 == client ]] || packets=500 ;;
  esac
  echo "rekey_time = $ike"
  [[ $ike == 0 ]] || echo 'over_time = 20s'
  echo "rand_time = 0"
  echo "children { net {"
  echo "rekey_time = $child"
  [[ $child == 0 ]] || echo 'life_time = 20s'
  echo "rand_time = 0"
  ((packets == 0)) || printf 'rekey_packets = 500\n life_packets = 100000\n rand_packets = 0\n'
}

topology 1
start_host
start_ike_gateway
start_strongswan c1 c1
load_gateway <<END
connections {
$(for case in "${cases[@]}"; do
  cat <<CONNECTION
  $case {
    pools = pool4, pool6
    local {
      auth = psk
      id = $case.gw.lab
    }
    remote {
      auth = psk
    }
    $(times $case gateway)
        local_ts = 10.8.0.0/24, fd00:8::/64
        esp_proposals = aes256gcm16-x25519
      }
    }
  }
CONNECTION
done)
}
pools {
  pool4 {
    addrs = 10.9.0.0/24
  }
  pool6 {
    addrs = fd00:9::/112
  }
}
secrets {
  ike-all {
    secret = "a secret for all"
  }
}
END
require load_swanctl c1 <<END
connections {
$(for case in "${cases[@]}"; do
  cat <<CONNECTION
  $case {
    remote_addrs = $gateway4
    vips = 0.0.0.0, ::
    local {
      auth = psk
      id = c1.lab
    }
    remote {
      auth = psk
      id = $case.gw.lab
    }
    $(times $case client)
        remote_ts = 10.8.0.0/24, fd00:8::/64
        esp_proposals = aes256gcm16-x25519
      }
    }
  }
CONNECTION
done)
}
secrets {
  ike-all {
    secret = "a secret for all"
  }
}
END

established_since() { # LINE child|ike: how many SAs the client's log tells of since LINE
  local pattern='CHILD_SA net\{[0-9]+\} established'
  [[ $2 == child ]] || pattern='IKE_SA [a-z_]+\[[0-9]+\] (established|rekeyed) between'
  tail -n +"$1" "$work/c1.log" | grep -Eo "$pattern" | sort -u | wc -l
}

for case in "${cases[@]}"; do
  title=${what[$case]}
  line=$(wc -l <"$work/c1.log")
  check_up "$title: up" c1 net --ike "$case" || continue
  capture net wan "$case.pcap" -s 128 'udp port 4500 or esp'
  spi=$(sa_value c1 initiator-spi)
  check_sequences "$title" 1 5
  rate=$(iperf 1 4 down 3 -b 20M | jq '.end.sum_received.bits_per_second / 1000 | floor')
  check "$title: TCP goes on ($rate of 20000 kbit/s)" at_least "${rate:-0}" 12000
  stop_captures
  if [[ $case == ike_* ]]; then
    count=$(established_since "$line" ike)
    check "$title: it was renewed ($count times)" at_least "$count" 3
    check "$title: it is another one now" test "$(sa_value c1 initiator-spi)" != "$spi"
  else
    count=$(established_since "$line" child)
    check "$title: they were renewed ($count times)" at_least "$count" 4
  fi
  check "$title: one IKE SA is left" wait_until 8 has_ike_sas gateway 1
  check "$title: one child is left" wait_until 8 has_children gateway 1
  check "$title: one child is left at the client" wait_until 8 has_children c1 1
  for sender in $gateway4 "$(client4 1)"; do
    read -r sas packets missing repeated < <(wire esp "$work/$case.pcap" "$sender")
    check "$title: numbers of $sender are continuous ($packets packets, $sas SAs)" \
      test "${packets:-0}" -ge 500 -a "${missing:-1}" -eq 0 -a "${repeated:-1}" -eq 0
  done
  rm "$work/$case.pcap"
  forget c1 gateway
  check_ike_nothing_lost "$title: the gateway lost nothing"
done
