#!/usr/bin/env bash
# The ends of IKE SAs, and what comes after: reauthentication, deletion by either side, clients that
# die, a gateway that stops or dies. Clear text shows outside at no moment.
#
#   c1 (a client that dies) ──────────────────┐
#   c2 (a site, 10.20.2.0/24, fd00:20:2::/64) ┴── net ── [penstockd] ── host
. "$(dirname "$0")/strongswan.sh"

topology 2
start_host
# A dead peer is noticed after a dpd_delay and about 4 s.
ipsec_extra=$(printf 'retransmit_timeout_ms = 500\nretransmit_base = 1.5\nretransmit_tries = 3\n')
reference_extra=$(printf 'retransmit_timeout = 0.5\n  retransmit_tries = 3\n')
start_ike_gateway
site 2
start_strongswan c1 c1
start_strongswan c2 c2 'make_before_break = yes'
psk() { # LOCAL_ID REMOTE_ID
  printf 'local {\n auth = psk\n id = %s\n}\n remote {\n auth = psk\n id = %s\n}\n' "$1" "$2"
}
secrets='secrets {
  ike-all {
    secret = "a secret for all"
  }
}'
road='children { net { local_ts = 10.8.0.0/24, fd00:8::/64
  esp_proposals = aes256gcm16'
load_gateway_conf() {
  load_gateway <<END
connections {
  road {
    pools = pool4, pool6
    dpd_delay = 2s
    $(psk road.gw.lab %any)
    $road } }
  }
  reauth {
    pools = pool4, pool6
    reauth_time = 4s
    over_time = 20s
    rand_time = 0
    $(psk reauth.gw.lab %any)
    $road } }
  }
  site {
    remote_addrs = $(client4 2)
    mobike = no
    dpd_delay = 2s
    keyingtries = 0
    $(psk site.gw.lab site.lab)
    children {
      site {
        local_ts = 10.8.0.0/24, fd00:8::/64
        remote_ts = 10.20.2.0/24, fd00:20:2::/64
        esp_proposals = aes256gcm16
        start_action = trap
        dpd_action = restart
        close_action = start
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
$secrets
END
}
# (With MOBIKE, a site that died is looked for at each of its addresses, inside ones too.)
# Connections of a road warrior: as it likes, with reauthentication by itself, by the gateway's wish.
road_conf() { # ID
  local name
  echo 'connections {'
  for name in road own reauth; do
    cat <<END
  $name {
    remote_addrs = $gateway4
    vips = 0.0.0.0, ::
    $([[ $name == own ]] && echo 'reauth_time = 3s')
    $([[ $name == reauth ]] || echo 'over_time = 20s')
    $([[ $name == reauth ]] && echo 'over_time = 1s')
    rand_time = 0
    $(psk "$1" "${name/own/road}.gw.lab")
    children {
      net {
        remote_ts = 10.8.0.0/24, fd00:8::/64
        esp_proposals = aes256gcm16
      }
    }
  }
END
  done
  cat <<END
  site {
    remote_addrs = $gateway4
    mobike = no
    $(psk site.lab site.gw.lab)
    children {
      site {
        local_ts = 10.20.2.0/24, fd00:20:2::/64
        remote_ts = 10.8.0.0/24, fd00:8::/64
        esp_proposals = aes256gcm16
      }
    }
  }
}
$secrets
END
}
load_gateway_conf
for n in 1 2; do require load_swanctl c$n < <(road_conf c$n.lab); done
capture net wan wire.pcap -s 128

# c1 breaks before it makes, as a strongSwan does that nobody told otherwise; c2 makes before it
# breaks.
for connection in own reauth; do
  [[ $connection == own ]] && who='by the client' || who="by the gateway's wish"
  for n in 1 2; do
    ((n == 1)) && scenario="reauthentication $who, break before make" most=15
    ((n == 2)) && scenario="reauthentication $who, make before break" most=1
    check_up "$scenario: up" c$n net --ike $connection || continue
    spi=$(sa_value c$n initiator-spi) address=$(virtual4 c$n)
    start_pings c$n 10.8.0.2 6
    check_pings "$scenario: traffic goes on" "$most"
    check "$scenario: it is another IKE SA" wait_until 3 is_renewed c$n initiator-spi "$spi"
    check "$scenario: the address is the same" test "$(virtual4 c$n)" = "$address"
    forget c$n gateway
  done
done

check_up 'the gateway ends a child: up' c1 net --ike road
check 'the gateway ends a child' swanctl_in gateway --terminate --child net --timeout 10
check 'the client lost the child' wait_until 5 has_children c1 0
check 'the client kept the IKE SA' has_ike_sas c1 1
check_up 'the client makes a new one' c1 net --ike road
check 'it works' ping_from c1 10.8.0.2
check 'the client ends a child' swanctl_in c1 --terminate --child net --timeout 10
check 'the gateway lost the child' wait_until 5 has_children gateway 0
check 'the gateway kept the IKE SA' has_ike_sas gateway 1
check 'the gateway ends the IKE SA' terminate gateway road
check 'nothing is left of it' wait_until 5 no_sas c1

check_up 'a dead client: up' c1 net --ike road
mark_log
kill_strongswan c1
check 'a dead client is noticed' wait_until 40 no_sas gateway
check_gateway_says 'the gateway says so' 'dead|no answer|not answer|gave up|timed? ?out|unreachable'
check 'its lease is free' eval "swanctl_in gateway --list-pools | grep -Eq 'pool4 .* 0 / [0-9]+ / [0-9]+'"
start_strongswan c1 c1
require load_swanctl c1 < <(road_conf c1.lab)
check_up 'it comes back' c1 net --ike road
check 'and works' ping_from c1 10.8.0.2
forget c1 gateway

# A trap policy: the host's first packet starts the tunnel.
check 'nothing is up to the site' no_sas gateway
# A strongSwan with ESP in user space has none.
reference_gateway && initiate gateway site
check 'the host reaches the site' wait_until 10 ping_from host 10.20.2.1
check 'by the tunnel of the trap policy' has_children c2 1
check 'and by IPv6' ping_from host fd00:20:2::1
spi=$(sa_value gateway spi-in)
check 'close_action = start: the site ends the child' \
  swanctl_in c2 --terminate --child site --timeout 10
check 'the gateway makes a new one' wait_until 10 is_renewed gateway spi-in "$spi"
check 'it works' ping_from host 10.20.2.1
kill_strongswan c2
daemon host ping.log ping -q -i 0.05 10.20.2.1
sleep 8
site_pings=$daemon_pid
start_strongswan c2 c2
require load_swanctl c2 < <(road_conf c2.lab)
check 'dpd_action = restart: the gateway comes back to a site that died' \
  wait_until 60 has_children c2 1
check 'and reaches it' wait_until 5 ping_from host 10.20.2.1
kill -INT "$site_pings"

if ! reference_gateway; then
  daemon host ping.log ping -q -i 0.05 10.20.2.1
  daemon host ping.log ping -q -i 0.05 fd00:20:2::1
  check_up 'a client' c1 net --ike road
  kill -KILL "$gateway_pid"
  wait "$gateway_pid" 2>/dev/null
  gateway_pid=
  sleep 1
fi
stop_captures
check 'no clear text was on the outside at any moment' test "$(wire cleartext "$work/wire.pcap")" = 0
reference_gateway && exit

in_ns host pkill -x ping
rm -f "$work/gateway.vici"
forget c1 c2
start_ike_gateway
load_gateway_conf
check_up 'after kill -9: the gateway serves clients again' c1 net --ike road
check 'and reaches the site' wait_until 10 ping_from host 10.20.2.1
stop_penstockd
check "exit status 0 after SIGTERM ($stop_status)" test "$stop_status" = 0
check "it stops within two seconds ($stop_ms ms)" at_most "$stop_ms" 2000
check 'the client was told' wait_until 3 no_sas c1
check 'the socket is gone' test ! -e "$work/gateway.vici"
