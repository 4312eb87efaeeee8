import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from testing.certificates import Authority
from textdiffusion.keys import parse_keys
from textdiffusion.router_settings import RouterSettings
from textdiffusion.settings import WorkerSettings


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


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


@pytest.mark.parametrize("listen", ["unix:/run/w.sock", "127.9.9.9:1", "[::1]:0", "localhost:1"])
def test_a_worker_listens_in_plain_text_where_only_this_machine_hears_it(listen: str) -> None:
    assert WorkerSettings(model="m", listen=listen)


@pytest.mark.parametrize(
    "listen",
    ["0.0.0.0:1", "[::]:0", "10.0.0.7:1", "gpu-1:1", "localhost.example.org:1", "*:1", "unixhost:1"],
)
def test_a_worker_that_others_reach_needs_a_certificate_unless_that_is_said(listen: str, authority: Authority) -> None:
    with pytest.raises(ValidationError, match="in plain text: set tls_cert_file and tls_key_file, or allow_plaintext"):
        WorkerSettings(model="m", listen=listen)
    assert WorkerSettings(model="m", listen=listen, allow_plaintext=True)
    identity = authority.issue("worker.example.org")
    assert WorkerSettings(model="m", listen=listen, tls_cert_file=identity.cert_file, tls_key_file=identity.key_file)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["tls_cert_file"], "go together: set both or neither"),
        (["tls_key_file"], "go together: set both or neither"),
        (["tls_client_ca_file"], "needs tls_cert_file"),
    ],
)
def test_files_for_tls_that_do_not_do_alone_are_refused(given: list[str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        WorkerSettings(model="m", **dict.fromkeys(given, Path("x.pem")))


@pytest.mark.parametrize("address", ["unix:/run/w.sock", "127.0.0.1:1", "[::1]:1", "localhost:1"])
def test_workers_on_this_machine_are_spoken_to_in_clear(address: str) -> None:
    assert RouterSettings(workers=(address,))


@pytest.mark.parametrize("address", ["10.0.0.1:1", "[fd00::1]:1", "workers.internal:1"])
def test_workers_elsewhere_are_not_unless_that_is_said(address: str, authority: Authority) -> None:
    said = rf"{re.escape(address)} is another machine.* set workers_ca_file to speak TLS, or allow_plaintext_workers"
    with pytest.raises(ValidationError, match=said):
        RouterSettings(workers=("unix:/run/w.sock", address))
    assert RouterSettings(workers=(address,), allow_plaintext_workers=True)
    assert RouterSettings(workers=(address,), workers_ca_file=authority.ca_file)


@pytest.mark.parametrize("address", ["::1:50051", ":::50051"])
def test_an_address_that_cannot_be_understood_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="an IPv6 address stands in brackets"):
        RouterSettings(workers=(address,))
    with pytest.raises(ValidationError, match="an IPv6 address stands in brackets"):
        WorkerSettings(model="m", listen=address, allow_plaintext=True)


def test_certificate_and_key_go_together_and_with_an_authority(authority: Authority) -> None:
    identity = authority.issue("router.example.org")
    files: dict[str, Any] = {"workers_cert_file": identity.cert_file, "workers_key_file": identity.key_file}
    for name, file in files.items():
        with pytest.raises(ValidationError, match="workers_cert_file and workers_key_file go together"):
            RouterSettings(workers_ca_file=authority.ca_file, **{name: file})
    with pytest.raises(ValidationError, match="workers_cert_file is of no use without TLS, which workers_ca_file"):
        RouterSettings(**files)
    with pytest.raises(ValidationError, match="workers_server_name is of no use without TLS"):
        RouterSettings(workers_server_name="workers.internal")
    assert RouterSettings(workers_ca_file=authority.ca_file, **files).workers_identity == identity
    assert RouterSettings(workers_ca_file=authority.ca_file).workers_identity is None


def test_files_that_do_not_fit_are_refused_before_anything_starts(authority: Authority, tmp_path: Path) -> None:
    one, other = authority.issue("one.example.org"), authority.issue("other.example.org")
    with pytest.raises(ValidationError, match="cannot be read: No such file"):
        RouterSettings(workers_ca_file=tmp_path / "missing.pem")
    with pytest.raises(ValidationError, match="is not the key of"):
        RouterSettings(
            workers_ca_file=authority.ca_file, workers_cert_file=one.cert_file, workers_key_file=other.key_file
        )


@pytest.mark.parametrize("name", ["tls_cert_file", "tls_key_file", "tls_client_ca_file"])
def test_a_worker_looks_through_each_of_its_files_too(authority: Authority, tmp_path: Path, name: str) -> None:
    identity = authority.issue("worker.example.org")
    files = {
        "tls_cert_file": identity.cert_file,
        "tls_key_file": identity.key_file,
        "tls_client_ca_file": authority.ca_file,
    }
    assert WorkerSettings(model="m", **files).tls_identity == identity
    missing = tmp_path / "missing.pem"
    with pytest.raises(ValidationError, match=f"{missing}: cannot be read: No such file"):
        WorkerSettings(model="m", **{**files, name: missing})


def test_chat_templates_are_read_from_their_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{{ messages }}")
    assert RouterSettings(chat_templates={"m": file}).templates == {"m": "{{ messages }}"}
    given = RouterSettings.model_validate({"chat_templates": f'{{"m": "{file}"}}'})
    assert given.templates == {"m": "{{ messages }}"}
    for wrong in ("m=mine.jinja", '["m"]'):
        with pytest.raises(ValidationError):
            RouterSettings.model_validate({"chat_templates": wrong})
    file.write_text("{{")
    with pytest.raises(ValidationError, match=str(file)):
        RouterSettings(chat_templates={"m": file})
