"""List of the measurements that docs/benchmarks.md reports, with their commands."""

from typing import NamedTuple

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

    Mode ``presets`` is ``compare_presets.py``; ``picture`` is what it draws, beside the page. With
    ``settings``, each is a process of its own, so that a failure loses one row; ratios are to the
    first. ``step`` is that of ``gpu_check.sh``, ``timeout`` seconds of one process.
    """

    title: str
    mode: str
    arguments: tuple[str, ...]
    picture: str | None = None
    settings: tuple[str, ...] = ()
    step: int | None = None
    timeout: int = 3600

    def commands(self) -> list[list[str]]:
        """Return the command of each process, without the options for device and output."""
        if not self.settings:
            return [self.command()]
        return [[*self.command(), '--setting', setting] for setting in self.settings]

    def command(self) -> list[str]:
        """Return the tool and its arguments, without settings, device and output."""
        if self.mode == 'presets':
            command = ['tools/analysis_tools/compare_presets.py', *self.arguments]
            if self.picture:
                command += ['--picture', f'docs/{self.picture}']
            return command
        return ['tools/analysis_tools/benchmark.py', self.mode, *self.arguments]


PUBLISHED = ('--published', '--vs', 'default')
# For a machine with few cores that others use.
ONE_THREAD = ('--repeats', '5', '--warmup', '1', '--threads', '1', '--processor-time')
WITHOUT_FLIP = ('--cfg-options', 'model.test_cfg.flip=False')
EVERYTHING = f'{BF16} optim_wrapper.optimizer.fused=True channels_last=True compile=True'
CHANNELS_LAST = 'channels_last=True'
FP16 = 'optim_wrapper.type=AmpOptimWrapper optim_wrapper.dtype=float16'
# Settings of a training step on CUDA, none of them compiled.
EAGER = (
    'published',
    'published_tf32',
    'backend=triton',
    BF16,
    f'{BF16} optim_wrapper.optimizer.fused=True {CHANNELS_LAST}',
)
QUICK = ('--repeats', '5')
RECOMPUTE_BLOCKS = 'model.backbone.backbone.grad_checkpointing=True'
RECOMPUTE_ALL = "activation_checkpointing=['backbone','neck','decode_head']"
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
        (config, '--repeats', '5', *WITHOUT_FLIP),
    )
    for name, (title, config) in OTHER_METHODS.items()
}
INFER_OTHERS_CUDA = {
    name: measurement._replace(step=4, timeout=60) for name, measurement in INFER_OTHERS.items()
}
PLAN: dict[str, dict[str, Measurement]] = dict(
    cpu=dict(
        startup=Measurement('Start-up', 'startup', ()),
        graphs_depthformer=Measurement(
            'Graph breaks and device reads, DepthFormer',
            'graphs',
            (TINY,),
        ),
        graphs_binsformer=Measurement(
            'Graph breaks and device reads, BinsFormer',
            'graphs',
            ('configs/synthetic/binsformer_tiny_rooms.py',),
        ),
        graphs_scaledepth=Measurement(
            'Graph breaks and device reads, ScaleDepth',
            'graphs',
            (SCALEDEPTH_TINY,),
        ),
        data_kitti=Measurement(
            'Loader, KITTI 352x704',
            'data',
            ('configs/_base_/datasets/kitti_eigen.py', *PUBLISHED, '--vs', 'packed'),
        ),
        data_nyu=Measurement(
            'Loader, NYU 416x544',
            'data',
            ('configs/_base_/datasets/nyu.py', *PUBLISHED, '--vs', 'packed'),
        ),
        ops=Measurement(
            'Deformable attention, 480x640 and 480x480',
            'ops',
            ('--sizes', 'hahi_swint', 'scaledepth', '--repeats', '5'),
        ),
        infer_depthformer=Measurement(
            'Inference, DepthFormer Swin-T, 480x640 without flip',
            'infer',
            (DEPTHFORMER_T, *ONE_THREAD, *WITHOUT_FLIP, *PUBLISHED, '--vs', 'autocast=bf16'),
        ),
        infer_binsformer=Measurement(
            'Inference, BinsFormer Swin-T, 480x640 without flip',
            'infer',
            (BINSFORMER_T, *ONE_THREAD, *WITHOUT_FLIP, *PUBLISHED, '--vs', 'autocast=bf16'),
        ),
        metrics=Measurement(
            'Scoring beside DepthFormer Swin-T, 480x640',
            'metrics',
            (DEPTHFORMER_T, '--repeats', '5'),
        ),
        # Each in a process of its own: what the toolbox keeps of freed memory would also speed up
        # the published setting behind it.
        train_depthformer=Measurement(
            'Training step, DepthFormer Swin-T, 1 x 416x544',
            'train',
            (DEPTHFORMER_T, '--batch-size', '1', *ONE_THREAD),
            settings=(
                'published',
                'default',
                RECOMPUTE_BLOCKS,
                RECOMPUTE_ALL,
                BF16,
                f'{BF16} {RECOMPUTE_ALL}',
            ),
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
        ops=Measurement(
            'Deformable attention',
            'ops',
            ('--sizes', 'hahi_swinl', 'stem_swinl', 'scaledepth', '--repeats', '5'),
            step=1,
            timeout=180,
        ),
        ops_scan=Measurement(
            'Deformable attention, tiles and warps of the Triton kernels',
            'ops',
            ('--scan', '--sizes', 'hahi_swinl', 'stem_swinl', '--repeats', '3', '--no-memory'),
            step=1,
            timeout=150,
        ),
        train_depthformer=Measurement(
            'Training step, DepthFormer Swin-L, 2 x 352x704',
            'train',
            (DEPTHFORMER_L, '--batch-size', '2', *QUICK),
            settings=EAGER,
            step=2,
            timeout=100,
        ),
        train_binsformer=Measurement(
            'Training step, BinsFormer Swin-L, 2 x 416x544',
            'train',
            (BINSFORMER_L, '--batch-size', '2', *QUICK),
            settings=EAGER,
            step=2,
            timeout=100,
        ),
        infer_depthformer=Measurement(
            'Inference, DepthFormer Swin-L, 1 x 352x1216 with flip',
            'infer',
            (DEPTHFORMER_L, *QUICK),
            settings=(
                'published',
                'published_tf32',
                'default',
                'autocast=bf16',
                'inference.autocast=bfloat16 inference.cuda_graph=True',
                'inference.autocast=bfloat16 inference.compile=True',
            ),
            step=3,
            timeout=120,
        ),
        train_compiled=Measurement(
            'Compiled training step, DepthFormer Swin-L, 2 x 352x704',
            'train',
            (DEPTHFORMER_L, '--batch-size', '2', *QUICK),
            settings=('default', f'{FP16}', f'{BF16} {CHANNELS_LAST}', EVERYTHING),
            step=3,
            timeout=170,
        ),
        train_recomputing=Measurement(
            'Price of activation checkpointing, DepthFormer Swin-L, 2 x 352x704',
            'train',
            (DEPTHFORMER_L, '--batch-size', '2', *QUICK),
            settings=('default', RECOMPUTE_BLOCKS, RECOMPUTE_ALL),
            step=3,
            timeout=60,
        ),
        train_scaledepth=Measurement(
            'Training step, ScaleDepth-NK, 8 x 352x512, random text embeddings',
            'train',
            (SCALEDEPTH, '--batch-size', '8', '--shape', '352', '512', *QUICK),
            settings=('published', 'published_tf32', 'default', BF16),
            step=4,
            timeout=90,
        ),
        metrics=Measurement(
            'Scoring beside DepthFormer Swin-T, 480x640',
            'metrics',
            (DEPTHFORMER_T,),
            step=4,
            timeout=60,
        ),
        **INFER_OTHERS_CUDA,
        presets=Measurement(
            'Nothing is bought with quality, 96x128',
            'presets',
            (TINY, '--seeds', '0'),
            'images/presets_cuda.png',
            step=4,
            timeout=300,
        ),
    ),
)
