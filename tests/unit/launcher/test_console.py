import json
import sys

import pytest

from launcher.console import Console


def test_each_line_has_the_name_of_its_process_in_front(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.say("starting")
    console.relay("worker-0", "loading")
    assert capsys.readouterr().err == "launcher | starting\nworker-0 | loading\n"


def test_only_the_announcement_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    Console().announce("Ready: here")
    assert capsys.readouterr() == ("Ready: here\n", "")


def test_for_machines_every_line_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console("json")
    console.say("ö", "error")
    console.relay("worker-0", 'Fatal Python error: "x"')
    said, relayed = map(json.loads, capsys.readouterr().err.splitlines())
    assert (said["process"], said["event"], said["level"]) == ("launcher", "ö", "error")
    assert (relayed["process"], relayed["event"]) == ("worker-0", 'Fatal Python error: "x"')


def test_for_machines_a_line_that_is_json_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Console("json").relay("worker-0", '{"event": "loaded"}')
    assert capsys.readouterr().err == '{"event": "loaded"}\n'


def test_a_log_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stderr", full)
        Console().say("nobody reads this")
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space left"):
            full.close()
