"""Where things lie in a checkout."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
DEMO = ROOT / "models" / "demo"
GOLDENS = ROOT / "tests" / "golden"
GOLDEN = GOLDENS / "llada-tiny"
