#!/usr/bin/env python3
"""Keeps a corpus as one text file: an input a line, in hex.

tests/fuzz/corpus.py unpack FILE.hex DIRECTORY    one file an input, named by its hash
tests/fuzz/corpus.py pack DIRECTORY FILE.hex      shortest first; minimise before (-merge=1)
"""
import hashlib
import os
import sys


def unpack(path, directory):
    os.makedirs(directory, exist_ok=True)
    with open(path) as file:
        for line in file:
            data = bytes.fromhex(line.strip())
            with open(os.path.join(directory, hashlib.sha1(data).hexdigest()), "wb") as out:
                out.write(data)


def pack(directory, path):
    inputs = set()
    for name in os.listdir(directory):
        with open(os.path.join(directory, name), "rb") as file:
            inputs.add(file.read())
    with open(path, "w") as out:
        for data in sorted(inputs, key=lambda data: (len(data), data)):
            out.write(data.hex() + "\n")


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("pack", "unpack"):
        sys.exit(__doc__)
    (unpack if sys.argv[1] == "unpack" else pack)(sys.argv[2], sys.argv[3])


if __name__ == "__main__":
    main()
