from pathlib import Path

import pytest

from launcher.settings import LauncherRoot, command_line
from textdiffusion.model_names import is_hub_id
from textdiffusion.settings import GenerationSettings

TWO_MODELS = '[[models]]\npath = "one"\ndtype = "float32"\n[[models]]\npath = "two"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("one", "two", "models"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings_of(config: str | None, *argv: str) -> LauncherRoot:
    if config is not None:
        Path("config.toml").write_text(config)
    return command_line(argv).settings()


def problems_of(capsys: pytest.CaptureFixture[str], config: str | None, *argv: str) -> list[str]:
    with pytest.raises(SystemExit) as exit_:
        settings_of(config, *argv)
    assert exit_.value.code == 1
    return [line.removeprefix("error: ") for line in capsys.readouterr().err.splitlines()]


def test_the_file_in_the_current_folder_is_read() -> None:
    assert [model.path for model in settings_of(TWO_MODELS).models] == ["one", "two"]


def test_a_named_file_is_read_instead() -> None:
    Path("other.toml").write_text('[[models]]\npath = "two"\n')
    assert [model.path for model in settings_of(TWO_MODELS, "--config=other.toml").models] == ["two"]


def test_without_a_file_a_model_is_enough() -> None:
    assert settings_of(None, "--model=one").models[0].path == "one"


def test_without_a_file_and_a_model_the_error_says_both_ways_out(capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = problems_of(capsys, None)
    assert "--model" in problem
    assert "--config" in problem


def test_a_named_file_that_is_missing_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = problems_of(capsys, None, "--config=nowhere.toml", "--model=one")
    assert problem == "nowhere.toml: cannot be read: No such file or directory"


def test_a_model_flag_replaces_all_models_of_the_file() -> None:
    (model,) = settings_of(TWO_MODELS, "--model=two", "--devices=cpu,cuda:1", "--steps=4").models
    assert (model.path, model.dtype, model.devices, model.generation.steps) == ("two", "auto", ("cpu", "cuda:1"), 4)


def test_other_model_flags_change_the_only_model_of_the_file() -> None:
    config = '[[models]]\npath = "one"\ndtype = "float32"\n[models.generation]\nsteps = 8\n'
    (model,) = settings_of(config, "--id=uno", "--max-tokens=7").models
    assert (model.id, model.dtype, model.generation.steps, model.generation.max_tokens) == ("uno", "float32", 8, 7)


def test_other_model_flags_are_refused_when_there_are_several_models(capsys: pytest.CaptureFixture[str]) -> None:
    problems = problems_of(capsys, TWO_MODELS, "--dtype=float32", "--max-tokens=7")
    assert [problem.split(":")[0] for problem in problems] == ["--dtype", "--max-tokens"]


@pytest.mark.parametrize(("path", "id_"), [("one", "one"), ("./two/", "two"), ("GSAI-ML/LLaDA-8B", "GSAI-ML/LLaDA-8B")])
def test_a_model_without_an_id_is_called_as_its_folder_or_on_the_hub(path: str, id_: str) -> None:
    assert settings_of(None, f"--model={path}").models[0].id == id_


def test_the_current_folder_has_a_name_too(folder: Path) -> None:
    assert settings_of(None, "--model=.").models[0].id == folder.name


@pytest.mark.parametrize("host", ["[::1]", "[::]"])
def test_a_host_in_brackets_is_told_to_do_without(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = f"{host}: an address stands here without brackets: {host[1:-1]}"
    assert problems_of(capsys, TWO_MODELS, f"--host={host}") == [f"--host: {said}"]
    assert problems_of(capsys, TWO_MODELS + f"[router]\nhost = '{host}'") == [f"config.toml: router.host: {said}"]
    assert settings_of(TWO_MODELS, f"--host={host[1:-1]}", "--allow-anonymous").router.host == host[1:-1]


NO_ID = "its folder's name, 'My model', cannot be the model's id; give one with"


@pytest.mark.parametrize("id_", ["llada:8b", "m@v1", "x:free", "ft:base:org::id", "a,b", "-x"])
def test_an_id_may_be_as_hubs_and_gateways_write_it(id_: str) -> None:
    assert settings_of(None, "--model=one", f"--id={id_}").models[0].id == id_
    assert settings_of(f"[[models]]\npath = 'one'\nid = '{id_}'\n").models[0].id == id_


def test_an_id_that_cannot_be_is_called_as_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert problems_of(capsys, None, "--model=one", "--id=a b") == [
        "--id: 'a b' cannot be a model's id: it has white space in it"
    ]
    assert problems_of(capsys, "[[models]]\npath = 'one'\nid = ''\n") == [
        "config.toml: models.0.id: '' cannot be a model's id: it is empty"
    ]


def test_a_folder_whose_name_will_not_do_needs_an_id(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "My model").mkdir()
    config = "[[models]]\npath = 'one'\n[[models]]\npath = 'My model'\n"
    assert problems_of(capsys, None, "--model=My model") == [f"--model: {NO_ID} --id"]
    assert problems_of(capsys, config) == [f"config.toml: models.1.path: {NO_ID} models.1.id"]
    assert settings_of(None, "--model=My model", "--id=mine").models[0].id == "mine"
    assert settings_of(config + "id = 'mine'\n").models[1].id == "mine"
    monkeypatch.setenv("TDI_MODELS", '[{"path": "My model"}]')
    Path("config.toml").unlink()
    assert problems_of(capsys, None) == [f"environment: models.0.path: {NO_ID} models.0.id"]


def test_a_folder_whose_name_will_not_do_is_told_with_every_other_mistake(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "My model").mkdir()
    assert problems_of(capsys, None, "--model=My model", "--dtype=x", "--id=a b") == [
        "--dtype: input should be 'auto', 'float32', 'bfloat16' or 'float16', not 'x'",
        "--id: 'a b' cannot be a model's id: it has white space in it",
    ]


def test_a_folder_that_is_missing_is_not_also_called_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    assert problems_of(capsys, None, "--model=No model") == ["--model: there is no folder No model"]


def test_the_same_id_twice_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = problems_of(capsys, TWO_MODELS + 'id = "one"\n')
    assert problem == "config.toml: models: entries 0 and 1 have the same id, one"


def test_the_same_id_twice_does_not_hide_other_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(problems_of(capsys, TWO_MODELS + 'id = "one"\n[router]\nport = -1\n')) == 2


@pytest.mark.parametrize(
    "path", ["./nowhere", "/nowhere", "nowhere", "models/nowhere", "a/b/c", "~no-such-user/llada", "../nowhere"]
)
def test_a_folder_that_is_missing_is_an_error(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert problems_of(capsys, None, f"--model={path}") == [f"--model: there is no folder {path}"]


def test_a_folder_that_is_missing_is_reported_with_every_other_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    said = problems_of(capsys, '[[models]]\npath = "./one"\ndtype = "x"\n[[models]]\npath = "./nowhere"\n', "--port=x")
    assert [line.partition(": ")[0] for line in said] == ["--port", "config.toml", "config.toml"]
    assert said[2] == "config.toml: models.1.path: there is no folder ./nowhere"


@pytest.mark.parametrize(("path", "id_"), [("~/one", "one"), ("~", "home"), ("~/one/..", "home")])
def test_a_folder_may_be_named_from_home(path: str, id_: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "home" / "one").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder / "home"))
    (model,) = settings_of(None, f"--model={path}").models
    assert (model.path, model.id) == (path.replace("~", str(folder / "home")), id_)


def test_a_folder_that_is_missing_from_home_is_named_in_full(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert problems_of(capsys, None, "--model=~/llada") == [f"--model: there is no folder {folder}/llada"]


@pytest.mark.parametrize(("path", "is_hub"), [("GSAI-ML/LLaDA-8B-Base", True), ("models/tiny", False), ("tiny", False)])
def test_a_hub_id_has_two_parts_and_its_first_is_no_folder_here(path: str, is_hub: bool) -> None:
    assert is_hub_id(path) is is_hub


def test_a_typo_in_a_model_names_the_nearest_key(capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = problems_of(capsys, '[[models]]\npath = "one"\ndevicse = ["cpu"]\n')
    assert problem == "config.toml: models.0.devicse: no such setting; did you mean devices?"


@pytest.mark.parametrize(
    "config",
    ['models = "one"', "models = 3", 'models = ["one"]', "models = []", '[models]\npath = "one"', "models = [[]]"],
)
def test_a_list_of_models_that_is_none_is_an_error_in_words(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = problems_of(capsys, config)
    assert "model" in problem


def test_steps_from_a_flag_end_a_threshold_from_the_file() -> None:
    config = '[[models]]\npath = "one"\n[models.generation]\nthreshold = 0.9\nmax_tokens = 7\n'
    (model,) = settings_of(config, "--steps=16").models
    assert model.generation == GenerationSettings(steps=16, max_tokens=7)


def test_models_may_come_as_json_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDI_MODELS", '[{"path": "two", "generation": {"steps": 3}}]')
    (model,) = settings_of(TWO_MODELS, "--dtype=float32").models
    assert (model.id, model.dtype, model.generation.steps) == ("two", "float32", 3)


@pytest.mark.parametrize("argv", [(), ("--model=one",)])
def test_a_variable_cannot_speak_of_one_setting_of_a_model(
    argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TDI_MODELS__DTYPE", "float32")
    (problem,) = problems_of(capsys, TWO_MODELS, *argv)
    assert problem.startswith("models: this is a list")
    assert all(way in problem for way in ("the file", "JSON in TDI_MODELS", "--model"))


def test_a_worker_section_is_no_way_to_configure_models(capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = problems_of(capsys, TWO_MODELS + '[worker]\ndtype = "float32"\n')
    assert problem.startswith("worker: ")


def test_workers_are_the_business_of_the_launcher(capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = problems_of(capsys, None, "--model=one", "--workers=unix:/w")
    assert problem.startswith("--workers:")


def test_print_config_shows_what_is_in_effect(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        settings_of(TWO_MODELS, "--print-config", "--port=8123")
    assert exit_.value.code == 0
    shown = LauncherRoot.model_validate_json(capsys.readouterr().out)
    assert shown.router.port == 8123
    assert [model.id for model in shown.models] == ["one", "two"]


def test_print_config_hides_keys(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDI_ROUTER__API_KEYS", '{"alice": "sk-1"}')
    with pytest.raises(SystemExit) as exit_:
        settings_of(TWO_MODELS, "--print-config")
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert '"alice": "**********"' in shown
    assert "sk-1" not in shown


def test_other_machines_are_not_served_without_keys(capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = problems_of(capsys, TWO_MODELS, "--host=::")
    assert problem.startswith("router: other machines reach ::, and no API key is configured")
    assert settings_of(TWO_MODELS, "--host=::", "--allow-anonymous").router.host == "::"


def test_workers_that_somebody_else_starts_take_the_place_of_a_path() -> None:
    config = '[[models]]\nid = "far"\naddresses = ["gpu-2:50051", "unix:/run/w.sock"]\n'
    (model,) = settings_of(config, "--allow-plaintext-workers").models
    assert (model.path, model.addresses) == (None, ("gpu-2:50051", "unix:/run/w.sock"))


def test_they_can_be_named_by_a_flag_too() -> None:
    (model,) = settings_of(
        TWO_MODELS, "--worker-addresses=gpu-2:50051,gpu-3:50051", "--id=far", "--allow-plaintext-workers"
    ).models
    assert (model.id, model.path, model.addresses) == ("far", None, ("gpu-2:50051", "gpu-3:50051"))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('[[models]]\nid = "far"\n', "needs a path to load it from, or the addresses"),
        ('[[models]]\naddresses = ["gpu-2:50051"]\n', "needs an id"),
        (
            '[[models]]\nid = "far"\naddresses = ["gpu-2"]\n',
            "models.0.addresses.0: gpu-2 is neither unix:PATH nor HOST:PORT",
        ),
    ],
)
def test_a_model_that_nobody_could_serve_is_refused(
    capsys: pytest.CaptureFixture[str], config: str, words: str
) -> None:
    (problem,) = problems_of(capsys, config)
    assert words in problem


def test_the_router_drains_for_as_long_as_workers_may_take_if_nothing_else_is_said() -> None:
    assert settings_of(TWO_MODELS, "--grace-seconds=5").drain_seconds == 5
    assert settings_of(TWO_MODELS, "--grace-seconds=5", "--drain-seconds=3").drain_seconds == 3


def test_a_router_that_would_be_cut_off_while_it_drains_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = problems_of(capsys, TWO_MODELS, "--grace-seconds=5", "--drain-seconds=6")
    assert "router.drain_seconds is 6, more than the 5 of launcher.grace_seconds" in problem


def test_budgets_that_do_not_fit_into_the_time_that_there_is_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--grace-seconds=10", "--drain-seconds=5", "--settle-seconds=2")
    (problem,) = problems_of(capsys, TWO_MODELS, *flags, "--termination-seconds=27")
    assert "launcher.termination_seconds is 27, but stopping may take 27" in problem
    assert settings_of(TWO_MODELS, *flags, "--termination-seconds=28").launcher.termination_seconds == 28


def test_to_check_the_settings_says_whether_they_can_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        settings_of(TWO_MODELS, "--check")
    assert exit_.value.code == 0
    assert capsys.readouterr().out == "config.toml: can be used\n"
    assert problems_of(capsys, "[router]\nport = -1\n" + TWO_MODELS, "--check")


def test_the_file_is_read_again_as_it_is_then() -> None:
    Path("config.toml").write_text(TWO_MODELS)
    line = command_line(["--port=8123"])
    before = line.read()
    Path("config.toml").write_text('[[models]]\npath = "two"\n')
    after = line.read()
    assert [len(root.models) for root in (before, after)] == [2, 1]
    assert after.router.port == 8123


def test_workers_on_other_machines_need_tls_or_the_word_that_they_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    config = '[[models]]\nid = "far"\naddresses = ["gpu-2:50051"]\n'
    (problem,) = problems_of(capsys, config)
    assert "gpu-2:50051" in problem
    assert settings_of(config, "--allow-plaintext-workers").models[0].addresses


def test_a_model_has_a_tokenizer_and_a_chat_template_of_its_own() -> None:
    Path("mine.jinja").write_text("{{ messages }}")
    root = settings_of(TWO_MODELS + 'tokenizer = "one"\nchat_template = "mine.jinja"\n')
    assert [model.tokenizer for model in root.models] == [None, "one"]
    assert root.chat_templates == {"two": Path("mine.jinja")}
    assert root.files == [Path("mine.jinja")]
    assert settings_of(None, "--model=two", "--chat-template=mine.jinja").chat_templates == root.chat_templates


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--model=one", "--chat-template=nowhere.jinja"], "nowhere.jinja: cannot be read: No such file or directory"),
        (["--model=one", "--chat-template=wrong.jinja"], "wrong.jinja: is not a chat template: line 2: "),
        (["--model=one", "--tokenizer=./nowhere"], "there is no folder ./nowhere"),
        (["--worker-addresses=127.0.0.1:1", "--id=m", "--tokenizer=one"], "tokenizer is of no use without a path"),
        (["--model=one", '--chat-templates={"one": "wrong.jinja"}'], "give each of [[models]] its chat_template"),
    ],
)
def test_a_tokenizer_or_template_that_cannot_be_used_is_named(
    capsys: pytest.CaptureFixture[str], flags: list[str], problem: str
) -> None:
    Path("wrong.jinja").write_text("\n{% if %}")
    problems = problems_of(capsys, None, *flags)
    assert any(problem in one for one in problems)
