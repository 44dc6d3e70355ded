#!/usr/bin/env bash
# The gateway in the hands of an unmodified swanctl: every listing while tunnels are up, renewal and
# termination by hand, streams, and reloads that change what changed and leave the rest alone.
#
#   c1 (rsa) ──┐
#   c2 (psk) ──┴── net ── [penstockd] ── host
. "$(dirname "$0")/strongswan.sh"

topology 2
make_gateway_pki rsa
make_certificate c1.lab ca ecdsa256 --flag clientAuth
start_host
start_ike_gateway
give_ca gateway ca
give_certificate gateway rsa.gw.lab
# swanctl takes it literally, so this is what one reloads with changes.
conf() { # [LINES_OF_CONNECTION_PSK] [MORE_CONNECTIONS]
  cat <<END
connections {
  rsa {
    pools = pool4, pool6
    local {
      auth = pubkey
      certs = rsa.gw.lab.pem
      id = rsa.gw.lab
    }
    remote {
      auth = pubkey
      cacerts = ca.pem
    }
    children {
      rsa-net {
        local_ts = 10.8.0.0/24, fd00:8::/64
        esp_proposals = aes256gcm16-x25519
      }
    }
  }
  psk {
    pools = pool4
    ${1-}
    local {
      auth = psk
      id = psk.gw.lab
    }
    remote {
      auth = psk
      id = c2.lab
    }
    children {
      psk-net {
        local_ts = 10.8.0.0/24
        esp_proposals = aes128-sha256-ecp256
      }
    }
  }
  trap {
    remote_addrs = 203.0.113.9
    local {
      auth = psk
      id = psk.gw.lab
    }
    remote {
      auth = psk
    }
    children {
      trap-net {
        local_ts = 10.8.0.0/24
        remote_ts = 10.77.0.0/16
        start_action = trap
      }
    }
  }
  ${2-}
}
pools {
  pool4 {
    addrs = 10.9.0.0/24
  }
  pool6 {
    addrs = fd00:9::/112
  }
}
authorities {
  laboratory {
    cacert = ca.pem
    crl_uris = http://127.0.0.1:9/ca.crl
  }
}
secrets {
  ike-c2 {
    id-1 = c2.lab
    id-2 = psk.gw.lab
    secret = "a secret"
  }
  eap-carol {
    id = carol
    secret = "a password"
  }
}
END
}
load_gateway < <(conf)
for n in 1 2; do
  start_strongswan c$n c$n
  give_ca c$n ca
done
give_certificate c1 c1.lab
client() { # WAY ID LOCAL_LINES
  cat <<END
connections {
  gw {
    remote_addrs = $gateway4
    vips = 0.0.0.0$([[ $1 == rsa ]] && echo ', ::')
    local {
      id = $2
$(printf '      %s\n' "${@:3}")
    }
    remote {
      auth = ${1/rsa/pubkey}
      id = $1.gw.lab
    }
    children {
      net {
        remote_ts = 10.8.0.0/24, fd00:8::/64
        esp_proposals = aes256gcm16-x25519, aes128-sha256-ecp256
      }
    }
  }
}
secrets {
  ike-gw {
    secret = "a secret"
  }
}
END
}
require load_swanctl c1 < <(client rsa c1.lab 'auth = pubkey' 'certs = c1.lab.pem')
require load_swanctl c2 < <(client psk c2.lab 'auth = psk')

# A listing with its lines joined, so that a pattern may span them.
shows() { # PATTERN SWANCTL_ARGUMENT...
  swanctl_in gateway "${@:2}" 2>&1 | tr '\n' ' ' | grep -Eq -- "$1"
}
daemon gw monitor.log env STRONGSWAN_CONF="$work/tools.conf" \
  stdbuf -oL "$build/lab/swanctl" --monitor-sa --uri "unix://$work/gateway.vici"
daemon gw log.log env STRONGSWAN_CONF="$work/tools.conf" \
  stdbuf -oL "$build/lab/swanctl" --log --uri "unix://$work/gateway.vici"
sleep 1

check_up 'c1 with a certificate' c1 net
check_up 'c2 with a pre-shared key' c2 net
check 'c1 reaches the host' ping_from c1 10.8.0.2
check 'c2 reaches the host' ping_from c2 10.8.0.2
vip1=$(virtual4 c1) vip2=$(virtual4 c2)

check '--version' shows '5\.|enstock' --version
check '--stats' shows 'IKE_SAs: 2 total.*0 half-open' --stats
check '--list-conns' shows 'rsa: IKEv(1/)?2.*rsa\.gw\.lab.*rsa-net: TUNNEL.*local: +10\.8\.0\.0/24' --list-conns
check '--list-conns shows all' shows 'psk: IKEv(1/)?2.*c2\.lab.*psk-net|psk-net.*trap-net' --list-conns
check '--list-sas: a client with a certificate' shows \
  "rsa: #[0-9]+, ESTABLISHED, IKEv2.*local +'rsa.gw.lab' @ $gateway4.*remote +'c1.lab' @ 100.64.1.2.*rsa-net: #[0-9]+, .*INSTALLED, TUNNEL-in-UDP, ESP:AES_GCM_16-256" \
  --list-sas --ike rsa
check '--list-sas: one with a pre-shared key' shows \
  "psk: #[0-9]+, ESTABLISHED.*c2.lab.*psk-net.*ESP:AES_CBC-128/HMAC_SHA2_256_128.*remote +$vip2/32" \
  --list-sas --ike psk
before=$(sa_value gateway bytes-in)
ping_from c1 10.8.0.2 -c 20 -i 0.05 -s 1000
ping_from c2 10.8.0.2 -c 20 -i 0.05 -s 1000
check '--list-sas: the bytes move' wait_until 5 eval \
  "test \"\$(sa_values gateway bytes-in | sort -n | head -n 1)\" -ge 20000 -a \
        \"\$(sa_values gateway bytes-out | sort -n | head -n 1)\" -ge 20000"
check '--list-pols' shows 'trap-net, TUNNEL.*local: +10.8.0.0/24.*remote: +10.77.0.0/16' --list-pols
check '--list-pools' shows 'pool4 .* 2 / 0 / 254.*pool6 .* 1 / 0 / ' --list-pools
check '--list-pools --leases' shows "$vip1 +online +'c1.lab'.*$vip2 +online +'c2.lab'" \
  --list-pools --leases
check '--list-certs: ours and the CA' shows \
  'CN=rsa.gw.lab.*has private key|CN=ca.*CN=rsa.gw.lab' --list-certs
check '--list-certs: the private key is known' shows 'has private key' --list-certs --subject \
  'O=Penstock laboratory, CN=rsa.gw.lab'
check '--list-authorities' shows 'laboratory.*cacert.*CN=ca.*crl_uris.*http://127.0.0.1:9/ca.crl' \
  --list-authorities
check '--list-algs' shows 'encryption:.*AES_CBC|aead:.*AES_GCM_16' --list-algs
check '--counters' shows 'ike-init-in-req +: +[0-9]+' --counters

spi=$(sa_value c1 spi-out) ike_spi=$(sa_value c1 responder-spi)
check '--rekey --child' swanctl_in gateway --rekey --child rsa-net
check 'the child has other keys' wait_until 5 is_renewed c1 spi-out "$spi"
check '--rekey --ike' swanctl_in gateway --rekey --ike rsa
check 'the IKE SA has other keys' wait_until 5 is_renewed c1 responder-spi "$ike_spi"
check 'traffic goes on' ping_from c1 10.8.0.2

# Reloads: nothing, something, and what is wrong.
spis() { sa_values gateway initiator-spi | sort | tr '\n' ' '; }
alive=$(spis)
load_gateway < <(conf)
check 'the same again: nothing is unloaded' eval \
  "tail -n 14 $work/gateway.load.log | grep -q 'connections, 0 unloaded' && ! grep -Eq 'unloaded (private|shared)' $work/gateway.load.log"
check 'nobody noticed' test "$(spis)" = "$alive"
check 'c1 still reaches the host' ping_from c1 10.8.0.2
check 'c2 still reaches the host' ping_from c2 10.8.0.2
load_gateway < <(conf 'dpd_delay = 30s' \
  "more { remote_addrs = 203.0.113.7
    local { auth = psk }
    remote { auth = psk }
    children { more-net { remote_ts = 10.78.0.0/16 } } }")
check 'a connection changed and one more: both are there' eval \
  'shows "more-net" --list-conns && shows "psk: IKEv(1/)?2.*dpd delay 30s" --list-conns'
check 'the others live on' grep -q "$(sa_value c1 initiator-spi)" <<<"$(spis)"
check 'and work' ping_from c1 10.8.0.2
check 'a new child under the changed connection works' eval \
  'forget c2; initiate c2 net && ping_from c2 10.8.0.2'
load_gateway < <(conf)
check 'one less: it is gone' eval '! shows more-net --list-conns'
if ! reference_gateway; then
  check 'a weak proposal is refused by name' eval \
    "! load_swanctl gateway < <(conf 'proposals = 3des-md5-modp1024') && grep -Eq '3des|md5|modp1024' $work/gateway.load.log"
  check 'an unknown key is refused by name' eval \
    "! load_swanctl gateway < <(conf 'frobnicate = yes') && grep -q frobnicate $work/gateway.load.log"
  check 'what was there goes on' eval 'ping_from c1 10.8.0.2 && initiate c2 net --timeout 10; ping_from c2 10.8.0.2'
fi
load_gateway < <(conf)
check '--reload-settings' swanctl_in gateway --reload-settings
check 'nobody noticed it' ping_from c1 10.8.0.2

check 'an unknown child is not initiated' eval \
  '! swanctl_in gateway --initiate --child nobody 2>&1 | grep -q completed'
check '--initiate to a peer that is not there ends in its time' eval \
  '! swanctl_in gateway --initiate --child trap-net --timeout 2 >/dev/null 2>&1'
check 'meanwhile others are served' ping_from c1 10.8.0.2
check '--terminate --child' swanctl_in gateway --terminate --child rsa-net --timeout 10
check 'the child is gone' wait_until 5 has_children c1 0
check '--terminate --ike' terminate gateway rsa
check 'the IKE SA is gone' wait_until 5 no_sas c1
check '--monitor-sa told of it' grep -Eq 'ike-updown.*rsa|rsa.*(ESTABLISHED|DELETING)' "$work/monitor.log"
check '--log told of it' grep -q '\[IKE\]\|\[CFG\]\|\[NET\]' "$work/log.log"

if ! reference_gateway; then
  check 'penstock tunnels tells of c2' eval "gateway_command tunnels | grep -q c2.lab"
  check 'penstock tunnels --json tells its algorithms' eval \
    "gateway_command tunnels --json | grep -Eiq 'aes[-_]?(cbc[-_]?)?128'"
fi
check_ike_nothing_lost 'the gateway lost nothing'
