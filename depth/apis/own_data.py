"""Training on a folder of images and depth maps, from a look at it to pictures of the result."""

from collections.abc import Callable
from pathlib import Path

from depth.data_tools.own_data import examine_folder
from depth.engine.config import find_config, load_config

from .inferencer import DepthInferencer
from .launch import test, train
from .own_config import choose_method, write_config

PICTURES = 4  # of test images


def train_on_folder(
    folder: str | Path,
    *,
    work_dir: str | Path | None = None,
    model: str | None = None,
    start: str | Path | None = None,
    max_depth: float | None = None,
    depth_scale: float | None = None,
    cfg_options: dict | None = None,
    report: Callable[[str], None] = print,
    **options,
) -> int:
    """Examine a folder, write its config, train, test the best checkpoint and draw predictions.

    Args:
        folder: See :func:`depth.data_tools.own_data.examine_folder`.
        work_dir: Folder of everything that is written; ``work_dirs/<name of the folder>`` by
            default. The config and its split files go to ``own_data/`` in it.
        model: Config whose method is trained, by name or path; by default that of ``start``, or
            else a small one.
        start: Checkpoint of this toolbox to start from, or a published file of a method that has a
            converter.
        max_depth: Far end of the depth range in metres; by default from the depth maps.
        depth_scale: Stored integers per metre; by default from the files.
        cfg_options: Values by dotted key that replace those of the config.
        report: Receives each line for the user.
        **options: Of :func:`depth.apis.train`.

    Returns:
        The exit code of the training.

    Raises:
        ValueError: If the folder could mean two things or cannot be trained on.
        OSError: If something is missing or cannot be written.
    """
    if start is not None and not Path(start).is_file():
        raise FileNotFoundError(f'--from {start}: there is no such file')
    if model is not None:
        find_config(model)  # a wrong name is answered before files are read
    plan = examine_folder(folder, max_depth, depth_scale)
    for note in plan.notes:
        report(f'- {note}')
    work_dir = Path(work_dir or Path('work_dirs', Path(folder).absolute().name))
    config = work_dir / 'own_data' / f'{Path(folder).absolute().name}.py'
    if options.get('resume') and config.is_file():
        report(f'config: {config}, as it was written before')
    else:
        method = choose_method(model, start)
        write_config(plan, config, method, start)
        for note in method.notes:
            report(f'- {note}')
        report(f'config: {config} (edit it and train it by depth train {config})')
    runner = train(load_config(config, cfg_options), work_dir=work_dir, **options)
    if runner.exit_code:
        return runner.exit_code
    checkpoint = find_checkpoint(work_dir)
    is_shared = plan.stems['test'] == plan.stems['val']
    remark = ', which also chose it' if is_shared else ''
    report(f'test of {checkpoint} on {len(plan.stems["test"])} images{remark}:')
    test(load_config(config, cfg_options), checkpoint, work_dir=work_dir / 'test')
    folder_of_images = plan.roots['test'] / plan.image_folder
    files = [folder_of_images / stem for stem in plan.stems['test'][:PICTURES]]
    images = [str(next(file.parent.glob(f'{file.name}.*'))) for file in files]
    DepthInferencer(None, checkpoint)(images, out_dir=work_dir / 'pictures', outputs=['panel'])
    report(f'pictures: {work_dir / "pictures"}')
    report(
        f'next: depth infer IMAGES --checkpoint {checkpoint} --out-dir depth_maps --outputs panel '
        'ply'
    )
    return 0


def find_checkpoint(work_dir: Path) -> Path:
    """Return the best checkpoint of a finished training, or else the last one."""
    best = sorted(work_dir.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)
    if best:
        return best[-1]
    return Path((work_dir / 'last_checkpoint').read_text(encoding='utf-8').strip())
