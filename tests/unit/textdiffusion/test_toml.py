import codecs
from pathlib import Path

import pytest

from textdiffusion.keys import parse_keys, read_keys
from textdiffusion.toml import read_toml

TEXT = '# ä\n[router]\nport = 1\ndescription = """one\ntwo"""\n'
TREE = {"router": {"port": 1, "description": "one\ntwo"}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_file_may_have_the_mark_and_the_line_ends_of_any_editor(file: Path, mark: bytes, line_end: str) -> None:
    file.write_bytes(mark + TEXT.replace("\n", line_end).encode())
    assert read_toml(file) == TREE


def test_a_file_that_has_a_mark_and_nothing_else_is_empty(file: Path) -> None:
    file.write_bytes(codecs.BOM_UTF8)
    assert read_toml(file) == {}


def test_a_file_of_keys_may_have_a_mark(file: Path) -> None:
    file.write_bytes(codecs.BOM_UTF8 + b'alice = "sk-1"\r\n')
    assert read_keys(file) == parse_keys({"alice": "sk-1"})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_utf16_is_told_to_be_saved_as_utf8(file: Path, encoding: str) -> None:
    file.write_text(TEXT, encoding)
    with pytest.raises(ValueError, match=r"UTF-16.*save it as UTF-8") as error:
        read_toml(file)
    assert str(error.value).startswith(f"{file}: ")


def test_a_file_in_another_encoding_is_refused_with_the_one_that_it_needs(file: Path) -> None:
    file.write_text(TEXT, "latin-1")
    with pytest.raises(ValueError, match=r"is not TOML, which is encoded in UTF-8: .* position 2"):
        read_toml(file)


def test_a_mark_elsewhere_is_a_mistake(file: Path) -> None:
    file.write_text("[router]\n\ufeffport = 1\n", "utf-8")
    with pytest.raises(ValueError, match=r"is not TOML: .*line 2"):
        read_toml(file)
