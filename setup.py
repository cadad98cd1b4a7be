"""The packages: those of the tree, and `configs`, which is installed inside of jaxsim.

Everything else is in pyproject.toml, which cannot say that a folder is installed elsewhere.
"""

from setuptools import find_namespace_packages, find_packages, setup

CONFIGS = "jaxsim.installed.configs"  # where `jaxsim.command_line.load` looks

setup(
    packages=[
        *find_packages(include=["jaxsim*", "input_pipeline*"]),
        CONFIGS,
        *(f"{CONFIGS}.{name}" for name in find_namespace_packages("configs")),
    ],
    package_dir={CONFIGS: "configs"},
)
