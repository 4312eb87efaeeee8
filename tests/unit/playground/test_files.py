import re
from pathlib import PurePosixPath

from router.playground.files import page_files

REFERENCES = (r'(?:src|href)="playground/(.+?)"', r'^import .* from "(\./.+?)";$')
ENTRY = "index.html"


def test_the_page_refers_to_every_file_and_to_no_other() -> None:
    reached = {ENTRY}
    waiting = [ENTRY]
    while waiting:
        found = _references(waiting.pop()) - reached
        reached |= found
        waiting += found
    assert reached == page_files().keys()


def _references(path: str) -> set[str]:
    text = page_files()[path].content.decode()
    folder = PurePosixPath(path).parent
    return {str(folder / name) for pattern in REFERENCES for name in re.findall(pattern, text, re.MULTILINE)}
