#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What an NBD server must answer, said byte by byte over its Unix socket; libnbd for the long way round.

    protocol.py SOCKET EXPORT SIZE [--block-size N] [--connects N]

EXPORT's content is overwritten. Works against any server of this project: the memory back end of
tests/unit/nbd, or an engine. Exit 0: every case holds; 1: some did not, and which.
Needs Debian's python3-libnbd for the last cases; without it they are skipped and that is said.
"""

import argparse
import os
import random
import socket
import struct
import sys
import time

OPT_MAGIC, REPLY_MAGIC = 0x49484156454F5054, 0x3E889045565A9
EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED, LIST_META, SET_META = 1, 2, 3, 5, 6, 7, 8, 9, 10
ACK, SERVER, REP_INFO, META = 1, 2, 3, 4
UNSUP, INVALID, UNKNOWN, TOO_BIG = (1 << 31 | n for n in (1, 3, 6, 9))
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO = 1, 2, 4, 8, 16
EIO, EINVAL, ENOSPC, EOVERFLOW = 5, 22, 28, 75
MAX = 4 << 20
args = None


class Closed(Exception):
    pass


class Client:
    """One connection, spoken by hand. Replies are read and checked for form; meaning is the caller's."""

    def __init__(self, flags=3):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(args.socket)
        greeting = self.take(18)
        assert greeting[:16] == b"NBDMAGICIHAVEOPT", greeting
        self.server_flags = struct.unpack(">H", greeting[16:])[0]
        self.structured = False
        self.cookie = random.getrandbits(63)
        if flags is not None:
            self.send(struct.pack(">I", flags))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, data):
        try:
            self.s.sendall(data)
        except OSError as error:
            raise Closed() from error

    def take(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.s.recv(count - len(data))
            except ConnectionError as error:
                raise Closed() from error
            if not piece:
                raise Closed()
            data += piece
        return data

    def is_closed(self):
        try:
            self.take(1)
        except Closed:
            return True
        return False

    # ---- options ----
    def option(self, number, data=b""):
        """Says an option; the replies as (type, data) up to ACK or an error."""
        self.send(struct.pack(">QII", OPT_MAGIC, number, len(data)) + data)
        return self.option_replies(number)

    def option_replies(self, number):
        replies = []
        while True:
            magic, option, kind, length = struct.unpack(">QIII", self.take(20))
            assert magic == REPLY_MAGIC and option == number, (hex(magic), option)
            replies.append((kind, self.take(length)))
            if kind == ACK or kind >> 31:
                return replies

    def go(self, name=None, number=GO, infos=()):
        name = (args.export if name is None else name).encode()
        data = struct.pack(">I", len(name)) + name + struct.pack(">H", len(infos))
        replies = self.option(number, data + b"".join(struct.pack(">H", i) for i in infos))
        for kind, body in replies:
            if kind == REP_INFO and body[:2] == b"\0\0":
                self.size, self.flags = struct.unpack(">QH", body[2:])
        return replies

    def negotiate(self, structured=True):
        if structured:
            assert self.option(STRUCTURED)[-1][0] == ACK
            assert self.option(SET_META, meta(args.export, "base:allocation"))[0][0] == META
            self.structured = True
        replies = self.go()
        assert replies[-1][0] == ACK, replies
        return self

    # ---- transmission ----
    def request(self, kind, offset=0, length=0, flags=0, payload=b"", magic=0x25609513):
        self.cookie += 1
        self.send(struct.pack(">IHHQQI", magic, flags, kind, self.cookie, offset, length) + payload)
        return self.cookie

    def reply(self, length=0):
        """(cookie, error, data): one reply, simple or structured; length is what a simple READ carries."""
        magic = struct.unpack(">I", self.take(4))[0]
        if magic == 0x67446698:
            error, cookie = struct.unpack(">IQ", self.take(12))
            return cookie, error, self.take(length) if not error else b""
        assert magic == 0x668E33EF, hex(magic)
        flags, kind, cookie, size = struct.unpack(">HHQI", self.take(16))
        assert flags == 1, "one chunk a reply"
        body = self.take(size)
        if kind == 32769:
            error, words = struct.unpack(">IH", body[:6])
            assert len(body) == 6 + words
            return cookie, error, body[6:]
        if kind == 1:
            return cookie, 0, body[8:]
        assert kind in (0, 5), kind
        return cookie, 0, body

    def call(self, kind, offset=0, length=0, flags=0, payload=b""):
        """A request and its answer: (error, data)."""
        expected = self.request(kind, offset, length, flags, payload)
        cookie, error, data = self.reply(length if kind == READ and not self.structured else 0)
        assert cookie == expected
        return error, data

    def error(self, *request, **keywords):
        return self.call(*request, **keywords)[0]

    def write(self, offset, data, flags=0):
        assert self.error(WRITE, offset, len(data), flags, data) == 0

    def read(self, offset, length, flags=0):
        error, data = self.call(READ, offset, length, flags)
        assert error == 0 and len(data) == length, (error, len(data))
        return data


def meta(name, *queries):
    name = name.encode()
    data = struct.pack(">I", len(name)) + name + struct.pack(">I", len(queries))
    return data + b"".join(struct.pack(">I", len(q)) + q.encode() for q in queries)


def noise(length):
    return random.getrandbits(8 * length).to_bytes(length, "little")


# ---- the cases ----

def case_export_name():
    with Client(3) as c:
        name = args.export.encode()
        c.send(struct.pack(">QII", OPT_MAGIC, EXPORT_NAME, len(name)) + name)
        size, flags = struct.unpack(">QH", c.take(10))
        assert size == args.size and flags & 1
        assert c.error(READ, 0, args.block_size) == 0
    with Client(1) as c:
        c.send(struct.pack(">QII", OPT_MAGIC, EXPORT_NAME, len(name)) + name)
        assert c.take(134)[10:] == bytes(124)
        assert c.error(FLUSH) == 0
    with Client(3) as c:
        c.send(struct.pack(">QII", OPT_MAGIC, EXPORT_NAME, 6) + b"nobody")
        assert c.is_closed()


def case_client_flags():
    with Client(0xFFFF) as c:
        assert c.is_closed()
    with Client(0) as c:  # not fixed: an option with a reply is not for such a client
        c.send(struct.pack(">QII", OPT_MAGIC, LIST, 0))
        assert c.is_closed()


def case_haggling():
    with Client() as c:
        assert c.option(STARTTLS)[0][0] == UNSUP
        assert c.option(77)[0][0] == UNSUP
        assert c.option(0xFFFFFFFF, b"what?")[0][0] == UNSUP
        assert c.option(LIST, b"x")[0][0] == INVALID
        names = [body[4:] for kind, body in c.option(LIST) if kind == SERVER]
        assert args.export.encode() in names, names
        assert c.option(STRUCTURED, b"x")[0][0] == INVALID
        assert c.option(SET_META, meta(args.export, "base:allocation"))[0][0] == INVALID
        assert c.go("nobody")[0][0] == UNKNOWN
        assert c.go("n" * 4000)[0][0] == UNKNOWN
        assert c.option(GO, b"")[0][0] == INVALID
        assert c.option(GO, struct.pack(">IH", 1 << 31, 0))[0][0] == INVALID
        assert c.option(GO, struct.pack(">IH", 0, 3))[0][0] == INVALID
        assert c.option(LIST, bytes(200000))[0][0] == TOO_BIG
        infos = {struct.unpack(">H", b[:2])[0]: b[2:] for k, b in c.go(number=INFO, infos=(1, 2, 3)) if k == REP_INFO}
        assert infos[1].decode() == args.export and infos[2]
        assert struct.unpack(">III", infos[3]) == (args.block_size, 4096, MAX)
        assert c.option(STRUCTURED)[0][0] == ACK
        assert [k for k, _ in c.option(LIST_META, meta(args.export))] == [META, ACK]
        assert [k for k, _ in c.option(LIST_META, meta(args.export, "base:"))] == [META, ACK]
        assert [k for k, _ in c.option(SET_META, meta(args.export, "qemu:nothing"))] == [ACK]
        assert c.option(SET_META, meta("nobody", "base:allocation"))[0][0] == UNKNOWN
        assert c.option(SET_META, meta(args.export, "base:allocation") + b"!")[0][0] == INVALID
        for _ in range(300):
            c.option(LIST)
        assert c.go()[-1][0] == ACK and c.size == args.size
        c.structured = True
        assert c.error(STATUS, 0, args.block_size) == EINVAL, "the last SET_META took the context away"
    with Client() as c:
        assert c.option(ABORT)[0][0] == ACK
        assert c.is_closed()
    with Client() as c:
        c.send(b"no option has such a magic")
        assert c.is_closed()
    with Client() as c:
        c.send(struct.pack(">QII", OPT_MAGIC, LIST, 1 << 30))
        assert c.is_closed()


def case_flags():
    with Client() as c:
        c.negotiate()
        assert c.flags == 0xDED, hex(c.flags)
    with Client() as c:
        c.negotiate(structured=False)
        assert c.flags == 0xD6D, hex(c.flags)


def case_options_in_one_send():
    """Everything pipelined, cut at odd places: the same answers."""
    name = args.export.encode()
    go = struct.pack(">I", len(name)) + name + struct.pack(">H", 0)
    stream = struct.pack(">I", 3)
    stream += struct.pack(">QII", OPT_MAGIC, LIST, 0) * 50 + struct.pack(">QII", OPT_MAGIC, GO, len(go)) + go
    stream += struct.pack(">IHHQQI", 0x25609513, 0, FLUSH, 9, 0, 0)
    for cut in (1, 5, 17, len(stream)):
        with Client(None) as c:
            for at in range(0, len(stream), cut):
                c.send(stream[at:at + cut])
            for _ in range(50):
                assert c.option_replies(LIST)[-1][0] == ACK
            assert c.option_replies(GO)[-1][0] == ACK
            assert c.reply() == (9, 0, b"")


def case_write_read(structured=True):
    with Client() as c:
        c.negotiate(structured)
        sizes = [s for s in (512, 4096, 20480, 131072, 135168, 1 << 20, MAX) if s % args.block_size == 0]
        for size in (s for s in sizes if s <= args.size):
            for offset in {0, args.block_size, args.size - size} - {args.size}:
                if offset + size <= args.size:
                    data = noise(size)
                    c.write(offset, data)
                    assert c.read(offset, size, DF if structured else 0) == data, (offset, size)


def case_write_read_simple():
    case_write_read(structured=False)


def case_fua_flush_trim_zeroes():
    with Client() as c:
        c.negotiate()
        n = 16384
        c.write(0, noise(n), FUA)
        assert c.error(FLUSH) == 0 and c.error(FLUSH, flags=FUA) == 0
        assert c.error(ZEROES, 4096, 4096, FUA | FAST_ZERO) == 0
        assert c.read(4096, 4096) == bytes(4096)
        c.write(0, noise(n))
        assert c.error(ZEROES, 0, 8192, NO_HOLE) == 0
        assert c.read(0, 8192) == bytes(8192)
        assert c.error(TRIM, 8192, 4096, FUA) == 0
        assert c.error(CACHE, 0, n) == 0
        whole = args.size - args.size % args.block_size
        assert c.error(TRIM, 0, min(whole, 0xFFFFFFFF & -args.block_size)) == 0
        assert c.error(READ, 0, n, FUA) == 0


def case_refused():
    with Client() as c:
        c.negotiate()
        b, end = args.block_size, args.size
        table = [
            (EINVAL, READ, 1, b, 0), (EINVAL, READ, 0, b + 1, 0), (EINVAL, READ, b // 2, b, 0),
            (EINVAL, READ, end, b, 0), (EINVAL, READ, end - b, 2 * b, 0), (EINVAL, READ, 1 << 63, b, 0),
            (EINVAL, READ, (1 << 64) - b, b, 0), (EINVAL, READ, 0, 0xFFFFFFFF, 0), (EINVAL, READ, 0, b, 0x8000),
            (EINVAL, TRIM, 3, b, 0), (ENOSPC, TRIM, end, b, 0), (ENOSPC, ZEROES, end - b, 2 * b, 0),
            (EINVAL, ZEROES, b, 7, 0), (EINVAL, CACHE, end, b, 0), (EINVAL, STATUS, end, b, 0),
            (EINVAL, STATUS, 0, 0, 0), (EINVAL, FLUSH, 0, b, 0), (EINVAL, 8, 0, 0, 0), (EINVAL, 0xFFFF, 0, 0, 0),
            (EINVAL, TRIM, 0, b, DF), (EINVAL, READ, 0, b, REQ_ONE),
        ]
        for expected, kind, offset, length, flags in table:
            got = c.error(kind, offset, length, flags)
            assert got == expected, (kind, offset, length, flags, got)
        if end >= MAX + b:
            assert c.error(READ, 0, MAX + b) == EINVAL
            assert c.error(READ, 0, MAX + b, DF) == EOVERFLOW
        for expected, offset, length in [(EINVAL, 1, b), (EINVAL, 0, b + 3), (ENOSPC, end, b), (ENOSPC, end - b, 2 * b),
                                         (EINVAL if end > 5 << 20 else ENOSPC, 0, 5 << 20)]:
            assert c.error(WRITE, offset, length, payload=bytes(length)) == expected, (offset, length)
        assert c.error(WRITE, 0, b, 0x4000, bytes(b)) == EINVAL
        assert c.error(FLUSH) == 0, "still in step after all that"


def case_nothing():
    with Client() as c:
        c.negotiate()
        for kind in (READ, WRITE, TRIM, ZEROES, CACHE):
            assert c.error(kind, 0, 0) == 0, kind
        assert c.error(READ, args.size, 0) == 0
        assert c.error(FLUSH) == 0


def case_payload_too_long():
    with Client() as c:
        c.negotiate()
        cookie = c.request(WRITE, 0, (32 << 20) + args.block_size)
        assert c.reply()[:2] == (cookie, EINVAL)
        assert c.is_closed()


def case_bad_magic():
    with Client() as c:
        c.negotiate()
        c.request(FLUSH, magic=0x25609514)
        assert c.is_closed()


def case_disconnect():
    with Client() as c:
        c.negotiate()
        data = noise(args.block_size)
        first = c.request(WRITE, 0, len(data), payload=data)
        c.request(DISC)
        assert c.reply()[:2] == (first, 0), "what came before DISC is answered"
        assert c.is_closed()


def case_gone_in_mid_request():
    for cut in (1, 27, 28, 29, 4000, 100000):
        with Client() as c:
            c.negotiate()
            stream = struct.pack(">IHHQQI", 0x25609513, 0, WRITE, 1, 0, 131072) + bytes(131072)
            for _ in range(5):
                c.request(READ, 0, 131072)
            c.send(stream[:cut])
    with Client() as c:
        c.negotiate()
        assert c.error(FLUSH) == 0


def case_pipeline():
    """200 requests before the first reply is read; answers may come in any order, each once."""
    with Client() as c:
        c.negotiate()
        b = max(args.block_size, 4096)
        count = min(200, args.size // b)
        data = [noise(b) for _ in range(count)]
        waiting = {c.request(WRITE, i * b, b, payload=data[i]) for i in range(count)}
        for _ in range(count):
            cookie, error, _ = c.reply()
            assert error == 0
            waiting.remove(cookie)
        where = {c.request(READ, i * b, b): i for i in range(count)}
        for _ in range(count):
            cookie, error, got = c.reply()
            assert error == 0 and got == data[where.pop(cookie)]


def case_slow_reader():
    """Asks for 256 MiB and reads nothing: others go on, and in the end all of it is right."""
    with Client() as slow, Client() as other:
        slow.negotiate()
        other.negotiate()
        n = min(1 << 20, args.size - args.size % 4096)
        pattern = noise(n)
        other.write(0, pattern)
        slow.s.setblocking(True)
        asked = 0
        slow.s.settimeout(0.5)
        try:
            for _ in range(256):
                slow.request(READ, 0, n)
                asked += 1
        except (Closed, TimeoutError):
            pass
        slow.s.settimeout(60)
        for _ in range(100):
            assert other.error(FLUSH) == 0 and other.read(0, 4096) == pattern[:4096]
        for _ in range(asked):
            assert slow.reply()[2] == pattern


def case_block_status():
    with Client() as c:
        c.negotiate()
        n = min(1 << 20, args.size) // 4096 * 4096
        c.write(0, noise(n))
        assert c.error(ZEROES, 4096, 8192) == 0
        for flags in (0, REQ_ONE):
            error, body = c.call(STATUS, 0, n, flags)
            context, *words = struct.unpack(f">{len(body) // 4}I", body)
            lengths, states = words[::2], words[1::2]
            assert error == 0 and len(lengths) > 0 and sum(lengths) <= n
            assert all(length > 0 and length % args.block_size == 0 for length in lengths)
            assert all(state in (0, 2, 3) for state in states), states
            assert len(lengths) == 1 or not flags
            at = 0
            for length, state in zip(lengths, states):
                if state & 2:
                    assert c.read(at, length) == bytes(length), "said to read as zeroes"
                at += length


def case_multi_conn():
    """A flush on one connection covers, and a read on another sees, what a third has completed."""
    clients = [Client().negotiate() for _ in range(3)]
    for i in range(20):
        data = noise(4096)
        clients[i % 3].write(0, data)
        assert clients[(i + 1) % 3].error(FLUSH) == 0
        assert clients[(i + 2) % 3].read(0, 4096) == data
    for c in clients:
        c.s.close()


def case_many_connects():
    for i in range(args.connects):
        with Client() as c:
            if i % 3 == 0:
                c.negotiate()
            if i % 3 == 1:
                c.send(noise(random.randrange(1, 300)))
    with Client() as c:
        c.negotiate()


def case_silent_connections_harm_nobody():
    """More connections than there is place for: the surplus is closed, and place comes back."""
    idle = []
    try:
        for _ in range(100):
            idle.append(Client())
    except (Closed, OSError):
        pass
    finally:
        for c in idle:
            c.s.close()
    for attempt in range(600):
        try:
            with Client() as c:
                c.negotiate()
                return
        except (Closed, OSError):
            time.sleep(0.1)
    raise AssertionError("no place came back")


def case_libnbd():
    try:
        import nbd
    except ImportError:
        print("skipped: no python3-libnbd", end=" ")
        return
    handle = nbd.NBD()
    handle.add_meta_context("base:allocation")
    handle.set_export_name(args.export)
    handle.connect_unix(args.socket)
    handle.set_strict_mode(0)
    assert handle.get_size() == args.size and handle.can_multi_conn() and handle.can_fast_zero()
    span = min(args.size, 4 << 20) // 4096 * 4096
    model = bytearray(handle.pread(span, 0) if span <= MAX else b"")
    for _ in range(400):
        length = random.choice((args.block_size, 4096, 8192, 65536, 262144))
        length = min(length, span)
        offset = random.randrange(0, span - length + 1) // args.block_size * args.block_size
        what = random.randrange(4)
        if what == 0:
            model[offset:offset + length] = data = noise(length)
            handle.pwrite(data, offset, random.choice((0, nbd.CMD_FLAG_FUA)))
        elif what == 1:
            model[offset:offset + length] = bytes(length)
            handle.zero(length, offset)
        elif what == 2:
            handle.flush()
        else:
            assert handle.pread(length, offset) == model[offset:offset + length], (offset, length)
    handle.shutdown()


def main():
    global args
    parser = argparse.ArgumentParser()
    parser.add_argument("socket")
    parser.add_argument("export")
    parser.add_argument("size", type=int)
    parser.add_argument("--block-size", type=int, default=512)
    parser.add_argument("--connects", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    random.seed(args.seed)
    failed = 0
    for name, case in [(n, f) for n, f in globals().items() if n.startswith("case_")]:
        start = time.monotonic()
        try:
            case()
            print(f"ok   {name[5:]} {time.monotonic() - start:.2f} s", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            where = error.__traceback__
            while where.tb_next and where.tb_next.tb_frame.f_code.co_filename == __file__:
                where = where.tb_next
            print(f"FAIL {name[5:]} line {where.tb_lineno}: {type(error).__name__} {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("LIBNBD_DEBUG", "0")
    sys.exit(main())
