#!/usr/bin/env bash
# WireGuard and IKEv2 at once, on the same ports and on two workers, all under traffic; clients of the
# one reach clients of the other through the gateway.
#
#   c1 ──WireGuard──┐
#   c2 ──IKEv2─────┼── net ── [penstockd: workers = 2] ── host
#   c3 ──IKEv2/v6──┘
. "$(dirname "$0")/strongswan.sh"

topology 3
workers=2
start_host
start_ike_gateway
# It wants an address in each network that it serves.
reference_gateway && in_ns gw ip address add 10.9.0.254/32 dev lo
load_gateway <<END
connections {
  road {
    local_addrs = $gateway4, $gateway6
    pools = pool4, pool6
    local {
      auth = psk
      id = gw.lab
    }
    remote {
      auth = psk
    }
    children {
      net {
        local_ts = 10.7.0.0/24, 10.8.0.0/24, 10.9.0.0/24, fd00:7::/64, fd00:8::/64
        esp_proposals = aes256gcm16-chacha20poly1305
      }
    }
  }
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
start_client 1 4 'AllowedIPs = 10.9.0.0/24, fd00:9::/112'
in_ns c1 ip route add 10.9.0.0/24 dev "$(client_device 1)"
in_ns c1 ip route add fd00:9::/112 dev "$(client_device 1)"
for n in 2 3; do
  start_strongswan c$n c$n
  require load_swanctl c$n <<END
connections {
  gw {
    remote_addrs = $([[ $n == 2 ]] && echo $gateway4 || echo $gateway6)
    vips = 0.0.0.0, ::
    local {
      auth = psk
      id = c$n.lab
    }
    remote {
      auth = psk
      id = gw.lab
    }
    children {
      net {
        remote_ts = 10.7.0.0/24, 10.8.0.0/24, 10.9.0.0/24, fd00:7::/64, fd00:8::/64
        esp_proposals = $([[ $n == 2 ]] && echo aes256gcm16 || echo chacha20poly1305)
      }
    }
  }
}
secrets {
  ike-all {
    secret = "a secret for all"
  }
}
END
  check_up "client $n, IKEv2" c$n net
done
capture net wan wire.pcap -s 128
for n in 1 2 3; do
  check_traffic "client $n" $n 4
  check "client $n: the host answers by IPv6" ping_host $n 6
done

# All at once.
pids=()
for n in 1 2 3; do
  iperf $n 4 up 4 -b 20M >"$work/at-once.$n" &
  pids+=($!)
done
wait "${pids[@]}"
for n in 1 2 3; do
  rate=$(jq '.end.sum_received.bits_per_second / 1000 | floor' "$work/at-once.$n")
  check "client $n, all at once ($rate of 20000 kbit/s)" at_least "${rate:-0}" 8000
done

vip2=$(virtual4 c2) vip3=$(virtual4 c3)
check 'WireGuard reaches IKEv2' ping_from c1 "$vip2"
check 'WireGuard reaches IKEv2 that comes over IPv6' ping_from c1 "$vip3"
check 'WireGuard reaches IKEv2 by inner IPv6' ping_from c1 "$(virtual6 c2)"
check 'IKEv2 reaches WireGuard' ping_from c2 10.7.0.11
check 'IKEv2 reaches WireGuard by inner IPv6' ping_from c3 fd00:7::11
check 'IKEv2 reaches IKEv2' ping_from c2 "$vip3"
daemon c2 iperf3.c2.log iperf3 -s -p 5201
wait_until 5 eval "in_ns c2 ss -Hltn 'sport = :5201' | grep -q ."
for direction in up down; do
  check "TCP $direction between WireGuard and IKEv2" at_least \
    "$(server4=$vip2 iperf_tcp 1 4 $direction 1)" 1000
done
# The tunnels differ in their MTU: the sender is told.
check 'large packets pass from one tunnel into the other' ping_from c1 "$vip2" -s 1380 -c 4 -i 0.3
check 'WireGuard still has its session' at_least "$(client_handshake 1)" 1
check 'IKEv2 still has its SAs' has_ike_sas gateway 2
stop_captures
check 'no clear text was on the outside' test "$(wire cleartext "$work/wire.pcap")" = 0
check_ike_nothing_lost 'the gateway lost nothing'
