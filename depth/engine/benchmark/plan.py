"""What docs/benchmarks.md reports: the commands, and the page made of their results."""

import json
from pathlib import Path
from typing import NamedTuple

from depth.atomic_write import write_atomically

from .report import table_cells

BEGIN, END = '<!-- results: begin -->', '<!-- results: end -->'
BF16 = 'optim_wrapper.type=AmpOptimWrapper optim_wrapper.dtype=bfloat16'
DEPTHFORMER_L = 'configs/depthformer/depthformer_swinl_22k_w7_kitti.py'
DEPTHFORMER_T = 'configs/depthformer/depthformer_swint_w7_nyu.py'
BINSFORMER_L = 'configs/binsformer/binsformer_swinl_22k_w7_nyu.py'
BINSFORMER_T = 'configs/binsformer/binsformer_swint_w7_nyu.py'
SCALEDEPTH_TINY = 'projects/ScaleDepth/configs/ScaleDepth/scaledepth_tiny_rooms_streets.py'
TINY = 'configs/synthetic/depthformer_tiny_rooms.py'
SCALEDEPTH = 'projects/ScaleDepth/configs/ScaleDepth/scaledepth_clip_NYU_KITTI_352x512.py'


class Measurement(NamedTuple):
    """One command: its title on the page, mode and arguments of ``benchmark.py``.

    Mode ``presets`` is ``compare_presets.py``; ``picture`` is what it draws, beside the page.
    """

    title: str
    mode: str
    arguments: tuple[str, ...]
    picture: str | None = None

    def command(self) -> list[str]:
        """Return the tool and its arguments, but for the device and the place of the result."""
        if self.mode == 'presets':
            picture = ['--picture', f'docs/{self.picture}'] if self.picture else []
            return ['tools/analysis_tools/compare_presets.py', *self.arguments, *picture]
        return ['tools/analysis_tools/benchmark.py', self.mode, *self.arguments]


PUBLISHED = ('--published', '--vs', 'default')
WITH_BF16 = (*PUBLISHED, '--vs', BF16)
EVERYTHING = f'{BF16} optim_wrapper.optimizer.fused=True channels_last=True compile=True'
WITH_ALL = (*WITH_BF16, '--vs', EVERYTHING)
RECOMPUTE_BLOCKS = ('--vs', 'model.backbone.backbone.grad_checkpointing=True')
RECOMPUTE = (*RECOMPUTE_BLOCKS, '--vs', "activation_checkpointing=['backbone','neck','decode_head']")
OTHER_METHODS = dict(
    bts=('BTS R-50', 'configs/bts/bts_r50_nyu_24e.py'),
    adabins=('AdaBins EfficientNet-B5', 'configs/adabins/adabins_efnetb5ap_nyu_24e.py'),
    dpt=('DPT ViT-B/16', 'configs/dpt/dpt_vit-b16_nyu.py'),
    newcrfs=('NeWCRFs Swin-L', 'configs/newcrfs/newcrfs_swinl_22k_w7_nyu.py'),
    simipu=('SimIPU R-50', 'configs/simipu/simipu_r50_scratch_nyu_24e.py'),
)
INFER_OTHERS = {
    f'infer_{name}': Measurement(
        f'Inference, {title}, 480x640 without flip',
        'infer',
        (config, '--repeats', '5', '--cfg-options', 'model.test_cfg.flip=False'),
    )
    for name, (title, config) in OTHER_METHODS.items()
}
PLAN: dict[str, dict[str, Measurement]] = dict(
    cpu=dict(
        startup=Measurement('Start-up', 'startup', ()),
        graphs_depthformer=Measurement('Graph breaks and device reads, DepthFormer', 'graphs', (TINY,)),
        graphs_binsformer=Measurement(
            'Graph breaks and device reads, BinsFormer', 'graphs', ('configs/synthetic/binsformer_tiny_rooms.py',)
        ),
        graphs_scaledepth=Measurement('Graph breaks and device reads, ScaleDepth', 'graphs', (SCALEDEPTH_TINY,)),
        data_kitti=Measurement(
            'Loader, KITTI 352x704', 'data', ('configs/_base_/datasets/kitti_eigen.py', *PUBLISHED, '--vs', 'packed')
        ),
        data_nyu=Measurement(
            'Loader, NYU 416x544', 'data', ('configs/_base_/datasets/nyu.py', *PUBLISHED, '--vs', 'packed')
        ),
        ops=Measurement(
            'Deformable attention, 480x640 and 480x480',
            'ops',
            ('--sizes', 'hahi_swint', 'scaledepth', '--repeats', '5'),
        ),
        infer_depthformer=Measurement(
            'Inference, DepthFormer Swin-T, 480x640 without flip',
            'infer',
            (DEPTHFORMER_T, '--repeats', '5', '--cfg-options', 'model.test_cfg.flip=False', *PUBLISHED),
        ),
        infer_binsformer=Measurement(
            'Inference, BinsFormer Swin-T, 480x640 without flip',
            'infer',
            (BINSFORMER_T, '--repeats', '5', '--cfg-options', 'model.test_cfg.flip=False', *PUBLISHED),
        ),
        metrics=Measurement('Scoring beside DepthFormer Swin-T, 480x640', 'metrics', (DEPTHFORMER_T, '--repeats', '5')),
        train_depthformer=Measurement(
            'Training step, DepthFormer Swin-T, 1 x 208x272',
            'train',
            (DEPTHFORMER_T, '--batch-size', '1', '--shape', '208', '272', '--repeats', '3', *WITH_BF16),
        ),
        train_recomputing=Measurement(
            'Price of activation checkpointing, DepthFormer Swin-T, 1 x 208x272',
            'train',
            (DEPTHFORMER_T, '--batch-size', '1', '--shape', '208', '272', '--repeats', '3', *RECOMPUTE),
        ),
        **INFER_OTHERS,
        presets=Measurement(
            'Nothing is bought with quality, 64x96',
            'presets',
            (TINY, '--shape', '64', '96', '--batch-size', '4'),
            'images/presets.png',
        ),
    ),
    cuda=dict(
        train_depthformer=Measurement(
            'Training step, DepthFormer Swin-L, 2 x 352x704',
            'train',
            (DEPTHFORMER_L, '--batch-size', '2', *WITH_ALL),
        ),
        train_binsformer=Measurement(
            'Training step, BinsFormer Swin-L, 2 x 416x544',
            'train',
            (BINSFORMER_L, '--batch-size', '2', *WITH_ALL),
        ),
        train_scaledepth=Measurement(
            'Training step, ScaleDepth-NK, 8 x 352x512',
            'train',
            (SCALEDEPTH, '--batch-size', '8', '--shape', '352', '512', *WITH_ALL),
        ),
        infer_depthformer=Measurement(
            'Inference, DepthFormer Swin-L, 1 x 352x1216 with flip',
            'infer',
            (
                DEPTHFORMER_L,
                *PUBLISHED,
                *('--vs', 'autocast=bf16'),
                *('--vs', 'inference.autocast=bfloat16 inference.compile=True'),
                *('--vs', 'inference.autocast=bfloat16 inference.cuda_graph=True'),
            ),
        ),
        train_recomputing=Measurement(
            'Price of activation checkpointing, DepthFormer Swin-L, 2 x 352x704',
            'train',
            (DEPTHFORMER_L, '--batch-size', '2', *RECOMPUTE),
        ),
        ops=Measurement('Deformable attention', 'ops', ()),
        metrics=Measurement('Scoring beside DepthFormer Swin-T, 480x640', 'metrics', (DEPTHFORMER_T,)),
        **INFER_OTHERS,
        presets=Measurement('Nothing is bought with quality, 96x128', 'presets', (TINY,), 'images/presets_cuda.png'),
    ),
)


def markdown_table(rows: list[dict]) -> list[str]:
    """Return the lines of a table, an empty one after it."""
    head, *cells = table_cells(rows)
    return [f'| {" | ".join(head)} |', f'|{" --- |" * len(head)}', *(f'| {" | ".join(line)} |' for line in cells), '']


def write_page(page: Path, results: Path) -> None:
    """Put what is in ``results`` between the two marks of the page.

    Args:
        page: Markdown file with a line ``<!-- results: begin -->`` and one ``<!-- results: end -->``.
        results: Folder with ``<device>/<name>.json`` as ``benchmark.py --out`` writes them.

    Raises:
        ValueError: If the page lacks the marks.
    """
    text = page.read_text(encoding='utf-8')
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f'{page} needs the lines {BEGIN} and {END}')
    write_atomically(page, f'{before}{BEGIN}\n\n{format_results(results)}\n{END}{after}')


def format_results(results: Path) -> str:
    """Return the tables of all measurements in the plan, as Markdown; "not measured" where there is no result."""
    names = dict(cpu='CPU', cuda='GPU')
    lines = []
    for device, measurements in PLAN.items():
        lines.append(f'## {names[device]}\n')
        for name, measurement in measurements.items():
            lines.append(f'### {measurement.title}\n')
            path = results / device / f'{name}.json'
            lines.append(
                format_markdown(json.loads(path.read_text()), measurement.picture)
                if path.is_file()
                else 'not measured\n'
            )
    return '\n'.join(lines)


def format_markdown(result: dict, picture: str | None = None) -> str:
    """Return the table of one result, its ratios and what it was measured on and with.

    Args:
        result: As ``benchmark.py --out`` writes it.
        picture: What belongs to it, relative to the page.
    """
    lines = markdown_table(result['rows'])
    if 'depths' in result:
        lines += markdown_table(result['depths'])
    lines += [f'- `{name}` was left out: {reason}\n' for name, reason in result.get('left_out', {}).items()]
    if picture:
        lines += [f'![loss curves]({picture})', '']
    for ratio in result['ratios']:
        speed, memory = ratio['speed'], ratio.get('memory')
        text = f'- `{ratio["setting"]}`: {speed["median"]:.2f} times the speed of `{ratio["base"]}`'
        text += f' ({speed["min"]:.2f} to {speed["max"]:.2f})'
        if 'of_cpu_means' in speed:
            text += f', {speed["of_cpu_means"]:.2f} in processor time'
        lines.append(text + (f'; {1 / memory:.2f} of its memory' if memory else ''))
    if 'fixed_decode_ms' in result:
        lines.append(
            f'- one fixed decode: {result["fixed_decode_ms"]:.2f} ms, {result["fixed_decode_cpu_ms"]:.2f} ms of '
            'processor time'
        )
    for setting, steps in result.get('steps', {}).items():
        listed = ', '.join(f'{name} {value:.2f}' for name, value in steps.items())
        lines.append(f'- steps of `{setting}`, mean ms: {listed}')
    if 'share' in result:
        lines.append(f'- the metric takes {result["share"]:.2%} of the prediction')
    where = result['environment']
    versions = ', '.join(f'{name} {version}' for name, version in where['versions'].items() if version)
    lines += [
        '',
        f'`{where["command"]}`',
        '',
        f'{where["device"]}; {where["threads"]} threads, load average {where["load_average"]:.1f}; {versions}; commit '
        f'{where["commit"]}; {where["time"][:10]}',
        '',
    ]
    return '\n'.join(lines)
