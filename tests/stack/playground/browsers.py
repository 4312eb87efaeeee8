"""The browser that the distribution has."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")
NONE = "there is no Chromium on this machine; Debian's package is called chromium"


def chromium() -> str | None:
    """Its program, if it is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)
