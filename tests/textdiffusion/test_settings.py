from pathlib import Path

import pytest
from pydantic import ValidationError

from textdiffusion.keys import parse_keys
from textdiffusion.settings import RouterSettings, WorkerSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"])
def test_without_keys_this_machine_is_served(host: str) -> None:
    assert not RouterSettings(host=host).digests


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "192.168.0.1", "example.org", "localhost.example.org", "127.0.0.1.org"],  # noqa: S104
)
def test_other_machines_are_not_served_without_keys_unless_that_is_said(host: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValidationError, match=f"other machines reach {host}, and no API key is configured: set TDI_ROU"
    ):
        RouterSettings(host=host)
    file = tmp_path / "keys.toml"
    file.write_text('alice = "sk-1"')
    assert RouterSettings(host=host, allow_anonymous=True)
    assert RouterSettings(host=host, api_keys=parse_keys({"alice": "sk-1"}))
    assert RouterSettings(host=host, api_keys_file=file)


def test_keys_come_from_the_settings_and_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys.toml").write_text('bob = "sk-2"')
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = RouterSettings(api_keys=parse_keys({"alice": "sk-1"}), api_keys_file=Path("~/keys.toml"))
    assert settings.digests == parse_keys({"alice": "sk-1", "bob": "sk-2"})
    assert settings.model_copy(update={"port": 1}).digests == settings.digests


def test_keys_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text('bob = "sk-1"')
    with pytest.raises(ValidationError, match="alice and bob have the same key"):
        RouterSettings(api_keys=parse_keys({"alice": "sk-1"}), api_keys_file=file)


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
def test_a_limit_of_nothing_is_none(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        RouterSettings(**{name: 0})


def test_an_error_does_not_show_the_key() -> None:
    with pytest.raises(ValidationError) as error:
        RouterSettings.model_validate({"api_keys": {"alice": "SECRET KEY"}, "port": "SECRET"})
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize("listen", ["unix:/run/w.sock", "127.9.9.9:1", "[::1]:1", "localhost:1", "::1:1"])
def test_a_worker_listens_in_plain_text_where_only_this_machine_hears_it(listen: str) -> None:
    assert WorkerSettings(model="m", listen=listen)


@pytest.mark.parametrize(
    "listen",
    ["0.0.0.0:1", "[::]:1", ":::1", "10.0.0.7:1", "gpu-1:1", "localhost.example.org:1", "*:1", "unixhost:1"],
)
def test_a_worker_that_others_reach_needs_a_certificate_unless_that_is_said(listen: str) -> None:
    with pytest.raises(ValidationError, match="in plain text: set tls_cert_file and tls_key_file, or allow_plaintext"):
        WorkerSettings(model="m", listen=listen)
    assert WorkerSettings(model="m", listen=listen, allow_plaintext=True)
    assert WorkerSettings(model="m", listen=listen, tls_cert_file=Path("cert.pem"), tls_key_file=Path("key.pem"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["tls_cert_file"], "one of them is missing"),
        (["tls_key_file"], "one of them is missing"),
        (["tls_client_ca_file"], "needs tls_cert_file"),
    ],
)
def test_files_for_tls_that_do_not_do_alone_are_refused(given: list[str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        WorkerSettings(model="m", **dict.fromkeys(given, Path("x.pem")))
