"""Programs that people use, against both doors: aws, rclone, boto3, s3cmd and s3fs.

SHOAL_TREE_FILES (1500) is how many of Debian's own files the trees have, SHOAL_LARGE_FILE_MB (200) the size of the file
that goes both ways in parts.
"""

import concurrent.futures
import hashlib
import os
import shutil
import subprocess
import time
import unittest

from harness import Cluster, wait_until

TREE_FILES = int(os.environ.get("SHOAL_TREE_FILES", "1500"))
LARGE_FILE_MB = int(os.environ.get("SHOAL_LARGE_FILE_MB", "200"))
SOURCES = ["/usr/lib/python3/dist-packages", "/usr/share/doc", "/usr/share/perl"]


def copy_tree(target, count):
    """About `count` files that Debian installs, with their directories and the links among them."""
    left = count
    for source in SOURCES:
        for directory, names, files in os.walk(source):
            names.sort()
            if left <= 0 or not files:
                continue
            into = os.path.join(target, directory.lstrip("/"))
            os.makedirs(into)
            for name in sorted(files)[:left]:
                path = os.path.join(directory, name)
                if os.path.isfile(path):
                    shutil.copy2(path, os.path.join(into, name))
                    left -= 1
    assert left < count // 2, f"this machine has too few files for a tree of {count}"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ClientsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.destroy)
        cls.cluster.start()
        if not cls.cluster.mount_point:
            raise unittest.SkipTest("these compare with a mount, which needs /dev/fuse and root")
        cls.s3 = cls.cluster.s3()
        cls.tree = os.path.join(cls.cluster.root, "tree")
        copy_tree(cls.tree, TREE_FILES)

    def run_program(self, *command, **environment):
        begin = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, env=self.cluster.environment() | environment)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        print(f"{' '.join(command[:3])}: {time.monotonic() - begin:.1f} s", flush=True)
        return done.stdout

    def aws(self, *words):
        return self.run_program("/usr/bin/aws", "--endpoint-url", self.cluster.endpoint, "s3", *words)

    def scratch(self, name):
        return os.path.join(self.cluster.root, name)

    def through_the_mount(self, *parts):
        return os.path.join(self.cluster.mount_point, *parts)

    def test_a_tree_synced_by_aws_is_the_same_on_the_mount(self):
        self.aws("mb", "s3://synced")
        self.aws("sync", "--quiet", self.tree, "s3://synced/tree")
        self.run_program("diff", "-r", self.tree, self.through_the_mount("synced", "tree"))
        self.assertEqual(self.aws("sync", self.tree, "s3://synced/tree"), "", "a second sync has nothing to do")
        self.aws("sync", "--quiet", "s3://synced/tree", self.scratch("back"))
        self.run_program("diff", "-r", self.tree, self.scratch("back"))
        self.aws("rm", "--quiet", "--recursive", "s3://synced")
        self.assertEqual(os.listdir(self.through_the_mount("synced")), [])
        self.aws("rb", "s3://synced")

    def test_a_tree_copied_to_the_mount_is_the_same_through_s3(self):
        self.s3.create_bucket(Bucket="copied")
        self.run_program("cp", "-a", self.tree, self.through_the_mount("copied", "tree"))
        access, secret = self.cluster.credentials()
        remote = {"RCLONE_CONFIG_SHOAL_TYPE": "s3", "RCLONE_CONFIG_SHOAL_PROVIDER": "Other",
                  "RCLONE_CONFIG_SHOAL_ACCESS_KEY_ID": access, "RCLONE_CONFIG_SHOAL_SECRET_ACCESS_KEY": secret,
                  "RCLONE_CONFIG_SHOAL_ENDPOINT": self.cluster.endpoint, "RCLONE_CONFIG_SHOAL_REGION": "us-east-1"}
        self.run_program("rclone", "check", self.tree, "shoal:copied/tree", **remote)
        self.run_program("rclone", "check", "--download", self.tree, "shoal:copied/tree", **remote)
        keys = {}
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket="copied", Prefix="tree/"):
            keys.update((item["Key"], item["Size"]) for item in page["Contents"] if not item["Key"].endswith("/"))
        files = {os.path.relpath(os.path.join(directory, name), os.path.dirname(self.tree))
                 for directory, _, names in os.walk(self.tree) for name in names}
        self.assertEqual(set(keys), files)

        def same(key):
            body = self.s3.get_object(Bucket="copied", Key=key)["Body"].read()
            with open(os.path.join(os.path.dirname(self.tree), key), "rb") as file:
                return len(body) == keys[key] and body == file.read()

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertTrue(all(pool.map(same, keys)))
        self.run_program("rclone", "copy", "shoal:copied/tree", "shoal:copied/again", **remote)
        self.run_program("diff", "-r", self.tree, self.through_the_mount("copied", "again"))
        self.run_program("rm", "-r", self.through_the_mount("copied", "tree"), self.through_the_mount("copied", "again"))
        self.assertEqual(self.s3.list_objects_v2(Bucket="copied")["KeyCount"], 0)

    def test_s3cmd(self):
        access, secret = self.cluster.credentials()
        host = f"127.0.0.1:{self.cluster.port}"
        s3cmd = ["s3cmd", "--config", "/dev/null", "--access_key", access, "--secret_key", secret, "--no-ssl",
                 "--host", host, "--host-bucket", host, "--no-progress"]
        self.run_program(*s3cmd, "mb", "s3://cmd")
        file = self.scratch("cmd-file")
        with open(file, "wb") as out:
            out.write(os.urandom(20 << 20))
        self.run_program(*s3cmd, "put", file, "s3://cmd/in parts/ä file")  # 15 MiB a part
        self.assertEqual(digest(self.through_the_mount("cmd", "in parts", "ä file")), digest(file))
        self.run_program(*s3cmd, "get", "s3://cmd/in parts/ä file", file + ".back")
        self.assertEqual(digest(file + ".back"), digest(file))
        part = os.path.join(self.tree, os.listdir(self.tree)[0])
        self.run_program(*s3cmd, "sync", part + "/", "s3://cmd/tree/")
        self.run_program("diff", "-r", part, self.through_the_mount("cmd", "tree"))
        self.assertIn("20971520", self.run_program(*s3cmd, "ls", "s3://cmd/in parts/"))
        self.run_program(*s3cmd, "cp", "s3://cmd/in parts/ä file", "s3://cmd/copy")
        self.run_program(*s3cmd, "mv", "s3://cmd/copy", "s3://cmd/moved")
        self.run_program(*s3cmd, "info", "s3://cmd/moved")
        self.run_program(*s3cmd, "del", "--recursive", "--force", "s3://cmd")
        self.run_program(*s3cmd, "rb", "s3://cmd")

    def test_s3fs(self):
        self.s3.create_bucket(Bucket="s3fs")
        point = self.scratch("s3fs-mnt")
        os.mkdir(point)
        passwords = self.scratch("s3fs-passwords")
        with open(os.open(passwords, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(":".join(self.cluster.credentials()))
        daemon = subprocess.Popen(["s3fs", "s3fs", point, "-f", "-o", f"passwd_file={passwords}", "-o",
                                   f"url={self.cluster.endpoint}", "-o", "use_path_request_style", "-o",
                                   "endpoint=us-east-1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: os.path.ismount(point), "the mount of s3fs", 30)
            os.makedirs(os.path.join(point, "a", "b"))
            with open(os.path.join(point, "a", "b", "file"), "wb") as file:
                file.write(b"x" * 3_000_000)
            self.assertEqual(digest(self.through_the_mount("s3fs", "a", "b", "file")),
                             digest(os.path.join(point, "a", "b", "file")))
            os.rename(os.path.join(point, "a", "b", "file"), os.path.join(point, "a", "moved"))
            self.assertEqual(os.path.getsize(self.through_the_mount("s3fs", "a", "moved")), 3_000_000)
            with open(self.through_the_mount("s3fs", "other"), "wb") as file:
                file.write(b"from the other side")
            wait_until(lambda: os.path.exists(os.path.join(point, "other")), "the other mount's file", 30)
            with open(os.path.join(point, "other"), "rb") as file:
                self.assertEqual(file.read(), b"from the other side")
            self.assertEqual(sorted(os.listdir(point)), ["a", "other"])
        finally:
            subprocess.run(["umount", point], capture_output=True)
            daemon.terminate()
            daemon.wait(timeout=30)
            subprocess.run(["umount", "-l", point], capture_output=True)

    def test_a_large_file_goes_both_ways_in_parts(self):
        self.s3.create_bucket(Bucket="large")
        file = self.scratch("large")
        with open(file, "wb") as out:
            for _ in range(LARGE_FILE_MB):
                out.write(os.urandom(1 << 20))
        wanted = digest(file)
        self.aws("cp", "--quiet", file, "s3://large/uploaded")
        self.assertIn("-", self.s3.head_object(Bucket="large", Key="uploaded")["ETag"])
        self.assertEqual(digest(self.through_the_mount("large", "uploaded")), wanted)
        self.run_program("cp", file, self.through_the_mount("large", "copied"))
        os.remove(file)
        for key in ["uploaded", "copied"]:
            self.aws("cp", "--quiet", f"s3://large/{key}", file)
            self.assertEqual(digest(file), wanted)
            os.remove(file)
            self.s3.delete_object(Bucket="large", Key=key)


if __name__ == "__main__":
    unittest.main()
