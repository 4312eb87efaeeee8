from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, SecretStr

from textdiffusion.configuration import (
    ConfigurationError,
    RootSettings,
    Tree,
    arguments_for,
    environment_for,
    load,
    main_settings,
    merged,
    without_secrets,
)
from textdiffusion.option_layers import merged_generation
from textdiffusion.router_settings import RouterSettings
from textdiffusion.settings import (
    SECTIONS,
    Flag,
    GenerationSettings,
    LoggingSettings,
    ModelSettings,
    Section,
    WorkerSettings,
)


class Root(RootSettings):
    """A process."""

    router: RouterSettings = RouterSettings()
    worker: WorkerSettings = WorkerSettings(model="models/demo")
    logging: LoggingSettings = LoggingSettings()


class LoggingRoot(RootSettings):
    """A process with one section."""

    logging: LoggingSettings = LoggingSettings()


class ModelsRoot(RootSettings):
    """A process with a list."""

    models: tuple[ModelSettings, ...] = Field((), min_length=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def problems(root: type[RootSettings], path: Path | None = None, flags: Tree | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        load(root, flags or {}, path)
    return error.value.problems


def test_a_flag_goes_before_the_environment_before_the_file_before_the_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('[router]\nport = 1\nhost = "::1"\nmax_body_bytes = 4096\n')
    monkeypatch.setenv("TDI_ROUTER__PORT", "2")
    monkeypatch.setenv("TDI_ROUTER__HOST", "127.0.0.2")
    router = main_settings(Root, ["--config", str(file), "--port=3"]).router
    assert (router.port, router.host, router.max_body_bytes) == (3, "127.0.0.2", 4096)
    assert router.max_waiting_requests == RouterSettings().max_waiting_requests


def test_a_variable_reaches_the_section_in_a_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDI_WORKER__GENERATION__STEPS", "5")
    monkeypatch.setenv("TDI_WORKER__MODEL", "elsewhere")
    worker = main_settings(Root, []).worker
    assert (worker.generation.steps, worker.model) == (5, "elsewhere")


def test_an_empty_variable_is_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDI_ROUTER__PORT", "")
    assert main_settings(Root, []).router.port == RouterSettings().port


@pytest.mark.parametrize("section", SECTIONS)
def test_a_variable_of_another_process_is_no_mistake(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TDI_{section.upper()}__LOG_LEVEL", "info")
    assert load(LoggingRoot, {}, None) == LoggingRoot()


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("TDI_ROUTR__PORT", "did you mean router?"),
        ("tdi_Worke__generation__steps", "did you mean worker?"),
        ("TDI_ZZZ__PORT", "there are launcher, router, models, worker, logging, tracing"),
    ],
)
def test_a_variable_whose_section_there_is_not_is_a_mistake(
    variable: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    assert problems(LoggingRoot) == [f"environment: {variable}: no such setting; {said}"]


@pytest.mark.parametrize("variable", ["TDI_URL", "TDI_ZZZ", "XTDI_ROUTR__PORT", "ROUTR__PORT"])
def test_a_variable_that_does_not_look_like_a_setting_is_let_be(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    assert load(LoggingRoot, {}, None) == LoggingRoot()


@pytest.mark.parametrize(("variable", "name"), [("TDI_ROUTER__WORKERS", "workers"), ("TDI_WORKER", "worker")])
def test_a_variable_that_should_be_json_is_said_to_be_none(
    variable: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "host:1")
    assert problems(Root) == [f"environment: {name}: has to be given as JSON, not 'host:1'"]


def test_a_typo_names_the_nearest_key(file: Path) -> None:
    file.write_text("[router]\nprot = 1\n")
    assert problems(Root, file) == ["config.toml: router.prot: no such setting; did you mean port?"]


def test_a_typo_in_the_name_of_a_section_names_the_nearest_one(file: Path) -> None:
    file.write_text("[ruoter]\nport = 1\n")
    assert problems(Root, file) == ["config.toml: ruoter: no such setting; did you mean router?"]


def test_a_key_that_is_like_no_other_gets_the_list_of_all(file: Path) -> None:
    file.write_text("[logging]\nzzz = 1\n")
    assert problems(Root, file) == ["config.toml: logging.zzz: no such setting; there are log_level, log_format"]


def test_every_mistake_is_reported_at_once_with_its_source(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[router]\nport = "http"\n[logging]\nlog_level = "loud"\n')
    monkeypatch.setenv("TDI_ROUTER__MAX_BODY_BYTES", "big")
    monkeypatch.setenv("TDI_ROUTR__PORT", "1")
    said = problems(Root, file, {"worker": {"model": "a", "dtype": "float8"}})
    starts = (
        "environment: TDI_ROUTR__PORT:",
        "config.toml: router.port:",
        "environment: router.max_body_bytes:",
        "--dtype:",
        "config.toml: logging.log_level:",
    )
    assert len(said) == 5
    assert all(line.startswith(start) for line, start in zip(said, starts, strict=True))


def test_what_was_expected_is_said_beside_what_was_found(file: Path) -> None:
    file.write_text("[router]\nport = 70000\n")
    assert problems(Root, file) == ["config.toml: router.port: input should be less than or equal to 65535, not 70000"]


def test_a_mistake_in_a_list_is_not_also_a_list_too_short(file: Path) -> None:
    file.write_text('[[models]]\npath = "a"\n[[models]]\nid = "b"\n')
    assert problems(ModelsRoot, file) == ["config.toml: models.1.path: is missing"]


def test_sections_of_other_processes_are_no_mistakes(file: Path) -> None:
    file.write_text('[launcher]\ngrace_seconds = 3\n[[models]]\npath = "a"\n')
    assert load(Root, {}, file) == Root()


@pytest.mark.parametrize("content", [b"[router\n", b"port = = 3\n", b"\xff"])
def test_a_file_that_is_not_toml_is_named(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    (problem,) = problems(Root, file)
    assert problem.startswith(f"{file}: is not TOML")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert problems(Root, tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]


def test_mistakes_end_the_process_with_1_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main_settings(Root, ["--port=http"])
    assert exit_.value.code == 1
    assert capsys.readouterr().err.startswith("error: --port: input should be a valid integer")


def test_the_default_file_is_read_only_if_it_is_there(file: Path) -> None:
    assert main_settings(Root, [], default_path=file).router.port == RouterSettings().port
    file.write_text("[router]\nport = 8123\n")
    assert main_settings(Root, [], default_path=file).router.port == 8123


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--prot=1"], ["--prot: no such flag; did you mean --port?"]),
        (["1", "2"], [f"{number}: only flags are understood; --help lists them" for number in (1, 2)]),
        (["--zzz"], ["--zzz: no such flag; --help lists all of them"]),
        (["--port"], ["argument --port: expected one argument"]),
    ],
)
def test_a_flag_that_there_is_not_is_a_mistake_like_others(
    argv: list[str], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main_settings(Root, argv)
    assert exit_.value.code == 1
    assert capsys.readouterr().err.splitlines() == [f"error: {line}" for line in said]


def test_the_flags_for_another_process_give_it_the_same_section() -> None:
    worker = WorkerSettings(
        model="my model", id="m", listen="unix:/run/w.sock", generation=GenerationSettings(steps=3, threshold=0.9)
    )
    assert main_settings(Root, arguments_for(worker)).worker == worker


def test_a_list_goes_through_one_flag() -> None:
    router = RouterSettings(workers=("unix:/run/a", "host:1"), allow_plaintext_workers=True)
    assert main_settings(Root, arguments_for(router)).router.workers == router.workers


def test_an_empty_list_goes_through_a_flag_and_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDI_ROUTER__ALLOWED_ORIGINS", '["*"]')
    assert main_settings(Root, []).router.allowed_origins == ("*",)
    assert main_settings(Root, arguments_for(RouterSettings())).router.allowed_origins == ()


def test_a_switch_goes_through_a_flag_too() -> None:
    router = RouterSettings(host="::", allow_anonymous=True, workers=("127.0.0.1:1",))
    assert main_settings(Root, arguments_for(router)).router == router


def test_merging_goes_into_tables_and_replaces_the_rest() -> None:
    lower = {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 1}
    assert merged(lower, {"a": {"y": 3}, "b": [4], "d": {}}) == {"a": {"x": 1, "y": 3}, "b": [4], "c": 1, "d": {}}
    assert lower == {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 1}


def generation(options: str) -> str:
    return f'[worker]\nmodel = "a"\n[worker.generation]\n{options}\n'


def test_steps_from_a_flag_end_a_threshold_from_the_file(file: Path) -> None:
    file.write_text(generation("threshold = 0.9\nmax_tokens = 7"))
    options = main_settings(Root, ["--config", str(file), "--steps=16"]).worker.generation
    assert options == GenerationSettings(steps=16, max_tokens=7)


def test_steps_from_the_environment_end_a_threshold_from_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(generation("threshold = 0.9"))
    monkeypatch.setenv("TDI_WORKER__GENERATION__STEPS", "16")
    assert load(Root, {}, file).worker.generation == GenerationSettings(steps=16)


def test_steps_from_a_flag_end_a_threshold_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDI_WORKER__GENERATION__THRESHOLD", "0.9")
    assert main_settings(Root, ["--model=a", "--steps=16"]).worker.generation == GenerationSettings(steps=16)


@pytest.mark.parametrize(
    ("lower", "upper", "result"),
    [
        ({"threshold": 0.9}, {"steps": 4}, {"steps": 4}),
        ({"steps": 8, "threshold": 0.9}, {"steps": 4}, {"steps": 4}),
        ({"steps": 8, "threshold": 0.9}, {}, {"steps": 8, "threshold": 0.9}),
        ({"threshold": 0.9}, {"steps": 4, "threshold": 0.5}, {"steps": 4, "threshold": 0.5}),
        ({"steps": 8}, {"threshold": 0.5}, {"steps": 8, "threshold": 0.5}),
        ({"threshold": 0.9}, {"steps": None}, {"steps": None, "threshold": 0.9}),
    ],
)
def test_steps_end_only_a_threshold_from_below(lower: Tree, upper: Tree, result: Tree) -> None:
    before = dict(lower)
    assert merged_generation(lower, upper) == result
    assert lower == before


class NamedSettings(Section):
    path: Annotated[int, Flag("where-to")] = Field(1, description="a number")


class NamedRoot(RootSettings):
    """A process with a flag that has another name."""

    router: NamedSettings = NamedSettings()


def test_a_flag_may_have_another_name_than_its_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_settings(NamedRoot, ["--where-to=2"]).router.path == 2
    assert arguments_for(NamedSettings(path=3)) == ["--where-to=3"]
    with pytest.raises(SystemExit):
        main_settings(NamedRoot, ["--where-to=there"])
    assert capsys.readouterr().err.startswith("error: --where-to: input should be a valid integer")


def test_a_switch_needs_no_value() -> None:
    assert main_settings(Root, ["--allow-anonymous", "--port=1"]).router.allow_anonymous
    assert not main_settings(Root, ["--allow-anonymous=false"]).router.allow_anonymous


class SecretSettings(Section):
    token: SecretStr = SecretStr("")
    tokens: dict[str, SecretStr] = Field({})
    tokens_path: str = "nowhere"


class SecretRoot(RootSettings):
    """A process with secrets."""

    router: SecretSettings = SecretSettings()


HUSH = "HUSH"
SECRET_SETTINGS = SecretSettings(token=SecretStr(HUSH), tokens={"a": SecretStr(HUSH)})


def test_a_secret_is_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert arguments_for(SECRET_SETTINGS) == ["--tokens-path=nowhere"]
    with pytest.raises(SystemExit):
        main_settings(SecretRoot, ["--help"])
    assert "--tokens-path" in (said := capsys.readouterr().out)
    assert "--token " not in said
    assert "--tokens " not in said


@pytest.mark.parametrize(
    "argv", [["--token", HUSH], [f"--token={HUSH}"], ["--tokens", HUSH, "--zzz"], ["--tokens-pth", HUSH]]
)
def test_a_secret_that_is_given_as_a_flag_all_the_same_is_not_shown_again(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main_settings(SecretRoot, argv)
    assert exit_.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {argv[0].partition('=')[0]}: no such flag; ")
    assert HUSH not in said


def test_secrets_reach_another_process_through_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = environment_for("router", SECRET_SETTINGS)
    assert set(environment) == {"TDI_ROUTER__TOKEN", "TDI_ROUTER__TOKENS"}
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert main_settings(SecretRoot, arguments_for(SECRET_SETTINGS)).router == SECRET_SETTINGS


def test_secrets_that_there_are_not_are_no_variables() -> None:
    assert environment_for("router", SecretSettings()) == {}


@pytest.mark.parametrize(
    "variable",
    ["TDI_ROUTER__TOKEN", "TDI_ROUTER__TOKENS", "tdi_router__tokens", "TDI_ROUTER__TOKENS__A", "TDI_ROUTER"],
)
def test_a_variable_that_may_hold_a_secret_is_not_passed_on(variable: str) -> None:
    assert without_secrets(SecretRoot, {variable: HUSH, "PATH": "/bin"}) == {"PATH": "/bin"}


@pytest.mark.parametrize("variable", ["TDI_ROUTER__TOKENS_PATH", "TDI_ROUTER__TOKE", "TDI_ROUTERS", "TDI", "TOKEN"])
def test_any_other_variable_is_passed_on(variable: str) -> None:
    assert without_secrets(SecretRoot, {variable: "1"}) == {variable: "1"}


def test_print_config_hides_secrets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDI_ROUTER__TOKEN", HUSH)
    monkeypatch.setenv("TDI_ROUTER__TOKENS", f'{{"a": "{HUSH}"}}')
    with pytest.raises(SystemExit):
        main_settings(SecretRoot, ["--print-config"])
    shown = capsys.readouterr().out
    assert HUSH not in shown
    assert shown.count("**") >= 2


@pytest.mark.parametrize(
    "content",
    [
        f"router = '{HUSH}'",
        f"[[router]]\ntoken = '{HUSH}'",
        f"router.token = ['{HUSH}']",
        f"router.token = {{a = '{HUSH}'}}",
        f"router.tokens = '{HUSH}'",
        f"router.tokens = ['{HUSH}']",
        f"router.tokens.a.b = '{HUSH}'",
        f"router.tokens.a = ['{HUSH}']",
        f"router.tokns.a = '{HUSH}'",
        f"router.tokn = '{HUSH}'",
        f"tokens.a = '{HUSH}'",
        f"router.tokens.a = '{HUSH}",
    ],
)
def test_a_mistake_does_not_show_a_secret(content: str, file: Path) -> None:
    file.write_text(content)
    with pytest.raises(ConfigurationError) as error:
        load(SecretRoot, {}, file)
    assert error.value.problems
    assert HUSH not in str(error.value)
    assert HUSH not in str(error.value.__cause__)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TDI_ROUTER", HUSH),
        ("TDI_ROUTER", f'["{HUSH}"]'),
        ("TDI_ROUTER__TOKENS", HUSH),
        ("TDI_ROUTER__TOKENS", f'["{HUSH}"]'),
        ("TDI_ROUTER__TOKENS", f'{{"a": ["{HUSH}"]}}'),
        ("TDI_ROUTER__TOKENS__A__B", HUSH),
        ("TDI_ROUTER__TOKN", HUSH),
        ("TDI_ROUTR__TOKEN", HUSH),
    ],
)
def test_nor_does_a_mistake_in_the_environment(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    (problem,) = problems(SecretRoot)
    assert HUSH not in problem
