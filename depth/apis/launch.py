"""Training and testing of a config, from the checks before the start to the finished run."""

import os
from datetime import timedelta
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger

from depth.engine.config import open_config, skip_pretrained
from depth.engine.config_check import check_testing, check_training
from depth.engine.console import heartbeat
from depth.engine.runner import DepthRunner, build_runner
from depth.engine.work_dir_lock import check_free

from .exported_model import is_exported, model_config

_AMP_DTYPES = dict(bf16='bfloat16', fp16='float16')


def train(
    config: str | Path | Config,
    *,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    amp: bool | str = False,
    compile_step: bool = False,
    seed: int | None = None,
    deterministic: bool = False,
    auto_scale_lr: bool = False,
    launcher: str = 'none',
    strategy: str | None = None,
) -> DepthRunner:
    """Train the model of a config.

    An option that is left at its default keeps what the config says.

    Args:
        config: Config file, the name of a shipped one, or object; an object is copied.
        work_dir: Folder of logs and checkpoints; by default that of the config, or else
            ``work_dirs/<config name>``.
        resume: Checkpoint to continue from; True or ``'auto'`` takes the newest of the work dir.
            If it has none, a new run starts, from the weights of ``load_from`` if there are any.
        amp: Train in mixed precision: ``'bf16'``, ``'fp16'``, or True for float16 on CUDA and
            bfloat16 on CPU, unless the config gives ``optim_wrapper.dtype``.
        compile_step: Compile the training step with ``torch.compile``.
        seed: Random seed.
        deterministic: Use deterministic kernels where there are any.
        auto_scale_lr: Fit learning rate and length of the published recipe to the batch size of
            this launch (docs/train.md).
        launcher: ``'none'``, ``'pytorch'`` or ``'slurm'``.
        strategy: ``'ddp'`` or ``'fsdp2'``: whether each process holds the whole model or a piece of
            it (docs/scale.md). Options of ``fsdp2`` are those of the config's ``strategy``.

    Returns:
        The runner after the training; its ``exit_code`` is not 0 if a signal ended an incomplete
        training.

    Raises:
        ConfigError: If the config cannot work or its data does not exist.
        ValueError: If ``amp`` is none of these.
        WorkDirInUseError: If another training holds the work dir.
    """
    if not isinstance(amp, bool) and amp not in _AMP_DTYPES:
        raise ValueError(f"amp is 'bf16', 'fp16', True or False, got {amp!r}")
    cfg = open_config(config)
    check_training(cfg, resume=bool(resume))
    _set_launch(cfg, work_dir, launcher)
    if resume:
        takes_newest = resume is True or resume == 'auto'
        cfg.resume = 'auto' if takes_newest else True
        # Of a config's own ``load_from`` the newest checkpoint takes the place only once there is
        # one.
        if not takes_newest:
            cfg.load_from = str(resume)
    # The file brings the encoder, so timm's need not be fetched.
    if cfg.get('load_from') and (cfg.get('load_published') or cfg.get('load_strict', True)):
        skip_pretrained(cfg)
    if amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        if amp is not True:
            cfg.optim_wrapper.dtype = _AMP_DTYPES[amp]
    if auto_scale_lr:
        cfg.auto_scale_lr = dict(cfg.get('auto_scale_lr') or {}, enable=True)
    if compile_step:
        cfg.compile = True
    if seed is not None or deterministic:
        randomness = cfg.get('randomness', {})
        if seed is None:
            seed = randomness.get('seed')
        cfg.randomness = dict(randomness, seed=seed, deterministic=deterministic)
    if strategy is not None:
        cfg.strategy = _strategy_with_options(strategy, cfg.get('strategy'))
    # The runner takes the lock only when the model is built and its weights are fetched.
    # torchrun and slurm number the processes in variables of their own.
    rank = os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0'))
    if int(rank) == 0:
        check_free(cfg.work_dir)
    state = dict(runner=None)

    def describe() -> str:
        runner = state['runner']
        if runner is None:
            return 'building the model; weights that are not in the cache are fetched'
        if runner.iter >= runner.max_iters:
            return 'all iterations are done: the last validation and checkpoint'
        text = (
            f'waiting for iteration {runner.iter + 1} of {runner.max_iters}: data, or a slow step'
        )
        # Known from the first iteration on.
        if 'eta' in runner.message_hub.runtime_info:
            left = timedelta(seconds=int(runner.message_hub.get_info('eta')))
            text += f'; eta {left}'
        return text

    with heartbeat(describe, MMLogger.get_current_instance):
        runner = build_runner(cfg)
        state['runner'] = runner
        runner.train()
    return runner


def test(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    work_dir: str | Path | None = None,
    out_dir: str | Path | None = None,
    tta: bool | None = None,
    all_protocols: bool = False,
    launcher: str = 'none',
) -> dict[str, float]:
    """Test a checkpoint on the test set of a config.

    The weights have to fit the model completely. The metrics are also written to the work dir.

    Args:
        config: Config file, the name of a shipped one, or object; an object is copied.
        checkpoint: Checkpoint file, or an exported one (``.onnx``), which then predicts.
        work_dir: Folder of the metrics; by default that of the config, or else
            ``work_dirs/<config name>``.
        out_dir: Folder for every prediction as 16-bit PNG; None writes none.
        tta: Average with the prediction of the mirrored image; None does as the config says.
        all_protocols: Also score the predictions under every other protocol that applies.
        launcher: ``'none'``, ``'pytorch'`` or ``'slurm'``.

    Returns:
        Metrics by name.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ConfigError: If the config cannot work or its data does not exist.
        ValueError: If the weights do not fit the model or a prediction is not finite.
    """
    cfg = open_config(config)
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint {checkpoint} does not exist')
    check_testing(cfg)
    _set_launch(cfg, work_dir, launcher)
    # Weights alone: a test needs neither the optimizer nor the iteration of the checkpoint.
    cfg.load_from = str(checkpoint)
    cfg.resume = False
    cfg.load_strict = True
    if cfg.get('load_published'):  # parts are for the start of a training
        cfg.load_published = dict(cfg.load_published, parts=[])
    skip_pretrained(cfg)
    if is_exported(checkpoint):
        cfg.load_from = None
        cfg.pop('load_published', None)
        cfg.model = model_config(checkpoint, cfg.model, get_device())
    if tta is not None:
        cfg.model.test_cfg = dict(cfg.model.get('test_cfg') or {}, flip=tta)
    if all_protocols:
        _request_all_protocols(cfg)
    if out_dir is not None:
        writer = dict(type='PredictionWriterHook', out_dir=str(out_dir))
        cfg.custom_hooks = list(cfg.get('custom_hooks', []))
        cfg.custom_hooks.append(writer)
    with heartbeat(lambda: f'testing {checkpoint}', MMLogger.get_current_instance):
        return build_runner(cfg).test()


def _set_launch(cfg: Config, work_dir: str | Path | None, launcher: str) -> None:
    """Set launcher and work dir of a config, in place.

    Raises:
        ValueError: If there is no work dir, neither as argument nor from the config or its name.
    """
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif not cfg.get('work_dir'):
        if not cfg.filename:
            raise ValueError(
                'work_dir is missing: the config has none, and no file to name one after'
            )
        cfg.work_dir = str(Path('work_dirs', Path(cfg.filename).stem))


def _request_all_protocols(cfg: Config) -> None:
    """Let the test metric score every protocol that applies, for each data set of a mixture."""
    evaluators = cfg.test_evaluator
    if not isinstance(evaluators, list):
        evaluators = [evaluators]
    for evaluator in evaluators:
        if evaluator['type'] == 'DepthMetric':
            evaluator['protocols'] = 'all'
        elif evaluator['type'] == 'MixedDepthMetric':
            for name, protocol in evaluator['protocols'].items():
                if isinstance(protocol, str):
                    protocol = dict(protocol=protocol)
                evaluator['protocols'][name] = dict(protocol, protocols='all')


def _strategy_with_options(strategy: str, own: str | dict | None) -> dict:
    """Return a strategy with the options of the config's, if that is the same strategy."""
    if not isinstance(own, dict):
        return dict(type=strategy)
    # Options that --cfg-options gives to a config without a strategy come without a type.
    if own.get('type', strategy) != strategy:
        return dict(type=strategy)
    return dict(own, type=strategy)
