"""Hosts that are network namespaces, and a Shoal cluster over them: every daemon is a program of its own with its own
address, configured by files as on real machines.

All namespaces and links belong to one Network and go with it; nothing of the machine's own network is touched. The
process that makes a Network moves into one of its namespaces, so that it reaches the hosts.
"""

import contextlib
import ctypes
import datetime
import json
import os
import shutil
import signal
import subprocess
import time
import uuid

from harness import shoal_binary, wait_until

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_PDEATHSIG = 1
DRIVE_BYTES = 2 << 30
DRIVES_OF_RACK = 2  # as many as 4+2 may lose


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done


libc = ctypes.CDLL(None, use_errno=True)


def system_call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def end_by_hand(*_):
    signal.signal(signal.SIGTERM, lambda *_: None)  # what has begun to clean up ends it
    raise KeyboardInterrupt


def in_own_namespaces():
    """Goes on in a child that is the first process of its own namespaces of processes and mounts: however it ends, and be
    it by SIGKILL, the kernel ends the daemons and removes mounts and networks. The caller's process passes signals on
    and ends as the child does; only the child returns."""
    system_call("unshare", CLONE_NEWNS | CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        system_call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        system_call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        system_call("mount", b"proc", b"/proc", b"proc", 0, None)
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, end_by_hand)
        os.makedirs("/run/netns", exist_ok=True)
        system_call("mount", b"netns", b"/run/netns", b"tmpfs", 0, None)
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def enter_namespace(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(fd)


class Network:
    def __init__(self):
        self.prefix = f"shoal{os.getpid()}"
        self.names = []
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.switch = self.add_namespace("switch")
        run("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.switch, "link", "set", "br0", "up")
        self.next_address = 1
        self.client_address = None

    def add_namespace(self, name):
        full = f"{self.prefix}-{name}"
        run("ip", "netns", "add", full)
        self.names.append(full)
        run("ip", "-n", full, "link", "set", "lo", "up")
        return full

    def add_host(self, name):
        """Returns (namespace, address)."""
        full = self.add_namespace(name)
        address = f"10.77.0.{self.next_address}"
        port = f"p{self.next_address}"
        self.next_address += 1
        run("ip", "-n", self.switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", full)
        run("ip", "-n", self.switch, "link", "set", port, "master", "br0", "up")
        run("ip", "-n", full, "address", "add", address + "/16", "dev", "eth0")
        run("ip", "-n", full, "link", "set", "eth0", "up")
        return full, address

    def enter(self, namespace):
        enter_namespace(f"/run/netns/{namespace}")

    def set_link(self, namespace, up):
        run("ip", "-n", namespace, "link", "set", "eth0", "up" if up else "down")

    def close(self):
        enter_namespace(f"/proc/self/fd/{self.home}")
        for name in reversed(self.names):
            run("ip", "netns", "delete", name, check=False)
        os.close(self.home)


class Daemon:
    def __init__(self, name, program, namespace, directory, words=()):
        self.name, self.program, self.namespace, self.words = name, program, namespace, list(words)
        self.config_path = os.path.join(directory, name + ".conf")
        self.log_path = os.path.join(directory, name + ".log")
        self.process = None
        self.stopped = False  # by SIGSTOP

    def configure(self, lines):
        with open(self.config_path, "w") as file:
            file.writelines(f"{name} = {value}\n" for name, value in lines)

    def note(self, what):
        """Into the daemon's own log, beside what it says itself."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        with open(self.log_path, "a") as log:
            log.write(f"{now} campaign: {what}\n")

    def start(self):
        self.note("start")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.namespace}", self.binary(), "--config", self.config_path,
                 *self.words], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def binary(self):
        """Broken programs take the place of the real ones, for the canaries."""
        broken = os.path.join(os.environ.get("SHOAL_CANARY_BIN", ""), self.program)
        return broken if "SHOAL_CANARY_BIN" in os.environ and os.path.exists(broken) else shoal_binary(self.program)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.note(signal.Signals(number).name)
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)  # nsenter has become the daemon
        if number in (signal.SIGSTOP, signal.SIGCONT):
            self.stopped = number == signal.SIGSTOP

    def kill(self):
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.note("dead")


class Drive:
    """One drive on a host of its own."""

    def __init__(self, number, identity, daemon, address, path, rack):
        self.number, self.uuid, self.daemon, self.address, self.path = number, identity, daemon, address, path
        self.rack = rack


class HostCluster:
    """Metad, one host for each drive, racks of them, a gateway with S3, worker and mount, and a client host: this
    process."""

    def __init__(self, root, drives=7, code="4+2", down_after=2, out_after=6):
        self.root = root
        self.code, self.down_after, self.out_after = code, down_after, out_after
        self.cluster_uuid = str(uuid.uuid4())
        self.network = Network()
        self.closed = False
        self.drives = {}  # by id
        self.daemons = {}  # by name
        self.mount_point = os.path.join(root, "mnt")
        os.makedirs(self.mount_point)
        self.credentials_path = os.path.join(root, "credentials")
        with open(self.credentials_path, "w") as file:
            file.write("[default]\naws_access_key_id = CAMPAIGN\naws_secret_access_key = " + uuid.uuid4().hex + "\n")
        os.chmod(self.credentials_path, 0o600)
        try:
            self.set_up(drives)
        except BaseException:
            self.close()
            raise

    def set_up(self, drives):
        namespace, self.client_address = self.network.add_host("client")
        self.network.enter(namespace)
        self.metad_namespace, metad_address = self.network.add_host("metad")
        self.metad_address = metad_address + ":9100"
        self.gateway_namespace, gateway_address = self.network.add_host("gateway")
        self.endpoint = f"http://{gateway_address}:9000"
        for number in range(1, drives + 1):
            self.add_drive(number, str(uuid.uuid4()), f"rack{(number - 1) // DRIVES_OF_RACK + 1}")
        self.start_metad()
        for name, program, lines in (
                ("s3", "shoal-s3", [("listen", gateway_address + ":9000"), ("credentials", self.credentials_path)]),
                ("worker", "shoal-worker", [("repack-interval", 5)])):
            daemon = self.add_daemon(name, program, self.gateway_namespace)
            daemon.configure([("metad", self.metad_address), *lines])
            daemon.start()
        fuse = self.add_daemon("fuse", "shoal-fuse", self.gateway_namespace, [self.mount_point])
        fuse.configure([("metad", self.metad_address)])
        fuse.start()
        wait_until(self.mounted, "the mount")
        wait_until(self.s3_answers, "the S3 server")

    # --- parts

    def add_daemon(self, name, program, namespace, words=()):
        directory = os.path.join(self.root, "hosts")
        os.makedirs(directory, exist_ok=True)
        self.daemons[name] = Daemon(name, program, namespace, directory, words)
        return self.daemons[name]

    def add_drive(self, number, identity, rack):
        namespace, address = self.network.add_host(f"s{number}")
        path = os.path.join(self.root, "drives", str(number))
        os.makedirs(path)
        daemon = self.add_daemon(f"storaged-{number}", "shoal-storaged", namespace)
        address += ":9200"
        lines = [("listen", address), ("cluster-uuid", self.cluster_uuid), ("capacity", DRIVE_BYTES),
                 ("drive", f"{number} {identity} {path}")]
        daemon.configure(lines + [("format", "true")])
        daemon.start()
        self.drives[number] = Drive(number, identity, daemon, address, path, rack)
        # Started again, it must not make a new drive where one has gone.
        wait_until(lambda: self.superblock_there(path), f"drive {number} being made")
        daemon.configure(lines)

    @staticmethod
    def superblock_there(path):
        return bool(os.listdir(path))

    def start_metad(self):
        metad = self.add_daemon("metad", "shoal-metad", self.metad_namespace)
        metad.configure([("listen", self.metad_address), ("data", os.path.join(self.root, "metad")),
                         ("cluster-uuid", self.cluster_uuid), ("code", self.code), ("down-after", self.down_after),
                         ("out-after", self.out_after)] +
                        [("drive", f"{d.number} {d.uuid} {d.address} host{d.number} {d.rack}")
                         for d in self.drives.values()])
        os.makedirs(os.path.join(self.root, "metad"), exist_ok=True)
        metad.start()

    def mounted(self):
        return os.path.ismount(self.mount_point) and self.answers(lambda: os.listdir(self.mount_point))

    def s3_answers(self):
        return self.answers(lambda: self.s3().list_buckets())

    @staticmethod
    def answers(call):
        try:
            call()
            return True
        except Exception:
            return False

    def s3(self):
        import boto3
        from botocore.client import Config

        with open(self.credentials_path) as file:
            words = dict(line.strip().split(" = ") for line in file if " = " in line)
        config = Config(retries={"max_attempts": 1}, connect_timeout=10, read_timeout=90,
                        s3={"addressing_style": "path"}, signature_version="s3v4")
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", config=config, **words)

    # --- what an operator does

    def admin(self, *words, timeout=180):
        return subprocess.run([shoal_binary(), *words, "--metad", self.metad_address], capture_output=True, text=True,
                              timeout=timeout)

    def admin_json(self, *words):
        done = self.admin(*words, "--json")
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {"error": done.stdout + done.stderr}

    def drive_states(self):
        return {drive["id"]: drive["state"] for drive in self.admin_json("drive", "list").get("drives", [])}

    def racks_may_fail(self):
        return self.admin_json("drive", "list").get("racks_may_fail")

    def replace_drive(self, number):
        """The drive is gone for good: a new one on a new host takes its place. Returns the new one's id."""
        lost = self.drives.pop(number)
        lost.daemon.kill()
        del self.daemons[lost.daemon.name]
        shutil.rmtree(lost.path, ignore_errors=True)
        identity = str(uuid.uuid4())
        # Its id is known once it has joined; the address is the next host's.
        address = f"10.77.0.{self.network.next_address}:9200"

        def drives():
            return self.admin_json("drive", "list").get("drives", [])  # none while metad is away

        # As a person would, for the other fault of the round may be metad's: until it shows that it was done.
        def given_up():
            known = drives()
            if known and all(drive["id"] != number or drive["state"] == "out" for drive in known):
                return True
            self.admin("drive", "lost", str(number), "--yes")
            return False

        def joined():
            found = [drive["id"] for drive in drives() if drive["uuid"] == identity]
            if not found:
                self.admin("drive", "join", identity, address, f"host-of-{identity[:8]}", lost.rack)
            return found

        wait_until(given_up, f"drive {number} being given up")
        fresh = wait_until(joined, f"a drive joining for {number}")[0]
        self.add_drive(fresh, identity, lost.rack)
        return fresh

    # --- faults and their end

    def cut(self, name, up):
        self.network.set_link(self.daemons[name].namespace, up)

    def start_again(self, name):
        if self.closed:
            return  # a fault outlasts a campaign that is ended by hand
        daemon = self.daemons[name]
        if name == "fuse":
            run("umount", "-l", self.mount_point, check=False)
        daemon.start()

    def heal(self):
        for daemon in self.daemons.values():
            self.network.set_link(daemon.namespace, True)
            if daemon.stopped:
                daemon.signal(signal.SIGCONT)
            if not daemon.running():
                self.start_again(daemon.name)
        wait_until(self.mounted, "the mount being back", 60)
        wait_until(self.s3_answers, "S3 being back", 60)

    def close(self):
        self.closed = True
        for daemon in list(self.daemons.values()):
            with contextlib.suppress(Exception):
                daemon.kill()
        while run("umount", "-l", self.mount_point, check=False).returncode == 0:
            pass  # one may lie over another
        self.network.close()
        time.sleep(0.1)
