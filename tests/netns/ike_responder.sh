#!/usr/bin/env bash
# Clients log in: every way to authenticate with every cipher of ESP, over IPv4 and IPv6 outside, all
# ciphers and groups of IKE. Each gets addresses of both families and reaches the host by both.
# EAP-TLS is TLS 1.2 here: strongSwan 5.9.8 crashes on the record that ends it in TLS 1.3 (RFC 9190
# 2.5).
#
#   c1 ──IPv4──┐
#              ├── net ── [penstockd: a connection for each way to log in] ── host
#   c2 ──IPv6──┘
. "$(dirname "$0")/strongswan.sh"

ways=(psk rsa ecdsa256 ecdsa384 ed25519 mschapv2 tls)
esp=(aes128gcm16 aes256gcm16 chacha20poly1305 aes128-sha256)
esp_listed=(AES_GCM_16-128 AES_GCM_16-256 CHACHA20_POLY1305 AES_CBC-128/HMAC_SHA2_256_128)
ike=(
  aes128gcm16-prfsha256-x25519 aes256gcm16-prfsha384-ecp384 chacha20poly1305-prfsha512-ecp256
  aes128-sha256-modp2048 aes256-sha384-modp3072 aes256-sha512-ecp521 aes256gcm16-prfsha256-modp4096
)

topology 2
make_gateway_pki rsa ecdsa256 ecdsa384 ed25519
for way in mschapv2 tls; do make_certificate $way.gw.lab ca ecdsa256 --flag serverAuth; done
for n in 1 2; do
  for way in rsa ecdsa256 ecdsa384 ed25519 tls; do
    make_certificate c$n.$way.lab ca "${way/tls/rsa}" --flag clientAuth
  done
done

# What the client N shows of itself, and what the gateway asks for, in each of the ways.
client_auth() { # WAY N
  case $1 in
    psk) echo "auth = psk; id = c$2.psk.lab" ;;
    mschapv2) echo "auth = eap-mschapv2; eap_id = user$2" ;;
    tls) echo "auth = eap-tls; certs = c$2.tls.lab.pem; id = c$2.tls.lab" ;;
    *) echo "auth = pubkey; certs = c$2.$1.lab.pem; id = c$2.$1.lab" ;;
  esac | tr ';' '\n'
}
asked_for() { # WAY
  case $1 in
    psk) echo 'auth = psk' ;;
    mschapv2) echo 'auth = eap-mschapv2; eap_id = %any' ;;
    tls) echo 'auth = eap-tls; eap_id = %any' ;;
    *) echo 'auth = pubkey; cacerts = ca.pem' ;;
  esac | tr ';' '\n'
}
secrets='secrets {
  ike-all { secret = "a secret for all" }
  eap-1 { id = user1
    secret = "password of user1" }
  eap-2 { id = user2
    secret = "password of user2" }
}'

start_host
start_ike_gateway
give_ca gateway ca
for way in "${ways[@]}"; do [[ $way == psk ]] || give_certificate gateway "$way.gw.lab"; done
{
  echo 'connections {'
  for way in "${ways[@]}"; do
    certificate="certs = $way.gw.lab.pem"
    [[ $way == psk ]] && certificate=
    cat <<END
  $way {
    local_addrs = $gateway4, $gateway6
    proposals = aes128gcm16-aes256gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-x25519-ecp256-ecp384-ecp521-modp2048-modp3072-modp4096, aes128-aes256-sha256-sha384-sha512-x25519-ecp256-ecp384-ecp521-modp2048-modp3072-modp4096
    pools = pool4, pool6
    send_cert = always
    local {
      auth = $([[ $way == psk ]] && echo psk || echo pubkey)
      $certificate
      id = $way.gw.lab
    }
    remote {
      $(asked_for "$way")
      $([[ $way == mschapv2 || $way == tls ]] || echo "id = *.$way.lab")
    }
    children {
      net {
        local_ts = 10.8.0.0/24, fd00:8::/64
        esp_proposals = aes128gcm16-aes256gcm16-chacha20poly1305, aes128-sha256
      }
    }
  }
END
  done
  echo '}'
  echo 'pools { pool4 { addrs = 10.9.0.0/24 }'
  echo '  pool6 { addrs = fd00:9::/112 } }'
  echo "$secrets"
} | load_gateway

for n in 1 2; do
  start_strongswan c$n c$n
  give_ca c$n ca
  for way in rsa ecdsa256 ecdsa384 ed25519 tls; do give_certificate c$n c$n.$way.lab; done
  [[ $n == 1 ]] && address=$gateway4 || address=$gateway6
  {
    echo 'connections {'
    for ((w = 0; w < ${#ways[@]}; ++w)); do
      for ((e = 0; e < ${#esp[@]}; ++e)); do
        cat <<END
  ${ways[w]}-${esp[e]} {
    remote_addrs = $address
    proposals = ${ike[(w * 4 + e) % ${#ike[@]}]}
    vips = 0.0.0.0, ::
    local {
      $(client_auth "${ways[w]}" $n)
    }
    remote {
      auth = $([[ ${ways[w]} == psk ]] && echo psk || echo pubkey)
      id = ${ways[w]}.gw.lab
    }
    children {
      net {
        remote_ts = 10.8.0.0/24, fd00:8::/64
        esp_proposals = ${esp[e]}
      }
    }
  }
END
      done
    done
    echo '}'
    echo "$secrets"
  } | require load_swanctl c$n
done

for ((w = 0; w < ${#ways[@]}; ++w)); do
  for ((e = 0; e < ${#esp[@]}; ++e)); do
    # Every way and every cipher meets both families.
    n=$(((w + e) % 2 + 1))
    connection=${ways[w]}-${esp[e]}
    scenario="${ways[w]} with ${esp[e]} over IPv$((n == 1 ? 4 : 6))"
    check_up "$scenario: up" c$n net --ike "$connection" || continue
    check "$scenario: ESP as asked for" \
      eval "sas c$n | grep -q 'ESP:${esp_listed[e]}' && sas gateway | grep -q 'ESP:${esp_listed[e]}'"
    check "$scenario: the host answers by IPv4" ping_from c$n 10.8.0.2
    check "$scenario: the host answers by IPv6" ping_from c$n fd00:8::2
    if [[ ${ways[w]} == psk ]]; then
      for direction in up down; do
        check "$scenario: TCP $direction" at_least "$(iperf_tcp $n 4 $direction 1)" 1000
      done
    fi
    check "$scenario: the client says goodbye" terminate c$n "$connection"
    check "$scenario: nothing is left of it" wait_until 5 no_sas gateway
  done
done
check_ike_nothing_lost 'the gateway lost nothing'
