"""Where things lie in this repository."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "models" / "demo"
OUT = ROOT / "docs" / "benchmarks"
