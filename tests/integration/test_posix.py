"""The mount, as ordinary programs use it."""

import ctypes
import errno
import mmap
import os
import random
import shutil
import socket
import sqlite3
import stat
import subprocess
import tempfile
import threading
import unittest

from harness import Cluster, fuse_available

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100


def renameat2(source, target, flags):
    if libc.renameat2(AT_FDCWD, source.encode(), AT_FDCWD, target.encode(), flags) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@unittest.skipUnless(fuse_available(), "needs /dev/fuse and root")
class PosixTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.cluster.start()

    @classmethod
    def tearDownClass(cls):
        cls.cluster.destroy()

    def setUp(self):
        self.dir = os.path.join(self.cluster.mount_point, self.id().rsplit(".", 1)[1])
        os.mkdir(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def assert_errno(self, code, call, *arguments, **keywords):
        with self.assertRaises(OSError) as caught:
            call(*arguments, **keywords)
        self.assertEqual(caught.exception.errno, code, caught.exception)

    def test_random_writes_read_back(self):
        rng = random.Random(5)
        model = bytearray()
        with open(self.path("f"), "w+b", buffering=0) as file:
            for _ in range(300):
                offset = rng.randrange(0, 2 << 20)
                data = rng.randbytes(rng.choice((1, 100, 4096, 5000, 70_000)))
                if len(model) < offset + len(data):
                    model.extend(bytes(offset + len(data) - len(model)))
                model[offset:offset + len(data)] = data
                os.pwrite(file.fileno(), data, offset)
            os.fsync(file.fileno())
            self.assertEqual(os.pread(file.fileno(), len(model) + 1, 0), bytes(model))
        self.assertEqual(self.read("f"), bytes(model))
        self.assertEqual(os.stat(self.path("f")).st_size, len(model))

    def test_truncate_both_ways(self):
        self.write("f", b"x" * 10_000)
        os.truncate(self.path("f"), 5_000)
        self.assertEqual(self.read("f"), b"x" * 5_000)
        os.truncate(self.path("f"), 9_000)
        self.assertEqual(self.read("f"), b"x" * 5_000 + bytes(4_000))
        with open(self.path("f"), "wb"):
            pass
        self.assertEqual(self.read("f"), b"")

    def test_append(self):
        for i in range(50):
            with open(self.path("log"), "ab") as file:
                file.write(b"line %d\n" % i)
        self.assertEqual(self.read("log"), b"".join(b"line %d\n" % i for i in range(50)))

    def test_rename_and_its_flags(self):
        self.write("a", b"a")
        self.write("b", b"b")
        self.assert_errno(errno.EEXIST, renameat2, self.path("a"), self.path("b"), 1)
        renameat2(self.path("a"), self.path("b"), 2)
        self.assertEqual((self.read("a"), self.read("b")), (b"b", b"a"))
        os.rename(self.path("a"), self.path("b"))
        self.assertEqual(self.read("b"), b"b")
        self.assertEqual(os.listdir(self.dir), ["b"])
        os.makedirs(self.path("d/e"))
        self.assert_errno(errno.EINVAL, os.rename, self.path("d"), self.path("d/e/f"))
        os.mkdir(self.path("full"))
        self.write("full/x", b"")
        self.assert_errno(errno.ENOTEMPTY, os.rename, self.path("d"), self.path("full"))

    def test_unlinked_file_lives_while_open(self):
        self.write("gone", b"still here")
        with open(self.path("gone"), "r+b") as file:
            os.unlink(self.path("gone"))
            self.assertFalse(os.path.exists(self.path("gone")))
            self.assertEqual(file.read(), b"still here")
            file.write(b" and growing")
            file.flush()
            file.seek(0)
            self.assertEqual(file.read(), b"still here and growing")
            self.assertEqual(os.fstat(file.fileno()).st_nlink, 0)

    def test_tmpfile_gets_a_name_later(self):
        fd = os.open(self.dir, os.O_TMPFILE | os.O_RDWR, 0o640)
        try:
            os.write(fd, b"from nowhere")
            follow = 0x400  # AT_SYMLINK_FOLLOW
            done = libc.linkat(AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, self.path("named").encode(), follow)
            self.assertEqual(done, 0, os.strerror(ctypes.get_errno()))
        finally:
            os.close(fd)
        self.assertEqual(self.read("named"), b"from nowhere")

    def test_links(self):
        self.write("one", b"1")
        os.link(self.path("one"), self.path("two"))
        self.assertEqual(os.stat(self.path("one")).st_nlink, 2)
        self.assertEqual(os.stat(self.path("one")).st_ino, os.stat(self.path("two")).st_ino)
        self.write("two", b"22")
        self.assertEqual(self.read("one"), b"22")
        os.unlink(self.path("one"))
        self.assertEqual(os.stat(self.path("two")).st_nlink, 1)
        os.symlink("two", self.path("sym"))
        self.assertEqual(os.readlink(self.path("sym")), "two")
        self.assertEqual(self.read("sym"), b"22")

    def test_special_files(self):
        os.mkfifo(self.path("fifo"), 0o600)
        self.assertTrue(stat.S_ISFIFO(os.stat(self.path("fifo")).st_mode))
        server = socket.socket(socket.AF_UNIX)
        server.bind(self.path("s"))
        server.close()
        self.assertTrue(stat.S_ISSOCK(os.stat(self.path("s")).st_mode))
        os.mknod(self.path("null"), 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        self.assertEqual(os.stat(self.path("null")).st_rdev, os.makedev(1, 3))

    def test_directories(self):
        for i in range(3000):
            self.write(f"file-{i}", b"")
        self.assertEqual(sorted(os.listdir(self.dir)), sorted(f"file-{i}" for i in range(3000)))
        self.assert_errno(errno.ENOTEMPTY, os.rmdir, self.dir)
        before = os.stat(self.dir).st_nlink
        os.mkdir(self.path("sub"))
        self.assertEqual(os.stat(self.dir).st_nlink, before + 1)
        self.assert_errno(errno.EEXIST, os.mkdir, self.path("sub"))
        os.rmdir(self.path("sub"))
        self.assertEqual(os.stat(self.dir).st_nlink, before)
        for i in range(3000):
            os.unlink(self.path(f"file-{i}"))
        self.assertEqual(os.listdir(self.dir), [])

    def test_attributes(self):
        self.write("f", b"x")
        os.chmod(self.path("f"), 0o4751)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("f")).st_mode), 0o4751)
        os.chown(self.path("f"), 1234, 2345)
        self.assertEqual((os.stat(self.path("f")).st_uid, os.stat(self.path("f")).st_gid), (1234, 2345))
        os.utime(self.path("f"), ns=(1_000_000_001, 2_000_000_002))
        self.assertEqual(os.stat(self.path("f")).st_atime_ns, 1_000_000_001)
        self.assertEqual(os.stat(self.path("f")).st_mtime_ns, 2_000_000_002)
        self.assert_errno(errno.ENAMETOOLONG, self.write, "n" * 256, b"")
        os.mkdir(self.path("g"))
        os.chown(self.path("g"), 0, 777)
        os.chmod(self.path("g"), 0o2755)
        self.write("g/child", b"")
        self.assertEqual(os.stat(self.path("g/child")).st_gid, 777)

    def test_xattrs(self):
        self.write("f", b"")
        os.setxattr(self.path("f"), "user.one", b"1")
        os.setxattr(self.path("f"), "user.two", b"\0" * 1000)
        self.assertEqual(sorted(os.listxattr(self.path("f"))), ["user.one", "user.two"])
        self.assertEqual(os.getxattr(self.path("f"), "user.two"), b"\0" * 1000)
        self.assert_errno(errno.EEXIST, os.setxattr, self.path("f"), "user.one", b"", os.XATTR_CREATE)
        self.assert_errno(errno.ENODATA, os.getxattr, self.path("f"), "user.none")
        os.removexattr(self.path("f"), "user.one")
        self.assertEqual(os.listxattr(self.path("f")), ["user.two"])

    def test_mmap(self):
        self.write("f", b"a" * 10_000)
        with open(self.path("f"), "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
            view[5000:5005] = b"hello"
            view.flush()
        self.assertEqual(self.read("f"), b"a" * 5000 + b"hello" + b"a" * 4995)

    def test_holes(self):
        with open(self.path("f"), "wb") as file:
            file.seek(1 << 20)
            file.write(b"end")
        self.assertEqual(self.read("f"), bytes(1 << 20) + b"end")
        fd = os.open(self.path("f"), os.O_RDWR)
        try:
            self.assertEqual(os.lseek(fd, 0, os.SEEK_DATA), 1 << 20)
            self.assertEqual(os.lseek(fd, 0, os.SEEK_HOLE), 0)
            os.posix_fallocate(fd, 0, 2 << 20)
            self.assertEqual(os.fstat(fd).st_size, 2 << 20)
        finally:
            os.close(fd)

    def test_statfs(self):
        st = os.statvfs(self.dir)
        self.assertGreater(st.f_blocks, 0)
        self.assertGreaterEqual(st.f_blocks, st.f_bfree)
        self.assertEqual(st.f_namemax, 255)

    def test_save_by_rename_and_concurrent_readers(self):
        self.write("config", b"0" * 1000)
        wrong = []

        def read_all():
            for _ in range(200):
                try:
                    data = self.read("config")
                except OSError as error:
                    wrong.append(error)
                    return
                if len(data) != 1000 or len(set(data)) != 1:
                    wrong.append(data[:20])

        readers = [threading.Thread(target=read_all) for _ in range(2)]
        for reader in readers:
            reader.start()
        for i in range(100):
            self.write("config.new", bytes([48 + i % 10]) * 1000)
            os.rename(self.path("config.new"), self.path("config"))
        for reader in readers:
            reader.join()
        self.assertEqual(wrong, [])

    def test_sqlite_with_a_journal(self):
        database = sqlite3.connect(self.path("db"))
        database.execute("create table t (id integer primary key, v text)")
        for i in range(30):
            with database:
                database.execute("insert into t (v) values (?)", ("x" * i * 100,))
        database.close()
        database = sqlite3.connect(self.path("db"))
        self.assertEqual(database.execute("select count(*) from t").fetchone(), (30,))
        self.assertEqual(database.execute("pragma integrity_check").fetchone(), ("ok",))
        database.close()

    def test_git_tar_and_a_build(self):
        with tempfile.TemporaryDirectory() as outside:
            def run(*command, cwd=outside):
                done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
                return done.stdout

            source = os.path.join(outside, "repo")
            os.mkdir(source)
            with open(os.path.join(source, "main.c"), "w") as file:
                file.write('#include <stdio.h>\nint main(void) { puts("built"); return 0; }\n')
            with open(os.path.join(source, "Makefile"), "w") as file:
                file.write("main: main.o\n\t$(CC) -o $@ $^\n")
            identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
            run("git", "init", "-q", cwd=source)
            run("git", "add", ".", cwd=source)
            run("git", *identity, "commit", "-qm", "first", cwd=source)
            clone = self.path("clone")
            run("git", "clone", "-q", source, clone)
            run("make", cwd=clone)
            self.assertEqual(run("./main", cwd=clone), "built\n")
            run("git", "fsck", "--strict", cwd=clone)
            self.assertEqual(run("git", "status", "--porcelain", cwd=clone), "?? main\n?? main.o\n")
            run("tar", "cf", self.path("clone.tar"), "-C", self.dir, "clone")
            os.mkdir(os.path.join(outside, "out"))
            run("tar", "xf", self.path("clone.tar"), "-C", os.path.join(outside, "out"))
            run("diff", "-r", clone, os.path.join(outside, "out", "clone"))
            if shutil.which("rsync"):
                run("rsync", "-a", clone + "/", self.path("synced") + "/")
                run("diff", "-r", clone, self.path("synced"))


if __name__ == "__main__":
    unittest.main()
