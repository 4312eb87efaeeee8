"""The script, for `uv run client/client.py`; `python -m client` does the same."""

import sys
from pathlib import Path
from runpy import run_module

if __name__ == "__main__":
    # The folder of a script comes first on the path, where `client` would be this file and not the package.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    run_module("client", run_name="__main__")
