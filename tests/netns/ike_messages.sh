#!/usr/bin/env bash
# IKE messages of unusual size or circumstance: fragments in both directions for long chains of
# certificates, the same without fragmentation, lost messages, cookies, groups guessed wrong, a
# client that begins on port 4500, and one that wants no child.
#
#   c1 ── net (loses what it is told to) ── [penstockd: cookie_threshold = 0]
. "$(dirname "$0")/strongswan.sh"

topology 1
make_ca ca rsa
# Each side knows its own chain and the root alone.
for side in gw c1; do
  issuer=ca
  for n in 1 2 3; do
    make_intermediate_ca $side-$n $issuer rsa
    issuer=$side-$n
  done
done
make_certificate gw.lab gw-3 rsa --flag serverAuth
make_certificate c1.lab c1-3 rsa --flag clientAuth
start_host
ipsec_extra='cookie_threshold = 0'
# A packet socket shows no fragments of IPv4.
tap_outside
start_ike_gateway
reference_gateway || bridge_tap
give_ca gateway ca gw-1 gw-2 gw-3
give_certificate gateway gw.lab
load_gateway <<END
connections {
  gw {
    local_addrs = $gateway4, $gateway6
    proposals = aes256gcm16-prfsha384-ecp384-ecp521
    pools = pool4
    send_cert = always
    local {
      auth = pubkey
      certs = gw.lab.pem
      id = gw.lab
    }
    remote {
      auth = pubkey
      cacerts = ca.pem
    }
    children {
      net {
        local_ts = 10.8.0.0/24
        esp_proposals = aes256gcm16-ecp384
      }
    }
  }
}
pools {
  pool4 {
    addrs = 10.9.0.0/24
  }
}
END
# It repeats itself more often, so that luck does not decide below.
start_strongswan c1 c1 'retransmit_base = 1.2' 'retransmit_tries = 10'
give_ca c1 ca c1-1 c1-2 c1-3
give_certificate c1 c1.lab
client() { # NAME [LINE...]
  cat <<END
  $1 {
    remote_addrs = $gateway4
    proposals = aes256gcm16-prfsha384-ecp384
    vips = 0.0.0.0
$(printf '    %s\n' "${@:2}")
    local {
      auth = pubkey
      certs = c1.lab.pem
      id = c1.lab
    }
    remote {
      auth = pubkey
      id = gw.lab
    }
    children {
      net {
        remote_ts = 10.8.0.0/24
        esp_proposals = aes256gcm16-ecp384
      }
    }
  }
END
}
require load_swanctl c1 <<END
connections {
$(client plain)
$(client six "remote_addrs = $gateway6")
$(client whole 'fragmentation = no')
$(client guess 'proposals = aes256gcm16-prfsha384-x25519-ecp521')
$(client port 'local_port = 4500' 'remote_port = 4500')
$(client childless 'childless = force')
}
END
heard() { grep -Eq -- "$1" "$work/c1.initiate.log"; }

for connection in plain six; do
  scenario="a long chain over IPv$([[ $connection == six ]] && echo 6 || echo 4)"
  check_up "$scenario: up" c1 net --ike $connection
  check "$scenario: the client sends fragments" heard 'generating IKE_AUTH request 1 \[ EF\(1/[3-9]\)'
  check "$scenario: the gateway sends fragments" heard 'parsed IKE_AUTH response 1 \[ EF\(1/[3-9]\)'
  reference_gateway || check "$scenario: the client had to show a cookie" heard 'IKE_SA_INIT response 0 \[ N\(COOKIE\) \]'
  check "$scenario: it works" ping_from c1 10.8.0.2
  forget c1 gateway
done

check_up 'without fragmentation: up' c1 net --ike whole
check 'without fragmentation: IP did it' not heard 'EF\('
check 'without fragmentation: it works' ping_from c1 10.8.0.2
forget c1 gateway

check_up 'a group that the gateway does not take: up' c1 net --ike guess
check 'a group that the gateway does not take: it names another' heard 'IKE_SA_INIT response 0 \[ N\(INVAL_KE\)'
check 'a group that the gateway does not take: it works' ping_from c1 10.8.0.2
forget c1 gateway

check_up 'a client that begins on port 4500: up' c1 net --ike port
check 'a client that begins on port 4500: never used 500' not heard '192.0.2.1\[500\]'
check 'a client that begins on port 4500: it works' ping_from c1 10.8.0.2
forget c1 gateway

check_up 'childless: up, and the child after it' c1 net --ike childless
check 'childless: the child came in an exchange of its own' heard 'parsed CREATE_CHILD_SA response'
check 'childless: it works' ping_from c1 10.8.0.2
forget c1 gateway

# A quarter of all IKE messages is lost, either way. Both their ports are the same: only addresses
# tell the ways apart, and each message is to be drawn once.
for way in "ip daddr $gateway4" "ip saddr $gateway4"; do
  losses+=("$way udp dport 500 numgen random mod 4 < 1 drop"
    "$way udp dport 4500 @th,64,32 0 numgen random mod 4 < 1 drop")
done
disturb "${losses[@]}"
initiate_timeout=90 swanctl_timeout=100 check_up 'with a quarter of all messages lost: up' c1 net --ike plain
spi=$(sa_value c1 responder-spi)
check 'with a quarter of all messages lost: the keys are renewed' \
  swanctl_in c1 --rekey --ike plain
check 'with a quarter of all messages lost: to others' wait_until 40 is_renewed c1 responder-spi "$spi"
disturb
check 'with a quarter of all messages lost: it works' ping_from c1 10.8.0.2
check 'and one IKE SA is left' wait_until 30 has_ike_sas gateway 1
check_ike_nothing_lost 'the gateway lost nothing'
