"""Which versions of packages are at work."""

import importlib.metadata


def installed(package: str) -> str | None:
    """The version of a package; None if it runs from a checkout that is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
