"""Packaging of braincog_tmkt; the requirements live in requirements.txt, the tools' settings in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
REQUIREMENTS = [
    line for line in (HERE / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")
]

RAY = ["ray>=2.9"]
SPIKINGJELLY = ["spikingjelly>=2"]
FORMATS = ["hdf5plugin>=4", "rosbags>=0.11"]
DOCS = [
    "mkdocs>=1.6,<2",
    "mkdocs-material>=9.6",
    "mkdocstrings[python]>=0.27",
    "latex2mathml>=3.77",
]

setup(
    name="braincog_tmkt",
    version="0.1.0",
    description="TMKT and HSD: spiking networks for event cameras, taught by static images and by converted ANNs",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    classifiers=[f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)],
    packages=find_packages(include=["braincog_tmkt", "braincog_tmkt.*"]),
    package_data={"braincog_tmkt.results": ["templates/*"]},
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
            *FORMATS,
            *RAY,
        ],
        "bench": SPIKINGJELLY,
        "docs": DOCS,
        "formats": FORMATS,
        "interop": [*SPIKINGJELLY, "snntorch>=0.9"],
        "ray": RAY,
    },
    entry_points={"console_scripts": ["tmkt = braincog_tmkt.cli:main"]},
)
