#!/usr/bin/env python3
"""What was on the wire: answers questions about a capture (pcap, Ethernet).

  wire.py counters FILE SOURCE   data packets of WireGuard that SOURCE sent:
                                 prints "SESSIONS PACKETS MISSING REPEATED"
  wire.py handshakes FILE SOURCE prints "INITIATIONS RESPONSES COOKIES" that SOURCE sent
  wire.py indices FILE SOURCE    of SOURCE's last response: prints "SENDER RECEIVER"
  wire.py receivers FILE SOURCE  receiver indices of SOURCE's data packets, in order of appearance
  wire.py esp FILE SOURCE        ESP that SOURCE sent, in UDP or not:
                                 prints "SAS PACKETS MISSING REPEATED"
  wire.py cleartext FILE         prints how many frames show an address that belongs inside
  wire.py largest FILE           prints the length of the largest IP packet
  wire.py frames FILE            prints how many frames it has
"""

import ipaddress
import struct
import sys
from collections import namedtuple

Datagram = namedtuple("Datagram", "source destination source_port destination_port payload frame")

INSIDE = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "fd00::/8")]


def frames(path):
    with open(path, "rb") as file:
        header = file.read(24)
        if header[:4] != b"\xd4\xc3\xb2\xa1" or struct.unpack("<I", header[20:])[0] != 1:
            sys.exit(f"{path} is no pcap of Ethernet frames")
        while len(record := file.read(16)) == 16:
            yield file.read(struct.unpack("<I", record[8:12])[0])


def ip_header(frame):
    """(source, destination, protocol, payload) of an IP packet, or None."""
    ether_type = frame[12:14]
    if ether_type == b"\x08\x00" and len(frame) >= 34:
        length = (frame[14] & 15) * 4
        end = 14 + struct.unpack(">H", frame[16:18])[0]
        source, destination = frame[26:30], frame[30:34]
        return (ipaddress.ip_address(source), ipaddress.ip_address(destination), frame[23],
                frame[14 + length:end])
    if ether_type == b"\x86\xdd" and len(frame) >= 54:
        end = 54 + struct.unpack(">H", frame[18:20])[0]
        return (ipaddress.ip_address(frame[22:38]), ipaddress.ip_address(frame[38:54]), frame[20],
                frame[54:end])
    return None


def datagrams(path):
    for frame in frames(path):
        header = ip_header(frame)
        if header is None or header[2] != 17 or len(header[3]) < 8:
            continue
        source_port, destination_port = struct.unpack(">HH", header[3][:4])
        yield Datagram(str(header[0]), str(header[1]), source_port, destination_port,
                       header[3][8:], frame)


def messages(path, source, kind):
    """WireGuard's messages of one type from one address."""
    return [d for d in datagrams(path)
            if d.source == source and 51820 in (d.source_port, d.destination_port)
            and len(d.payload) >= 16 and d.payload[:4] == bytes([kind, 0, 0, 0])]


def index_at(payload, offset):
    return struct.unpack("<I", payload[offset:offset + 4])[0]


def counters(path, source):
    seen = {}
    for message in messages(path, source, 4):
        receiver, counter = struct.unpack("<IQ", message.payload[4:16])
        seen.setdefault(receiver, []).append(counter)
    packets = sum(map(len, seen.values()))
    distinct = sum(len(set(c)) for c in seen.values())
    expected = sum(max(c) + 1 for c in seen.values())
    print(len(seen), packets, expected - distinct, packets - distinct)


def esp(path, source):
    """Sequence numbers begin with 1 (RFC 4303 2.2)."""
    seen = {}
    for frame in frames(path):
        header = ip_header(frame)
        if header is None or str(header[0]) != source:
            continue
        packet = header[3]
        if header[2] == 17 and struct.unpack(">H", packet[:2])[0] == 4500:
            packet = packet[8:]
        elif header[2] != 50:
            continue
        if len(packet) < 16 or packet[:4] == bytes(4):  # a keepalive, or IKE (RFC 3948 2.2)
            continue
        spi, sequence = struct.unpack(">II", packet[:8])
        seen.setdefault(spi, []).append(sequence)
    packets = sum(map(len, seen.values()))
    distinct = sum(len(set(s)) for s in seen.values())
    expected = sum(max(s) for s in seen.values())
    print(len(seen), packets, expected - distinct, packets - distinct)


def handshakes(path, source):
    print(*(len(messages(path, source, kind)) for kind in (1, 2, 3)))


def indices(path, source):
    response = messages(path, source, 2)[-1].payload
    print(index_at(response, 4), index_at(response, 8))


def receivers(path, source):
    print(*dict.fromkeys(index_at(m.payload, 4) for m in messages(path, source, 4)))


def cleartext(path):
    count = 0
    for frame in frames(path):
        header = ip_header(frame)
        if header and any(a in net for net in INSIDE for a in header[:2] if a.version == net.version):
            count += 1
    print(count)


def largest(path):
    print(max((len(f) - 14 for f in frames(path) if ip_header(f)), default=0))


def count_frames(path):
    print(sum(1 for _ in frames(path)))


COMMANDS = {f.__name__: f for f in (counters, esp, handshakes, indices, receivers, cleartext, largest)}
COMMANDS["frames"] = count_frames

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[sys.argv[1]](*sys.argv[2:])
