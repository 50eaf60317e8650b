"""Runner of trainings and tests: mmengine's, with safe checkpoints and exact resume."""

import copy
import functools
import multiprocessing.util
import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import (
    barrier,
    broadcast_object_list,
    get_dist_info,
    is_distributed,
    is_main_process,
    master_only,
)
from mmengine.hooks import EMAHook as MMEngineEMAHook
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from timm.layers import convert_sync_batchnorm
from torch import nn
from torch.utils.data import DataLoader

from depth.atomic_write import write_atomically
from depth.calibration import stored_calibration
from depth.freed_memory import keep_freed_memory
from depth.registry import RUNNERS
from depth.sharded_tensors import gather_tensors

from .acceleration import (
    compile_losses,
    recompute_activations,
    set_attention_backend,
    speed_up_inference,
    use_channels_last,
)
from .batch_size import batch_size_of, fit_recipe_to_batch
from .checkpoint import (
    from_plain,
    load_checkpoint_file,
    load_model_state,
    save_atomically,
    to_plain,
)
from .checkpoint_writer import CheckpointWriter
from .config_references import resolve_references
from .config_values import check_values
from .console import set_console
from .deployment import deployment_checkpoint
from .distributed import (
    init_cpu_process_group,
    set_slurm_port,
    unwrap_model,
    wrap_for_cpu,
    wrapper_options,
)
from .errors import ConfigError
from .failure_watch import watched_processes
from .hooks import TerminationHook
from .hooks.ema_hook import EMAHook
from .hooks.finite_predictions_hook import FinitePredictionsHook
from .loops import get_random_state
from .message_hub import DeferredMessageHub
from .published_weights import weights_for_model
from .resume import restore_optimization
from .sharded_checkpoint import (
    SHARDS,
    copy_to_cpu,
    shards_folder,
    split_tensors,
    write_tensors,
)
from .sharding import (
    CUDA_BACKEND,
    ShardingOptions,
    compile_blocks,
    is_sharded_model,
    make_mesh,
    shard_model,
    sharding_options,
)
from .training_run import RUN_FILE, TrainingRun, new_run_id, section_digests
from .training_state import accumulated_grads, checkpoint_meta, restore_training_state
from .work_dir import check_resumable, open_run, remove_leftovers
from .work_dir_lock import WorkDirLock

_TIMESTAMP_FORMAT = '%Y%m%d_%H%M%S'
# Timestamps of the runners of this process.
_used_timestamps: set[str] = set()

RESUMABLE_SAMPLERS = ('ResumableInfiniteSampler', 'AlternatingSetSampler', 'ShardSampler')


def build_runner(cfg: Config) -> Runner:
    """Build the runner that ``runner_type`` of a config names, ``DepthRunner`` by default.

    Two changes are made to ``cfg`` in place: references (``'${name}'``) of a config that comes
    straight from mmengine are resolved, and with ``auto_scale_lr.enable`` learning rate and length
    are fitted to the batch size.

    Raises:
        ConfigError: If a reference has no value, a number cannot be used or the recipe cannot be
            fitted.
        ValueError: If there is no such runner.
    """
    resolve_references(cfg)
    check_values(cfg)
    change_of_recipe = fit_recipe_to_batch(cfg)
    runner_type = cfg.get('runner_type', 'DepthRunner')
    RUNNERS.import_from_location()
    runner_class = RUNNERS.get(runner_type)
    if runner_class is None:
        raise ValueError(f'runner_type: there is no runner called {runner_type!r}')
    runner = runner_class.from_cfg(cfg)
    if change_of_recipe:
        runner.logger.info(change_of_recipe)
    return runner


@RUNNERS.register_module()
class DepthRunner(Runner):
    """Runner whose checkpoints hold only tensors and plain values and are never half-written.

    A checkpoint carries the config, the data set's meta, the depth range and the versions of the
    libraries. A resumed run continues exactly: random states, log smoothing and the position in the
    training data are restored.
    """

    training_random_state: dict | None = None  # set by the loop while validation draws numbers
    training_run: TrainingRun | None = None  # identity of the run, while it trains
    stop_signal: int = 0  # number of the signal that asked the training to end
    exit_code: int = 0  # for the shell: not 0 if a signal ended an incomplete training
    _lock: WorkDirLock | None = None  # of the main process, while it trains
    _recomputed_modules: str | list[str] | None = None  # between train() and load_or_resume()
    sharding: ShardingOptions | None = None  # of several processes with strategy 'fsdp2'
    verifies_checkpoints: bool = False  # set by the checkpoint hook
    _mesh: torch.distributed.DeviceMesh | None = None  # once the model is sharded
    # Those who write a sharded checkpoint: on the CPU, with collectives of their own.
    _cpu_mesh: torch.distributed.DeviceMesh | None = None
    _checkpoint_group: torch.distributed.ProcessGroup | None = None

    def build_logger(
        self, log_level: int | str = 'INFO', log_file: str | None = None, **kwargs
    ) -> MMLogger:
        """Build the logger; its file gets everything, its console what the verbosity asks for."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        set_console(logger)
        return logger

    def setup_env(self, env_cfg: dict) -> None:
        """Start a gloo process group and keep freed memory where there is no GPU, set TF32.

        Then do as mmengine.

        Raises:
            ValueError: If ``env_cfg.tf32`` is neither a bool nor None.
        """
        self.checkpoint_writer = CheckpointWriter()
        if get_device() == 'cpu' and env_cfg.get('keep_freed_memory', True):
            # A step frees all its activations; a tenth of its time would go into getting them back.
            keep_freed_memory()
        self.sharding = sharding_options(self.cfg) if self.distributed else None
        if self.sharding is not None and torch.cuda.is_available():
            dist_cfg = dict(env_cfg.get('dist_cfg') or {}, backend=CUDA_BACKEND)
            env_cfg = dict(env_cfg, dist_cfg=dist_cfg)
        if self.launcher == 'slurm':
            set_slurm_port()
        if self.distributed and not is_distributed() and not torch.cuda.is_available():
            init_cpu_process_group(self.launcher)
        tf32 = env_cfg.get('tf32')
        if tf32 is not None:
            if not isinstance(tf32, bool):
                raise ValueError(
                    f'env_cfg.tf32 is True, False or None (as PyTorch has it), got {tf32!r}'
                )
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.backends.cudnn.allow_tf32 = tf32
        super().setup_env(env_cfg)
        # mmengine names logger, message hub and log folder by the second: two runs of one process
        # in one second would share them. The processes of a run start from one time and count
        # alike.
        while self._timestamp in _used_timestamps:
            following = datetime.strptime(self._timestamp, _TIMESTAMP_FORMAT) + timedelta(seconds=1)
            self._timestamp = following.strftime(_TIMESTAMP_FORMAT)
        _used_timestamps.add(self._timestamp)

    def set_randomness(
        self, seed: int | None, diff_rank_seed: bool = False, deterministic: bool = False
    ) -> None:
        """Set the random seed and, if asked for, use deterministic kernels where there are any.

        mmengine would let a kernel without a deterministic variant (bicubic and bilinear resizing,
        cumulative sums) end the run; here it warns once, and results may differ in the last digits.
        """
        super().set_randomness(seed, diff_rank_seed, deterministic)
        if deterministic:
            # cuBLAS reads this when its first product is computed.
            os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
            torch.use_deterministic_algorithms(True, warn_only=True)

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model, in channels-last order if the config says so."""
        model = super().build_model(model)
        backend = set_attention_backend(model, self.cfg, get_device())
        if backend is not None:
            self.logger.info(backend)
        if self.cfg.get('channels_last'):
            use_channels_last(model)
        return model

    def build_optim_wrapper(self, optim_wrapper: OptimWrapper | dict) -> OptimWrapper:
        """Build the optimizer wrapper; its constructor merges groups of equal options by default.

        With the strategy ``'fsdp2'`` the model is initialised and sharded before.
        """
        if self.sharding is not None and not is_sharded_model(self.model):
            self._shard()
        if isinstance(optim_wrapper, dict) and isinstance(optim_wrapper.get('optimizer'), dict):
            constructor = dict(constructor='GroupingOptimWrapperConstructor')
            optim_wrapper = constructor | dict(optim_wrapper)
        return super().build_optim_wrapper(optim_wrapper)

    def _shard(self) -> None:
        """Initialise the model and divide it, and its moving average, over all processes."""
        self._init_model_weights()
        self._mesh = make_mesh()
        # The average is a copy of the whole model, so it is made first.
        for hook in self.hooks:
            if isinstance(hook, EMAHook):
                hook.shard(self, self.sharding, self._mesh)
            elif isinstance(hook, MMEngineEMAHook):
                raise ConfigError(
                    f"custom_hooks: strategy 'fsdp2' needs the EMAHook of depth, got {type(hook)}"
                )
        blocks = shard_model(self.model, self.sharding, self._mesh)
        self.logger.info(
            f'fsdp2: parameters are divided over {self._mesh.size()} processes; {len(blocks)} blocks '
            'are gathered one at a time, all else during the whole forward pass'
        )
        if self.sharding.checkpoint == 'sharded':
            size = self._mesh.size()
            self._cpu_mesh = torch.distributed.init_device_mesh('cpu', (size,))
            self._checkpoint_group = torch.distributed.new_group(backend='gloo')

    def _init_model_weights(self) -> None:
        """Initialise the weights, equally in all processes; not again once they are sharded."""
        if not is_sharded_model(unwrap_model(self)):
            super()._init_model_weights()

    def _maybe_compile(self, target: str) -> None:
        """Compile the model's losses, or the blocks of a sharded one, as ``compile`` of the config says."""
        if is_sharded_model(unwrap_model(self)):
            compile_blocks(self.model, self.cfg.get('compile'))
            return
        # mmengine would compile 'train_step', whose optimizer and logging break the graph.
        compile_losses(unwrap_model(self), self.cfg.get('compile'))

    def train(self) -> nn.Module:
        """Lock the work dir, log the number of images per step, and train.

        Raises:
            WorkDirInUseError: If another training holds the work dir.
        """
        self.stop_signal = self.exit_code = 0
        try:
            self._open_work_dir()
            if (self.cfg.get('inference') or {}).get('validation'):
                speed_up_inference(unwrap_model(self), self.cfg.inference)
            if self.cfg.get('train_dataloader') and self.cfg.get('optim_wrapper'):
                self.logger.info(batch_size_of(self.cfg, self.world_size).describe())
            # mmengine's train() would apply its own recomputation, which gives no gradients where
            # the input has none (as images) and counts batches twice in BatchNorms. The key is put
            # back in load_or_resume(), before anything stores the config.
            self._recomputed_modules = self.cfg.pop('activation_checkpointing', None)
            with watched_processes():
                model = super().train()
            self.checkpoint_writer.close()
            # A launcher may end all processes as soon as the first one ends, but one still writes.
            barrier()
            return model
        finally:
            self._restore_recomputed_modules()
            self._end_writes()
            for hook in self.hooks:
                if isinstance(hook, TerminationHook):
                    hook.stop_listening()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _end_writes(self) -> None:
        """After an error of the training, wait for a checkpoint that is being written."""
        try:
            self.checkpoint_writer.close()
        except OSError as error:
            self.logger.error(f'a checkpoint could not be written either: {error}')

    def load_or_resume(self) -> None:
        """Set up activation checkpointing, then load weights or resume as the config says.

        mmengine calls this after the hooks' ``before_run``, in which EMA copies the model: a copy of
        modules with replaced ``forward`` methods would compute with the original's weights.
        """
        modules = self._recomputed_modules
        if modules is not None:
            self._restore_recomputed_modules()
            self.logger.info(
                f'Enabling the "activation_checkpointing" feature for sub-modules: {modules}'
            )
            recompute_activations(unwrap_model(self), modules)
        if self.sharding is not None and not is_sharded_model(self.model):
            self.model.to(get_device())  # a test, in which each process has the whole model
        super().load_or_resume()

    def _restore_recomputed_modules(self) -> None:
        """Put ``activation_checkpointing`` back into the config."""
        if self._recomputed_modules is not None:
            self.cfg.activation_checkpointing = self._recomputed_modules
            self._recomputed_modules = None

    def _open_work_dir(self) -> None:
        """Lock the work dir and decide which run this start belongs to and which checkpoint it reads.

        The main process decides and sends the result, or its error, to the others.
        """
        start = TrainingRun(
            work_dir=Path(self.work_dir),
            id=new_run_id(),
            config=Path(self.cfg.filename or f'{self.timestamp}.py').name,
            sections=section_digests(self.cfg.to_dict()),
            host=socket.gethostname(),
            starts=[self.timestamp],
        )
        # Weights for the first start of a run, which every later start finds in its checkpoints.
        initial_weights = None
        if self._resume == 'auto':
            initial_weights, self._load_from = self._load_from, None
        outcome: list = [None]
        error: Exception | None = None
        if is_main_process():
            lock = WorkDirLock(self.work_dir)
            try:
                lock.acquire()
                self._lock = lock
                outcome = [open_run(start, self._resume, self._load_from)]
                remove_leftovers(outcome[0][0])
            except (OSError, ValueError) as caught:
                error = caught
                outcome = [str(caught)]
        broadcast_object_list(outcome)
        if error is not None:
            raise error
        if isinstance(outcome[0], str):
            raise RuntimeError(outcome[0])
        self.training_run, self._load_from = outcome[0]
        self.training_run.writable = is_main_process()
        self._resume = bool(self._resume) and self._load_from is not None
        if not self._resume and initial_weights is not None:
            self._load_from = initial_weights
        self._write_config()

    def dump_config(self) -> None:
        """Do nothing; :meth:`_write_config` writes the config once the work dir is locked."""

    @master_only
    def _write_config(self) -> None:
        """Write the config into the work dir."""
        name = Path(self.cfg.filename).name if self.cfg.filename else f'{self.timestamp}.py'
        write_atomically(Path(self.work_dir, name), self.cfg.pretty_text)

    def test(self) -> dict:
        """Test, with the switches of ``inference`` in the config."""
        # In the work dir of a training, the config of that training stays.
        if not Path(self.work_dir, RUN_FILE).exists():
            self._write_config()
        speed_up_inference(unwrap_model(self), self.cfg.get('inference'))
        source = str(self._load_from or 'the trained model')
        if self._load_from and not self._has_loaded:
            # mmengine's test() would load the weights only; a calibration comes with them.
            self.load_or_resume()
            calibration = stored_calibration(self._loaded, source)
            unwrap_model(self).calibration = calibration
            if calibration is not None:
                self.logger.info(calibration.describe())
        self.register_hook(FinitePredictionsHook(source), priority='VERY_HIGH')
        with watched_processes():
            return super().test()

    def build_message_hub(self, message_hub: dict | None = None) -> DeferredMessageHub:
        """Build the message hub, which leaves logged values on the device until they are read."""
        options = dict(name=self._experiment_name)
        options.update(message_hub or {})
        return DeferredMessageHub.get_instance(**options)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes; on CPU without device ids and with plain BatchNorm.

        Raises:
            ValueError: If ``sync_bn`` of the config is neither ``'torch'`` nor None.
        """
        if not self.distributed or is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        if self.sharding is not None:
            return self._prepare_norms(model)
        find_unused_parameters = self.cfg.get('find_unused_parameters', False)
        if torch.cuda.is_available():
            options = wrapper_options(model_wrapper_cfg, find_unused_parameters)
            return self._wrap_on_gpus(options, model)
        if self.cfg.get('sync_bn'):
            self.logger.info(
                'sync_bn is left out: synchronised BatchNorm needs GPUs, each process uses its own '
                'batch'
            )
        return wrap_for_cpu(model, model_wrapper_cfg, find_unused_parameters)

    def _prepare_norms(self, model: nn.Module) -> nn.Module:
        """Return a model that will be sharded, on the CPU, with synchronised BatchNorms if asked for."""
        if not torch.cuda.is_available():
            return revert_sync_batchnorm(model)
        return convert_sync_batchnorm(model) if self.cfg.get('sync_bn') else model

    def _wrap_on_gpus(self, model_wrapper_cfg: dict, model: nn.Module) -> nn.Module:
        """Synchronise BatchNorms if ``sync_bn`` of the config says so, then wrap as mmengine does."""
        sync_bn = self.cfg.get('sync_bn')
        if sync_bn is None:
            return super().wrap_model(model_wrapper_cfg, model)
        if sync_bn != 'torch':
            raise ValueError(f"sync_bn is 'torch' or None, got {sync_bn!r}")
        # mmengine's conversion drops the activation inside timm's norms (EfficientNet and others),
        # so timm's converts, and mmengine sees no sync_bn.
        self.cfg.sync_bn = None
        try:
            return super().wrap_model(model_wrapper_cfg, convert_sync_batchnorm(model))
        finally:
            self.cfg.sync_bn = sync_bn

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, *args, **kwargs) -> DataLoader:
        """Build a data loader.

        A resumable sampler gets the batch size, workers run one thread each, and where
        there is a GPU batches come in page-locked memory unless the config says otherwise.
        """
        if isinstance(dataloader, dict):
            dataloader = copy.deepcopy(dataloader)
            sampler = dataloader.get('sampler')
            if isinstance(sampler, dict) and sampler.get('type') in RESUMABLE_SAMPLERS:
                sampler.setdefault('batch_size', dataloader.get('batch_size', 1))
            dataloader.setdefault('pin_memory', torch.cuda.is_available())
            # PyTorch refuses persistent workers where there are none.
            if dataloader.get('num_workers', 0) == 0:
                dataloader['persistent_workers'] = False
        loader = Runner.build_dataloader(dataloader, *args, **kwargs)
        if isinstance(dataloader, dict):
            # Around mmengine's function, which seeds the worker.
            from depth.datasets.workers import prepare_runner_worker

            loader.worker_init_fn = functools.partial(
                prepare_runner_worker, then=loader.worker_init_fn
            )
            if loader.num_workers > 0:
                # The folder of the sockets through which batches come, removed when this process
                # ends. Loader processes without one make their own, and are terminated before they
                # could remove it.
                multiprocessing.util.get_temp_dir()
        return loader

    def build_param_scheduler(self, scheduler: dict | list) -> list:
        """Build the schedulers; ``by_epoch`` is False unless the config sets it.

        mmengine's default counts epochs; an iteration-based run has one, so such a schedule would
        never move.
        """
        if isinstance(scheduler, dict) and 'type' in scheduler:
            scheduler = [scheduler]
        # A dict without a type has the schedules of several optimizers, which state it themselves.
        if isinstance(scheduler, list):
            schedules = []
            for schedule in scheduler:
                if isinstance(schedule, dict):
                    schedule = dict(schedule)
                    schedule.setdefault('by_epoch', False)
                schedules.append(schedule)
            scheduler = schedules
        return super().build_param_scheduler(scheduler)

    def collect_random_states(self) -> None:
        """Gather every process's random state; all processes call it before a checkpoint is saved."""
        state = self.training_random_state or get_random_state()
        self.random_states = [state]
        if is_distributed():
            self.random_states = [None] * get_dist_info()[1]
            torch.distributed.all_gather_object(self.random_states, state)

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Write a checkpoint atomically; see the class for what it holds.

        The first process writes it. With a sharded model all processes call this.

        Args:
            out_dir: Folder.
            filename: Name of the file.
            file_client_args: Not used; checkpoints go to a local file system.
            save_optimizer: Save what a resume needs of the optimizer. Without it the file is for
                deployment, and LoRA is merged into the weights.
            save_param_scheduler: Save the schedulers' state.
            meta: ``epoch`` and ``iter`` if they are not the current ones.
            by_epoch: Whether the step counts epochs.
            backend_args: Not used.
        """
        self.checkpoint_writer.wait()
        model, is_writer = unwrap_model(self), is_main_process()
        if not is_writer and not is_sharded_model(model):
            return
        checkpoint = dict(
            meta=checkpoint_meta(self, meta or {}, by_epoch),
            state_dict=model.state_dict(),
            message_hub=self.message_hub.state_dict(),
        )
        if save_optimizer:
            checkpoint['optimizer'] = self.optim_wrapper.state_dict()
            checkpoint['accumulated_grads'] = accumulated_grads(self, checkpoint['meta']['iter'])
            checkpoint['random_states'] = getattr(self, 'random_states', [get_random_state()])
        if save_param_scheduler and self.param_schedulers is not None:
            checkpoint['param_schedulers'] = [
                scheduler.state_dict() for scheduler in self.param_schedulers
            ]
        self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        tensors: dict[str, torch.Tensor] = {}
        if save_optimizer and self._checkpoint_group is not None:
            checkpoint, tensors = split_tensors(checkpoint)
            tensors = copy_to_cpu(tensors, self._cpu_mesh, self.checkpoint_writer.copies.copy)
        else:
            checkpoint = gather_tensors(checkpoint, keep=is_writer)
        if is_writer:
            if not save_optimizer:  # nothing can be resumed from it, so it is for deployment
                checkpoint = deployment_checkpoint(model, checkpoint)
            if self._lock is not None:
                self._lock.check_held()
            if self.training_run is not None:
                self.training_run.add_checkpoint(filename)
            copy = self.checkpoint_writer.copies.copy
            is_copied = self.checkpoint_writer.asynchronous
            checkpoint = to_plain(checkpoint, copy if is_copied else None)
        path, verify = Path(out_dir, filename), self.verifies_checkpoints
        group = self._checkpoint_group

        def write() -> None:
            if tensors:
                checkpoint[SHARDS] = write_tensors(tensors, shards_folder(path), group, verify)
            if is_writer:
                save_atomically(checkpoint, path, verify)

        self.checkpoint_writer.submit(write)

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = 'cpu',
        strict: bool | None = None,
        revise_keys: list | None = None,
    ) -> dict:
        """Load weights; names that do not fit are an error unless the config says ``load_strict = False``.

        Args:
            filename: Checkpoint file.
            map_location: Where tensors go.
            strict: Overrides ``load_strict`` of the config.
            revise_keys: Not used; converters rename foreign files.

        Returns:
            The checkpoint, history buffers restored.
        """
        checkpoint = load_checkpoint_file(filename, map_location, self._mesh)
        checkpoint = from_plain(checkpoint)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        if strict is None:
            strict = self.cfg.get('load_strict', True)
        model = unwrap_model(self)
        weights = weights_for_model(
            checkpoint, self.cfg.get('load_published'), model.state_dict(), filename
        )
        load_model_state(model, weights, filename, strict=strict)
        self._has_loaded = True
        self._loaded = checkpoint
        self.logger.info(f'loaded {filename}')
        return checkpoint

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str | Callable = 'cpu',
    ) -> None:
        """Continue a run from its checkpoint; settings that the config has changed since are logged.

        Args:
            filename: Checkpoint file.
            resume_optimizer: Also restore the optimizer, and the schedules if they are asked for.
            resume_param_scheduler: Also restore the schedules.
            map_location: Device that the file is read to. On a GPU it would be in memory twice
                while it is restored, and once for each process where one GPU is the default.

        Raises:
            ValueError: If the file holds weights only, as best checkpoints do.
        """
        super().resume(filename, False, False, map_location)
        checkpoint = self._loaded
        check_resumable(checkpoint, filename)
        if resume_optimizer:
            saved = checkpoint['meta'].get('training') or {}
            self._restore_optimization(checkpoint, saved.get('kinds') or {}, resume_param_scheduler)
        restore_training_state(self, checkpoint)
        self._loaded = None

    def _restore_optimization(self, checkpoint: dict, kinds: dict, with_schedulers: bool) -> None:
        """Restore optimizer and schedules; several optimizers of one model only without changes."""
        if isinstance(self.optim_wrapper, OptimWrapperDict):
            if self._mesh is not None:
                raise ConfigError("strategy 'fsdp2' resumes one optimizer, the config has several")
            self.optim_wrapper.load_state_dict(checkpoint['optimizer'])
            for name, schedulers in (self.param_schedulers or {}).items():
                states = checkpoint['param_schedulers'][name]
                for scheduler, state in zip(schedulers, states, strict=True):
                    scheduler.load_state_dict(state)
            return
        schedulers = (self.param_schedulers or []) if with_schedulers else []
        states = checkpoint.get('param_schedulers') or []
        restore_optimization(
            self.optim_wrapper,
            schedulers,
            checkpoint['optimizer'],
            states,
            kinds,
            self.iter,
            self.logger,
        )
