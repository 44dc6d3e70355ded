#!/usr/bin/env bash
# The gateway begins: to sites that it authenticates to in every way, with every cipher of ESP, over
# IPv4 and IPv6 outside. Behind each site is a network; hosts on both ends reach each other.
#
#                        IPv4 ┌── c1 ── 10.20.1.0/24, fd00:20:1::/64
#   host ── [penstockd] ──────┤
#                        IPv6 └── c2 ── 10.20.2.0/24, fd00:20:2::/64
. "$(dirname "$0")/strongswan.sh"

ways=(psk rsa ecdsa256 ecdsa384 ed25519)
esp=(aes128gcm16 aes256gcm16 chacha20poly1305 aes128-sha256)
esp_listed=(AES_GCM_16-128 AES_GCM_16-256 CHACHA20_POLY1305 AES_CBC-128/HMAC_SHA2_256_128)
ike=(
  aes128gcm16-prfsha256-x25519 aes256gcm16-prfsha384-ecp384 chacha20poly1305-prfsha512-ecp256
  aes128-sha256-modp2048 aes256-sha384-modp3072 aes256-sha512-ecp521
)

topology 2
make_gateway_pki "${ways[@]:1}"
start_host
start_ike_gateway
give_ca gateway ca
for way in "${ways[@]:1}"; do give_certificate gateway "$way.gw.lab"; done

auth() { # WAY IDENTITY
  if [[ $1 == psk ]]; then
    printf 'auth = psk\n id = %s' "$2"
  else
    printf 'auth = pubkey\n certs = %s.pem\n id = %s' "$2" "$2"
  fi
}
for n in 1 2; do
  site $n
  start_strongswan c$n c$n
  give_ca c$n ca
  for way in "${ways[@]:1}"; do
    make_certificate "c$n.$way.lab" ca "$way" --flag serverAuth --flag clientAuth
    give_certificate c$n "c$n.$way.lab"
  done
  {
    echo 'connections {'
    for way in "${ways[@]}"; do
      cat <<END
  $way {
    proposals = aes128gcm16-aes256gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-x25519-ecp256-ecp384, aes128-aes256-sha256-sha384-sha512-modp2048-modp3072-ecp521
    local {
      $(auth "$way" "c$n.$way.lab")
    }
    remote {
      auth = $([[ $way == psk ]] && echo psk || echo pubkey)
      id = $way.gw.lab
    }
    children {
      net {
        local_ts = 10.20.$n.0/24, fd00:20:$n::/64
        remote_ts = 10.8.0.0/24, fd00:8::/64
        esp_proposals = aes128gcm16-aes256gcm16-chacha20poly1305, aes128-sha256
      }
    }
  }
END
    done
    echo '} secrets { ike-all { secret = "a secret for all" } }'
  } | require load_swanctl c$n
done
{
  echo 'connections {'
  for ((w = 0; w < ${#ways[@]}; ++w)); do
    for ((e = 0; e < ${#esp[@]}; ++e)); do
      n=$(((w + e) % 2 + 1)) way=${ways[w]}
      cat <<END
  $way-${esp[e]} {
    remote_addrs = $(if ((n == 1)); then client4 1; else client6 2; fi)
    proposals = ${ike[(w * 4 + e) % ${#ike[@]}]}
    local {
      $(auth "$way" "$way.gw.lab")
    }
    remote {
      auth = $([[ $way == psk ]] && echo psk || echo pubkey)
      id = "c$n.$way.lab"
    }
    children {
      net-$way-${esp[e]} {
        local_ts = 10.8.0.0/24, fd00:8::/64
        remote_ts = 10.20.$n.0/24, fd00:20:$n::/64
        esp_proposals = ${esp[e]}
      }
    }
  }
END
    done
  done
  echo '} secrets { ike-all { secret = "a secret for all" } }'
} | load_gateway

for ((w = 0; w < ${#ways[@]}; ++w)); do
  for ((e = 0; e < ${#esp[@]}; ++e)); do
    n=$(((w + e) % 2 + 1)) name=${ways[w]}-${esp[e]}
    scenario="${ways[w]} with ${esp[e]} over IPv$((n == 1 ? 4 : 6))"
    check_up "$scenario: up" gateway "net-$name" || continue
    check "$scenario: ESP as asked for" \
      eval "sas c$n | grep -q 'ESP:${esp_listed[e]}' && sas gateway | grep -q 'ESP:${esp_listed[e]}'"
    check "$scenario: the host reaches the site" ping_from host 10.20.$n.1
    check "$scenario: the site reaches the host by IPv6" \
      ping_from c$n fd00:8::2 -I fd00:20:$n::1
    check "$scenario: the gateway says goodbye" terminate gateway "$name"
    check "$scenario: nothing is left of it" wait_until 5 no_sas c$n
  done
done
check_ike_nothing_lost 'the gateway lost nothing'
