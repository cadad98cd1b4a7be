"""How long runs trained, and the ratios of their times (B §4.3.1, Table 1)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

REFERENCE = "classification_unnormalised"  # B's 1.00, by the name of its config


def seconds_per_step(config: Mapping[str, Any], log: list[Mapping[str, Any]]) -> float | None:
    """Median over the logged steps, without validations and interruptions; None without any."""
    speeds = [row["examples_per_second"] for row in log if "loss" in row]
    return config["batch_size"] / float(np.median(speeds)) if speeds else None


def training_time(config: Mapping[str, Any], log: list[Mapping[str, Any]]) -> float | None:
    """Seconds: the epochs up to the last validation times the time of one; None if unknown."""
    validated = [row["step"] for row in log if "validation_own" in row]
    per_step = seconds_per_step(config, log)
    if not validated or per_step is None:
        return None
    return max(validated) * per_step  # validations end epochs, whose length cancels out


def reference_of(runs: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The run whose time is 1: `REFERENCE`, else the first classification, if there is one."""
    if REFERENCE in runs:
        return REFERENCE
    methods = {name: run["config"]["loss"]["method"] for name, run in runs.items()}
    return next((name for name, method in methods.items() if method == "classification"), None)


def time_ratios(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Training times of systems with config and log, relative to that of `reference_of` them.

    There are no ratios without it or with a single run; a run whose time is not known has none.
    """
    reference = reference_of(runs)
    times = {name: training_time(run["config"], run["log"]) for name, run in runs.items()}
    one = times.get(reference) if reference else None
    if len(runs) < 2 or one is None:
        return {}
    return {name: time / one for name, time in times.items() if time is not None}
