"""What has to hold of the repository as a whole."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from testing.folders import ROOT

IMPORT_SECONDS = 120
STUBS = ROOT / "textdiffusion" / "v1"


def test_the_committed_stubs_are_what_the_contract_gives(tmp_path: Path) -> None:
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-Iproto", *outputs, "textdiffusion/v1/textdiffusion.proto"],
        cwd=ROOT,
        check=True,
        env={"PATH": str(Path(sys.executable).parent)},
    )
    made = {file.name: file.read_text() for file in (tmp_path / "textdiffusion" / "v1").iterdir()}
    committed = {file.name: file.read_text() for file in STUBS.glob("textdiffusion_pb2*")}
    assert made == committed


@pytest.mark.parametrize(
    "modules",
    [
        "launcher.__main__, launcher.main",
        "router.__main__, router.server",
        "worker.__main__, worker.server",
        "client.client, client.__main__, client.main",
    ],
)
def test_an_import_starts_nothing_needs_torch_for_the_worker_alone_and_silences_grpc_first(modules: str) -> None:
    without_torch = "" if "worker" in modules else "sys.modules['torch'] = None;"
    program = f"import sys; {without_torch} import {modules}; print('imported', *sys.modules)"
    said = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, timeout=IMPORT_SECONDS, text=True)
    first, *imported = said.split()
    assert first == "imported"
    assert "grpc" not in imported or imported.index("textdiffusion") < imported.index("grpc")
    assert ("grpc" in imported) is ("client" not in modules)


def test_no_file_is_larger_than_a_reader_can_take_in() -> None:
    sources = [
        file
        for room in ("textdiffusion", "launcher", "router", "worker", "client")
        for file in (ROOT / room).rglob("*.py")
    ]
    long = [str(file) for file in sources if file.parent != STUBS and len(file.read_text().splitlines()) > 400]
    assert not long


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), f"{page.name}: {target}"


def anchors(page: str) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
