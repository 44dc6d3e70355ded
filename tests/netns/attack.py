#!/usr/bin/env python3
"""Packets that a gateway must refuse, sent as Ethernet frames from the network outside (namespace
`net`, device `wan`) to the gateway at 192.0.2.1 or 2001:db8::1. Each command prints how many packets
it sent.

  attack.py replay FILE COUNT        the last data packets to the gateway in a capture, once more
  attack.py forge INDEX COUNTER [6]  a data packet for this session with a made-up tag
  attack.py truncated TYPE           a message of this type in every length that it must not have
  attack.py cleartext SOURCE DESTINATION   an ICMP echo request in the clear
  attack.py initiation PUBLIC_KEY good|bad  nonsense behind a good or bad first MAC
  attack.py flood PUBLIC_KEY SECONDS PACKETS_PER_SECOND
                                     such initiations with good MACs, each from another address
"""

import base64
import hashlib
import logging
import os
import random
import socket
import struct
import sys
import time

# It misses routes to addresses that are only in the headers of what it builds.
logging.getLogger("scapy.runtime").setLevel(logging.ERROR)

from scapy.all import ICMP, IP, UDP, Ether, ICMPv6EchoRequest, IPv6, Raw, conf
from scapy.layers.l2 import getmacbyip

import wire

DEVICE = "wan"
GATEWAY4, GATEWAY6 = "192.0.2.1", "2001:db8::1"
SOURCE4, SOURCE6 = "192.0.2.254", "2001:db8::fe"
# Of each type of message, what a good one is long; of data packets, the least.
LENGTHS = {1: 148, 2: 92, 3: 64, 4: 32}


def gateway_mac():
    conf.iface = DEVICE
    mac = getmacbyip(GATEWAY4)
    if not mac:
        sys.exit("the gateway does not answer ARP")
    return mac


def send(frames, packets_per_second=0):
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind((DEVICE, 0))
    started = time.monotonic()
    for sent, frame in enumerate(frames):
        sender.send(frame)
        if packets_per_second and sent % 64 == 0:
            time.sleep(max(0.0, started + sent / packets_per_second - time.monotonic()))
    print(len(frames))


def frame(payload, mac, source=SOURCE4, six=False):
    network = IPv6(src=SOURCE6, dst=GATEWAY6) if six else IP(src=source, dst=GATEWAY4)
    return bytes(Ether(dst=mac) / network / UDP(sport=51820, dport=51820) / Raw(payload))


def replay(path, count):
    mac = gateway_mac()
    data = [m for m in wire.datagrams(path)
            if m.destination in (GATEWAY4, GATEWAY6) and m.payload[:4] == b"\4\0\0\0"]
    if not data:
        sys.exit("the capture has no data packet to the gateway")
    # To the gateway's MAC, wherever the capture was made.
    source = bytes.fromhex(mac.replace(":", ""))
    send([source + m.frame[6:] for m in data[-int(count):]])


def forge(index, counter, family="4"):
    payload = struct.pack("<IIQ", 4, int(index), int(counter)) + os.urandom(48)
    send([frame(payload, gateway_mac(), six=family == "6")])


def truncated(kind):
    kind, mac = int(kind), gateway_mac()
    good = LENGTHS[kind]
    lengths = [4, 5, 8, 15, 16, good // 2, good - 1]
    if kind != 4:  # of exactly one length
        lengths += [good + 1, good + 16, 1000]
    lengths = sorted({n for n in lengths if n != good and (kind != 4 or n < good)})
    send([frame(bytes([kind, 0, 0, 0]) + os.urandom(n - 4), mac) for n in lengths])


def cleartext(source, destination):
    mac = gateway_mac()
    if ":" in source:
        packet = IPv6(src=source, dst=destination) / ICMPv6EchoRequest(data=b"clear" * 8)
    else:
        packet = IP(src=source, dst=destination) / ICMP() / Raw(b"clear" * 8)
    send([bytes(Ether(dst=mac) / packet)] * 10)


def initiation(mac1_key, good=True):
    """A message of the right form (WireGuard paper, 5.4.2) that only its first MAC speaks for."""
    body = struct.pack("<I", 1) + os.urandom(112)
    mac1 = hashlib.blake2s(body, key=mac1_key, digest_size=16).digest()
    return body + (mac1 if good else os.urandom(16)) + bytes(16)


def mac1_key(public_key):
    return hashlib.blake2s(b"mac1----" + base64.b64decode(public_key)).digest()


def initiation_command(public_key, quality):
    message = initiation(mac1_key(public_key), quality == "good")
    send([frame(message, gateway_mac())])


def flood(public_key, seconds, packets_per_second):
    mac, key = gateway_mac(), mac1_key(public_key)
    # Scapy is slow: one frame as the mould, filled in by hand. IPv4 lets the UDP checksum be zero.
    ethernet = bytes(Ether(dst=mac, type=0x800))
    frames = []
    for _ in range(int(float(seconds) * int(packets_per_second))):
        source = bytes([random.choice((23, 45, 67, 89, 143, 185)), *os.urandom(2), random.randint(1, 254)])
        header = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, 0, 176, 0, 0, 64, 17, 0, source,
                                       socket.inet_aton(GATEWAY4)))
        total = sum(struct.unpack(">10H", header))
        total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into(">H", header, 10, ~(total + (total >> 16)) & 0xFFFF)
        udp = struct.pack(">HHHH", random.randint(1024, 65535), 51820, 156, 0)
        frames.append(ethernet + header + udp + initiation(key))
    send(frames, int(packets_per_second))


COMMANDS = {"replay": replay, "forge": forge, "truncated": truncated, "cleartext": cleartext,
            "initiation": initiation_command, "flood": flood}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[sys.argv[1]](*sys.argv[2:])
