"""Packaging of the depth toolbox; tool settings live in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_requirements(name: str) -> list[str]:
    """Return the requirement lines of ``requirements/<name>.txt`` without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


extras = {name: read_requirements(name) for name in ('optional', 'tests', 'docs', 'video')}
extras['all'] = sorted(set().union(*extras.values()))

setup(
    name='depth-toolbox',
    version=re.search(
        r"__version__ = '(.+?)'", (ROOT / 'depth' / '__init__.py').read_text(encoding='utf-8')
    ).group(1),
    description='Config-driven toolbox for monocular depth estimation on PyTorch and mmengine',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['depth', 'depth.*']),
    python_requires='>=3.10',
    install_requires=read_requirements('runtime'),
    extras_require=extras,
    entry_points={'console_scripts': ['depth = depth.cli.main:main']},
    classifiers=[
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Intended Audience :: Science/Research',
    ],
)
