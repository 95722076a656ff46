"""A mixed load that remembers what was answered, for tests that kill things.

Each worker owns its keys, so the truth about a key is known: the last answered operation, and those after it that were
sent and not answered (they may or may not have happened).
"""

import collections
import errno
import hashlib
import os
import random
import threading

KEYS = 40  # of each worker


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
        self.pairs = {}  # (from, to) -> both digests before and after a rename without an answer

    def begin(self, key, data, between=()):
        """`between`: states that the operation passes through before its answer."""
        with self.lock:
            self.forget_pairs(key)
            entry = self.entries.setdefault(key, Entry())
            entry.possible.extend(digest(state) for state in between)
            entry.possible.append(digest(data))

    def answered(self, key, data):
        with self.lock:
            entry = self.entries[key]
            entry.certain = digest(data)
            entry.possible = []

    def forget_pairs(self, key):
        self.pairs = {pair: states for pair, states in self.pairs.items() if key not in pair}

    def begin_rename(self, old, new, data):
        """Both names change or neither does. What `new` held must be known, or it must be new."""
        self.begin(old, None)
        with self.lock:
            replaced = self.entries[new].certain if new in self.entries else None
        self.begin(new, data)
        with self.lock:
            self.pairs[(old, new)] = ((digest(data), replaced), (None, digest(data)))

    def renamed(self, old, new, data):
        self.answered(old, None)
        self.answered(new, data)
        with self.lock:
            self.forget_pairs(old)

    def may_be(self, key):
        """Digests of what `key` may hold."""
        with self.lock:
            entry = self.entries.get(key)
            return {None} if entry is None else {entry.certain, *entry.possible}

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
        for (old, new), states in self.pairs.items():
            if (self.entries[old].certain, self.entries[new].certain) not in states:
                wrong.append(f"{context}: {old} renamed to {new}: half done")
        self.pairs = {}
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
            try:
                self.step()
            except Exception as error:  # whatever the door says when its server is gone
                self.failed += 1
                self.errors[f"{type(error).__name__}: {error}"] += 1
                self.stopping.wait(0.02)
                continue
            self.answered += 1

    def some_key(self):
        return f"{self.prefix}{self.random.randrange(KEYS)}"

    def step(self):
        """One operation; raises what the door says where it fails."""
        key = self.some_key()
        size = self.random.choice((0, 10, 4096, 4096, 20_000, 300_000))
        self.change_to(key, None if self.random.random() < 0.2 else self.random.randbytes(size))

    def change_to(self, key, data):
        self.ledger.begin(key, data, self.between)
        if data is None:
            self.delete(key)
        else:
            self.write(key, data)
        self.ledger.answered(key, data)


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

    # Through a descriptor of the mounted directory: only a mount that is still there can answer that there is no such file.
    def mounted_top():
        try:
            return os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            raise OSError(errno.ENOTCONN, "not mounted") from None

    def delete(key):
        directory = mounted_top()
        try:
            os.unlink(key, dir_fd=directory)
        except FileNotFoundError:
            pass
        finally:
            os.close(directory)

    def read(key):
        directory = mounted_top()
        try:
            with open(os.open(key, os.O_RDONLY, dir_fd=directory), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        finally:
            os.close(directory)

    return write, delete, read
