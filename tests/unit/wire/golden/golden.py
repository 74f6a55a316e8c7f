#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The golden vectors, written by hand of another language.

This is a second writer of the formats in dataplane/wire/PROTOCOL.md and of the datagram in
dataplane/transport/PROTOCOL.md, made from the drawings alone: struct.pack and its own XXH3. `golden.py` writes
the .hex files beside it, `golden.py --check` compares them with what it would write. test_message.c,
test_record.c and test_packet.c hold the C encoder to the same files, test_dissector.py the dissector, so that a
change of bytes has to be made on purpose.
"""

import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
MASK = (1 << 64) - 1

# First 64 bytes of the default secret of XXH3 (xxHash 0.8 specification).
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c")


def mix16(data, at, secret_at):
    low, high = struct.unpack_from("<QQ", data, at)
    secret_low, secret_high = struct.unpack_from("<QQ", SECRET, secret_at)
    product = (low ^ secret_low) * (high ^ secret_high)
    return (product & MASK) ^ (product >> 64)


def xxh3_64_of_33_to_64_bytes(data):
    """The one length class that a record's header needs."""
    assert 32 < len(data) <= 64
    total = len(data) * 0x9E3779B185EBCA87
    total += mix16(data, 16, 32) + mix16(data, len(data) - 32, 48)
    total += mix16(data, 0, 0) + mix16(data, len(data) - 16, 16)
    total &= MASK
    total ^= total >> 37
    total = total * 0x165667919E3779F9 & MASK
    return total ^ (total >> 32)


def record(kind, flags, volume, length, sequence, epoch, reign, offset, time_ns, payload_hash, group):
    head = struct.pack("<BBHIQQQQQQI", kind, flags, volume, length, sequence, epoch, reign, offset, time_ns,
                       payload_hash, group)
    return head + struct.pack("<I", xxh3_64_of_33_to_64_bytes(head) & 0xFFFFFFFF)


# Values with no two bytes alike where there is room, so that a swap of two fields or of byte order shows.
EPOCH, REIGN, SERIAL, GROUP = 0x0807060504030201, 0x1817161514131211, 0x2827262524232221, 0x34333231
IDENTITY = struct.pack("<QQQQQ", 0x4847464544434241, 0x5857565554535251, 0x6867666564636261,
                       0x7877767574737271, 0x8887868584838281)
SEQUENCES = struct.pack("<QQQQQ", 1005, 1004, 1003, 1002, 1001)
HISTORY = struct.pack("<IQQQQQQ", 2, 3, 0xA3A2A1A0, 1, 7, 0xB3B2B1B0, 501)
VOLUMES = struct.pack("<IHQQHQQ", 2, 0, 1 << 30, 0, 63, 10 << 30, 0xC7C6C5C4C3C2C1C0)
WRITE = record(1, 3, 5, 4096, 1006, 7, 0xB3B2B1B0, 0x123456789000, 0x0102030405060708, 0xD7D6D5D4D3D2D1D0, GROUP)


def message(type_number, flags, fields):
    return struct.pack("<BBBBIQQQ", type_number, 1, 2, flags, GROUP, EPOCH, REIGN, SERIAL) + fields


GOLDEN = {
    "record": WRITE,
    "hello": message(1, 0x3F, IDENTITY + SEQUENCES + struct.pack("<Q", 1007) + HISTORY + VOLUMES),
    "attach": message(2, 0, struct.pack("<Q", 1001) + HISTORY),
    "attached": message(3, 0, struct.pack("<IQ", 2, 1002)),
    "record_message": message(4, 1, struct.pack("<Q", 1001) + WRITE),
    "commit": message(5, 0, struct.pack("<QQQQ", 1001, 1009, 1008, 0x0102030405060708)),
    "ack": message(6, 0, SEQUENCES + struct.pack("<QQ", 0x0102030405060708, 0x8887868584838281)),
    "fetch": message(7, 0, struct.pack("<QQ", 1002, 1005)),
    "copy_begin": message(8, 0, struct.pack("<QQ", 0xE7E6E5E4E3E2E1E0, 1001) + HISTORY + VOLUMES),
    "copy_chunk": message(9, 0, struct.pack("<QQQQQIHB", 0xE7E6E5E4E3E2E1E0, 17, 1001, 0x123456789000,
                                            0xD7D6D5D4D3D2D1D0, 65536, 63, 0)),
    "copy_end": message(10, 0, struct.pack("<QQQ", 0xE7E6E5E4E3E2E1E0, 18, 1009)),
    "copy_ack": message(11, 0, struct.pack("<QIIQ", 0xE7E6E5E4E3E2E1E0, 3, 6, 17)),
    "grant_ask": message(12, 0, struct.pack("<QI", 0x3D3C3B3A39383736, 5000)),
    "grant": message(13, 0, struct.pack("<QII", 0x3D3C3B3A39383736, 0, 4999)),
    "grant_release": message(14, 0, b""),
}


def datagram(kind, flags, spi, number, byte_26, repairs, block, index, position, payload):
    """What is sealed, and the tag, are only some bytes here: no key is needed to look at the rest."""
    psp = struct.pack(">BBBBIQ", 254, 1, 6, 1 << 2 | 1, spi, number)
    clear = struct.pack("<BBHIHBBIQ", 3 << 4 | kind, flags, spi & 0xFFFF, 0xAABBCCDD if spi else 0, len(payload), byte_26,
                        repairs, block | index << 24, position)
    return psp + clear + payload + bytes(range(0xF0, 0x100))


def filled(first, length):
    return bytes((first + i) % 256 for i in range(length))


def handshake(kind, fields, length=256 - 56):
    return datagram(3, 1 << 2, 0, 0, kind, 0, 0, 0, 0, fields + bytes(length - len(fields)))


HELLO_RANDOM, ANSWER_RANDOM, SHARE = filled(0x10, 32), filled(0x30, 32), filled(0x50, 32)
OFFER = (struct.pack("<IBBBx", 4096, 2, 1, 3) + struct.pack("<QIHH", 0x8877665544332211, 0x12345678, 1472, 64 | 2 << 12) +
         struct.pack("<QIHH", 7, 9, 8972, 0) + bytes(32))
COOKIE, CONFIRM = filled(0x70, 32), filled(0x90, 32)
SEALED = filled(0xB0, 32)

GOLDEN |= {
    "datagram_data": datagram(1, 3 | 2 << 2, 0x12345678, 0x0102030405060708, 2, 0, 0, 0, 0x1122334455667788, SEALED),
    "datagram_source": datagram(1, 1, 0x12345678, 9, 1, 2, 0x123456, 33, 17, SEALED),
    "datagram_control": datagram(2, 0, 0x12345678, 10, 0, 0, 0, 0, 0, SEALED),
    "datagram_repair": datagram(4, 1, 0x12345678, 11, 34, 2, 0x123456, 1, 2, SEALED),
    "handshake_hello": handshake(1, HELLO_RANDOM + SHARE + COOKIE + OFFER),
    "handshake_cookie": handshake(2, HELLO_RANDOM + COOKIE),
    "handshake_answer": handshake(3, HELLO_RANDOM + ANSWER_RANDOM + SHARE + OFFER + CONFIRM),
    "handshake_confirm": handshake(4, HELLO_RANDOM + ANSWER_RANDOM + CONFIRM),
    "handshake_carry": handshake(5, HELLO_RANDOM + ANSWER_RANDOM + struct.pack("<II", 1200, 700) + filled(0x16, 9), 72 + 9),
}


def as_text(data):
    return "".join(data[at:at + 16].hex(" ") + "\n" for at in range(0, len(data), 16))


def main():
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, data in GOLDEN.items():
        path = HERE / (name + ".hex")
        if not check:
            path.write_text(as_text(data))
        elif not path.exists() or path.read_text() != as_text(data):
            stale.append(path.name)
    strangers = sorted(p.name for p in HERE.glob("*.hex") if p.stem not in GOLDEN)
    for name in stale:
        print(f"{name}: differs from what golden.py writes")
    for name in strangers:
        print(f"{name}: no vector of this name")
    return 1 if stale or strangers else 0


if __name__ == "__main__":
    sys.exit(main())
