"""Writes the file tree of README.md anew: one line a file of studio/, taken from the first sentence of its docstring.

``--check`` only says whether the tree is current (exit code 1 if not).
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- tree: `make tree` writes it -->\n", "<!-- /tree -->"
BESIDE = {
    "resources/": "sample data set, help pages, icons, stylesheet; installed as the package studio.resources",
    "tests/": "a folder for each room; hygiene.py fails tests that leave threads, processes or Qt warnings behind",
    "packaging/": "pinned versions, the set-up of .venv, the entry of the applications menu, licences of the libraries",
    "Makefile": "run, test, lint, wheel; `make help` lists them",
    ".ci/run": "what continuous integration runs",
}


def first_sentence(module: Path) -> str:
    """The first sentence of a module's docstring, without its full stop."""
    documentation = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
    return documentation.split("\n")[0].split(". ")[0].rstrip(".").replace("``", "`")


def tree() -> str:
    """The tree as an indented block of Markdown."""
    lines: list[tuple[str, str]] = []

    def walk(folder: Path, depth: int) -> None:
        lines.append((f"{'  ' * depth}{folder.name}/", first_sentence(folder / "__init__.py")))
        entries = [path for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
        for path in sorted(entries, key=lambda entry: (entry.is_dir(), entry.name)):
            if path.is_dir():
                walk(path, depth + 1)
            elif path.name != "__init__.py":
                lines.append((f"{'  ' * (depth + 1)}{path.name}", first_sentence(path)))

    walk(ROOT / "studio", 0)
    lines.extend(BESIDE.items())
    width = max(len(name) for name, _ in lines) + 2
    return "".join(f"    {name:<{width}}{what}\n" for name, what in lines)


def main() -> int:
    """Writes the tree, or compares it; returns the exit code."""
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    before, rest = text.split(START, 1)
    _, after = rest.split(END, 1)
    current = f"{before}{START}\n{tree()}\n{END}{after}"
    if "--check" in sys.argv[1:]:
        return 0 if text == current else 1
    readme.write_text(current, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
