"""Where things lie in a checkout."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FIGURES = DOCS / "benchmarks"
DEMO = ROOT / "models" / "demo"
GOLDEN = ROOT / "tests" / "golden" / "llada-tiny"
ILLADA_GOLDEN = ROOT / "tests" / "golden" / "illada-tiny"
