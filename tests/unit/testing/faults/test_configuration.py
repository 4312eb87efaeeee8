from dataclasses import replace
from pathlib import Path

from launcher.settings import command_line
from testing.faults.stack import Configuration, served
from testing.folders import DEMO

PLAIN = Configuration(models=[served(workers=2)], launcher={"crash_budget": 7})


def test_what_is_written_is_what_the_launcher_reads(tmp_path: Path) -> None:
    changed = PLAIN.with_router(api_keys={"one": "a-key-that-is-long-enough"}).with_models(max_queued_requests=3)
    file = tmp_path / "config.toml"
    file.write_text(replace(changed, models=[*changed.models, served("second", workers=1)]).text)
    root = command_line([f"--config={file}"]).read()
    assert root.launcher.crash_budget == 7
    assert list(root.router.api_keys) == ["one"]
    assert [(model.id, model.devices, model.max_queued_requests) for model in root.models] == [
        ("demo", ("cpu", "cpu"), 3),
        ("second", ("cpu",), 256),
    ]
    assert root.models[0].path == str(DEMO)


def test_a_change_leaves_what_it_was_made_from() -> None:
    assert PLAIN.with_router(port=1).with_models(id="other") != PLAIN
    assert "other" not in PLAIN.text
