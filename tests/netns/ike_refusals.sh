#!/usr/bin/env bash
# What must not get in does not: the client hears the right notify, and the gateway says in its log
# why. One who may, gets in afterwards.
#
#   c1 (with every kind of bad credential) ── net ── [penstockd]
. "$(dirname "$0")/strongswan.sh"

topology 1
make_gateway_pki rsa
for way in named strict pfs mschapv2 tls; do make_certificate $way.gw.lab ca ecdsa256 --flag serverAuth; done
make_ca stranger ecdsa256
make_ca silent ecdsa256
make_ca narrow ecdsa256 --nc-permitted dns:narrow.lab
make_intermediate_ca middle ca ecdsa256
# The identity of each is its name.
make_certificate good.rsa.lab ca rsa --flag clientAuth
make_certificate revoked.rsa.lab ca rsa --flag clientAuth
make_crl ca ca revoked.rsa.lab
make_dated_certificate expired.rsa.lab ca ecdsa256 '3 days ago' '1 day ago'
make_dated_certificate early.rsa.lab ca ecdsa256 'now + 1 day' 'now + 3 days'
make_certificate stranger.rsa.lab stranger ecdsa256
make_certificate orphan.rsa.lab middle ecdsa256
make_certificate weak.rsa.lab ca rsa1024
make_certificate usage.rsa.lab ca ecdsa256 --flag ocspSigning
make_certificate outside.rsa.lab narrow ecdsa256
make_certificate unknown.silent.lab silent ecdsa256
kinds=(good revoked expired early stranger orphan weak usage outside)

start_ike_gateway
give_ca gateway ca silent narrow
give_crl gateway ca
give_certificate gateway {rsa,named,strict,pfs,mschapv2,tls}.gw.lab
connection() { # NAME LOCAL_AUTH REMOTE_LINE...
  cat <<END
  $1 {
    local_addrs = $gateway4
    proposals = aes256gcm16-prfsha384-x25519
    pools = pool4
    local {
      auth = $2
      $([[ $2 == psk ]] || echo "certs = $1.gw.lab.pem")
      id = $1.gw.lab
    }
    remote {
$(printf '      %s\n' "${@:3}")
    }
    children {
      net {
        local_ts = 10.8.0.0/24
        esp_proposals = aes256gcm16
      }
    }
  }
END
}
load_gateway <<END
connections {
$(connection psk psk 'auth = psk' 'id = *.psk.lab')
$(connection pfs pubkey 'auth = pubkey' 'cacerts = ca.pem' | sed 's/children {/&\n more { local_ts = 10.8.1.0\/24\n esp_proposals = aes256gcm16-x25519, aes256gcm16\n require_pfs = yes\n }/')
$(connection rsa pubkey 'auth = pubkey' 'cacerts = ca.pem, narrow.pem' 'id = *.rsa.lab')
$(connection named pubkey 'auth = pubkey' 'cacerts = ca.pem' 'id = somebody.else.lab')
$(connection strict pubkey 'auth = pubkey' 'cacerts = silent.pem' 'revocation = strict')
$(connection mschapv2 pubkey 'auth = eap-mschapv2' 'eap_id = %any')
$(connection tls pubkey 'auth = eap-tls' 'eap_id = %any')
}
pools {
  pool4 {
    addrs = 10.9.0.0/24
  }
}
secrets {
  ike-c1 {
    id-1 = c1.psk.lab
    secret = "the right one"
  }
  eap-carol {
    id = carol
    secret = "the right password"
  }
}
END

# Each knocks from an address of its own: the gateway's log is sparing with lines about one.
for ((host = 10; host < 110; ++host)); do echo "address add 100.64.1.$host/24 dev wan"; done |
  in_ns c1 ip -batch -
address_of() { echo "100.64.1.$((10 + $(cksum <<<"$1" | cut -c1-2)))"; } # CONNECTION
start_strongswan c1 c1
give_ca c1 ca stranger
give_certificate c1 "${kinds[@]/%/.rsa.lab}" unknown.silent.lab
client() { # NAME WAY_OF_THE_GATEWAY LOCAL_LINES [PROPOSALS] [ESP] [REMOTE_TS] [REMOTE_LINE]
  cat <<END
  $1 {
    local_addrs = $(address_of "$1")
    remote_addrs = $gateway4
    proposals = ${4:-aes256gcm16-prfsha384-x25519}
    vips = 0.0.0.0
    local {
$(tr ';' '\n' <<<"$3")
    }
    remote {
      auth = $([[ $2 == psk ]] && echo psk || echo pubkey)
      id = $2.gw.lab
      ${7-}
    }
    children {
      net {
        remote_ts = ${6:-10.8.0.0/24}
        esp_proposals = ${5:-aes256gcm16}
      }
    }
  }
END
}
shows() { echo "auth = pubkey; certs = $1.pem; id = $1"; }
require load_swanctl c1 <<END
connections {
$(client psk psk 'auth = psk; id = c1.psk.lab')
$(client no-psk psk 'auth = psk; id = c2.psk.lab')
$(for name in "${kinds[@]}"; do client "$name" rsa "$(shows "$name.rsa.lab")"; done)
$(client other named "$(shows good.rsa.lab)")
$(client nobody nobody "$(shows good.rsa.lab)")
$(client strict strict "$(shows unknown.silent.lab)")
$(client password mschapv2 'auth = eap-mschapv2; eap_id = carol')
$(client user mschapv2 'auth = eap-mschapv2; eap_id = dave')
$(client tls tls "auth = eap-tls; certs = expired.rsa.lab.pem; id = expired.rsa.lab")
$(client ike rsa "$(shows good.rsa.lab)" aes128-sha256-modp2048)
$(client old rsa "$(shows good.rsa.lab)" 3des-sha1-modp1024)
$(client esp rsa "$(shows good.rsa.lab)" '' aes128-sha1)
$(client selectors rsa "$(shows good.rsa.lab)" '' '' 172.16.0.0/12)
$(client pfs pfs "$(shows good.rsa.lab)" | sed 's/children {/&\n more { remote_ts = 10.8.1.0\/24\n esp_proposals = aes256gcm16\n }/')
$(client doubts rsa "$(shows good.rsa.lab)" '' '' '' 'cacerts = stranger.pem')
}
secrets {
  ike-c1 {
    secret = "the wrong one"
  }
  eap-carol {
    id-1 = carol
    id-2 = dave
    secret = "the wrong password"
  }
}
END

refuse() { # NAME CONNECTION NOTIFY WORDS
  mark_log
  check "$1: refused" refused c1 net --ike "$2"
  check "$1: the client hears $3" grep -q -- "$3" "$work/c1.initiate.log"
  check_gateway_says "$1: the gateway says why" "$4"
  forget c1 gateway
}
auth_failed='N(AUTH_FAILED)'
refuse 'a wrong pre-shared key' psk "$auth_failed" 'pre-shared key'
refuse 'no pre-shared key' no-psk "$auth_failed" 'no pre-shared key'
refuse 'an expired certificate' expired "$auth_failed" 'expired'
refuse 'a certificate of tomorrow' early "$auth_failed" 'not yet valid'
refuse 'a revoked certificate' revoked "$auth_failed" 'revoked'
refuse 'a certificate of a stranger' stranger "$auth_failed" 'untrusted issuer'
refuse 'a certificate whose issuer is not shown' orphan "$auth_failed" 'untrusted issuer'
reference_gateway || refuse 'a key of 1024 bits' weak "$auth_failed" 'key too weak'
reference_gateway || refuse 'a certificate for another use' usage "$auth_failed" 'wrong usage'
refuse 'a name that the CA may not vouch for' outside "$auth_failed" 'name constraint'
refuse 'another identity than the connection asks for' other "$auth_failed" \
  'identity mismatch|no connection'
refuse 'an identity that the gateway does not have' nobody "$auth_failed" 'no connection'
refuse 'strict revocation without a CRL' strict "$auth_failed" 'revocation unknown'
refuse 'a wrong EAP password' password ERROR_AUTHENTICATION_FAILURE 'carol.*password|password.*carol'
refuse 'an unknown EAP user' user ERROR_AUTHENTICATION_FAILURE 'dave'
refuse 'EAP-TLS with an expired certificate' tls 'received fatal TLS alert' 'expired'
refuse 'no common proposal for IKE' ike 'N(NO_PROP)' 'no .* in common'
refuse 'algorithms of yesterday' old 'N(NO_PROP)' 'no .* in common'
refuse 'no common proposal for ESP' esp 'N(NO_PROP)' 'no .* in common'
refuse 'networks that are not served' selectors 'N(TS_UNACCEPT)' 'selector'
refuse 'a client that does not trust the gateway' doubts 'AUTH_FAILED' 'AUTHENTICATION_FAILED|refuse'

reference_gateway || check 'nothing is left of them' wait_until 5 no_sas gateway
if ! reference_gateway; then
  check_up 'require_pfs: up' c1 net --ike pfs
  mark_log
  check 'require_pfs: a child without is refused' refused c1 more --ike pfs
  check 'require_pfs: the client hears it' grep -q 'N(NO_PROP)' "$work/c1.initiate.log"
  check_gateway_says 'require_pfs: the gateway says why' 'require_pfs'
  check 'require_pfs: what is up stays' ping_from c1 10.8.0.2
  forget c1 gateway
fi

check_up 'who may, gets in' c1 net --ike good
check 'and has an address' test "$(virtual4 c1)" != ''
terminate c1 good

# The other way round: the gateway begins, and refuses or is refused.
out() { # NAME LOCAL_IDENTITY REMOTE_IDENTITY
  connection "$1" pubkey "$([[ $1 == *psk ]] && echo 'auth = psk' || echo 'auth = pubkey')" "id = $3" |
    sed "s/id = $1.gw.lab/id = $2/; s/$1.gw.lab.pem/$2.pem/; /pools/d; /local_ts/d
      s/net {/to-$1 {/; s/local_addrs = .*/remote_addrs = $(address_of "${1/other/psk}")/"
}
load_gateway <<END
connections {
$(out psk psk.gw.lab c1.psk.lab | sed '0,/pubkey/s//psk/; /certs = /d')
$(out expired rsa.gw.lab expired.rsa.lab)
$(out revoked rsa.gw.lab revoked.rsa.lab)
$(out other rsa.gw.lab somebody.else.lab)
}
secrets {
  ike-c1 {
    secret = "the right one"
  }
}
END
# What the client hears comes as a message of its own here.
refuse_out() { # NAME CONNECTION WORDS_OF_THE_CLIENT WORDS
  mark_log
  check "$1, the gateway begins: not up" refused gateway "to-$2"
  check "$1, the gateway begins: the client hears or says it" wait_until 5 grep -Eq -- "$3" "$work/c1.log"
  check_gateway_says "$1, the gateway begins: the gateway says why" "$4"
  forget c1 gateway
  : >"$work/c1.log"
}
: >"$work/c1.log"
refuse_out 'a wrong pre-shared key' psk 'generating .*N\(AUTH_FAILED\)' 'AUTHENTICATION_FAILED|pre-shared key'
refuse_out 'an expired certificate' expired 'parsed INFORMATIONAL .*N\(AUTH_FAILED\)' 'expired'
refuse_out 'a revoked certificate' revoked 'parsed INFORMATIONAL .*N\(AUTH_FAILED\)' 'revoked'
refuse_out 'another identity' other 'generating .*N\(AUTH_FAILED\)' 'AUTHENTICATION_FAILED|identity'
