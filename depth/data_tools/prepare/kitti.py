"""KITTI: images of the raw set with the depth benchmark's ground truth."""

import re
from collections.abc import Iterator
from pathlib import Path

from depth.atomic_write import write_atomically

from .base import Archive, Preparer
from .kitti_raw import SERVER as RAW_SERVER
from .kitti_raw import drive_archive
from .unpack import is_unpacked, member_names

SERVER = 'https://s3.eu-central-1.amazonaws.com/avg-kitti'
ANNOTATED = Archive('data_depth_annotated.zip', f'{SERVER}/data_depth_annotated.zip', '14 GB')
SELECTION = Archive('data_depth_selection.zip', f'{SERVER}/data_depth_selection.zip', '2 GB')
DRIVE = re.compile(r'\d{4}_\d\d_\d\d_drive_\d{4}_sync')
GROUND_TRUTH = re.compile(r'(?:^|/)(train|val)/([^/]+_sync)/(proj_depth/groundtruth/image_0[23]/\d{10}\.png)$')


class KITTIEigenPreparer(Preparer):
    """Images and ground truth that the Eigen lists name."""

    ROOT = 'data/kitti'
    PAGE = 'https://www.cvlibs.net/datasets/kitti/eval_depth.php?benchmark=depth_prediction'
    LICENCE = 'CC BY-NC-SA 3.0'
    CONFIG = 'configs/densedepth/densedepth_r50_kitti.py'
    PARTS = {'images': 'the drives of KITTI raw, up to 175 GB; --raw DIR links a copy', 'depth': 'the ground truth'}
    DEFAULT_PARTS = ('images', 'depth')
    SPLITS = {name: name for name in ('kitti_eigen_train.txt', 'kitti_eigen_test.txt')}
    LISTS = tuple(SPLITS)  # whose files are counted in the end
    CAMERAS = ('image_02',)

    def archives(self) -> list[Archive]:
        """Return the ground truth, and the drives that the lists name unless a copy of the raw set is given."""
        images = 'images' in self.parts and self.options.raw is None
        drives = [drive_archive(drive) for drive in self._drives()] if images else []
        return [ANNOTATED] * ('depth' in self.parts) + drives

    def _drives(self) -> list[str]:
        """Return the drives of the lists; none before the lists are there."""
        return sorted(set(DRIVE.findall(' '.join(self.list_lines()))))

    def mark_name(self, archive: Archive) -> str:
        """Remember which cameras of a drive were unpacked."""
        return '-'.join([*self.CAMERAS, archive.name]) if DRIVE.match(archive.name) else archive.name

    def done(self, archive: Archive) -> bool:
        """Whether the drive was unpacked, with these cameras or with both."""
        return super().done(archive) or is_unpacked(self.root, f'image_02-image_03-{archive.name}')

    def plan(self) -> list[str]:
        """Say that the lists tell which drives are fetched."""
        lines = super().plan()
        if 'images' in self.parts and self.options.raw is None and not self._drives():
            lines.append(f'download {RAW_SERVER}/...   the drives that the lists will name, up to 175 GB in all')
        return lines

    def place(self, archive: Archive, member: str) -> str | None:
        """Put ground truth below ``gt_depth``, images below ``input``."""
        if archive is ANNOTATED:
            found = GROUND_TRUTH.search(member)
            return f'gt_depth/{found.group(2)}/{found.group(3)}' if found else None
        wanted = any(f'/{camera}/data/' in member for camera in self.CAMERAS) and member.endswith('.png')
        return f'input/{member}' if wanted else None

    def _unpack(self, archive: Archive, path: Path) -> None:
        if archive is ANNOTATED:
            self._write_training_list(path)
        super()._unpack(archive, path)

    def _write_training_list(self, path: Path) -> None:
        """List the ground truth of ``train/`` for the benchmark: only here training and validation are told apart."""
        found = (GROUND_TRUTH.search(name) for name in sorted(member_names(path)))
        maps = [(match.group(2), match.group(3)) for match in found if match and match.group(1) == 'train']
        lines = []
        for drive, depth in maps:
            camera, frame = depth.split('/')[-2:]
            lines.append(f'{drive[:10]}/{drive}/{camera}/data/{frame} {drive}/{depth}')
        target = self.root / 'kitti_benchmark_train.txt'
        write_atomically(target, '\n'.join(lines) + '\n')
        self.say(f'{target}: {len(lines)} lines, from the folders of {path.name}')

    def finish(self) -> None:
        """Link a copy of the raw set, day by day."""
        raw = self.options.raw
        if raw is None or 'images' not in self.parts:
            return
        days = sorted(path for path in Path(raw).iterdir() if re.fullmatch(r'\d{4}_\d\d_\d\d', path.name))
        if not days:
            raise FileNotFoundError(f'--raw {raw} holds no recording day such as 2011_09_26/')
        (self.root / 'input').mkdir(exist_ok=True)
        for day in days:
            link = self.root / 'input' / day.name
            if not link.exists():
                link.symlink_to(day.resolve(), target_is_directory=True)
        self.say(f'{self.root / "input"}: {len(days)} days of {raw} linked')

    def look(self) -> Iterator[str]:
        """Count what the lists name and the disk has."""
        for target in self.LISTS:
            path = self.root / target
            if path.is_file():
                yield f'{path}: {self._count(path)}'

    def _count(self, path: Path) -> str:
        lines = [line.split() for line in path.read_text(encoding='utf-8').splitlines()]
        if len(lines[0]) == 1:
            there = sum((self.root / 'benchmark_test' / line[0]).is_file() for line in lines)
            return f'{there} of {len(lines)} images are there'
        images = sum(self._image_exists(line[0]) for line in lines)
        named = [line[1] for line in lines if line[1] != 'None']
        depths = sum((self.root / 'gt_depth' / name).is_file() for name in named)
        return f'{images} of {len(lines)} images and {depths} of {len(named)} depth maps are there'

    def _image_exists(self, name: str) -> bool:
        path = self.root / 'input' / name
        return path.is_file() or path.with_suffix('.jpg').is_file()


class KITTIBenchmarkPreparer(KITTIEigenPreparer):
    """The benchmark's training and validation drives, both cameras, and its 500 test images."""

    CONFIG = 'configs/_base_/datasets/kitti_benchmark.py'
    PARTS = KITTIEigenPreparer.PARTS | {'test': 'the 500 test images'}
    DEFAULT_PARTS = ('test', 'depth', 'images')
    SPLITS = {name: name for name in ('kitti_benchmark_val.txt', 'kitti_benchmark_test.txt')}
    LISTS = ('kitti_benchmark_train.txt', *SPLITS)
    CAMERAS = ('image_02', 'image_03')
    TEST = re.compile(r'(?:^|/)test_depth_prediction_anonymous/(image|intrinsics)/(\d{10}\.(?:png|txt))$')

    def archives(self) -> list[Archive]:
        """Return the test images too."""
        return [SELECTION] * ('test' in self.parts) + super().archives()

    def _drives(self) -> list[str]:
        training = self.root / 'kitti_benchmark_train.txt'
        text = training.read_text(encoding='utf-8') if training.is_file() else ''
        return sorted({*super()._drives(), *DRIVE.findall(text)})

    def place(self, archive: Archive, member: str) -> str | None:
        """Put test images below ``benchmark_test``, their cameras below ``benchmark_test_cam``."""
        if archive is not SELECTION:
            return super().place(archive, member)
        found = self.TEST.search(member)
        if not found:
            return None
        return f'{"benchmark_test" if found.group(1) == "image" else "benchmark_test_cam"}/{found.group(2)}'

    def finish(self) -> None:
        """Fetch the drives of a training list that was written just now, then as for the Eigen lists."""
        missing = [archive for archive in self.archives() if not self.done(archive)]
        if missing:
            self._ask_about(missing)
            for archive in missing:
                self._unpack(archive, self._fetch(archive))
        super().finish()
