# SPDX-License-Identifier: Apache-2.0
"""A libnbd client that knows what a crash may lose.

  client.py load URI STATE SEED     writes, with FUA and FLUSH between, until the server is gone; keeps in the file STATE what was
                                    asked for, acknowledged and flushed; prints "acked N flushed N" now and then
  client.py verify URI STATE kill   after the end of the server's process: every acknowledged write must be there
  client.py verify URI STATE cut    after the end of its kernel: every write that was acknowledged before a FLUSH that was
                                    answered, and every acknowledged write with FUA

Blocks have 4096 bytes. Version v of block b is made of sectors that hold the hash of (v, b, sector), so that what is read says
which write it came from. A write that was not acknowledged may be there, or not, sector by sector. verify ends with status 3
where something is lost, and takes what it found as the new beginning.
"""
import hashlib
import json
import random
import sys

import nbd

BLOCK = 4096
SECTOR = 512
SECTORS = BLOCK // SECTOR
DEPTH = 32
# Exit status where something is lost, unlike that of a Python that fails.
LOST = 3


def sector(version, block, index):
    if version == 0:
        return bytes(SECTOR)
    return hashlib.sha256(b"%d %d %d" % (version, block, index)).digest() * (SECTOR // 32)


def content(version, block):
    return bytearray(b"".join(sector(version, block, i) for i in range(SECTORS)))


class State:
    """Per block: the versions of its sectors after the last verify, the writes since in their order, and how many of these
    are acknowledged, and durable. One write of a block is under way at a time, so their order is known."""

    def __init__(self, path, size):
        self.path = path
        try:
            with open(path, encoding="utf8") as file:
                kept = json.load(file)
            self.blocks = {int(b): v for b, v in kept["blocks"].items()}
            self.next = kept["next"]
        except FileNotFoundError:
            self.blocks = {}
            self.next = 1
        self.count = size // BLOCK

    def block(self, b):
        return self.blocks.setdefault(b, {"base": [0] * SECTORS, "writes": [], "acked": 0, "durable": 0})

    def save(self):
        with open(self.path, "w", encoding="utf8") as file:
            json.dump({"blocks": self.blocks, "next": self.next}, file)


class Load:
    def __init__(self, handle, state, seed):
        self.handle = handle
        self.state = state
        self.random = random.Random(seed)
        self.busy = set()
        self.under_way = 0
        self.acked = 0
        self.flushed = 0
        # (order of acknowledgement, block, place in its writes), oldest first; what a FLUSH has made durable is taken off.
        self.volatile = []
        self.failure = None

    def run(self):
        while self.failure is None:
            while self.under_way < DEPTH:
                try:
                    self.submit()
                except nbd.Error:
                    return
            try:
                if self.handle.poll(10_000) == 0:
                    self.failure = "no answer for 10 s"
            except nbd.Error:
                return
            if self.handle.aio_is_dead() or self.handle.aio_is_closed():
                return

    def submit(self):
        if self.random.random() < 0.03:
            before = self.acked
            self.under_way += 1
            self.handle.aio_flush(completion=lambda error: self.flush_done(error, before))
            return
        b = self.random.randrange(self.state.count)
        while b in self.busy:
            b = self.random.randrange(self.state.count)
        version = self.state.next
        self.state.next += 1
        fua = self.random.random() < 0.05
        block = self.state.block(b)
        block["writes"].append(version)
        place = len(block["writes"])
        self.busy.add(b)
        self.under_way += 1
        data = nbd.Buffer.from_bytearray(content(version, b))
        flags = nbd.CMD_FLAG_FUA if fua else 0
        self.handle.aio_pwrite(data, b * BLOCK, completion=lambda error: self.write_done(error, b, place, fua), flags=flags)

    def write_done(self, error, b, place, fua):
        self.under_way -= 1
        self.busy.discard(b)
        if error.value != 0:
            self.check(error, f"write of block {b}")
            return 1
        block = self.state.blocks[b]
        block["acked"] = place
        self.acked += 1
        if fua:
            block["durable"] = max(block["durable"], place)
        else:
            self.volatile.append((self.acked, b, place))
        if self.acked % 50 == 0:
            self.tell()
        return 1

    def flush_done(self, error, before):
        self.under_way -= 1
        if error.value != 0:
            self.check(error, "flush")
            return 1
        kept = 0
        for order, b, place in self.volatile:
            if order > before:
                break
            block = self.state.blocks[b]
            block["durable"] = max(block["durable"], place)
            kept += 1
        del self.volatile[:kept]
        self.flushed += 1
        self.tell()
        return 1

    def check(self, error, what):
        if not (self.handle.aio_is_dead() or self.handle.aio_is_closed()) and error.value not in (107, 108):
            self.failure = f"{what} failed with errno {error.value}"

    def tell(self):
        print(f"acked {self.acked} flushed {self.flushed}", flush=True)


def verify(handle, state, mode):
    lost = []
    newer = 0
    unflushed = 0
    for b, block in sorted(state.blocks.items()):
        data = bytes(handle.pread(BLOCK, b * BLOCK))
        floor = block["acked" if mode == "kill" else "durable"]
        found = []
        # What a crash may take, and takes: it says that the cut was one.
        acked = block["writes"][max(block["acked"] - 1, 0):]
        if block["acked"] > block["durable"] and not any(sector(v, b, 0) == data[:SECTOR] for v in acked):
            unflushed += 1
        for i in range(SECTORS):
            allowed = block["writes"][max(floor - 1, 0):] + ([] if floor > 0 else [block["base"][i]])
            have = data[i * SECTOR:(i + 1) * SECTOR]
            version = next((v for v in allowed if sector(v, b, i) == have), None)
            if version is None:
                old = [v for v in block["base"][i:i + 1] + block["writes"] if sector(v, b, i) == have]
                lost.append(f"block {b} sector {i}: wanted version {allowed}, found {old or have[:16].hex()}")
            elif floor > 0 and version != block["writes"][floor - 1]:
                newer += 1
            found.append(version or 0)
        block.update(base=found, writes=[], acked=0, durable=0)
    state.save()
    print(json.dumps({"blocks": len(state.blocks), "lost": len(lost), "newerSectors": newer, "unflushedLost": unflushed, "examples": lost[:5]}))
    return LOST if lost else 0


def main():
    command, uri, path, last = sys.argv[1:5]
    handle = nbd.NBD()
    handle.connect_uri(uri)
    state = State(path, handle.get_size())
    if command == "verify":
        status = verify(handle, state, last)
        handle.shutdown()
        return status
    load = Load(handle, state, int(last))
    load.run()
    state.save()
    print(json.dumps({"acked": load.acked, "flushed": load.flushed, "volatile": len(load.volatile), "failure": load.failure}))
    return 0 if load.failure is None else 1


sys.exit(main())
