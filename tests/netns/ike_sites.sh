#!/usr/bin/env bash
# Sites: several networks in one child, children for one protocol and port, a tunnel that begins when
# it is loaded, selectors that the sites narrow, shunts, and a site that is reached by a route.
#
#                       ┌── c1: 10.20.1.0/24, 10.21.1.0/24, fd00:20:1::/64 (policies)
#   host ── [penstockd] ┼── c2: 10.20.2.0/24 (a route into the interface `sites`, if_id 42)
#                       └── c3: 10.20.3.0/24 of the 10.20.0.0/16 that it is asked for
. "$(dirname "$0")/strongswan.sh"

topology 3
start_host
# Clear packets may leave outside: only policies and the route keep them in.
outside_extra='forward = plain'
write_penstock_conf
sed -i 's/^\[route\]/&\nroute = 10.20.2.0\/24 interface sites\nroute = 10.21.2.0\/24 interface sites/' "$work/penstock.conf"
ipsec_extra=$(printf '\n[ipsec.sites]\nif_id = 42\naddress = 10.255.0.1/30\n')
start_ike_gateway
for n in 1 2 3; do
  site $n
  start_strongswan c$n c$n
done
psk() { # LOCAL_ID REMOTE_ID
  printf 'local {\n auth = psk\n id = %s\n}\n remote {\n auth = psk\n id = %s\n}\n' "$1" "$2"
}
secrets='secrets {
  ike-all {
    secret = "a secret for all"
  }
}'
require load_swanctl c1 <<END
connections {
  gw {
    remote_addrs = $gateway4
    $(psk c1.lab gw1.lab)
    children {
      networks {
        local_ts = 10.20.1.0/24, 10.21.1.0/24, fd00:20:1::/64
        remote_ts = 10.8.0.0/24, fd00:8::/64
        esp_proposals = aes128gcm16
      }
    }
  }
  port {
    remote_addrs = $gateway4
    $(psk c1.lab port.lab)
    children {
      iperf {
        local_ts = 10.21.1.0/24[tcp]
        remote_ts = 10.8.0.0/24[tcp/5201]
        esp_proposals = aes128gcm16
      }
    }
  }
}
$secrets
END
for n in 2 3; do
  require load_swanctl c$n <<END
connections {
  gw {
    remote_addrs = $gateway4
    $(psk c$n.lab gw$n.lab)
    children {
      networks {
        local_ts = 10.20.$n.0/24
        remote_ts = 10.8.0.0/24
        esp_proposals = aes128gcm16
      }
    }
  }
}
$secrets
END
done
load_gateway <<END
connections {
  site1 {
    remote_addrs = $(client4 1)
    $(psk gw1.lab c1.lab)
    children {
      site1 {
        local_ts = 10.8.0.0/24, fd00:8::/64
        remote_ts = 10.20.1.0/24, 10.21.1.0/24, fd00:20:1::/64
        esp_proposals = aes128gcm16
      }
    }
  }
  port {
    remote_addrs = $(client4 1)
    $(psk port.lab c1.lab)
    children {
      port {
        local_ts = 10.8.0.0/24[tcp/5201]
        remote_ts = 10.21.1.0/24[tcp]
        esp_proposals = aes128gcm16
      }
    }
  }
  site2 {
    remote_addrs = $(client4 2)
    $(psk gw2.lab c2.lab)
    children {
      site2 {
        local_ts = 0.0.0.0/0
        remote_ts = 0.0.0.0/0
        $(reference_gateway || printf 'if_id_in = 42\n if_id_out = 42')
        esp_proposals = aes128gcm16
      }
    }
  }
  site3 {
    remote_addrs = $(client4 3)
    $(psk gw3.lab c3.lab)
    children {
      site3 {
        local_ts = 10.8.0.0/16
        remote_ts = 10.20.0.0/16
        esp_proposals = aes128gcm16
        start_action = start
      }
    }
  }
  shunts {
    children {
      discarded {
        local_ts = 10.8.0.0/24
        remote_ts = 10.66.0.0/16
        mode = drop
        start_action = trap
      }
      excepted {
        local_ts = 10.8.0.0/24
        remote_ts = 10.21.1.128/25
        mode = pass
        start_action = trap
      }
    }
  }
}
$secrets
END

check 'start_action = start: the tunnel is up' wait_until 20 has_children c3 1
check 'the networks are narrowed to what both have' \
  eval "sas gateway | grep -q 'remote *10.20.3.0/24' && sas gateway | grep -q 'local *10.8.0.0/24'"
check 'the site reaches the host' ping_from c3 10.8.0.2 -I 10.20.3.1
check 'the host reaches the site' ping_from host 10.20.3.1

check_up 'several networks in one child' gateway site1
check 'one child carries them all' has_children c1 1
for target in 10.20.1.1 10.21.1.1 fd00:20:1::1; do
  check "the host reaches $target" ping_from host $target
done
check 'a site reaches the host from its second network' ping_from c1 10.8.0.2 -I 10.21.1.1
check 'and by IPv6' ping_from c1 fd00:8::2 -I fd00:20:1::1
check_traffic 'several networks' 1 4

pols() { swanctl_in gateway --list-pols; }
check 'the shunts are listed' eval 'pols | grep -q "discarded.*DROP" && pols | grep -q "excepted.*PASS"'
if ! reference_gateway; then
  capture net wan shunts.pcap -s 128
  ping_from host 10.66.0.1 -W 1
  stop_captures
  check 'what is to be discarded is not on the wire' test "$(wire cleartext "$work/shunts.pcap")" = 0
  capture net wan excepted.pcap -s 128
  ping_from host 10.21.1.200 -W 1
  stop_captures
  check 'what is excepted goes in clear' test "$(wire cleartext "$work/excepted.pcap")" -ge 1
fi
check 'a shunt is uninstalled' swanctl_in gateway --uninstall --child excepted
check 'and listed no more' eval '! pols | grep -q excepted'
check 'it is installed again' swanctl_in gateway --install --child excepted
check 'and listed' eval 'pols | grep -q "excepted.*PASS"'
terminate gateway site1

check_up 'one port only' gateway port
check 'TCP to that port' at_least \
  "$(iperf 1 4 up 1 -B 10.21.1.1 | jq '.end.sum_received.bits_per_second / 1000 | floor')" 1000
check 'and nothing else' eval '! ping_from c1 10.8.0.2 -W 1 -I 10.21.1.1'
terminate gateway port

if ! reference_gateway; then
  check_up 'route-based: up' gateway site2
  check 'route-based: the host reaches the site' ping_from host 10.20.2.1
  check 'route-based: the site reaches the host' ping_from c2 10.8.0.2 -I 10.20.2.1
  check 'route-based: TCP' at_least \
    "$(iperf 2 4 up 1 -B 10.20.2.1 | jq '.end.sum_received.bits_per_second / 1000 | floor')" 1000
  check_ike_nothing_lost 'the gateway lost nothing'
  capture net wan routed.pcap -s 128
  ping_from host 10.21.2.1 -W 1
  terminate gateway site2
  ping_from host 10.20.2.1 -W 1
  stop_captures
  check 'route-based: what no child is for does not go in clear' \
    test "$(wire cleartext "$work/routed.pcap")" = 0
fi
check 'the other site is still there' ping_from host 10.20.3.1
check 'and never went away' test "$(grep -c 'CHILD_SA.*established' "$work/c3.log")" = 1
