from pathlib import Path

import pytest

from textdiffusion.chat_templates import read_chat_template


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.jinja"


def test_a_template_is_read_without_a_byte_order_mark(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf{{ messages }}\r\n")
    assert read_chat_template(file) == "{{ messages }}\n"


def test_tags_that_only_chat_templates_have_are_known(file: Path) -> None:
    file.write_text("{% for m in messages %}{% generation %}{{ m }}{% endgeneration %}{% break %}{% endfor %}")
    assert read_chat_template(file)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (b" \n", "is empty"),
        (b"\xff\xfe{", "it is not UTF-8"),
        (b"one\n{% for m in messages %}", "line 2: Unexpected end of template"),
        (b"{{ messages | shout }}{{", "line 1: "),
        (b"{{ " + b"(" * 10_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_template_is_named_with_what_is_wrong(
    file: Path, content: bytes | None, problem: str
) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=problem) as caught:
        read_chat_template(file)
    assert str(caught.value).startswith(f"{file}: ")
