# SPDX-License-Identifier: BSD-3-Clause
"""A verifying load: what was acknowledged must be there, and what is there must be a prefix.

One Writer does numbered operations one after the other over all volumes of a group, so that its order is the
group's write order. Every 512-byte block it writes carries the number of the operation. After a failover:

    P = the highest operation found anywhere;
    every block must carry the last operation <= P that wrote it          (prefix, across the volumes)
    P >= the last operation that the promise of the mode protects        (nothing acknowledged is lost)

The history begins with a base: what every block carries after an operation that no site can go back behind any
more. Without a base moving up, checks would take longer and longer.
"""
import random
import struct
import threading
import time

import nbd

from results import Broken

BLOCK = 512


def pattern(op, volume, block):
    return struct.pack("<QQQQ", op, volume, block, op ^ 0x5A5A5A5A5A5A5A5A) * (BLOCK // 32)


class Writer(threading.Thread):
    """Writes until stopped or until its connection dies. Blocks [first, first + count) of each volume are its own."""

    def __init__(self, seed, first=0, count=4096, flush_every=20, start_op=1):
        super().__init__(daemon=True)
        self.rng = random.Random(seed)
        self.first, self.count = first, count
        self.flush_every = flush_every
        self.next_op = start_op
        self.base_op = 0           # no site goes back behind this one
        self.base = {}             # (volume, block) -> operation it carries after base_op; not there: 0
        self.history = []          # (op, volume, first block, blocks, is zeroes), above base_op
        self.acknowledged = 0      # highest operation answered
        self.flushed = 0           # highest operation covered by an answered flush or FUA
        self.stopping = threading.Event()
        self.error = None
        self.handles = []

    def next(self, seed, end):
        """The writer that goes on after a check said `end`: what came later is on no site any more."""
        w = Writer(seed, self.first, self.count, self.flush_every, self.next_op)
        w.base_op, w.base = self.base_op, self.base
        w.history = [h for h in self.history if h[0] <= end]
        w.acknowledged, w.flushed = min(self.acknowledged, end), min(self.flushed, end)
        return w

    def rebase(self, op):
        """Every site has all up to `op` for good: from now on a state that ends before it is a loss."""
        for number, volume, first, blocks, zero in self.history:
            if number <= op:
                self.base.update(((volume, b), 0 if zero else number) for b in range(first, first + blocks))
        self.history = [h for h in self.history if h[0] > op]
        self.base_op = max(self.base_op, op)

    def connect(self, uris):
        self.handles = []
        for uri in uris:
            h = nbd.NBD()
            h.connect_uri(uri)
            self.handles.append(h)
        return self

    def one(self):
        self.perform(self.choose())

    def choose(self):
        """The next operation; from now on it may be found, whether it was answered or not."""
        op = self.next_op
        self.next_op += 1
        volume = self.rng.randrange(len(self.handles))
        blocks = self.rng.choice([1, 1, 2, 8, 8, 8, 16, 64, 256])
        first = self.first + self.rng.randrange(self.count - blocks)
        zero = self.rng.random() < 0.05
        fua = self.rng.random() < 0.1
        self.history.append((op, volume, first, blocks, zero))
        return op, volume, first, blocks, zero, fua

    def perform(self, chosen):
        op, volume, first, blocks, zero, fua = chosen
        flags = nbd.CMD_FLAG_FUA if fua else 0
        h = self.handles[volume]
        if zero:
            h.zero(blocks * BLOCK, first * BLOCK, flags)
        else:
            h.pwrite(b"".join(pattern(op, volume, first + i) for i in range(blocks)), first * BLOCK, flags)
        self.acknowledged = op
        if fua:
            self.flushed = op
        elif self.rng.randrange(self.flush_every) == 0:
            h.flush()
            self.flushed = op

    def run(self):
        try:
            while not self.stopping.is_set():
                self.one()
        except nbd.Error as e:
            self.error = e

    def stop(self):
        self.stopping.set()
        self.join(60)
        if self.is_alive():
            raise TimeoutError("a write is still held 60 s after the writer was told to stop")

    def close(self):
        self.handles = []  # libnbd closes a connection when its handle is dropped


class Patient(Writer):
    """Goes on where the volumes are then, when its connection ends, with the operation that was not answered. An error
    in an answer is not borne. places: lists of URIs, one a site."""

    def __init__(self, seed, places, **more):
        super().__init__(seed, **more)
        self.places = places
        self.gaps = []  # seconds from the last answer before a reconnection to the first one after it
        self.answered = time.monotonic()

    def find(self):
        while not self.stopping.is_set():
            for uris in self.places:
                try:
                    self.connect(uris)
                    return
                except nbd.Error:
                    time.sleep(0.002)

    def persist(self, chosen):
        is_broken = False
        while not self.stopping.is_set():
            try:
                self.perform(chosen)
                break
            except nbd.Error as e:
                if e.errno in ("EIO", "ENOSPC", "EPERM", "EINVAL", "ESHUTDOWN") and "invalid state" not in e.string:
                    raise
                is_broken = True
                self.find()
        now = time.monotonic()
        if is_broken and not self.stopping.is_set():
            self.gaps.append(now - self.answered)
        self.answered = now

    def run(self):
        try:
            self.find()
            while not self.stopping.is_set():
                self.persist(self.choose())
        except nbd.Error as e:
            self.error = e


def read_blocks(uris, first, count):
    """{volume: bytes of [first, first + count)}"""
    content = []
    for uri in uris:
        h = nbd.NBD()
        h.connect_uri(uri)
        data = b""
        while len(data) < count * BLOCK:
            n = min(count * BLOCK - len(data), 1 << 20)
            data += h.pread(n, first * BLOCK + len(data))
        h.shutdown()
        content.append(data)
    return content


def check(writer, uris, at_least):
    """Raises Broken with words, or returns P."""
    content = read_blocks(uris, writer.first, writer.count)
    found = {}  # (volume, block) -> op
    highest = 0
    for volume, data in enumerate(content):
        for i in range(writer.count):
            b = data[i * BLOCK:(i + 1) * BLOCK]
            op = struct.unpack_from("<Q", b)[0]
            if op != 0 and b != pattern(op, volume, writer.first + i):
                raise Broken(f"volume {volume} block {writer.first + i} holds bytes that nobody wrote")
            if op == 0 and b != bytes(BLOCK):
                raise Broken(f"volume {volume} block {writer.first + i} is neither zero nor written")
            found[volume, writer.first + i] = op
            highest = max(highest, op)
    prefix_end, mismatches = shortest_prefix(writer, found, highest, at_least)
    if prefix_end is None:
        sample = list(mismatches.items())[:5]
        raise Broken(f"not a prefix above operation {writer.base_op}, which every site had: highest operation "
                             f"found {highest}, blocks that do not fit: {sample}")
    if prefix_end < at_least:
        raise Broken(f"lost: the state ends with operation {prefix_end}, {at_least} was promised")
    return prefix_end


def shortest_prefix(writer, found, highest, at_least):
    """Zeroes leave no number, so several prefixes may fit: the shortest that has at_least, else the longest. And what
    does not fit when there is none."""
    mismatches = {k: v for k, v in found.items() if v != writer.base.get(k, 0)}
    prefix_end = None
    for op, volume, first, blocks, zero in [(writer.base_op, 0, 0, 0, False), *writer.history]:
        value = 0 if zero else op
        for key in ((volume, b) for b in range(first, first + blocks)):
            if found[key] == value:
                mismatches.pop(key, None)
            else:
                mismatches[key] = found[key]
        if not mismatches and op >= highest:
            prefix_end = op
            if op >= at_least:
                break
    return prefix_end, mismatches
