#!/usr/bin/env bash
# A strongSwan with a pre-shared key brings a tunnel to the gateway up: the connection comes over VICI
# from swanctl, traffic passes both ways, the listings tell of it, and what is wrong is said in words.
#
#   c1 (strongSwan) ── net ── [penstockd: one PSK connection] ── host
. "$(dirname "$0")/strongswan.sh"

topology 1
start_host
start_ike_gateway
load_gateway <<'END'
connections {
  home {
    pools = rw4
    local {
      auth = psk
      id = gw.lab
    }
    remote {
      auth = psk
      id = c1.lab
    }
    children {
      net {
        local_ts = 10.8.0.0/24
      }
    }
  }
}
pools {
  rw4 {
    addrs = 10.9.0.0/24
  }
}
secrets {
  ike-1 {
    id = c1.lab
    secret = "a secret for one"
  }
}
END

client_conf() { # SECRET
  cat <<END
connections {
  home {
    local_addrs = $(client4 1)
    remote_addrs = $gateway4
    vips = 0.0.0.0
    local {
      auth = psk
      id = c1.lab
    }
    remote {
      auth = psk
      id = gw.lab
    }
    children {
      net {
        remote_ts = 10.8.0.0/24
      }
    }
  }
}
secrets {
  ike-1 {
    id = gw.lab
    secret = "$1"
  }
}
END
}

start_strongswan c1 c1
require load_swanctl c1 < <(client_conf "another secret")
mark_log
check_refused_with 'a wrong secret' c1 net 'AUTH(ENTICATION)?_FAILED'
check_gateway_says 'the log says what is wrong' 'pre-shared key'
if ! reference_gateway; then
  gateway_command tunnels >"$work/tunnels.down"
  check 'penstock tunnels shows the connection down' grep -Eq '^home +.* down ' "$work/tunnels.down"
  check 'and its last error' grep -q 'pre-shared key' "$work/tunnels.down"
fi

require load_swanctl c1 < <(client_conf "a secret for one")
check_up 'a client logs in' c1 net || exit
check 'it has a virtual address' wait_until 5 virtual4 c1
check 'traffic passes' ping_from c1 10.8.0.2 -c 3
check 'and from the inside too' ping_from host "$(virtual4 c1)" -c 3
if ! reference_gateway; then
  gateway_command tunnels >"$work/tunnels.up"
  check 'penstock tunnels shows the child' grep -Eq '^home +net +up .* c1\.lab ' "$work/tunnels.up"
  check 'with its address' grep -q '10\.9\.0\.' "$work/tunnels.up"
fi
check 'swanctl lists it' test "$(installed gateway)" -eq 1
check 'terminated by the client' terminate c1 home
check 'nothing is left' wait_until 5 no_sas gateway
