"""What a person gets who installs the project: the wheel, the pins and the licences."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "packaging" / "constraints.txt"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from a copy: a build leaves files beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("studio", "resources"):
        shutil.copytree(ROOT / name, folder / name)
    _pip("wheel", folder, "--no-build-isolation", "--wheel-dir", folder / "dist")
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    _pip("install", wheel, "--target", folder)
    return folder


def _pip(verb: str, what: Path, *options: object) -> None:
    command = [sys.executable, "-m", "pip", verb, what, "--no-deps", "--no-index", "--quiet", *options]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _python(place: Path, cwd: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(place), "FINETUNE_STUDIO_HOME": str(cwd)}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def test_wheel_holds_the_whole_app_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
    sources = wheel.parents[1]
    shown_only_on_the_page = {name for name in _files(sources / "resources") if name.startswith("screenshots/")}
    resources = {f"studio/resources/{name}" for name in _files(sources / "resources") - shown_only_on_the_page}
    assert names == {f"studio/{name}" for name in _files(sources / "studio")} | resources
    assert licences
    assert {"studio/py.typed", "studio/resources/sample/train.csv"} <= names


def test_installed_wheel_starts_away_from_the_sources(installed: Path, tmp_path: Path) -> None:
    assert "train" in _python(installed, tmp_path, "-m", "studio", "--help")
    script = "import studio, importlib.resources as r; print(studio.__file__, r.files('studio.resources'), sep='\\n')"
    package, resources = _python(installed, tmp_path, "-c", script).splitlines()
    assert Path(package).is_relative_to(installed)
    assert Path(resources).is_relative_to(installed)


def test_checkout_finds_its_resources(tmp_path: Path) -> None:
    """An editable installation maps studio.resources to resources/, started from the root (as `make run` does) or not."""
    script = "import importlib.resources as r; print(r.files('studio.resources').joinpath('sample/train.csv').read_text('utf-8'))"
    for cwd in (ROOT, tmp_path):
        done = subprocess.run([sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True, check=False)
        assert done.stdout.startswith("text,intent"), done.stderr


def test_file_tree_of_the_readme_is_current() -> None:
    done = subprocess.run([sys.executable, ROOT / "packaging" / "file_tree.py", "--check"], check=False)
    assert done.returncode == 0, "run `make tree`"


def _pins() -> dict[str, str]:
    lines = [line for line in PINS.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def test_pins_satisfy_the_ranges() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = _pins()
    for line in [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), line


def test_no_dependency_is_under_the_gpl() -> None:
    done = subprocess.run([sys.executable, ROOT / "packaging" / "licences.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = {
        line.split("|")[1].strip() for line in (ROOT / "packaging" / "LICENCES.md").read_text("utf-8").splitlines() if "|" in line
    }
    assert _pins().keys() <= listed, "run `make licences`"


@pytest.mark.parametrize(
    ("licence", "accepted"),
    [
        ("MIT", True),
        ("LGPL-3.0-only OR GPL-2.0-only OR GPL-3.0-only", True),
        ("GNU Lesser General Public License v3 (LGPLv3)", True),
        ("GPL-3.0-only", False),
        ("AGPL-3.0-or-later AND MIT", False),
        ("GNU Affero General Public License v3", False),
        ("GPLv3", False),
        ("", False),
    ],
)
def test_licence_check(licence: str, accepted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "packaging"))
    import licences

    assert (licences.objection(licence) is None) == accepted
