"""Reads files of chat templates, and says what is wrong with one before any model is loaded for it."""

from pathlib import Path


def read_chat_template(path: Path) -> str:
    """Return the template in a file. Raises `ValueError`, whose words begin with the path."""
    try:
        source = path.read_text("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not a chat template: it is not UTF-8") from error
    if not source.strip():
        raise ValueError(f"{path}: is empty; a chat template is a text in Jinja's language")
    _check_syntax(source, path)
    return source


def _check_syntax(source: str, path: Path) -> None:
    from jinja2 import Environment, TemplateSyntaxError, nodes  # noqa: PLC0415 - most processes need none of it
    from jinja2.ext import Extension, LoopControlExtension  # noqa: PLC0415
    from jinja2.parser import Parser  # noqa: PLC0415

    class Generation(Extension):
        """The tag by which templates mark replies for training; it renders what is in it."""

        tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = Environment(extensions=[LoopControlExtension, Generation])  # noqa: S701 - nothing is rendered
    try:
        environment.parse(source)
    except TemplateSyntaxError as error:
        raise ValueError(f"{path}: is not a chat template: line {error.lineno}: {error.message}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: is not a chat template: it is nested too deeply") from error
