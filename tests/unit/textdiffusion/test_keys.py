import hashlib
from pathlib import Path

import pytest

from textdiffusion.keys import digest_of, parse_keys, read_keys, union

DIGEST = "sha256:" + hashlib.sha256(b"sk-1").hexdigest()


def in_clear(keys: object) -> dict[str, str]:
    return {name: digest.get_secret_value() for name, digest in parse_keys(keys).items()}


def test_what_is_kept_of_a_key_is_its_digest() -> None:
    assert in_clear({"alice": "sk-1"}) == {"alice": DIGEST}
    assert digest_of(b"sk-1") == DIGEST


def test_a_digest_may_be_given_instead_in_either_case() -> None:
    assert in_clear({"alice": DIGEST}) == in_clear({"alice": DIGEST.upper()}) == {"alice": DIGEST}


def test_what_was_parsed_may_be_parsed_again() -> None:
    digests = parse_keys({"alice": "sk-1"})
    assert parse_keys(digests) == digests


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "is empty"),
        (digest_of(b""), "is empty"),
        ("SECRET KEY", "header"),
        ("SECRET\n", "header"),
        ("SECRET\x00", "header"),
        ("SECRÉT", "header"),
        ("\ud800SECRET", "header"),
        ("**********", "asterisks"),
        ("sha256:SECRET", "64 hexadecimal digits"),
        (DIGEST[:-1], "64 hexadecimal digits"),
        (5, "string"),
        (None, "string"),
        (["SECRET"], "string"),
        ({"SECRET": "SECRET"}, "string"),
    ],
)
def test_what_is_no_key_is_refused_by_its_name_and_not_shown(key: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as error:
        parse_keys({"bob": "sk-2", "alice": key})
    assert str(error.value).startswith("the key of alice ")
    assert "SECR" not in str(error.value)


@pytest.mark.parametrize("name", ["", "SECRET=", "SECRET key", "SECRET\n", "S" * 65, "SECRET/x", 5])
def test_what_is_no_name_is_not_shown_for_it_may_be_a_key(name: object) -> None:
    with pytest.raises(ValueError, match="a name has") as error:
        parse_keys({name: "alice"})
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize("given", ["SECRET", ["SECRET"], 5, None])
def test_what_is_no_table_is_refused_and_not_shown(given: object) -> None:
    with pytest.raises(ValueError, match="a table") as error:
        parse_keys(given)
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize("twin", ["sk-1", DIGEST])
def test_one_key_under_two_names_is_refused(twin: str) -> None:
    with pytest.raises(ValueError, match=r"^alice and bob have the same key$"):
        parse_keys({"alice": "sk-1", "bob": twin})


def test_every_mistake_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"the key of alice .*; the key of bob "):
        parse_keys({"alice": "", "bob": 5})


def test_a_file_is_a_table_of_names_and_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(f'alice = "sk-1"\n"bob@example.org" = "{digest_of(b"sk-2")}"\n')
    assert read_keys(file) == parse_keys({"alice": "sk-1", "bob@example.org": "sk-2"})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "has no key in it"),
        ("alice = ''", "the key of alice is empty"),
        ("alice = SECRET", "is not TOML"),
        ("[keys]\nalice = 'SECRET'", "the key of keys has to be a string"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(content: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(content)
    with pytest.raises(ValueError, match=problem) as error:
        read_keys(file)
    assert str(error.value).startswith(f"{file}: ")
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [({"alice": "sk-2"}, "alice has a key twice"), ({"bob": "sk-1"}, "alice and bob have the same")],
)
def test_keys_from_two_places_have_to_go_together(keys: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        union(parse_keys({"alice": "sk-1"}), parse_keys(keys))
