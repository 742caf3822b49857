"""The system libraries that Qt's window needs: which are missing, what holds them, and their installation on Debian and Ubuntu."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from studio import probes

_NO_QUESTIONS = ("env", "DEBIAN_FRONTEND=noninteractive")
_QT_PLACE = """
from PySide6.QtCore import QLibraryInfo
print(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath))
"""
# Shared library → package on Debian and Ubuntu, package on Fedora.
_PACKAGES = {
    "libEGL.so": ("libegl1", "libglvnd-egl"),
    "libGL.so": ("libgl1", "libglvnd-glx"),
    "libX11-xcb.so": ("libx11-xcb1", "libX11-xcb"),
    "libX11.so": ("libx11-6", "libX11"),
    "libdbus-1.so": ("libdbus-1-3", "dbus-libs"),
    "libfontconfig.so": ("libfontconfig1", "fontconfig"),
    "libfreetype.so": ("libfreetype6", "freetype"),
    "libglib-2.0.so": ("libglib2.0-0", "glib2"),
    "libgthread-2.0.so": ("libglib2.0-0", "glib2"),
    "libxcb-cursor.so": ("libxcb-cursor0", "xcb-util-cursor"),
    "libxcb-glx.so": ("libxcb-glx0", "libxcb"),
    "libxcb-icccm.so": ("libxcb-icccm4", "xcb-util-wm"),
    "libxcb-image.so": ("libxcb-image0", "xcb-util-image"),
    "libxcb-keysyms.so": ("libxcb-keysyms1", "xcb-util-keysyms"),
    "libxcb-randr.so": ("libxcb-randr0", "libxcb"),
    "libxcb-render-util.so": ("libxcb-render-util0", "xcb-util-renderutil"),
    "libxcb-render.so": ("libxcb-render0", "libxcb"),
    "libxcb-shape.so": ("libxcb-shape0", "libxcb"),
    "libxcb-shm.so": ("libxcb-shm0", "libxcb"),
    "libxcb-sync.so": ("libxcb-sync1", "libxcb"),
    "libxcb-util.so": ("libxcb-util1", "xcb-util"),
    "libxcb-xfixes.so": ("libxcb-xfixes0", "libxcb"),
    "libxcb-xkb.so": ("libxcb-xkb1", "libxcb"),
    "libxcb.so": ("libxcb1", "libxcb"),
    "libxkbcommon-x11.so": ("libxkbcommon-x11-0", "libxkbcommon-x11"),
    "libxkbcommon.so": ("libxkbcommon0", "libxkbcommon"),
}


def has_display() -> bool:
    """Whether a display may be reached at all: elsewhere than on Linux, or where a variable names one."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in names)


def missing_libraries(qt_words: str = "") -> list[str]:
    """Shared libraries that Qt or its X11 platform plugin cannot find, sorted. ``qt_words`` is what a failed start printed."""
    found = set()
    place = probes.run_python(_QT_PLACE)
    for line in [*qt_words.splitlines(), *place.stderr.splitlines()]:
        name, _, _ = line.partition(": cannot open shared object file")
        if name != line:
            found.add(name.split()[-1])
    plugin = Path(place.stdout.strip()) / "platforms" / "libqxcb.so"
    if plugin.is_file() and (ldd := shutil.which("ldd")):
        listing = subprocess.run([ldd, str(plugin)], capture_output=True, text=True, check=False).stdout
        found.update(line.split()[0] for line in listing.splitlines() if "not found" in line)
    return sorted(found)


def install_advice(libraries: list[str]) -> str:
    """How these shared libraries get here: a command where the package manager is known, else their names."""
    fedora = shutil.which("apt-get") is None and shutil.which("dnf") is not None
    if not fedora and shutil.which("apt-get") is None:
        return f"Install the packages of this system that hold these libraries: {', '.join(libraries)}"
    return f"Install them with: sudo {'dnf' if fedora else 'apt-get'} install {' '.join(packages_of(libraries, fedora))}"


def packages_of(libraries: list[str], fedora: bool = False) -> list[str]:
    """The packages of Debian and Ubuntu, or of Fedora, that hold these shared libraries, sorted."""
    return sorted({_PACKAGES.get(name.split(".so")[0] + ".so", (name, f"'*/{name}*'"))[fedora] for name in libraries})


def install_missing() -> bool:
    """Whether libraries were missing and are there now. Says first what it does, on stderr; does nothing where it may not."""
    if shutil.which("apt-get") is None or not has_display():
        return False
    missing = missing_libraries()
    rights = _rights() if missing else None
    if rights is None:
        return False
    packages = packages_of(missing)
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
