"""Runner of trainings and tests: mmengine's, with safe checkpoints and exact resume."""

from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import barrier, get_dist_info, is_distributed, is_main_process, master_only
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
from .data_loader import build_data_loader
from .deployment import deployment_checkpoint
from .distributed import (
    init_cpu_process_group,
    set_slurm_port,
    unwrap_model,
    wrap_for_cpu,
    wrapper_options,
)
from .environment import set_tf32, unused_timestamp, use_deterministic_kernels
from .errors import ConfigError
from .failure_watch import watched_processes
from .hooks import TerminationHook
from .hooks.finite_predictions_hook import FinitePredictionsHook
from .loops import get_random_state
from .message_hub import DeferredMessageHub
from .published_weights import weights_for_model
from .resume import restore_optimization, restore_several_optimizers
from .run_start import new_run, open_work_dir
from .sharded_run import ShardedRun
from .sharding import CUDA_BACKEND, compile_blocks, is_sharded_model, sharding_options
from .training_run import RUN_FILE, TrainingRun
from .training_state import collect_checkpoint, restore_training_state
from .work_dir import check_resumable
from .work_dir_lock import WorkDirLock


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

    The methods stand in the order in which a run comes to them: building, training and testing,
    saving, resuming.
    """

    training_random_state: dict | None = None  # set by the loop while validation draws numbers
    random_states: list[dict] | None = None  # of all processes, gathered before a save
    training_run: TrainingRun | None = None  # identity of the run, while it trains
    stop_signal: int = 0  # number of the signal that asked the training to end
    exit_code: int = 0  # for the shell: not 0 if a signal ended an incomplete training
    sharding: ShardedRun | None = None  # of several processes with strategy 'fsdp2'
    verifies_checkpoints: bool = False  # set by the checkpoint hook
    _lock: WorkDirLock | None = None  # of the main process, while it trains
    _recomputed_modules: str | list[str] | None = None  # between train() and load_or_resume()

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
        options = sharding_options(self.cfg) if self.distributed else None
        if options is not None:
            self.sharding = ShardedRun(options)
            if torch.cuda.is_available():
                dist_cfg = dict(env_cfg.get('dist_cfg') or {}, backend=CUDA_BACKEND)
                env_cfg = dict(env_cfg, dist_cfg=dist_cfg)
        if self.launcher == 'slurm':
            set_slurm_port()
        if self.distributed and not is_distributed() and not torch.cuda.is_available():
            init_cpu_process_group(self.launcher)
        set_tf32(env_cfg.get('tf32'))
        super().setup_env(env_cfg)
        self._timestamp = unused_timestamp(self._timestamp)

    def set_randomness(
        self, seed: int | None, diff_rank_seed: bool = False, deterministic: bool = False
    ) -> None:
        """Set the random seed and, if asked for, use deterministic kernels where there are any."""
        super().set_randomness(seed, diff_rank_seed, deterministic)
        if deterministic:
            use_deterministic_kernels()

    def build_message_hub(self, message_hub: dict | None = None) -> DeferredMessageHub:
        """Build the message hub, which leaves logged values on the device until they are read."""
        options = dict(name=self._experiment_name)
        options.update(message_hub or {})
        return DeferredMessageHub.get_instance(**options)

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model, in channels-last order if the config says so."""
        model = super().build_model(model)
        backend = set_attention_backend(model, self.cfg, get_device())
        if backend is not None:
            self.logger.info(backend)
        if self.cfg.get('channels_last'):
            use_channels_last(model)
        return model

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
        """Return a model to be sharded, on the CPU, with synchronised BatchNorms if asked for."""
        if not torch.cuda.is_available():
            return revert_sync_batchnorm(model)
        return convert_sync_batchnorm(model) if self.cfg.get('sync_bn') else model

    def _wrap_on_gpus(self, model_wrapper_cfg: dict, model: nn.Module) -> nn.Module:
        """Synchronise BatchNorms if ``sync_bn`` says so, then wrap as mmengine does."""
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
        """Build a data loader; see :func:`~depth.engine.data_loader.build_data_loader`."""
        return build_data_loader(dataloader, *args, **kwargs)

    def build_optim_wrapper(self, optim_wrapper: OptimWrapper | dict) -> OptimWrapper:
        """Build the optimizer wrapper; its constructor merges groups of equal options by default.

        With the strategy ``'fsdp2'`` the model is initialised and sharded before.
        """
        if self.sharding is not None and not is_sharded_model(self.model):
            self._init_model_weights()
            self.sharding.shard(self)
        if isinstance(optim_wrapper, dict) and isinstance(optim_wrapper.get('optimizer'), dict):
            constructor = dict(constructor='GroupingOptimWrapperConstructor')
            optim_wrapper = constructor | dict(optim_wrapper)
        return super().build_optim_wrapper(optim_wrapper)

    def _init_model_weights(self) -> None:
        """Initialise the weights, equally in all processes; not again once they are sharded."""
        if not is_sharded_model(unwrap_model(self)):
            super()._init_model_weights()

    def _maybe_compile(self, target: str) -> None:
        """Compile the model's losses, or the blocks of a sharded one, as ``compile`` says."""
        if is_sharded_model(unwrap_model(self)):
            compile_blocks(self.model, self.cfg.get('compile'))
            return
        # mmengine would compile 'train_step', whose optimizer and logging break the graph.
        compile_losses(unwrap_model(self), self.cfg.get('compile'))

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

        mmengine calls this after the hooks' ``before_run``, in which EMA copies the model: a copy
        of modules with replaced ``forward`` methods would compute with the original's weights.
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
        """Lock the work dir, and take the run and the checkpoint that this start belongs to."""
        if is_main_process():
            self._lock = WorkDirLock(self.work_dir)
        start = new_run(self.cfg, self.work_dir, self.timestamp)
        opened = open_work_dir(start, self._resume, self._load_from, self._lock)
        self.training_run = opened.run
        self._load_from, self._resume = opened.load_from, opened.resume
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

    def collect_random_states(self) -> None:
        """Gather every process's random state; all processes call it before a save."""
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
        if not is_main_process() and not is_sharded_model(unwrap_model(self)):
            return
        checkpoint = collect_checkpoint(
            self, meta or {}, by_epoch, save_optimizer, save_param_scheduler
        )
        self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        path = Path(out_dir, filename)
        self.checkpoint_writer.submit(self._prepare_write(checkpoint, path, save_optimizer))

    def _prepare_write(
        self, checkpoint: dict, path: Path, is_resumable: bool
    ) -> Callable[[], None]:
        """Copy what goes on changing, record the checkpoint, and return what writes it."""
        is_writer, verify = is_main_process(), self.verifies_checkpoints
        copy, sharding = self.checkpoint_writer.copies.copy, self.sharding
        pieces: dict[str, torch.Tensor] = {}
        if is_resumable and sharding is not None and sharding.writes_pieces:
            checkpoint, pieces = sharding.take_pieces(checkpoint, copy)
        else:
            checkpoint = gather_tensors(checkpoint, keep=is_writer)
        if is_writer:
            if not is_resumable:
                checkpoint = deployment_checkpoint(unwrap_model(self), checkpoint)
            if self._lock is not None:
                self._lock.check_held()
            if self.training_run is not None:
                self.training_run.add_checkpoint(path.name)
            checkpoint = to_plain(checkpoint, copy if self.checkpoint_writer.asynchronous else None)

        def write() -> None:
            if pieces:
                sharding.write_pieces(checkpoint, pieces, path, verify)
            if is_writer:
                save_atomically(checkpoint, path, verify)

        return write

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = 'cpu',
        strict: bool | None = None,
        revise_keys: list | None = None,
    ) -> dict:
        """Load weights; names that do not fit are an error unless ``load_strict`` is False.

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
        """Continue a run from its checkpoint; settings that have changed since are logged.

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
            self._restore_optimization(checkpoint, resume_param_scheduler)
        restore_training_state(self, checkpoint)
        self._loaded = None

    @property
    def _mesh(self) -> torch.distributed.DeviceMesh | None:
        """Processes among which the model is divided; None while it is whole."""
        return None if self.sharding is None else self.sharding.mesh

    def _restore_optimization(self, checkpoint: dict, with_schedulers: bool) -> None:
        """Restore optimizer and schedules; several optimizers of one model only without changes."""
        states = checkpoint.get('param_schedulers') or []
        if isinstance(self.optim_wrapper, OptimWrapperDict):
            if self._mesh is not None:
                raise ConfigError("strategy 'fsdp2' resumes one optimizer, the config has several")
            restore_several_optimizers(
                self.optim_wrapper, self.param_schedulers or {}, checkpoint['optimizer'], states
            )
            return
        saved = checkpoint['meta'].get('training') or {}
        restore_optimization(
            self.optim_wrapper,
            (self.param_schedulers or []) if with_schedulers else [],
            checkpoint['optimizer'],
            states,
            saved.get('kinds') or {},
            self.iter,
            self.logger,
        )
