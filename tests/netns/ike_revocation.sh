#!/usr/bin/env bash
# Revocation that the gateway asks for: CRLs by HTTP and OCSP, from servers on its own network. It
# asks nobody on the word of a certificate that it does not trust.
#
#   c1 ── net ── [penstockd] ── 127.0.0.1: CRLs on port 8000, OCSP on 8001
. "$(dirname "$0")/strongswan.sh"

# Only a strongSwan in the gateway's place fetches.
strongswan_plugins+=(curl)
topology 1
make_gateway_pki ecdsa256
make_ca stranger ecdsa256
crl=(--crl http://127.0.0.1:8000/ca.crl)
make_certificate good.crl.lab ca ecdsa256 "${crl[@]}"
make_certificate revoked.crl.lab ca ecdsa256 "${crl[@]}"
make_ca lost ecdsa256
make_certificate missing.crl.lab lost ecdsa256 --crl http://127.0.0.1:8000/missing.crl
make_certificate stranger.crl.lab stranger ecdsa256 --crl http://127.0.0.1:8000/stranger.crl
make_certificate good.ocsp.lab ca ecdsa256 --ocsp http://127.0.0.1:8001
make_certificate revoked.ocsp.lab ca ecdsa256 --ocsp http://127.0.0.1:8001
names=({good,revoked,missing,stranger}.crl.lab {good,revoked}.ocsp.lab)

mkdir "$work/http"
make_crl ca ca revoked.crl.lab
openssl crl -in "$work/pki/ca.crl" -outform der -out "$work/http/ca.crl"
certificate_serial() { openssl x509 -in "$work/pki/$1.pem" -noout -serial | cut -d= -f2; }
# What `openssl ca` keeps: state, end of validity, time of revocation, serial number, file, subject.
{
  printf 'V\t401231000000Z\t\t%s\tunknown\t/CN=good\n' "$(certificate_serial good.ocsp.lab)"
  printf 'R\t401231000000Z\t250101000000Z\t%s\tunknown\t/CN=bad\n' \
    "$(certificate_serial revoked.ocsp.lab)"
} >"$work/ocsp.index"
start_ike_gateway
daemon gw http.log /usr/bin/python3 -u -m http.server 8000 --bind 127.0.0.1 --directory "$work/http"
daemon gw ocsp.log openssl ocsp -index "$work/ocsp.index" -port 8001 -rsigner "$work/pki/ca.pem" \
  -rkey "$work/pki/ca.key" -CA "$work/pki/ca.pem" -ndays 1
wait_until 5 eval "(( \$(in_ns gw ss -Hltn 'sport >= :8000 and sport <= :8001' | wc -l) == 2 ))"

give_ca gateway ca lost
give_certificate gateway ecdsa256.gw.lab
load_gateway <<END
connections {
  road {
    pools = pool4
    local {
      auth = pubkey
      certs = ecdsa256.gw.lab.pem
      id = ecdsa256.gw.lab
    }
    remote {
      auth = pubkey
      cacerts = ca.pem, lost.pem
      revocation = strict
    }
    children {
      net {
        local_ts = 10.8.0.0/24
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
start_strongswan c1 c1
give_ca c1 ca
give_certificate c1 "${names[@]}"
require load_swanctl c1 <<END
connections {
$(for name in "${names[@]}"; do
  cat <<CONNECTION
  ${name%.lab} {
    remote_addrs = $gateway4
    vips = 0.0.0.0
    local {
      auth = pubkey
      certs = $name.pem
      id = $name
    }
    remote {
      auth = pubkey
      id = ecdsa256.gw.lab
    }
    children {
      net {
        remote_ts = 10.8.0.0/24
      }
    }
  }
CONNECTION
done | sed 's/^  \([a-z]*\)\.\([a-z]*\) {/  \1-\2 {/')
}
END

passes() { # NAME CONNECTION
  check_up "$1" c1 net --ike "$2"
  forget c1 gateway
}
fails() { # NAME CONNECTION WORDS
  mark_log
  check "$1: refused" refused c1 net --ike "$2"
  check "$1: the client hears AUTHENTICATION_FAILED" \
    grep -q 'N(AUTH_FAILED)' "$work/c1.initiate.log"
  check_gateway_says "$1: the gateway says why" "$3"
}
fails 'of a CA that is not trusted' stranger-crl 'untrusted issuer'
check 'and its CRL was not asked for' not grep -q stranger "$work/http.log"
passes 'good by a CRL' good-crl
check 'which was fetched' grep -q 'GET /ca.crl' "$work/http.log"
fails 'revoked by a CRL' revoked-crl revoked
fails 'a CRL that is not there' missing-crl 'revocation unknown'
passes 'good by OCSP' good-ocsp
fails 'revoked by OCSP' revoked-ocsp revoked
passes 'good still' good-crl
check 'the CRL was fetched once' test "$(grep -c 'GET /ca.crl' "$work/http.log")" = 1
