"""The campaign over real processes: a mixed S3 and POSIX load with a ledger of what was answered, and one or two faults a
round. After every round the contents equal the ledger by both doors, repair ends, scrub finds nothing and fsck is clean.

    tests/campaign/run --rounds 300 --seed 1

prints a line for each round. A failure keeps the cluster's directory and says how to repeat it. Needs root (network
namespaces, FUSE); everything it makes goes with it.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

from hosts import HostCluster, in_own_namespaces  # noqa: E402
from harness import wait_until  # noqa: E402
from ledger import Ledger, posix_door, s3_door  # noqa: E402
from load import PosixDoor, PosixWorker, S3Door, S3Worker  # noqa: E402

BUCKET = "ledger"
S3_WORKERS, POSIX_WORKERS = 4, 2
MOST_HURT = 2  # drives at once: what 4+2 bears
WHOLE_SECONDS = 180
# An operation that is not answered within this hangs.
ANSWER_SECONDS = 100
# A file that is replaced in place is gone, then empty, before it has its new bytes.
IN_PLACE = (None, b"")


class RoundFailed(Exception):
    pass


class Clocked:
    """Wraps an operation of a door, and remembers which one took longest."""

    longest, which = 0.0, ""

    def __init__(self, call, name):
        self.call, self.name = call, name

    def __call__(self, *arguments):
        begin = time.monotonic()
        try:
            return self.call(*arguments)
        finally:
            took = time.monotonic() - begin
            if took > Clocked.longest:
                Clocked.longest, Clocked.which = took, f"{self.name} {arguments[0]}"


def clocked(door):
    for name in ("write", "delete", "read", "list", "copy", "append", "overwrite", "rename"):
        if hasattr(door, name):
            setattr(door, name, Clocked(getattr(door, name), name))
    return door


def mixed_s3_door(s3):
    """Large bodies go in parts."""
    plain, delete, read = s3_door(s3, BUCKET)

    def write(key, data):
        if len(data) < 200_000:
            return plain(key, data)
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        part = s3.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=1, Body=data)
        s3.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload,
                                     MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})

    return clocked(S3Door(s3, BUCKET, write, delete, read))


class Faults:
    """What one round does to the cluster. Each fault is a function that hurts, waits and ends the hurt; damage to drives
    is left to repair."""

    def __init__(self, cluster, chance):
        self.cluster, self.chance = cluster, chance
        self.said = []

    KINDS = ("kill", "kill", "stop", "cut", "away", "garbage", "outage", "lose", "scrub", "rack")
    SHORT = ("kill", "stop", "cut", "away", "garbage", "scrub")

    def choose(self, only=None):
        chosen = [self.chance.choice(self.KINDS)]
        if chosen != ["rack"] and self.chance.random() < 0.5:
            chosen.append(self.chance.choice(self.SHORT))
        if only:
            chosen = [only]
        drives = self.chance.sample(sorted(self.cluster.drives), MOST_HURT)
        return [(kind, drives[i]) for i, kind in enumerate(chosen)]

    def run(self, kind, drive):
        self.said.append(getattr(self, kind)(drive))

    def some_daemon(self, drive):
        return self.chance.choice(["metad", "s3", "worker", "fuse", f"storaged-{drive}", f"storaged-{drive}"])

    def kill(self, drive):
        name = self.some_daemon(drive)
        self.cluster.daemons[name].kill()
        time.sleep(self.chance.uniform(0, 2))
        self.cluster.start_again(name)
        return f"kill {name}"

    def kill_metad(self, _):
        self.cluster.daemons["metad"].kill()
        self.cluster.start_again("metad")
        return "kill metad"

    def stop(self, drive):
        name = self.some_daemon(drive)
        seconds = self.chance.uniform(0.5, 4)
        self.cluster.daemons[name].signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.cluster.daemons[name].signal(signal.SIGCONT)
        return f"stop {name} {seconds:.1f} s"

    def cut(self, drive):
        name = self.chance.choice(["metad", "s3", f"storaged-{drive}", f"storaged-{drive}"])
        seconds = self.chance.uniform(0.5, 4)
        self.cluster.cut(name, False)
        time.sleep(seconds)
        self.cluster.cut(name, True)
        return f"cut {name} {seconds:.1f} s"

    def rack(self, drive):
        rack = self.cluster.drives[drive].rack
        hurt = [d for d in self.cluster.drives.values() if d.rack == rack]
        seconds = self.chance.uniform(0.5, 5)
        for each in hurt:
            self.cluster.cut(each.daemon.name, False)
        time.sleep(seconds)
        for each in hurt:
            self.cluster.cut(each.daemon.name, True)
        return f"cut {rack} (drives {', '.join(str(d.number) for d in hurt)}) {seconds:.1f} s"

    def outage(self, drive):
        """Long enough that the drive is given up; it comes back with what it had then."""
        name = f"storaged-{drive}"
        self.cluster.cut(name, False)
        wait_until(lambda: self.cluster.drive_states().get(drive) == "out", f"drive {drive} being given up", 60)
        time.sleep(self.chance.uniform(0, 3))
        self.cluster.cut(name, True)
        done = self.cluster.admin("drive", "up", str(drive))
        if done.returncode != 0:
            raise RoundFailed(f"drive up {drive}: {done.stdout}{done.stderr}")
        return f"outage of drive {drive}"

    def away(self, drive):
        path = self.cluster.drives[drive].path
        seconds = self.chance.uniform(0.5, 4)
        os.rename(path, path + ".away")
        time.sleep(seconds)
        os.rename(path + ".away", path)
        return f"drive {drive} away {seconds:.1f} s"

    def garbage(self, drive):
        """Random bytes over what the drive holds, a file cut short or removed; beside the daemon or while it is dead. A
        daemon does not miss a file that it has open, so it is killed soon after: the loss belongs to this round."""
        daemon = self.cluster.daemons[f"storaged-{drive}"]
        dead = self.chance.random() < 0.5
        if dead:
            daemon.kill()
        path = self.cluster.drives[drive].path
        segments = sorted(name for name in os.listdir(path) if name.startswith("segment-"))
        said = []
        for name in self.chance.sample(segments, min(len(segments), 3)):
            file_path = os.path.join(path, name)
            size = os.path.getsize(file_path)
            what = self.chance.choice(["flip", "flip", "cut", "remove"])
            said.append(f"{what} {name}")
            if what == "remove":
                os.remove(file_path)
            elif what == "cut":
                os.truncate(file_path, self.chance.randrange(size + 1))
            else:
                with open(file_path, "r+b") as file:
                    for _ in range(20):
                        file.seek(self.chance.randrange(max(size - 65536, 1)))
                        file.write(self.chance.randbytes(self.chance.randrange(1, 65536)))
                    file.flush()
                    os.fsync(file.fileno())
        if not dead and not all(each.startswith("flip") for each in said):
            time.sleep(self.chance.uniform(0, 2))
            daemon.kill()
        if not daemon.running():
            daemon.start()
        return f"garbage on drive {drive} ({', '.join(said)}{', daemon dead' if dead else ''})"

    def scrub(self, _):
        """Beside the load and the other fault; what it finds is for the check at the round's end."""
        done = self.cluster.admin("scrub", "start", "--rate", "1GiB")
        return "scrub" if done.returncode == 0 else "scrub, not on all drives"

    def lose(self, drive):
        fresh = self.cluster.replace_drive(drive)
        return f"drive {drive} lost for good, {fresh} new"


class Campaign:
    def __init__(self, cluster, seed, only=None, verbose=False):
        self.cluster, self.seed, self.only, self.verbose = cluster, seed, only, verbose
        self.s3_ledger, self.posix_ledger = Ledger(), Ledger()
        cluster.s3().create_bucket(Bucket=BUCKET)
        self.top = os.path.join(cluster.mount_point, BUCKET)
        for i in range(POSIX_WORKERS):
            os.makedirs(os.path.join(self.top, "posix", str(i)))

    def start_load(self, seed):
        workers = []
        for i in range(S3_WORKERS):
            workers.append(S3Worker(self.s3_ledger, f"s3/{i}/", mixed_s3_door(self.cluster.s3()), f"{seed}/{i}"))
        for i in range(POSIX_WORKERS):
            door = clocked(PosixDoor(self.top, *posix_door(self.top)))
            workers.append(PosixWorker(self.posix_ledger, f"posix/{i}/", door, f"{seed}/posix/{i}", IN_PLACE))
        for worker in workers:
            worker.start()
        return workers

    def stop_load(self, workers):
        for worker in workers:
            worker.stopping.set()
        for worker in workers:
            worker.join(timeout=ANSWER_SECONDS)
            if worker.is_alive():
                raise RoundFailed("an operation hangs")
        if Clocked.longest > ANSWER_SECONDS:
            raise RoundFailed(f"an operation took {Clocked.longest:.0f} s: {Clocked.which}")
        wrong = [said for worker in workers for said in worker.wrong]
        if wrong:
            raise RoundFailed("wrong answers beside the faults:\n" + "\n".join(wrong))

    def verify(self, context):
        doors = (S3Door(self.cluster.s3(), BUCKET, *s3_door(self.cluster.s3(), BUCKET)),
                 PosixDoor(self.top, *posix_door(self.top)))
        by_s3, by_mount = doors[0].read, doors[1].read
        # What one door settles, the other must see.
        wrong = self.s3_ledger.verify(by_s3, context + ", by S3")
        wrong += self.posix_ledger.verify(by_mount, context + ", by the mount")
        wrong += self.s3_ledger.verify(by_mount, context + ", S3's by the mount")
        wrong += self.posix_ledger.verify(by_s3, context + ", the mount's by S3")
        for door in doors:
            for ledger, prefix in [(self.s3_ledger, f"s3/{i}/") for i in range(S3_WORKERS)] + \
                                  [(self.posix_ledger, f"posix/{i}/") for i in range(POSIX_WORKERS)]:
                wrong += self.differences(ledger, prefix, door, context)
        if wrong:
            raise RoundFailed("\n".join(wrong))

    @staticmethod
    def differences(ledger, prefix, door, context):
        """Between what a door lists and what the ledger, settled, has there."""
        there = {key for key, entry in ledger.entries.items() if key.startswith(prefix) and entry.certain is not None}
        try:
            # What was left of a write that ended between its two names is in no ledger.
            listed = {key for key in door.list(prefix) if not key.endswith(".new")}
        except FileNotFoundError:
            listed = set()  # no key is left, so no directory
        kind = type(door).__name__
        return ([f"{context}: {key}: missing in {kind}'s list" for key in sorted(there - listed)] +
                [f"{context}: {key}: in {kind}'s list, but not there" for key in sorted(listed - there)])

    def wait_until_whole(self):
        def whole():
            status = self.cluster.admin_json("repair", "status")
            self.last_status = status
            return status.get("whole")

        try:
            wait_until(whole, "everything being whole", WHOLE_SECONDS)
        except TimeoutError as error:
            raise RoundFailed(f"{error}: {self.last_status}") from None

    def replace_failed_drives(self):
        """What an operator does with a drive that its daemon cannot open any more."""
        replaced = []
        for number, drive in list(self.cluster.drives.items()):
            done = self.cluster.admin_json("scrub", "status", "--drive", str(number))
            state = next((d["state"] for d in done.get("drives", []) if d["id"] == number), "failed: no answer")
            if state.startswith("failed"):
                replaced.append((number, self.cluster.replace_drive(number), state))
        return replaced

    def scrub(self):
        return self.cluster.admin("scrub", "start", "--wait", "--rate", "1GiB")

    def check(self, number):
        """Nothing is wrong any more, by anybody's account."""
        begin = time.monotonic()
        self.wait_until_whole()
        # Damage that nobody has read is found by scrub; the second one must find none.
        if self.scrub().returncode != 0:
            self.wait_until_whole()
            again = self.scrub()
            if again.returncode != 0:
                raise RoundFailed("scrub: " + again.stdout + again.stderr)
            self.wait_until_whole()
        whole = time.monotonic() - begin
        if not self.cluster.racks_may_fail():
            raise RoundFailed("a rack may not fail: " + self.cluster.admin("drive", "list").stdout)
        words = ["fsck", "--read"] if number % 5 == 0 else ["fsck"]
        done = self.cluster.admin(*words)
        if done.returncode != 0:
            raise RoundFailed("fsck: " + done.stdout + done.stderr)
        return whole

    def round(self, number):
        seed = f"{self.seed}/{number}"
        chance = random.Random(seed)
        faults = Faults(self.cluster, chance)
        workers = self.start_load(seed)
        time.sleep(1)
        troubles = []

        def hurt(kind, drive):
            try:
                faults.run(kind, drive)
            except Exception:  # said where the round ends
                troubles.append(traceback.format_exc())

        threads = [threading.Thread(target=hurt, args=fault, daemon=True) for fault in faults.choose(self.only)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(0.5)
        self.cluster.heal()
        time.sleep(0.5)
        self.stop_load(workers)
        if troubles:
            raise RoundFailed("\n".join([*faults.said, *troubles]))
        self.verify(f"round {number}")
        for lost, fresh, state in self.replace_failed_drives():
            faults.said.append(f"drive {lost} replaced by {fresh} ({state})")
        whole = self.check(number)
        self.verify(f"round {number}, repaired")
        answered = sum(worker.answered for worker in workers)
        failed = sum(worker.failed for worker in workers)
        if answered < 20:
            raise RoundFailed(f"only {answered} operations were answered")
        print(f"round {number}: {'; '.join(faults.said)} | {answered} answered, {failed} refused or cut off, longest "
              f"{Clocked.longest:.1f} s ({Clocked.which}) | whole after {whole:.1f} s", flush=True)
        if self.verbose:
            for worker in workers:
                for error, count in worker.errors.most_common(5):
                    print(f"    {worker.prefix}: {count} x {error[:600]}", flush=True)
        Clocked.longest, Clocked.which = 0.0, ""


def lacks():
    """What this machine does not give it; empty: it can run."""
    if os.geteuid() != 0:
        return "root, for network namespaces and FUSE"
    if not os.path.exists("/dev/fuse"):
        return "/dev/fuse"
    for program in ("ip", "nsenter", "umount"):
        if shutil.which(program) is None:
            return f"the program {program}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="no round begins later")
    parser.add_argument("--drives", type=int, default=7)
    parser.add_argument("--only", help="one kind of fault: " + ", ".join(sorted({*Faults.KINDS, "kill_metad"})))
    parser.add_argument("--verbose", action="store_true", help="the errors that the load met, too")
    options = parser.parse_args()
    missing = lacks()
    if missing:
        print(f"SKIPPED: the campaign needs {missing}", flush=True)
        return 77
    in_own_namespaces()
    root = tempfile.mkdtemp(prefix="shoal-campaign-")
    cluster = None
    begin = time.monotonic()
    number = options.first
    try:
        cluster = HostCluster(root, drives=options.drives)
        campaign = Campaign(cluster, options.seed, options.only, options.verbose)
        for number in range(options.first, options.first + options.rounds):
            if options.minutes and time.monotonic() - begin > options.minutes * 60:
                break
            campaign.round(number)
        else:
            number += 1
    except KeyboardInterrupt:
        print(f"ended by hand in round {number}", flush=True)
        return 130
    except Exception as error:
        kept = root
        print(f"FAILED in round {number} of seed {options.seed}: {type(error).__name__}: {error}", flush=True)
        if not isinstance(error, RoundFailed):
            traceback.print_exc()
        print(f"kept: {kept} (logs in hosts/); to repeat: --seed {options.seed} --first {options.first} "
              f"--rounds {number - options.first + 1}", flush=True)
        root = None
        return 1
    finally:
        if cluster is not None:
            cluster.close()
        if root is not None:
            shutil.rmtree(root, ignore_errors=True)
    print(f"{number - options.first} rounds of seed {options.seed} in {time.monotonic() - begin:.0f} s, nothing lost",
          flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
