"""The one door: ``--worker`` leads to the worker, arguments to the command line, none to the window."""

from __future__ import annotations

import sys


def main() -> int:
    """What ``finetune-studio`` and ``python -m studio`` run; returns the exit code."""
    # Each way imports its own part only: the worker no Qt, the command line no torch.
    arguments = sys.argv[1:]
    if arguments[:1] == ["--worker"]:
        from studio.worker.main import main as work

        return work()

    from studio import cli, doctor

    parsed = cli.parse(arguments)
    if parsed.command is not None:
        return cli.run(parsed)
    problem = doctor.display_problem()
    if problem is not None and parsed.install_libraries:
        from studio import libraries

        if libraries.install_missing():
            problem = doctor.display_problem()
    if problem is not None:
        return cli.run_without_display(parsed, problem)
    return _open_window(parsed.home)


def _open_window(given_home: str | None) -> int:
    from studio.core.errors import StudioError
    from studio.core.runs import Home

    try:
        home = Home.locate(given_home)
    except StudioError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        from studio.ui.application import refuse_start

        refuse_start(error)  # who started it with the mouse sees no terminal
        return 1

    from studio.ui.application import run_window

    return run_window(home)


if __name__ == "__main__":
    sys.exit(main())
