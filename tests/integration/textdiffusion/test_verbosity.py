import subprocess
import sys

import pytest

SHOW_IMPORTS = "import sys, {}; print(*sys.modules)"


@pytest.mark.parametrize("process", ["launcher.main", "router.__main__", "worker.__main__"])
def test_grpc_is_silenced_before_it_is_imported(process: str) -> None:
    modules = subprocess.check_output([sys.executable, "-c", SHOW_IMPORTS.format(process)], text=True).split()
    assert modules.index("textdiffusion") < modules.index("grpc")
