"""Packaging of braincog_tmkt: requirements are in requirements.txt, the version is the package's `__version__`."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = re.search('__version__ = "(.*)"', (HERE / "braincog_tmkt/__init__.py").read_text(encoding="utf-8"))[1]
REQUIREMENTS = [
    line for line in (HERE / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")
]

DOCS = [
    "mkdocs>=1.6,<2",
    "mkdocs-material>=9.6",
    "mkdocstrings[python]>=0.27",
    "latex2mathml>=3.77",
    "nbclient>=0.10",  # runs the tutorials in a kernel
    "ipykernel>=6.29",
]
FIGURES = ["grad-cam>=1.5"]
FORMATS = ["hdf5plugin>=4", "rosbags>=0.11"]
RAY = ["ray>=2.9"]
SPIKINGJELLY = ["spikingjelly>=2"]

SHIPPED = ["experiments/*.sh", "experiments/*.sbatch", "experiments/*/*.yaml", "checkpoints/[!.]*"]
"""What lies beside the package in a checkout and inside it in a wheel; `braincog_tmkt.files.shipped` finds it."""


class BuildWithShipped(build_py):
    """Copies what is shipped into the package that is built; an editable install reads the checkout's own."""

    def run(self) -> None:
        if self.editable_mode:
            super().run()
            return
        package = Path(self.build_lib, "braincog_tmkt")
        if package.resolve() != HERE.resolve() / "braincog_tmkt":
            # An earlier build's: the registries would find modules in it that are gone.
            shutil.rmtree(package, ignore_errors=True)
        super().run()
        for source in (file for pattern in SHIPPED for file in HERE.glob(pattern)):
            target = package / source.relative_to(HERE)
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))


setup(
    name="braincog_tmkt",
    version=VERSION,
    description="TMKT and HSD: spiking networks for event cameras, taught by static images and by converted ANNs",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    classifiers=[f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)],
    packages=find_packages(include=["braincog_tmkt", "braincog_tmkt.*"]),
    package_data={"braincog_tmkt.results": ["templates/*"]},
    cmdclass={"build_py": BuildWithShipped},
    install_requires=REQUIREMENTS,
    extras_require={
        "dev": [
            "setuptools>=70.1",
            "pytest>=8",
            "pytest-xdist>=3.7",
            "hypothesis>=6.100",
            "aedat>=2.2",
            "flatbuffers>=23",
            "ruff>=0.6",
            "mypy>=1.10",
            "types-PyYAML",
            "types-tqdm",
            "playwright>=1.40",
            "evt3>=0.4",
            "pre-commit>=3.5",
            *FIGURES,
            *FORMATS,
            *RAY,
        ],
        "bench": SPIKINGJELLY,
        "docs": DOCS,
        "figures": FIGURES,
        "formats": FORMATS,
        "interop": [*SPIKINGJELLY, "snntorch>=0.9"],
        "ray": RAY,
    },
    entry_points={"console_scripts": ["tmkt = braincog_tmkt.cli:main"]},
)
