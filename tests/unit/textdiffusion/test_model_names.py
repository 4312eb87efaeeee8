import pytest

from textdiffusion.model_names import MAX_ID_LENGTH, check_model_id, default_model_id, is_hub_id


@pytest.mark.parametrize(
    "name",
    [
        "llada:8b",
        "m@v1",
        "x:free",
        "ft:base:org::id",
        "a+b=c,d",
        "GSAI-ML/LLaDA-8B",
        "100%",
        "what?#!",
        "~{}[]()<>|\\\"'`$&;*^",
        "模型",
        "é",
        "-",
        "x" * MAX_ID_LENGTH,
    ],
)
def test_a_model_may_be_called_anything_that_can_be_seen(name: str) -> None:
    assert check_model_id(name) == name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "it is empty"),
        ("My model", "white space"),
        (" x", "white space"),
        ("x\n", "white space"),
        ("a\u00a0b", "white space"),
        ("a\u3000b", "white space"),
        ("a\x00b", "cannot be printed"),
        ("a\x1b[31mb", "cannot be printed"),
        ("a\u200bb", "cannot be printed"),
        ("a\u202eb", "cannot be printed"),
        ("a\ud800b", "cannot be printed"),
        ("x" * (MAX_ID_LENGTH + 1), f"more than {MAX_ID_LENGTH} characters"),
    ],
)
def test_what_cannot_be_seen_or_told_apart_is_no_id(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as error:
        check_model_id(name)
    assert str(error.value).startswith(repr(name[:MAX_ID_LENGTH]))


@pytest.mark.parametrize(("path", "is_hub"), [("GSAI-ML/LLaDA-8B-Base", True), ("tiny", False), ("a b/c", False)])
def test_a_hub_id_is_two_names_that_the_hub_takes(path: str, is_hub: bool) -> None:
    assert is_hub_id(path) is is_hub


@pytest.mark.parametrize(
    ("path", "name"), [("org/m", "org/m"), ("/a/My model/", "My model"), ("/a/b/..", "a"), ("/", ""), ("/a:8b", "a:8b")]
)
def test_a_model_is_called_as_on_the_hub_or_as_its_folder(path: str, name: str) -> None:
    assert default_model_id(path) == name
