#!/usr/bin/env bash
# Virtual addresses: of both families, with DNS and narrowed selectors; kept for who comes again,
# refused when there are none left, given on when their owner is gone.
#
#   c1 (alice) ──┐                 10.9.0.1 - 10.9.0.2
#   c2 (bob)   ──┼── net ── [penstockd: fd00:9::1 - fd00:9::e ] ── host
#   c3 (carol) ──┘
. "$(dirname "$0")/strongswan.sh"

topology 3
start_host
start_ike_gateway
connection() { # NAME POOLS [LINE...]
  cat <<END
  $1 {
    local_addrs = $gateway4
    pools = $2
$(printf '    %s\n' "${@:3}")
    local {
      auth = psk
      id = $1.gw.lab
    }
    remote {
      auth = psk
    }
    children {
      net {
        local_ts = 10.8.0.0/24, fd00:8::/64
      }
    }
  }
END
}
load_gateway <<END
connections {
$(connection both 'small4, pool6')
$(connection four four 'unique = never')
$(connection one 'one4' 'unique = replace')
}
pools {
  small4 {
    addrs = 10.9.0.1-10.9.0.2
    dns = 10.8.0.53
    split_include = 10.8.0.0/24
  }
  pool6 {
    addrs = fd00:9::1-fd00:9::e
    dns = fd00:8::53
  }
  four {
    addrs = 10.9.4.0/28
  }
  one4 {
    addrs = 10.9.8.0/28
  }
}
secrets {
  ike-all {
    secret = "a secret for all"
  }
}
END

client() { # CONNECTION ID VIPS
  cat <<END
  $1-$2 {
    remote_addrs = $gateway4
    vips = $3
    local {
      auth = psk
      id = $2
    }
    remote {
      auth = psk
      id = $1.gw.lab
    }
    children {
      net {
        remote_ts = 0.0.0.0/0, ::/0
      }
    }
  }
END
}
names=('' alice@lab bob@lab carol@lab)
for n in 1 2 3; do
  start_strongswan c$n c$n
  require load_swanctl c$n <<END
connections {
$(client both "${names[n]}" "0.0.0.0$([[ $n == 3 ]] || echo ', ::')")
$(client four alice@lab '0.0.0.0, ::')
$(client one alice@lab 0.0.0.0)
}
secrets {
  ike-all {
    secret = "a secret for all"
  }
}
END
done
leased() { swanctl_in gateway --list-pools --leases | grep -Eq "$1"; }

check_up 'alice' c1 net --ike both-alice@lab
alice4=$(virtual4 c1) alice6=$(virtual6 c1)
check "alice has addresses of both families ($alice4, $alice6)" test -n "$alice4" -a -n "$alice6"
check 'she is told the DNS servers' \
  eval "grep -q 10.8.0.53 $work/c1/resolv.conf && grep -q fd00:8::53 $work/c1/resolv.conf"
check 'she asks for everything and gets what is served' \
  grep -Fq "TS $alice4/32 $alice6/128 === 10.8.0.0/24 fd00:8::/64" "$work/c1.initiate.log"
check_traffic alice 1 4
check_traffic alice 1 6
check 'the host reaches her' ping_from host "$alice4"
check 'her leases are listed' leased "$alice4 +online +'alice@lab'"

check_up 'bob' c2 net --ike both-bob@lab
check 'bob has other addresses' test "$(virtual4 c2)" != "$alice4" -a -n "$(virtual4 c2)"
check 'both are online' leased 'small4 .*10\.9\.0\.1 .* 2 / 0 / 2'

mark_log
check 'carol: none is left' refused c3 net --ike both-carol@lab
check 'carol hears INTERNAL_ADDRESS_FAILURE' grep -q 'N(INT_ADDR_FAIL)' "$work/c3.initiate.log"
check 'her IKE SA stays' test "$(established gateway both)" -eq 3
check_gateway_says 'the gateway says why' 'no address left.*carol'
forget c3

check 'alice leaves' terminate c1 both-alice@lab
check 'her lease is kept for her' wait_until 5 leased "$alice4 +offline +'alice@lab'"
check_up 'alice comes again' c1 net --ike both-alice@lab
check 'with the same addresses' test "$(virtual4 c1) $(virtual6 c1)" = "$alice4 $alice6"
check 'alice leaves again' terminate c1 both-alice@lab
check_up 'carol comes' c3 net --ike both-carol@lab
check 'and has the address that alice had' test "$(virtual4 c3)" = "$alice4"
check 'and reaches the host' ping_from c3 10.8.0.2
terminate c2 both-bob@lab
terminate c3 both-carol@lab

check_up 'a pool of IPv4 alone' c1 net --ike four-alice@lab
check 'gives IPv4, and nothing is missing' \
  test -n "$(virtual4 c1)" -a -z "$(virtual6 c1)"
check 'it works' ping_from c1 10.8.0.2
first=$(virtual4 c1)
check_up 'unique = never: alice on a second device' c2 net --ike four-alice@lab
check 'has an address of its own' test "$(virtual4 c2)" != "$first"
check 'and both devices work' eval 'ping_from c1 10.8.0.2 && ping_from c2 10.8.0.2'
terminate c1 four-alice@lab
terminate c2 four-alice@lab

check_up 'unique = replace: a first device' c1 net --ike one-alice@lab
check_up 'unique = replace: a second one of the same name' c2 net --ike one-alice@lab
check 'only one is left' wait_until 20 has_ike_sas gateway 1 one
check 'the second one works' ping_from c2 10.8.0.2
check_ike_nothing_lost 'the gateway lost nothing'
