"""A mixed load that remembers what was answered, for tests that kill things.

Each worker owns its keys, so the truth about a key is known: the last answered operation, and those after it that were
sent and not answered (they may or may not have happened).
"""

import collections
import hashlib
import os
import random
import threading


class Entry:
    __slots__ = ("certain", "possible")

    def __init__(self):
        self.certain = None   # digest of the last answered content; None: not there
        self.possible = []    # digests (or None for a delete) sent after it without an answer


def digest(data):
    return None if data is None else hashlib.sha256(data).digest()


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.entries = {}

    def begin(self, key, data, between=()):
        """`between`: states that the operation passes through before its answer."""
        with self.lock:
            entry = self.entries.setdefault(key, Entry())
            entry.possible.extend(digest(state) for state in between)
            entry.possible.append(digest(data))

    def answered(self, key, data):
        with self.lock:
            entry = self.entries[key]
            entry.certain = digest(data)
            entry.possible = []

    def verify(self, read, context):
        """`read(key)` gives bytes or None. Returns the list of what is wrong; settles what was open."""
        wrong = []
        for key, entry in sorted(self.entries.items()):
            found = digest(read(key))
            if found != entry.certain and found not in entry.possible:
                what = "missing" if found is None else "deleted, but back" if entry.certain is None else "other bytes"
                wrong.append(f"{context}: {key}: {what}")
            entry.certain = found
            entry.possible = []
        return wrong


class Worker(threading.Thread):
    """Puts, overwrites and deletes keys of its own through `write(key, data)` and `delete(key)` until stopped."""

    def __init__(self, ledger, prefix, write, delete, seed, between=()):
        super().__init__(daemon=True)
        self.ledger, self.prefix, self.write, self.delete = ledger, prefix, write, delete
        self.between = between
        self.random = random.Random(seed)
        self.stopping = threading.Event()
        self.answered = 0
        self.failed = 0
        self.errors = collections.Counter()

    def run(self):
        while not self.stopping.is_set():
            key = f"{self.prefix}{self.random.randrange(40)}"
            size = self.random.choice((0, 10, 4096, 4096, 20_000, 300_000))
            data = None if self.random.random() < 0.2 else self.random.randbytes(size)
            self.ledger.begin(key, data, self.between)
            try:
                if data is None:
                    self.delete(key)
                else:
                    self.write(key, data)
            except Exception as error:  # whatever the door says when its server is gone
                self.failed += 1
                self.errors[f"{type(error).__name__}: {error}"] += 1
                self.stopping.wait(0.02)
                continue
            self.ledger.answered(key, data)
            self.answered += 1


def s3_door(s3, bucket):
    def write(key, data):
        s3.put_object(Bucket=bucket, Key=key, Body=data)

    def delete(key):
        s3.delete_object(Bucket=bucket, Key=key)

    def read(key):
        try:
            return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None

    return write, delete, read


def posix_door(top):
    """Durable means: written and closed; or written to a new name, synced and renamed."""

    def write(key, data):
        path = os.path.join(top, key)
        if len(data) % 2:
            fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                os.write(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(path + ".new", path)
        else:
            # Replacing in place is two answers (truncate, then close), so the name is new each time.
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                os.write(fd, data)
            finally:
                os.close(fd)

    def delete(key):
        try:
            os.unlink(os.path.join(top, key))
        except FileNotFoundError:
            # Only a mount that is still there can answer that there is no such file.
            os.stat(top)

    def read(key):
        try:
            with open(os.path.join(top, key), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    return write, delete, read
