"""Installs the system libraries that Qt's window needs, on Debian and Ubuntu, where that may be done unasked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from studio import doctor

_NO_QUESTIONS = ("env", "DEBIAN_FRONTEND=noninteractive")


def install_missing() -> bool:
    """Whether libraries were missing and are there now. Says first what it does, on stderr; does nothing where it may not."""
    if shutil.which("apt-get") is None or not doctor.has_display():
        return False
    missing = doctor.missing_libraries()
    rights = _rights() if missing else None
    if rights is None:
        return False
    packages = doctor.packages_of(missing)
    print(f"Qt's window needs system libraries that are missing here ({', '.join(missing)}). Installing them:", file=sys.stderr)
    for words in (("update", "-qq"), ("install", "-y", "--no-install-recommends", *packages)):
        command = [*rights, *_NO_QUESTIONS, "apt-get", *words]
        print(f"    {' '.join(command)}", file=sys.stderr, flush=True)
        # Its own output goes where the words above went: stdout belongs to the command line's results.
        if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), check=False).returncode != 0:
            print("That failed; apt-get says why above.", file=sys.stderr)
            return False
    return True


def _rights() -> list[str] | None:
    """What to put before a command to run it as root without a question; None when that cannot be."""
    if os.geteuid() == 0:
        return []
    if (sudo := shutil.which("sudo")) is None:
        return None
    asked = subprocess.run([sudo, "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return [sudo, "-n"] if asked.returncode == 0 else None
