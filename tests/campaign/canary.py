"""The campaign against a metad that answers before its journal is written must fail: else it proves nothing."""

import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# What a round says of it: at its end, or already beside the faults.
LOSSES = ("missing", "deleted, but back", "other bytes", "read as nothing", "is not listed")


def main():
    done = subprocess.run([sys.executable, os.path.join(HERE, "campaign.py"), "--rounds", "4", "--seed", "1", "--only",
                           "kill_metad"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=500)
    kept = re.search(r"^kept: (\S+)", done.stdout, re.MULTILINE)
    if kept:
        shutil.rmtree(kept.group(1), ignore_errors=True)
    if done.returncode == 77:
        return 77
    if done.returncode == 0:
        print("the canary was not found:\n" + done.stdout)
        return 1
    if not any(word in done.stdout for word in LOSSES):
        print("it failed for another reason:\n" + done.stdout)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
