"""The watch that every test is under does notice what a test leaves behind."""

from __future__ import annotations

import pytest

from tests import hygiene

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("threading.Thread(target=time.sleep, args=(0.6,), name='straggler').start()", "left threads running: straggler"),
        ("subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'])", "left child processes: "),
        ("QtCore.qWarning('out of place')", "Qt messages with level WARNING"),
        ("threading.Thread(target=time.sleep, args=(0.01,)).start()", None),
        ("subprocess.run([sys.executable, '-c', ''])", None),
    ],
    ids=["thread", "process", "Qt warning", "short thread", "awaited process"],
)
def test_what_a_test_leaves_behind_fails_it(
    body: str, complaint: str | None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hygiene, "GRACE_SECONDS", 0.3)
    pytester.makeini("[pytest]\nqt_log_level_fail = WARNING")
    pytester.makeconftest("from tests.hygiene import no_leaked_processes, no_leaked_threads")
    pytester.makepyfile(f"import subprocess, sys, threading, time\nfrom PySide6 import QtCore\ndef test_it():\n    {body}")
    result = pytester.runpytest_inprocess()
    if complaint is None:
        result.assert_outcomes(passed=1)
    else:
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines([f"*{complaint}*"])
