# shellcheck shell=bash
# strongSwan as a client of the gateway, in the namespaces of lab.sh: charon-systemd with ESP in user
# space (its plugin kernel-libipsec), as many of them as one likes, beside a strongSwan that the
# machine runs itself and untouched by it. Sourced after lab.sh.
#
# Each has a NAME, and
#   $work/NAME/       what swanctl takes for /etc/swanctl: swanctl.conf, x509, x509ca, private, ...
#   $work/NAME.vici   the socket that it is controlled by
#   $work/NAME.log    what it says
# The gateway is controlled in the same way, under the name `gateway`.
# shellcheck disable=SC2154  # work and build are the caller's

# Packet filters and routing by mark keep ESP itself out of the tunnel. Left out: whatever changes
# the machine or speaks to others by itself.
strongswan_plugins=(
  pem pkcs1 pkcs8 x509 revocation constraints pubkey openssl random nonce aes sha1 sha2 hmac kdf
  gcm chapoly mgf1 curve25519 kernel-libipsec kernel-netlink socket-default vici resolve updown
  eap-identity eap-mschapv2 eap-tls counters
)
declare -A strongswan_pid=()

# The programs under a path that no AppArmor profile is for: Debian's allows them /etc alone.
lab_program() { # NAME: prints the path
  local original=/usr/sbin/$1 copy=$build/lab/$1
  [[ $copy -nt $original ]] || install -D "$original" "$copy"
  echo "$copy"
}

# What swanctl and pki load: no drivers of smart cards and the like, which complain.
write_tool_settings() {
  local plugins='pem pkcs1 pkcs8 x509 revocation constraints pubkey openssl random'
  echo "swanctl { load = $plugins } pki { load = $plugins }" >"$work/tools.conf"
}

swanctl_in() { # NAME COMMAND ARGUMENT...: swanctl(8), of a strongSwan or of the gateway
  timeout "${swanctl_timeout:-40}" env SWANCTL_DIR="$work/$1" \
    STRONGSWAN_CONF="$work/tools.conf" "$build/lab/swanctl" "${@:2}" --uri "unix://$work/$1.vici"
}

# The folders that swanctl reads.
swanctl_folders() { # NAME
  mkdir -p "$work/$1"/{x509,x509ca,x509crl,x509ocsp,x509aa,x509ac,pubkey,private,rsa,ecdsa,pkcs8,pkcs12,conf.d}
  chmod 700 "$work/$1"
  lab_program swanctl >/dev/null
  write_tool_settings
}

start_strongswan() { # NAME NAMESPACE [SETTING...]: more lines for its section of strongswan.conf
  local name=$1
  swanctl_folders "$name"
  cat >"$work/$name/strongswan.conf" <<END
charon-systemd {
  load = ${strongswan_plugins[*]}
  filelog {
    log {
      path = stderr
      default = 1
      flush_line = yes
      ike_name = yes
    }
  }
  journal {
    default = -1
  }
  retransmit_timeout = 1.5
  retransmit_base = 1.5
  retransmit_tries = 5
  plugins {
    vici {
      socket = unix://$work/$name.vici
    }
    kernel-libipsec {
      allow_peer_ts = yes
    }
    kernel-netlink {
      fwmark = !0x42
    }
    socket-default {
      fwmark = 0x42
    }
    resolve {
      file = $work/$name/resolv.conf
      resolvconf {
        path = /nonexistent
      }
    }
  }
$(printf '  %s\n' "${@:3}")
}
END
  daemon "$2" "$name.log" env STRONGSWAN_CONF="$work/$name/strongswan.conf" \
    "$(lab_program charon-systemd)"
  strongswan_pid[$name]=$daemon_pid
  require wait_until 15 swanctl_in "$name" --stats
}
# Says goodbye to its peers first, so it may take a while.
stop_strongswan() { # NAME
  kill -TERM "${strongswan_pid[$1]}"
  wait "${strongswan_pid[$1]}" 2>/dev/null
  rm -f "$work/$1.vici"
  unset "strongswan_pid[$1]"
}
# Without goodbye, as a machine that lost its power.
kill_strongswan() { # NAME
  kill -KILL "${strongswan_pid[$1]}"
  wait "${strongswan_pid[$1]}" 2>/dev/null
  rm -f "$work/$1.vici"
  unset "strongswan_pid[$1]"
}

# Makes standard input its swanctl.conf and loads it, with the keys and certificates in its folders.
load_swanctl() { # NAME
  cat >"$work/$1/swanctl.conf"
  chmod 600 "$work/$1/swanctl.conf"
  swanctl_in "$1" --load-all --noprompt >>"$work/$1.load.log" 2>&1
}

# --- keys and certificates, in $work/pki -----------------------------------------------------------

lab_pki() { # ARGUMENT...: pki(1)
  [[ -f $work/tools.conf ]] || write_tool_settings
  require env STRONGSWAN_CONF="$work/tools.conf" pki "$@"
}
make_private_key() { # NAME rsa|rsa3072|ecdsa256|ecdsa384|ed25519
  local options
  case $2 in
    rsa) options=(--type rsa --size 2048) ;;
    rsa*) options=(--type rsa --size "${2#rsa}") ;;
    ecdsa*) options=(--type ecdsa --size "${2#ecdsa}") ;;
    ed25519) options=(--type ed25519) ;;
  esac
  mkdir -p "$work/pki"
  (umask 077 && lab_pki --gen "${options[@]}" --outform pem >"$work/pki/$1.key")
}
make_ca() { # NAME TYPE [PKI_OPTION...]
  make_private_key "$1" "$2"
  lab_pki --self --ca --in "$work/pki/$1.key" --type priv --dn "O=Penstock laboratory, CN=$1" \
    --lifetime 30 --outform pem "${@:3}" >"$work/pki/$1.pem"
}
make_certificate() { # NAME ISSUER TYPE [PKI_OPTION...]: identity and SAN are NAME
  local options=(--lifetime 20)
  [[ " ${*:4} " == *' --not-after '* ]] && options=()
  make_private_key "$1" "$3"
  lab_pki --issue --in "$work/pki/$1.key" --type priv --cacert "$work/pki/$2.pem" \
    --cakey "$work/pki/$2.key" --dn "O=Penstock laboratory, CN=$1" --san "$1" "${options[@]}" \
    --outform pem "${@:4}" >"$work/pki/$1.pem"
}
# Puts keys and certificates where swanctl loads them from.
give_certificate() { # NAME CERTIFICATE...
  local certificate
  for certificate in "${@:2}"; do
    cp "$work/pki/$certificate.pem" "$work/$1/x509/"
    cp "$work/pki/$certificate.key" "$work/$1/private/$certificate.pem"
  done
}
give_ca() { # NAME CA...
  local ca
  for ca in "${@:2}"; do cp "$work/pki/$ca.pem" "$work/$1/x509ca/"; done
}
