import pytest

from client.arguments import DEFAULT_URL, parse

Output = pytest.CaptureFixture[str]


def refused(*arguments: str, capsys: Output) -> str:
    """The last line that is said about it."""
    with pytest.raises(SystemExit) as exited:
        parse(arguments)
    assert exited.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://host:3001", "http://host:3001/v1"),
        (" http://host:3001/ ", "http://host:3001/v1"),
        ("http://host:3001/v1/", "http://host:3001/v1"),
        ("https://host/some/api", "https://host/some/api"),
        ("http://[::1]:3001", "http://[::1]:3001/v1"),
    ],
)
def test_a_url_may_leave_out_where_the_api_begins(given: str, meant: str) -> None:
    assert parse([f"--url={given}"]).url == meant


@pytest.mark.parametrize(
    "given",
    ["localhost", "localhost:3001", "ftp://host", "http://", "http://host:x", "http://host:99999", "http://[::1", ""],
)
def test_a_url_that_is_none_is_said_to_be_none(given: str, capsys: Output) -> None:
    assert f"--url: this is no URL of a server; one looks like {DEFAULT_URL}" in refused(
        f"--url={given}", capsys=capsys
    )


@pytest.mark.parametrize("given", ["http://me:secret@host/v1", "http://host/v1?key=secret", "http://host/v1#secret"])
def test_a_url_has_nothing_in_it_that_would_be_shown_or_lost(given: str, capsys: Output) -> None:
    said = refused(f"--url={given}", capsys=capsys)
    assert "nothing but host, port and path" in said
    assert "secret" not in said


def test_the_url_and_the_key_of_the_environment_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDI_URL", "http://elsewhere")
    monkeypatch.setenv("TDI_API_KEY", "sk-1")
    assert (parse([]).url, parse([]).api_key) == ("http://elsewhere/v1", "sk-1")
    assert (parse(["--url=http://here"]).url, parse(["--api-key=sk-2"]).api_key) == ("http://here/v1", "sk-2")
    monkeypatch.setenv("TDI_URL", "")
    assert parse([]).url == DEFAULT_URL


@pytest.mark.parametrize("key", ["sk\n1", "sk-é"])
def test_a_key_that_no_header_could_carry_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: Output, key: str
) -> None:
    monkeypatch.setenv("TDI_API_KEY", key)
    said = refused("Hello", capsys=capsys)
    assert "TDI_API_KEY, has characters that a header cannot carry" in said
    assert "sk" not in said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--sample", "Hello"], "--sample says the messages itself"),
        (["--sample", "--system=x"], "--system does not go with --sample"),
        (["--sample", "--json"], "--json does not go with --sample"),
        (["--sample", "--suffix="], "--suffix does not go with --sample"),
        (["--suffix=x", "--system=y", "Hello"], "with --suffix there is none"),
        (["--json", "--watch", "Hello"], "not allowed with argument"),
        (["--mod=x", "Hello"], "unrecognized arguments"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(arguments: list[str], complaint: str, capsys: Output) -> None:
    assert complaint in refused(*arguments, capsys=capsys)


def test_a_flag_with_an_empty_text_is_given() -> None:
    assert list(parse(["--suffix=", "--json"]).given("suffix", "system", "json")) == ["suffix", "json"]


def test_the_help_tells_the_exit_codes(capsys: Output) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    assert "130  interrupted by Ctrl-C" in capsys.readouterr().out
