"""Puts Finetune Studio into the applications menu of this user, or takes it out again: ``desktop.py install|remove``.

For Linux desktops that follow freedesktop.org. The entry starts the command of the environment that runs this program.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "finetune-studio"


def data_folder() -> Path:
    """Where a user's own applications and icons lie (XDG Base Directory Specification)."""
    given = os.environ.get("XDG_DATA_HOME", "")
    return Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "share"


def places() -> tuple[Path, Path]:
    """The entry and its icon."""
    return data_folder() / "applications" / f"{NAME}.desktop", data_folder() / "icons/hicolor/scalable/apps" / f"{NAME}.svg"


def quoted(command: Path) -> str:
    """A program as Exec takes it: in quotes, with what is special within them escaped, twice where the file itself escapes."""
    escaped = "".join(f"\\{letter}" if letter in '"`$\\' else letter for letter in str(command))
    return '"' + escaped.replace("\\", "\\\\").replace("%", "%%") + '"'


def install(command: Path) -> Path:
    """Write entry and icon; returns the entry."""
    entry, icon = places()
    for path in (entry, icon):
        path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "resources" / "icons" / f"{NAME}.svg", icon)
    text = (ROOT / "packaging" / f"{NAME}.desktop").read_text("utf-8")
    entry.write_text(text.replace(f"Exec={NAME}\n", f"Exec={quoted(command)}\nTryExec={tried(command)}\n"), "utf-8")
    refresh()
    return entry


def tried(command: Path) -> str:
    """A program as TryExec takes it: a string of the file, unquoted."""
    return str(command).replace("\\", "\\\\")


def remove() -> list[Path]:
    """Take both away; returns what was there."""
    found = [path for path in places() if path.exists()]
    for path in found:
        path.unlink()
    refresh()
    return found


def refresh() -> None:
    """Tell desktops that read an index of the entries. Others look by themselves."""
    if (tool := shutil.which("update-desktop-database")) and places()[0].parent.is_dir():
        subprocess.run([tool, "-q", str(places()[0].parent)], check=False)


def main() -> int:
    if sys.argv[1:] == ["install"]:
        command = Path(sys.executable).parent / NAME
        if not sys.platform.startswith("linux"):
            print("The applications menu of freedesktop.org is for Linux.", file=sys.stderr)
            return 1
        if not command.exists():
            print(f"{command} is missing. Install the app first: make run", file=sys.stderr)
            return 1
        print(f"Installed {install(command)}")
        return 0
    if sys.argv[1:] == ["remove"]:
        print("\n".join(f"Removed {path}" for path in remove()) or "It was not installed.")
        return 0
    print("usage: desktop.py install|remove", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
