"""The version: of the installation, and of a checkout that is not installed."""

import importlib.metadata

import pytest

import jaxsim


def test_the_version_is_that_of_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"{name} 7")
    assert jaxsim.__version__ == "jaxsim 7"


def test_a_checkout_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert jaxsim.__version__ == "unknown"


def test_other_names_are_still_missing() -> None:
    with pytest.raises(AttributeError, match="module 'jaxsim' has no attribute 'version'"):
        _ = jaxsim.version
