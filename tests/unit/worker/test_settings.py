from pathlib import Path

import pytest

from textdiffusion.configuration import main_settings
from worker.settings import WorkerRoot


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "My model"
    folder.mkdir()
    return folder


def test_a_model_is_called_as_its_folder_unless_it_has_an_id(model: Path) -> None:
    link = model.parent / "llada:8b"
    link.symlink_to(model)
    assert main_settings(WorkerRoot, [f"--model={link}/"]).worker.model_id == "llada:8b"
    assert main_settings(WorkerRoot, [f"--model={model}", "--id=mine"]).worker.model_id == "mine"
    assert main_settings(WorkerRoot, ["--model=organisation/model"]).worker.model_id == "organisation/model"


def test_a_folder_whose_name_will_not_do_needs_an_id(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main_settings(WorkerRoot, [f"--model={model}"])
    problem = "its folder's name, 'My model', cannot be the model's id; give one with"
    assert capsys.readouterr().err == f"error: --model: {problem} --id\n"
    monkeypatch.setenv("TDI_WORKER__MODEL", str(model))
    with pytest.raises(SystemExit):
        main_settings(WorkerRoot, [])
    assert capsys.readouterr().err == f"error: environment: worker.model: {problem} worker.id\n"


def test_a_folder_that_is_not_there_is_left_for_the_checkpoint_to_complain_of() -> None:
    assert main_settings(WorkerRoot, ["--model=./No model"]).worker.model == "./No model"
