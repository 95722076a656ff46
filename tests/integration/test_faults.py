"""Drives that go and come back, flipped bytes, a full pool, bad input to the program: clear errors, nothing lost."""

import errno
import glob
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

from harness import Cluster, ObjectsCase, shoal_binary, wait_until


def run(*arguments):
    return subprocess.run([shoal_binary(), *arguments], capture_output=True, text=True, timeout=60)


class DriveTest(ObjectsCase):
    def setUp(self):
        self.cluster = Cluster(mount=False)
        self.addCleanup(self.cluster.destroy)
        self.cluster.start()
        self.s3 = self.cluster.s3()
        self.s3.create_bucket(Bucket="bkt")
        self.expected = {}

    def drive_directories(self):
        return sorted(glob.glob(os.path.join(self.cluster.data, "drives", "*")))

    def test_two_of_six_drives_away_and_back(self):
        for i in range(30):
            self.put(f"before/{i}", 5000 + i)
        self.put("before/large", 9 << 20)
        self.cluster.stop()
        away = self.drive_directories()[1:3]
        for path in away:
            os.rename(path, path + ".away")
        self.cluster.start()
        self.s3 = self.cluster.s3()
        self.verify()
        for i in range(30):
            self.put(f"during/{i}", 3000 + i)
        self.verify()
        self.cluster.stop()
        for path in away:
            if os.path.exists(path):
                shutil.rmtree(path)
            os.rename(path + ".away", path)
        self.cluster.start()
        self.s3 = self.cluster.s3()
        self.verify()

    def drives_in_state(self, state):
        return sum(drive["state"].startswith(state) for drive in self.cluster.status()["drives"])

    def test_two_of_six_drives_taken_away_while_it_runs(self):
        stopping = threading.Event()
        errors = []

        def keep_putting():
            client = self.cluster.s3()
            for i in range(100000):
                if stopping.is_set():
                    return
                body = os.urandom(2000 + i)
                try:
                    client.put_object(Bucket="bkt", Key=f"load/{i}", Body=body)
                    self.expected[f"load/{i}"] = body
                except Exception as error:  # every answer counts: none may be an error
                    errors.append(error)
                    return

        self.put("before/large", 9 << 20)
        load = threading.Thread(target=keep_putting)
        load.start()
        try:
            away = self.drive_directories()[1:3]
            for path in away:
                os.rename(path, path + ".away")
            wait_until(lambda: self.drives_in_state("failed") == 2, "both drives being missed")
            self.put("during/large", 9 << 20)
            time.sleep(0.5)
            for path in away:
                os.rename(path + ".away", path)
            wait_until(lambda: self.drives_in_state("up") == 6, "both drives being back")
            time.sleep(0.5)
        finally:
            stopping.set()
            load.join()
        self.assertEqual(errors, [])
        self.assertGreater(len(self.expected), 100)
        self.verify()

    def test_flipped_bytes_on_a_drive_are_never_served(self):
        for i in range(40):
            self.put(f"k{i}", 4096)
        self.put("large", 6 << 20)
        self.cluster.stop()
        flipped = 0
        for segment in glob.glob(os.path.join(self.drive_directories()[0], "**", "*"), recursive=True):
            if not os.path.isfile(segment) or os.path.getsize(segment) < (1 << 20):
                continue
            with open(segment, "r+b") as file:
                size = os.path.getsize(segment)
                for offset in range(8192 + 100, min(size, 16 << 20), 64 * 1024):
                    file.seek(offset)
                    byte = file.read(1)
                    if byte and byte != b"\0":
                        file.seek(offset)
                        file.write(bytes([byte[0] ^ 1]))
                        flipped += 1
        self.assertGreater(flipped, 0)
        self.cluster.start()
        self.s3 = self.cluster.s3()
        self.verify()


class RawDeviceTest(unittest.TestCase):
    """Drives on raw block devices, here loop devices."""

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("loop devices need root")
        self.directory = tempfile.mkdtemp(prefix="shoal-test-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.devices = [self.loop_device(i) for i in range(3)]

    def loop_device(self, number):
        image = os.path.join(self.directory, f"image{number}")
        with open(image, "wb") as file:
            file.truncate(1 << 30)
        made = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
        if made.returncode != 0:
            self.skipTest("no loop devices here: " + made.stderr)
        device = made.stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", device], capture_output=True)
        return device

    def arguments(self):
        return [argument for device in self.devices for argument in ("--drive", device)]

    def test_objects_survive_a_kill(self):
        with Cluster(mount=False, code="2+1", extra=self.arguments()) as cluster:
            s3 = cluster.s3()
            s3.create_bucket(Bucket="bkt")
            bodies = {f"k{i}": os.urandom(1 + i * 997 % 100_000) for i in range(100)}
            bodies["large"] = os.urandom(150 << 20)
            for key, body in bodies.items():
                s3.put_object(Bucket="bkt", Key=key, Body=body)
            for _ in range(2):
                cluster.kill()
                cluster.start()
                s3 = cluster.s3()
                for key, body in bodies.items():
                    self.assertEqual(s3.get_object(Bucket="bkt", Key=key)["Body"].read(), body, key)
            self.assertEqual([drive["path"] for drive in cluster.status()["drives"]], self.devices)
            second = run("up", "--data", os.path.join(self.directory, "second"), "--code", "2+1", "--s3", "",
                         *self.arguments())
            self.assertNotEqual(second.returncode, 0)
            self.assertIn("in use by another process", second.stdout + second.stderr)

    def test_a_device_with_something_on_it_is_left_alone(self):
        with open(self.devices[1], "wb") as device:
            device.write(b"precious" * 1000)
        done = run("up", "--data", os.path.join(self.directory, "data"), "--code", "2+1", "--s3", "", *self.arguments())
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("holds something else", done.stdout + done.stderr)
        with open(self.devices[1], "rb") as device:
            self.assertEqual(device.read(8), b"precious")


class FullPoolTest(unittest.TestCase):
    def test_a_full_pool_refuses_reads_on_and_recovers_by_deleting(self):
        from botocore.exceptions import ClientError

        with Cluster(drives=3, code="2+1", extra=["--capacity", "640MiB"]) as cluster:
            s3 = cluster.s3()
            s3.create_bucket(Bucket="bkt")
            body = os.urandom(4 << 20)
            stored, refused, slowest = [], 0, 0.0
            while refused < 5 and len(stored) < 1000:
                key = f"k{len(stored) + refused}"
                begin = time.monotonic()
                try:
                    s3.put_object(Bucket="bkt", Key=key, Body=body)
                    stored.append(key)
                except ClientError as error:
                    refused += 1
                    self.assertEqual(error.response["Error"]["Code"], "InsufficientCapacity")
                    self.assertEqual(error.response["ResponseMetadata"]["HTTPStatusCode"], 507)
                slowest = max(slowest, time.monotonic() - begin)
            self.assertGreater(len(stored), 100)
            self.assertEqual(refused, 5)
            self.assertLess(slowest, 20)
            if cluster.mount_point:
                with self.assertRaises(OSError) as raised:
                    with open(os.path.join(cluster.mount_point, "bkt", "new"), "wb") as file:
                        file.write(body)
                        os.fsync(file.fileno())
                self.assertEqual(raised.exception.errno, errno.ENOSPC)
            kept, deleted = stored[len(stored) // 2:], stored[:len(stored) // 2]
            self.assertEqual(s3.get_object(Bucket="bkt", Key=kept[0])["Body"].read(), body)
            for key in deleted:
                s3.delete_object(Bucket="bkt", Key=key)

            def accepts_again():
                try:
                    s3.put_object(Bucket="bkt", Key="after", Body=body)
                    return True
                except ClientError:
                    time.sleep(0.5)
                    return False

            wait_until(accepts_again, "the pool taking objects again", 120)
            for key in [*kept, "after"]:
                self.assertEqual(s3.get_object(Bucket="bkt", Key=key)["Body"].read(), body, key)


class BadInputTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(mount=False)
        cls.cluster.start()
        cls.s3 = cls.cluster.s3()
        cls.s3.create_bucket(Bucket="bkt")

    @classmethod
    def tearDownClass(cls):
        cls.cluster.destroy()

    def raw(self, text, wait=5.0):
        with socket.create_connection(("127.0.0.1", self.cluster.port), timeout=wait) as connection:
            connection.sendall(text)
            answer = b""
            try:
                while chunk := connection.recv(65536):
                    answer += chunk
            except TimeoutError:
                pass
            return answer

    def assert_alive(self):
        self.s3.put_object(Bucket="bkt", Key="alive", Body=b"yes")
        self.assertEqual(self.s3.get_object(Bucket="bkt", Key="alive")["Body"].read(), b"yes")

    def test_wrong_secret(self):
        import boto3
        access, _ = self.cluster.credentials()
        other = boto3.client("s3", endpoint_url=self.cluster.endpoint, aws_access_key_id=access,
                             aws_secret_access_key="wrong", region_name="us-east-1")
        with self.assertRaises(other.exceptions.ClientError) as caught:
            other.list_buckets()
        self.assertEqual(caught.exception.response["Error"]["Code"], "SignatureDoesNotMatch")

    def test_unknown_access_key(self):
        import boto3
        other = boto3.client("s3", endpoint_url=self.cluster.endpoint, aws_access_key_id="nobody",
                             aws_secret_access_key="wrong", region_name="us-east-1")
        with self.assertRaises(other.exceptions.ClientError) as caught:
            other.list_buckets()
        self.assertEqual(caught.exception.response["Error"]["Code"], "InvalidAccessKeyId")

    def test_no_signature(self):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(self.cluster.endpoint + "/bkt/x")
        self.assertEqual(caught.exception.code, 403)

    def test_bad_content_md5_stores_nothing(self):
        with self.assertRaises(self.s3.exceptions.ClientError) as caught:
            self.s3.put_object(Bucket="bkt", Key="bad", Body=b"body", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
        self.assertEqual(caught.exception.response["Error"]["Code"], "BadDigest")
        with self.assertRaises(self.s3.exceptions.NoSuchKey):
            self.s3.get_object(Bucket="bkt", Key="bad")

    def test_truncated_body_stores_nothing(self):
        url = self.s3.generate_presigned_url("put_object", Params={"Bucket": "bkt", "Key": "cut"})
        path = url[len(self.cluster.endpoint):]
        with socket.create_connection(("127.0.0.1", self.cluster.port)) as connection:
            connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.cluster.port}\r\n"
                               "Content-Length: 1000\r\n\r\nonly this".encode())
        with self.assertRaises(self.s3.exceptions.NoSuchKey):
            self.s3.get_object(Bucket="bkt", Key="cut")
        self.assert_alive()

    def test_endless_request_line_and_header(self):
        answer = self.raw(b"GET /" + b"a" * 2_000_000)
        self.assertRegex(answer[:15], rb"HTTP/1.1 4\d\d")
        answer = self.raw(b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000_000)
        self.assertRegex(answer[:15], rb"HTTP/1.1 4\d\d")
        self.assert_alive()

    def test_garbage(self):
        for garbage in (b"\0" * 1000, b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"PUT / HTTP/9.9\r\n\r\n"):
            self.raw(garbage, wait=1.0)
        self.assert_alive()

    def test_thousands_of_idle_connections(self):
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = min(10_000, hard - 200)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
        idle = [socket.create_connection(("127.0.0.1", self.cluster.port)) for _ in range(count)]
        try:
            self.assert_alive()
        finally:
            for connection in idle:
                connection.close()

    def test_slow_clients_do_not_hold_others_up(self):
        stop = threading.Event()

        def trickle():
            with socket.create_connection(("127.0.0.1", self.cluster.port)) as connection:
                for byte in b"GET / HTTP/1.1\r\nHost: x\r\n" * 100:
                    if stop.wait(0.2):
                        return
                    try:
                        connection.sendall(bytes([byte]))
                    except OSError:
                        return

        slow = [threading.Thread(target=trickle, daemon=True) for _ in range(50)]
        for thread in slow:
            thread.start()
        begin = time.monotonic()
        for _ in range(20):
            self.assert_alive()
        stop.set()
        for thread in slow:
            thread.join()
        self.assertLess(time.monotonic() - begin, 30)


class CommandLineTest(unittest.TestCase):
    def test_unknown_flag_names_the_nearest(self):
        done = run("up", "--dta", "/nonexistent")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--data", done.stderr)

    def test_unknown_noun(self):
        done = run("upp")
        self.assertEqual(done.returncode, 2)
        self.assertIn("up", done.stderr)

    def test_help_and_version(self):
        self.assertEqual(run("--help").returncode, 0)
        self.assertRegex(run("--version").stdout, r"\d+\.\d+\.\d+")

    def test_second_up_on_the_same_directory(self):
        with Cluster(mount=False) as cluster:
            done = run("up", "--data", cluster.data, "--s3", f"127.0.0.1:{cluster.port}")
            self.assertEqual(done.returncode, 1)
            self.assertIn("already", done.stderr)

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            cluster = Cluster(mount=False)
            cluster.port = taken.getsockname()[1]
            try:
                with self.assertRaises(RuntimeError) as caught:
                    cluster.start()
                self.assertIn("in use", str(caught.exception))
            finally:
                cluster.destroy()

    def test_data_directory_of_a_newer_version(self):
        cluster = Cluster(mount=False)
        try:
            cluster.start()
            cluster.stop()
            path = os.path.join(cluster.data, "cluster.conf")
            with open(path) as file:
                text = file.read()
            with open(path, "w") as file:
                file.write(text.replace("format_version = 1", "format_version = 999"))
            with self.assertRaises(RuntimeError) as caught:
                cluster.start()
            self.assertIn("newer", str(caught.exception))
        finally:
            cluster.destroy()

    def test_status_without_a_cluster(self):
        done = run("status", "--data", "/nonexistent")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent", done.stderr)


if __name__ == "__main__":
    unittest.main()
