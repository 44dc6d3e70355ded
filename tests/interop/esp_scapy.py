#!/usr/bin/python3
"""ESP of the dataplane against scapy's, in both directions: every algorithm, with and without
extended sequence numbers (across 2^32), natively and in UDP, IPv4 and IPv6 outside and inside, and
authenticated packets that lie.

  esp_scapy.py ESP_DRIVER

The dataplane runs whole, its ports being pcap files; esp_driver.cc is the program around it.
"""
import hashlib
import hmac
import json
import logging
import os
import random
import struct
import subprocess
import sys
import tempfile

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
try:
    from scapy.all import (ESP, IP, UDP, Ether, IPv6, IPv6ExtHdrFragment, PcapReader, Raw,
                           defragment, defragment6, fragment, fragment6, raw, wrpcap)
    from scapy.layers.ipsec import CRYPT_ALGOS, SecurityAssociation, _ESPPlain
except ImportError:
    print("scapy is not installed (deploy/packages)")
    sys.exit(77)  # skipped

OUTSIDE4, OUTSIDE6 = "198.51.100.1", "2001:db8:51::1"
ROUTER4, ROUTER6, ROUTER_MAC = "198.51.100.254", "2001:db8:51::fe", "02:00:00:00:00:03"
HOST4, HOST6, HOST_MAC = "192.0.2.10", "2001:db8:2::10", "02:00:00:00:00:04"
# What follows the inner IP and UDP headers: lengths around every alignment, and long ones.
SIZES = [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 100, 512, 1300]
ALGORITHMS = {  # name: scapy's name, key bytes, salt bytes, HMAC
    "chacha20poly1305": ("CHACHA20-POLY1305", 32, 4, False),
    "aes128gcm": ("AES-GCM", 16, 4, False),
    "aes256gcm": ("AES-GCM", 32, 4, False),
    "aes128cbc": ("AES-CBC", 16, 0, True),
    "aes256cbc": ("AES-CBC", 32, 0, True),
}
failures = []


def expect(condition, what):
    if not condition:
        failures.append(what)


class Direction:
    """One direction of a tunnel, as scapy sees it. HMAC is Python's own: scapy 2.5 knows no
    extended numbers with it (RFC 4303 2.2.1)."""

    def __init__(self, algorithm, esn, rng):
        self.name, key_bytes, salt_bytes, self.hmac = ALGORITHMS[algorithm]
        self.esn = esn
        self.key = rng.randbytes(key_bytes)
        self.salt = rng.randbytes(salt_bytes)
        self.auth = rng.randbytes(32) if self.hmac else b""
        self.spi = None
        self.cipher = CRYPT_ALGOS[self.name]

    def secrets(self):
        return {"cipher": self.key.hex(), "salt": self.salt.hex(), "auth": self.auth.hex()}

    def association(self):
        return SecurityAssociation(ESP, spi=self.spi, crypt_algo=self.name,
                                   crypt_key=self.key + self.salt)

    def tag(self, message, sequence):
        high = struct.pack("!L", sequence >> 32) if self.esn else b""
        return hmac.new(self.auth, message + high, hashlib.sha256).digest()[:16]

    def seal(self, sequence, plain):
        """The ESP packet with this plaintext, trailer included."""
        esp = _ESPPlain(spi=self.spi, seq=sequence & 0xFFFFFFFF, iv=self.cipher.generate_iv(),
                        data=plain[:-2], padding=b"", padlen=plain[-2], nh=plain[-1])
        packet = raw(self.cipher.encrypt(self.association(), esp, self.key, None,
                                         esn_en=self.esn, esn=sequence >> 32))
        return packet + self.tag(packet, sequence) if self.hmac else packet

    def open(self, sequence, message):
        """The payload and next header; raises where the packet is not authentic."""
        if self.hmac:
            if not hmac.compare_digest(self.tag(message[:-16], sequence), message[-16:]):
                raise ValueError("HMAC is wrong")
            message = message[:-16]
        esp = self.cipher.decrypt(self.association(), ESP(message), self.key,
                                  0 if self.hmac else None, esn_en=self.esn, esn=sequence >> 32)
        return bytes(esp.data), esp.nh

    def pad(self, payload, next_header):
        align = 16 if self.hmac else 4
        count = -(len(payload) + 2) % align
        return payload + bytes(range(1, count + 1)) + bytes([count, next_header])


class Tunnel:
    def __init__(self, number, algorithm, esn, udp, outer_v6, rng):
        self.number, self.algorithm, self.esn, self.udp, self.outer_v6 = (
            number, algorithm, esn, udp, outer_v6)
        self.to_us, self.from_us = Direction(algorithm, esn, rng), Direction(algorithm, esn, rng)
        self.from_us.spi = rng.randrange(256, 1 << 32)
        # With extended numbers the low half wraps on the way.
        self.first = 0xFFFFFFFB if esn else 1
        self.net4, self.net6 = f"172.16.{number}", f"2001:db8:9:{number:x}"
        self.remote = f"2001:db8:64::{number + 1:x}" if outer_v6 else f"100.64.1.{number + 1}"
        self.local = OUTSIDE6 if outer_v6 else OUTSIDE4

    def __str__(self):
        return (f"{self.algorithm}{' esn' if self.esn else ''} {'udp' if self.udp else 'native'} "
                f"over IPv{6 if self.outer_v6 else 4}")

    def plan(self):
        return {
            "algorithm": self.algorithm, "esn": self.esn, "udp": self.udp,
            "remote": self.remote, "local": self.local,
            "selectors": [
                {"local": ["192.0.2.0", "192.0.2.255"],
                 "remote": [f"{self.net4}.0", f"{self.net4}.255"]},
                {"local": ["2001:db8:2::", "2001:db8:2::ffff"],
                 "remote": [f"{self.net6}::", f"{self.net6}::ffff"]}],
            "peer_spi": self.from_us.spi, "first_sequence": self.first,
            "to_us": self.to_us.secrets(), "from_us": self.from_us.secrets()}

    def inner(self, v6, size, outbound, mark):
        """An inner packet whose payload names it."""
        ours, theirs = (HOST6, f"{self.net6}::5") if v6 else (HOST4, f"{self.net4}.5")
        source, destination = (ours, theirs) if outbound else (theirs, ours)
        header = IPv6(src=source, dst=destination) if v6 else IP(src=source, dst=destination)
        payload = struct.pack("!HHL", self.number, size, mark) + bytes(size - 8)
        return raw(header / UDP(sport=1000, dport=2000) / Raw(payload))

    def frame(self, mac, message):
        """As it comes in from outside."""
        outer = IPv6(src=self.remote, dst=self.local) if self.outer_v6 else IP(
            src=self.remote, dst=self.local)
        if self.udp:
            # RFC 3948 2.1: the checksum of IPv4 is zero.
            udp = UDP(sport=4500, dport=4500, **({} if self.outer_v6 else {"chksum": 0}))
            packet = outer / udp / Raw(message)
        else:
            if self.outer_v6:
                outer.nh = 50
            else:
                outer.proto = 50
            packet = outer / Raw(message)
        return raw(Ether(src=ROUTER_MAC, dst=mac) / packet)


def hostile(tunnel):
    """Plaintexts that no honest peer sends, by the counter that must have them."""
    good = tunnel.inner(False, 30, False, 0)
    align = 16 if tunnel.to_us.hmac else 4
    whole = tunnel.to_us.pad(good, 4)
    lying = bytearray(good)
    lying[2:4] = struct.pack("!H", 1400)
    zero = bytearray(good)
    zero[2:4] = b"\0\0"
    foreign = raw(IP(src="10.99.99.99", dst=HOST4) / UDP() / Raw(bytes(20)))
    return [
        ("tunnel_trailer_invalid", whole[:-2] + bytes([255, 4])),
        ("tunnel_trailer_invalid", bytes(align - 2) + bytes([align - 1, 4])),
        ("tunnel_trailer_invalid", whole[:-1] + bytes([50])),
        ("tunnel_trailer_invalid", whole[:-1] + bytes([6])),
        ("tunnel_dummy", whole[:-1] + bytes([59])),
        ("tunnel_inner_malformed", whole[:-1] + bytes([41])),
        ("tunnel_inner_malformed", bytes(align - 2) + bytes([align - 2, 4])),
        ("tunnel_inner_malformed", tunnel.to_us.pad(bytes(lying), 4)),
        ("tunnel_inner_malformed", tunnel.to_us.pad(bytes(zero), 4)),
        ("tunnel_selector_mismatch", tunnel.to_us.pad(foreign, 4)),
    ]


def hop_less(packet):
    layer = IPv6(packet) if packet[0] >> 4 == 6 else IP(packet)
    if packet[0] >> 4 == 6:
        layer.hlim -= 1
    else:
        layer.ttl -= 1
        del layer.chksum
    return raw(layer)


def inbound_frames(tunnels, mac):
    """Frames from outside, what must come of them inside, and the drops by reason."""
    frames, wanted, drops = [], {}, {}
    sequences = {tunnel.number: tunnel.first for tunnel in tunnels}
    for mark, size in enumerate(SIZES):
        for tunnel in tunnels:  # algorithms mixed, as they come
            for v6 in (False, True):
                inner = tunnel.inner(v6, size, False, mark)
                sequence = sequences[tunnel.number]
                sequences[tunnel.number] += 1
                message = tunnel.to_us.seal(sequence, tunnel.to_us.pad(inner, 41 if v6 else 4))
                frames.append(tunnel.frame(mac, message))
                wanted[(tunnel.number, size, v6)] = hop_less(inner)
                if mark == 7:  # once more: a replay
                    frames.append(frames[-1])
                    drops["tunnel_replay"] = drops.get("tunnel_replay", 0) + 1
    for tunnel in tunnels:
        for reason, plain in hostile(tunnel):
            frames.append(tunnel.frame(mac, tunnel.to_us.seal(sequences[tunnel.number], plain)))
            sequences[tunnel.number] += 1
            drops[reason] = drops.get(reason, 0) + 1
        message = bytearray(tunnel.to_us.seal(sequences[tunnel.number],
                                              tunnel.to_us.pad(bytes(20), 4)))
        message[-1] ^= 1
        frames.append(tunnel.frame(mac, bytes(message)))
        drops["tunnel_auth_failed"] = drops.get("tunnel_auth_failed", 0) + 1
    keepalive = IP(src="100.64.1.1", dst=OUTSIDE4) / UDP(sport=4500, dport=4500) / Raw(b"\xff")
    frames.append(raw(Ether(src=ROUTER_MAC, dst=mac) / keepalive))
    drops["nat_keepalive"] = 1
    return frames, wanted, drops


def outbound_frames(tunnels, mac):
    frames, wanted = [], {}
    for mark, size in enumerate(SIZES):
        for tunnel in tunnels:
            for v6 in (False, True):
                inner = tunnel.inner(v6, size, True, mark)
                frames.append(raw(Ether(src=HOST_MAC, dst=mac) / Raw(inner)))
                frames[-1] = (frames[-1][:12] + (b"\x86\xdd" if v6 else b"\x08\x00") +
                              frames[-1][14:])
                wanted[(tunnel.number, size, v6)] = hop_less(inner)
    return frames, wanted


def key_of(inner):
    v6 = inner[0] >> 4 == 6
    number, size, _ = struct.unpack("!HHL", inner[48:56] if v6 else inner[28:36])
    return number, size, v6


def read_frames(path):
    with PcapReader(path) as reader:
        return [raw(packet) for packet in reader]


def check_inbound(path, wanted):
    for frame in read_frames(path):
        inner = frame[14:]
        expect(wanted.pop(key_of(inner), None) == inner, f"inside: {key_of(inner)} came otherwise")
    for key in wanted:
        failures.append(f"inside: {key} did not come")


IKE_SIZES = [28, 500, 1400, 3000, 9000]


def ike_frames(mac):
    """IKE messages to both ports, those that are large in fragments, and what must be punted."""
    frames, wanted = [], []
    for size in IKE_SIZES:
        for v6 in (False, True):
            for port in (500, 4500):
                message = bytes(8) + bytes([1]) + bytes(i * 5 & 255 for i in range(size - 9))
                remote, local = ("2001:db8:64::99", OUTSIDE6) if v6 else ("100.64.9.9", OUTSIDE4)
                number = size + port
                ip = IPv6(src=remote, dst=local) if v6 else IP(src=remote, dst=local, id=number)
                marker = b"" if port == 500 else bytes(4)
                udp = UDP(sport=port, dport=port) / Raw(marker + message)
                if size < 1400:
                    pieces = [ip / udp]
                elif v6:
                    pieces = fragment6(ip / IPv6ExtHdrFragment(id=number) / udp, 1280)
                else:
                    pieces = fragment(ip / udp, 1200)
                frames += [raw(Ether(src=ROUTER_MAC, dst=mac) / piece) for piece in pieces]
                total = 0
                for byte in message:
                    total = total * 31 + byte & 0xFFFFFFFF
                bracket = "[{}]:{}" if v6 else "{}:{}"
                wanted.append({"source": bracket.format(remote, port),
                               "destination": bracket.format(local, port),
                               "bytes": size, "sum": total})
    return frames, wanted


def check_datagrams(packets):
    """The gateway's own, some in fragments: put together and compared."""
    sizes = {False: [], True: []}
    for v6 in (False, True):
        pieces = [packet for packet in packets if isinstance(packet, IPv6) == v6]
        expect(len(pieces) > len(IKE_SIZES) and all(len(raw(piece)) <= 1500 for piece in pieces),
               "datagrams: fragments")
        if v6:
            by_id = {}
            for piece in pieces:
                number = piece[IPv6ExtHdrFragment].id if IPv6ExtHdrFragment in piece else id(piece)
                by_id.setdefault(number, []).append(piece)
            whole = [defragment6(group) if len(group) > 1 else group[0]
                     for group in by_id.values()]
        else:
            whole = list(defragment(pieces))
        for packet in whole:
            packet = packet.__class__(raw(packet))
            payload = bytes(packet[UDP].payload)
            expect(payload == bytes(i * 7 & 255 for i in range(len(payload))),
                   "datagrams: other content")
            sizes[v6].append(len(payload))
        expect(sorted(sizes[v6]) == IKE_SIZES, f"datagrams: sizes {sizes[v6]}")


def check_outbound(path, tunnels, wanted):
    by_spi = {tunnel.from_us.spi: tunnel for tunnel in tunnels}
    next_sequence = {tunnel.from_us.spi: tunnel.first for tunnel in tunnels}
    ivs, datagrams = set(), []
    for frame in read_frames(path):
        v6 = frame[14] >> 4 == 6
        packet = IPv6(frame[14:]) if v6 else IP(frame[14:])
        if packet.dst in ("2001:db8:64::88", "100.64.8.8"):
            datagrams.append(packet)
            continue
        expect(raw(packet.__class__(frame[14:])) == frame[14:], "outside: lengths do not agree")
        header_bytes = 40 if v6 else 20
        protocol = packet.nh if v6 else packet.proto
        message = frame[14 + header_bytes:]
        if not v6:
            again = IP(frame[14:])
            del again.chksum
            expect(raw(again)[10:12] == frame[24:26], "outside: IPv4 checksum")
        if protocol == 17:
            checksum = struct.unpack("!H", message[6:8])[0]
            if v6:
                again = IPv6(frame[14:])
                del again[UDP].chksum
                expect(checksum != 0 and raw(again)[46:48] == message[6:8],
                       "outside: UDP checksum over IPv6")
            else:
                expect(checksum == 0, "outside: UDP checksum over IPv4 is not zero")
            expect(struct.unpack("!HHH", message[:6]) == (4500, 4500, len(message)),
                   "outside: UDP header")
            message = message[8:]
        else:
            expect(protocol == 50, f"outside: protocol {protocol}")
        spi, low = struct.unpack("!LL", message[:8])
        tunnel = by_spi.get(spi)
        if tunnel is None:
            failures.append(f"outside: SPI {spi:08x} is nobody's")
            continue
        sequence = next_sequence[spi]
        next_sequence[spi] += 1
        expect((protocol == 17) == tunnel.udp and v6 == tunnel.outer_v6, f"{tunnel}: encapsulation")
        expect(sequence & 0xFFFFFFFF == low, f"{tunnel}: number {low:x}, not {sequence:x}")
        iv = (spi, message[8:24] if tunnel.from_us.hmac else message[8:16])
        expect(iv not in ivs, f"{tunnel}: an IV came twice")
        ivs.add(iv)
        try:
            inner, next_header = tunnel.from_us.open(sequence, message)
        except Exception as error:  # of scapy or cryptography, whatever it is
            failures.append(f"{tunnel}: {sequence:x} does not open: {error!r}")
            continue
        expect(next_header == (41 if inner[0] >> 4 == 6 else 4), f"{tunnel}: next header")
        expect(wanted.pop(key_of(inner), None) == inner, f"{tunnel}: another inner packet")
    for key in wanted:
        failures.append(f"outside: {key} did not come")
    check_datagrams(datagrams)


def drive(driver, plan_path, command):
    done = subprocess.run([driver, plan_path, command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"esp_driver {command} failed:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(driver):
    rng = random.Random(20)
    tunnels = []
    for algorithm in ALGORITHMS:
        for bits in range(8):
            tunnels.append(Tunnel(len(tunnels), algorithm, bool(bits & 1), bool(bits & 2),
                                  bool(bits & 4), rng))
    with tempfile.TemporaryDirectory() as work:
        files = {name: os.path.join(work, name + ".pcap")
                 for name in ("outside_in", "outside_out", "inside_in", "inside_out")}
        nothing = raw(Ether(dst="02:ff:ff:ff:ff:ff"))  # to nobody here
        for name in ("outside_in", "inside_in"):
            wrpcap(files[name], [Ether(nothing)])
        plan = {
            "ports": [
                {"name": side, "device": f"pcap:{files[side + '_in']},{files[side + '_out']}"}
                for side in ("outside", "inside")],
            "addresses": [
                {"port": 0, "address": OUTSIDE4, "length": 24},
                {"port": 0, "address": OUTSIDE6, "length": 64},
                {"port": 1, "address": "192.0.2.1", "length": 24},
                {"port": 1, "address": "2001:db8:2::1", "length": 64}],
            "neighbours": [
                {"port": 0, "address": ROUTER4, "mac": ROUTER_MAC},
                {"port": 0, "address": ROUTER6, "mac": ROUTER_MAC},
                {"port": 1, "address": HOST4, "mac": HOST_MAC},
                {"port": 1, "address": HOST6, "mac": HOST_MAC}],
            "routes": [{"prefix": "100.64.0.0/16", "via": ROUTER4},
                       {"prefix": "2001:db8:64::/48", "via": ROUTER6}],
            "tunnels": [tunnel.plan() for tunnel in tunnels],
            "datagrams": [{"local": local, "remote": remote, "bytes": size} for size in IKE_SIZES
                          for local, remote in ((OUTSIDE4, "100.64.8.8"),
                                                (OUTSIDE6, "2001:db8:64::88"))]}
        plan_path = os.path.join(work, "plan.json")
        with open(plan_path, "w") as file:
            json.dump(plan, file)
        before = drive(driver, plan_path, "spis")
        for tunnel, spi in zip(tunnels, before["spis"]):
            tunnel.to_us.spi = spi
        frames_in, wanted_in, drops = inbound_frames(tunnels, before["macs"][0])
        frames_ike, wanted_ike = ike_frames(before["macs"][0])
        frames_out, wanted_out = outbound_frames(tunnels, before["macs"][1])
        packets_in, packets_out = len(wanted_in), len(wanted_out)
        wrpcap(files["outside_in"], [Ether(frame) for frame in frames_in + frames_ike])
        wrpcap(files["inside_in"], [Ether(frame) for frame in frames_out])
        after = drive(driver, plan_path, "run")
        check_inbound(files["inside_out"], wanted_in)
        check_outbound(files["outside_out"], tunnels, wanted_out)
    def by_name(messages):
        return sorted(json.dumps(message, sort_keys=True) for message in messages)

    expect(by_name(after["ike"]) == by_name(wanted_ike),
           f"IKE punted: {sorted(set(by_name(after['ike'])) ^ set(by_name(wanted_ike)))}")
    expect(after.get("drops") == drops, f"drops are {after.get('drops')}, not {drops}")
    for tunnel, counters in zip(tunnels, after["sas"]):
        wanted = {"packets_in": 2 * len(SIZES) + 10, "packets_out": 2 * len(SIZES),
                  "replay_drops": 2, "auth_failures": 1, "other_drops": 9}
        expect(counters == wanted, f"{tunnel}: counters are {counters}, not {wanted}")
    for failure in failures[:40]:
        print(f"not ok {failure}")
    if failures:
        sys.exit(f"{len(failures)} failures")
    print(f"ok {len(tunnels)} tunnels, {packets_in} packets in, {packets_out} out, "
          f"{sum(drops.values())} refused")


if __name__ == "__main__":
    main(sys.argv[1])
