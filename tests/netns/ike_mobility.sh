#!/usr/bin/env bash
# Clients move under traffic: to another address and another family (MOBIKE), and, without MOBIKE,
# behind a NAT that gives them another port.
#
#   c1 (100.64.1.2, .3; 2001:db8:1::2) ──┐
#                                        ├── net (NAT for c2) ── [penstockd] ── host
#   c2 (192.0.2.200:4000, :5000) ────────┘
. "$(dirname "$0")/strongswan.sh"

topology 2
start_host
in_ns c1 sysctl -qw net.ipv4.conf.all.promote_secondaries=1
in_ns c1 ip address add 100.64.1.3/24 dev wan
start_ike_gateway
start_strongswan c1 c1
start_strongswan c2 c2
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
        local_ts = 10.8.0.0/24, fd00:8::/64
        esp_proposals = aes256gcm16
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
for n in 1 2; do
  require load_swanctl c$n <<END
connections {
  gw {
    remote_addrs = $gateway4
    mobike = $([[ $n == 1 ]] && echo yes || echo no)
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
        remote_ts = 10.8.0.0/24, fd00:8::/64
        esp_proposals = aes256gcm16
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
done
sees_peer() { [[ " $(sa_values gateway remote-host | tr '\n' ' ') " == *" $1 "* ]]; }

check_up 'MOBIKE: up' c1 net
spi=$(sa_value c1 initiator-spi)
check 'MOBIKE: the gateway sees the first address' sees_peer 100.64.1.2
start_pings c1 10.8.0.2
sleep 1
in_ns c1 ip address delete 100.64.1.2/24 dev wan
check 'MOBIKE: the gateway follows to the second address' wait_until 10 sees_peer 100.64.1.3
check_pings 'MOBIKE: traffic goes on' 30
check_traffic 'MOBIKE: after the move' 1 4
check 'MOBIKE: it is the same IKE SA' test "$(sa_value c1 initiator-spi)" = "$spi"

start_pings c1 10.8.0.2
sleep 1
in_ns c1 ip address delete 100.64.1.3/24 dev wan
check 'MOBIKE: the gateway follows to IPv6' wait_until 15 sees_peer "$(client6 1)"
check_pings 'MOBIKE: traffic goes on' 60
check_traffic 'MOBIKE: over IPv6' 1 4
check 'MOBIKE: the host reaches the client' ping_from host "$(virtual4 c1)"

in_ns c1 ip address add 100.64.1.2/24 dev wan
in_ns c1 ip route replace default via 100.64.1.1
in_ns c1 ip address delete "$(client6 1)/64" dev wan
check 'MOBIKE: the gateway follows back to IPv4' wait_until 15 sees_peer 100.64.1.2
check 'MOBIKE: the host answers' ping_from c1 fd00:8::2
check 'MOBIKE: it is still the same IKE SA' test "$(sa_value c1 initiator-spi)" = "$spi"

nat_ike 2 4000
check_up 'NAT: up' c2 net
check 'NAT: the gateway sees the router' sees_peer 192.0.2.200
start_pings c2 10.8.0.2
sleep 1
nat_ike 2 5000
# Penstock follows ESP; a strongSwan of this kind in its place follows IKE alone.
reference_gateway && quietly swanctl_in c2 --rekey --ike gw
reference_gateway || check_pings 'NAT: traffic survives another port' 20
check 'NAT: the gateway lists it' wait_until 5 eval "sa_values gateway remote-port | grep -qx 5001"
reference_gateway || check 'NAT: the host reaches the client' ping_from host "$(virtual4 c2)"
reference_gateway || check_traffic 'NAT: after the change' 2 4
check 'NAT: the client can end it' terminate c2 gw
check_ike_nothing_lost 'the gateway lost nothing'
