# shellcheck shell=bash
# Keys and certificates for the tests of IKEv2, beside the plain ones of deploy/strongswan.sh: all
# made afresh in $work/pki by strongSwan's `pki`, each when a test asks for it.
# shellcheck disable=SC2154  # work is the caller's

# `ca` and the gateway's certificates under it, one of each kind: rsa.gw.lab, ecdsa256.gw.lab, ...
make_gateway_pki() { # TYPE...
  local type
  make_ca ca ecdsa256
  for type; do make_certificate "$type.gw.lab" ca "$type" --flag serverAuth; done
}

make_intermediate_ca() { # NAME ISSUER TYPE
  make_certificate "$@" --ca
}

# Times as pki takes them: day.month.year hours:minutes:seconds.
pki_time() { date -u -d "$1" '+%d.%m.%y %H:%M:%S'; } # WHEN, in date's words
make_dated_certificate() { # NAME ISSUER TYPE FROM TO
  make_certificate "$1" "$2" "$3" --not-before "$(pki_time "$4")" --not-after "$(pki_time "$5")"
}

make_crl() { # NAME ISSUER REVOKED_CERTIFICATE...
  local revoked=() certificate
  for certificate in "${@:3}"; do revoked+=(--cert "$work/pki/$certificate.pem"); done
  lab_pki --signcrl --cacert "$work/pki/$2.pem" --cakey "$work/pki/$2.key" --lifetime 10 \
    "${revoked[@]}" --outform pem >"$work/pki/$1.crl"
}
give_crl() { # NAME CRL
  cp "$work/pki/$2.crl" "$work/$1/x509crl/"
}
