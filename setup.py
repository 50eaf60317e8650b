"""Packaging of the depth toolbox; tool settings live in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What a wheel carries below ``depth/.mim``, the folder that OpenMMLab packages use.
SHIPPED = ('configs', 'projects', 'docs/model_zoo.md')
SHIPPED_SUFFIXES = ('.py', '.md')


class BuildWithConfigs(build_py):
    """Build the package with the configs and projects inside it, so that no other top-level name is installed."""

    def run(self) -> None:
        """Copy the package, then the shipped files."""
        super().run()
        target = Path(self.build_lib, 'depth', '.mim')
        # An older build may have left files that exist no more.
        shutil.rmtree(target, ignore_errors=True)
        # An editable install reads the files where they are.
        if not self.editable_mode:
            for source in shipped_files():
                path = target / source
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / source, path)


def shipped_files() -> list[Path]:
    """Return the shipped files relative to the root, without pictures and caches."""
    files = []
    for name in SHIPPED:
        path = ROOT / name
        candidates = sorted(path.rglob('*')) if path.is_dir() else [path]
        for file in candidates:
            if file.suffix in SHIPPED_SUFFIXES and '__pycache__' not in file.parts:
                files.append(file.relative_to(ROOT))
    return files


def read_requirements(name: str) -> list[str]:
    """Return the requirement lines of ``requirements/<name>.txt`` without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def read_version() -> str:
    """Return the version that the package states."""
    text = (ROOT / 'depth' / '__init__.py').read_text(encoding='utf-8')
    return re.search(r"__version__ = '(.+?)'", text)[1]


names = sorted(path.stem for path in (ROOT / 'requirements').glob('*.txt'))
extras = {name: read_requirements(name) for name in names if name != 'runtime'}
extras['all'] = sorted(set().union(*extras.values()))

setup(
    name='depth-toolbox',
    version=read_version(),
    description='Config-driven toolbox for monocular depth estimation on PyTorch and mmengine',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='The depth toolbox contributors',
    keywords='monocular depth estimation, metric depth, computer vision, PyTorch, mmengine, timm',
    license='Apache-2.0',
    license_files=['LICENSE'],
    packages=find_packages(include=['depth', 'depth.*']),
    package_data={'depth': ['py.typed', 'apis/*.css', 'apis/*.js']},
    cmdclass={'build_py': BuildWithConfigs},
    python_requires='>=3.10',
    install_requires=read_requirements('runtime'),
    extras_require=extras,
    entry_points={'console_scripts': ['depth = depth.cli.main:main']},
    classifiers=[
        'Development Status :: 4 - Beta',
        'Environment :: Console',
        'Intended Audience :: Developers',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3 :: Only',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Processing',
        'Typing :: Typed',
    ],
)
