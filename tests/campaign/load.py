"""The campaign's load: each worker does all that its door offers with names of its own, and checks every answer it gets,
also in the middle of a fault: refused is allowed, wrong is not.
"""

import os

from ledger import KEYS, Worker, digest

# What is appended and overwritten goes to the mount in one request, so that it is there or not.
PIECE_BYTES = 4096


class MixedWorker(Worker):
    """A door's own operations are given by name; each is a method here that keeps the ledger."""

    own = ()

    def __init__(self, ledger, prefix, door, seed, between=()):
        super().__init__(ledger, prefix, door.write, door.delete, seed, between)
        self.door = door
        self.contents = {}  # of names whose state is certain
        self.wrong = []

    def step(self):
        what = self.random.choice(("write", "write", "write", "read", "read", "list", *self.own))
        getattr(self, "step_" + what)()

    def known(self):
        """A name of which the content is certain, or None."""
        names = sorted(self.contents)
        return self.random.choice(names) if names else None

    def step_write(self):
        super().step()

    def change_to(self, key, data):
        self.contents.pop(key, None)
        super().change_to(key, data)
        if data is not None:
            self.contents[key] = data

    def step_read(self):
        key = self.some_key()
        allowed = self.ledger.may_be(key)
        found = self.door.read(key)
        if digest(found) not in allowed:
            size = "nothing" if found is None else f"{len(found)} bytes"
            self.wrong.append(f"{key} read as {size}, {len(self.contents.get(key, b''))} bytes expected")

    def step_list(self):
        listed = self.door.list(self.prefix)
        for number in range(KEYS):
            key = f"{self.prefix}{number}"
            allowed = self.ledger.may_be(key)
            if key in listed and allowed == {None}:
                self.wrong.append(f"{key} is listed and was deleted or never there")
            elif key not in listed and None not in allowed:
                self.wrong.append(f"{key} is not listed")
            elif key in listed and key in self.contents and listed[key] != len(self.contents[key]):
                self.wrong.append(f"{key} is listed with {listed[key]} bytes, {len(self.contents[key])} expected")

    def change(self, key, data, call):
        """`call` makes `key` hold `data`, in one step."""
        self.contents.pop(key, None)
        self.ledger.begin(key, data)
        call()
        self.ledger.answered(key, data)
        self.contents[key] = data


class S3Worker(MixedWorker):
    own = ("copy", "copy")

    def step_copy(self):
        source, key = self.known(), self.some_key()
        if source is not None and source != key:
            self.change(key, self.contents[source], lambda: self.door.copy(source, key))


class PosixWorker(MixedWorker):
    own = ("append", "overwrite", "rename", "rename")

    def step_append(self):
        key = self.known()
        if key is not None:
            piece = self.random.randbytes(self.random.randrange(1, PIECE_BYTES))
            self.change(key, self.contents[key] + piece, lambda: self.door.append(key, piece))

    def step_overwrite(self):
        key = self.known()
        if key is not None and self.contents[key]:
            old = self.contents[key]
            at = self.random.randrange(len(old))
            piece = self.random.randbytes(min(len(old) - at, self.random.randrange(1, PIECE_BYTES)))
            self.change(key, old[:at] + piece + old[at + len(piece):], lambda: self.door.overwrite(key, at, piece))

    def step_rename(self):
        old, new = self.known(), self.some_key()
        if old is None or old == new or len(self.ledger.may_be(new)) != 1:
            return
        data = self.contents.pop(old)
        self.contents.pop(new, None)
        self.ledger.begin_rename(old, new, data)
        self.door.rename(old, new)
        self.ledger.renamed(old, new, data)
        self.contents[new] = data


class S3Door:
    def __init__(self, s3, bucket, write, delete, read):
        self.s3, self.bucket, self.write, self.delete, self.read = s3, bucket, write, delete, read

    def copy(self, source, key):
        self.s3.copy_object(Bucket=self.bucket, Key=key, CopySource={"Bucket": self.bucket, "Key": source})

    def list(self, prefix):
        """Sizes by key; in pages, to use the markers."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix,
                                                                  PaginationConfig={"PageSize": 17})
        return {found["Key"]: found["Size"] for page in pages for found in page.get("Contents", [])}


class PosixDoor:
    def __init__(self, top, write, delete, read):
        self.top, self.write, self.delete, self.read = top, write, delete, read

    def synced(self, key, flags, write):
        fd = os.open(os.path.join(self.top, key), os.O_WRONLY | flags)
        try:
            write(fd)
            os.fsync(fd)
        finally:
            os.close(fd)

    def append(self, key, piece):
        self.synced(key, os.O_APPEND, lambda fd: os.write(fd, piece))

    def overwrite(self, key, at, piece):
        self.synced(key, 0, lambda fd: os.pwrite(fd, piece, at))

    def rename(self, old, new):
        os.rename(os.path.join(self.top, old), os.path.join(self.top, new))

    def list(self, prefix):
        with os.scandir(os.path.join(self.top, prefix)) as entries:
            found = {}
            for entry in entries:
                if not entry.name.endswith(".new"):
                    found[prefix + entry.name] = entry.stat().st_size
            return found
