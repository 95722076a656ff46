"""A whole Shoal in a temporary directory, for the integration tests.

A Cluster starts `shoal up`, waits until it says that it is ready, and removes everything it made at the end, also after
a failure: processes by pid, the mount by path, the temporary directory.
"""

import configparser
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BIN = os.environ.get("SHOAL_BIN", "")
PROCESSES = os.environ.get("SHOAL_TEST_PROCESSES", "0") == "1"


def reserve_port():
    """A socket whose port of 127.0.0.1 only servers that set SO_REUSEADDR can have, until it is closed."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return holder


def shoal_binary(name="shoal"):
    path = os.path.join(BIN, name)
    if not os.path.exists(path):
        sys.exit(f"SHOAL_BIN={BIN!r} has no {name}")
    return path


def fuse_available():
    return os.path.exists("/dev/fuse") and os.geteuid() == 0


def wait_until(condition, what, timeout=60.0):
    """Polls `condition` until it is true; fails by name after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come true within {timeout:.0f} s")
        time.sleep(0.02)


class ObjectsCase(unittest.TestCase):
    """Tests that put objects through self.s3 into the bucket `bkt`, and read all of them back."""

    def put(self, key, size):
        body = os.urandom(size)
        self.s3.put_object(Bucket="bkt", Key=key, Body=body)
        self.expected[key] = body

    def verify(self):
        for key, body in self.expected.items():
            self.assertEqual(self.s3.get_object(Bucket="bkt", Key=key)["Body"].read(), body, key)

    def flip(self, *keys):
        """Changes a byte of each of these objects of self.cluster, on the drive that holds it."""
        for key in keys:
            needle = self.expected[key][:512]
            for path in glob.glob(os.path.join(self.cluster.data, "drives", "*", "segment-*")):
                with open(path, "r+b") as file:
                    at = file.read().find(needle)
                    if at < 0:
                        continue
                    file.seek(at + 7)
                    file.write(bytes([needle[7] ^ 1]))
                    file.flush()
                    os.fsync(file.fileno())
                    break
            else:
                self.fail(f"{key} is on no drive")


class Cluster:
    def __init__(self, mount=True, processes=PROCESSES, drives=6, code="4+2", extra=()):
        self.root = tempfile.mkdtemp(prefix="shoal-test-")
        self.data = os.path.join(self.root, "data")
        self.mount_point = os.path.join(self.root, "mnt") if mount and fuse_available() else None
        self.port_holder = reserve_port()
        self.port = self.port_holder.getsockname()[1]
        self.processes = processes
        self.drives = drives
        self.code = code
        self.extra = list(extra)
        self.process = None
        self.log_path = os.path.join(self.root, "up.log")

    # --- life

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, *_):
        self.destroy()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self):
        command = [shoal_binary(), "up", "--data", self.data, "--s3", f"127.0.0.1:{self.port}",
                   "--drives", str(self.drives), "--code", self.code]
        if self.mount_point:
            os.makedirs(self.mount_point, exist_ok=True)
            command += ["--mount", self.mount_point]
        if self.processes:
            command.append("--processes")
        return command + self.extra

    def start(self, timeout=90.0):
        log = open(self.log_path, "ab")
        offset = log.tell()
        self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()

        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"shoal up ended with {self.process.returncode}:\n{self.log_text(offset)}")
            return "Shoal is ready" in self.log_text(offset)

        wait_until(ready, "shoal up being ready", timeout)

    def log_text(self, offset=0):
        with open(self.log_path, "rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def stop(self):
        """A clean stop."""
        done = subprocess.run([shoal_binary(), "down", "--data", self.data], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        self.process.wait(timeout=60)

    def kill(self):
        """kill -9 of the whole program."""
        pids = [self.process.pid] + self.daemon_pids()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.unmount()

    def daemon_pids(self, name=None):
        """Pids of the daemons that run over this data directory, by program name if given."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    arguments = file.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            program = os.path.basename(arguments[0])
            if not program.startswith("shoal") or not any(self.data in a for a in arguments[1:]):
                continue
            if name is None or program == name:
                found.append(int(entry))
        return found

    def unmount(self):
        if self.mount_point:
            subprocess.run(["umount", "-l", self.mount_point], capture_output=True)

    def destroy(self):
        try:
            if self.process and self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    pass
            self.kill() if self.process else None
        finally:
            self.unmount()
            self.port_holder.close()
            shutil.rmtree(self.root, ignore_errors=True)

    # --- doors

    def credentials(self):
        parser = configparser.ConfigParser()
        parser.read(os.path.join(self.data, "credentials"))
        section = parser[parser.sections()[0]] if parser.sections() else parser["default"]
        return section["aws_access_key_id"], section["aws_secret_access_key"]

    def s3(self, **config):
        import boto3
        from botocore.client import Config

        access, secret = self.credentials()
        settings = dict(retries={"max_attempts": 1}, connect_timeout=10, read_timeout=120,
                        s3={"addressing_style": "path"}, signature_version="s3v4")
        settings.update(config)
        return boto3.client("s3", endpoint_url=self.endpoint, aws_access_key_id=access,
                            aws_secret_access_key=secret, region_name="us-east-1", config=Config(**settings))

    def environment(self):
        access, secret = self.credentials()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
        return dict(inherited, AWS_ACCESS_KEY_ID=access, AWS_SECRET_ACCESS_KEY=secret,
                    AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true")

    def status(self):
        done = subprocess.run([shoal_binary(), "status", "--data", self.data, "--json"], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)
