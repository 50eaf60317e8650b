"""mmengine's runner with safe checkpoints, exact resume and CPU processes."""

import copy
import functools
import socket
import time
from collections.abc import Callable
from pathlib import Path

import mmcv
import mmengine
import mmengine.runner.runner
import timm
import torch
from mmengine.device import get_device
from mmengine.dist import (
    broadcast_object_list,
    get_dist_info,
    get_rank,
    is_distributed,
    is_main_process,
    master_only,
)
from mmengine.model import MMDistributedDataParallel, is_model_wrapper, revert_sync_batchnorm
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from timm.layers import convert_sync_batchnorm
from torch import nn
from torch.utils.data import DataLoader

import depth
from depth.atomic_write import write_atomically
from depth.registry import RUNNERS

from .batch_size import batch_size_of
from .checkpoint import (
    from_plain,
    load_checkpoint_file,
    load_model_state,
    save_atomically,
    to_plain,
)
from .distributed import init_cpu_process_group
from .hooks import TerminationHook
from .hooks.finite_predictions_hook import FinitePredictionsHook
from .loops import ResumableIterLoop, get_random_state
from .message_hub import DeferredMessageHub
from .resume import optimization_kinds, restore_optimization
from .speed import compile_method, recompute_activations, speed_up_inference, use_channels_last
from .stored_config import config_to_data
from .work_dir import (
    RUN_FILE,
    TrainingRun,
    check_resumable,
    new_run_id,
    open_run,
    remove_leftovers,
    section_digests,
)
from .work_dir_lock import WorkDirLock

# mmengine's own leaves a part without gradients if its input has none, as images have, and counts batches twice.
mmengine.runner.runner.turn_on_activation_checkpointing = recompute_activations


@RUNNERS.register_module()
class DepthRunner(Runner):
    """Runner whose checkpoints hold only tensors and plain values and are never half-written.

    A checkpoint carries the config, the data set's meta, the depth range and the versions of what made it. A resumed
    run continues exactly: random states, log smoothing and the place in the data are restored.
    """

    training_random_state: dict | None = None  # set by the loop while something else uses random numbers
    training_run: TrainingRun | None = None  # identity of the run, while it trains
    stop_signal: int = 0  # number of the signal that asked the training to end
    exit_code: int = 0  # for the shell: not 0 if a signal ended an incomplete training
    _lock: WorkDirLock | None = None  # of the main process, while it trains

    def setup_env(self, env_cfg: dict) -> None:
        """Start gloo processes where there is no GPU and set TF32 if the config does; otherwise as mmengine does.

        Raises:
            ValueError: If ``env_cfg.tf32`` is neither a bool nor None.
        """
        if self.distributed and not is_distributed() and not torch.cuda.is_available():
            init_cpu_process_group(self.launcher)
        tf32 = env_cfg.get('tf32')
        if tf32 is not None:
            if not isinstance(tf32, bool):
                raise ValueError(f'env_cfg.tf32 is True, False or None (as PyTorch has it), got {tf32!r}')
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        super().setup_env(env_cfg)

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model, in channels-last order if the config says so."""
        model = super().build_model(model)
        if self.cfg.get('channels_last'):
            use_channels_last(model)
        return model

    def _maybe_compile(self, target: str) -> None:
        """Compile the losses, which are one graph; mmengine would compile the step around them, hooks and all."""
        compile_method(self._plain_model(), 'loss', self.cfg.get('compile'))

    def train(self) -> nn.Module:
        """Train in a work dir that nobody else trains in; the log says first how many images a step has.

        Raises:
            WorkDirInUseError: If another training holds the work dir.
        """
        self.stop_signal = self.exit_code = 0
        try:
            self._open_work_dir()
            if self.cfg.get('train_dataloader') and self.cfg.get('optim_wrapper'):
                self.logger.info(batch_size_of(self.cfg, self.world_size).describe())
            return super().train()
        finally:
            for hook in self.hooks:
                if isinstance(hook, TerminationHook):
                    hook.stop_listening()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _open_work_dir(self) -> None:
        """Lock the work dir, decide which run it belongs to, and what is read at the start; by the main process."""
        start = TrainingRun(
            work_dir=Path(self.work_dir),
            id=new_run_id(),
            config=Path(self.cfg.filename or f'{self.timestamp}.py').name,
            sections=section_digests(self.cfg.to_dict()),
            host=socket.gethostname(),
            starts=[self.timestamp],
        )
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
        self._resume = self._resume and self._load_from is not None
        self._write_config()

    def dump_config(self) -> None:
        """Do nothing: a run that may not have the work dir must not write into it; see :meth:`_write_config`."""

    @master_only
    def _write_config(self) -> None:
        """Write the config into the work dir."""
        name = Path(self.cfg.filename).name if self.cfg.filename else f'{self.timestamp}.py'
        write_atomically(Path(self.work_dir, name), self.cfg.pretty_text)

    def test(self) -> dict:
        """Test, with the switches of ``inference`` in the config."""
        if not Path(self.work_dir, RUN_FILE).exists():  # or the folder has the config of its training
            self._write_config()
        speed_up_inference(self._plain_model(), self.cfg.get('inference'))
        self.register_hook(FinitePredictionsHook(str(self._load_from or 'the trained model')), priority='VERY_HIGH')
        return super().test()

    def build_message_hub(self, message_hub: dict | None = None) -> DeferredMessageHub:
        """Build the store of logged values; those on a device stay there until they are read."""
        return DeferredMessageHub.get_instance(**dict(dict(name=self._experiment_name), **(message_hub or {})))

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes; on CPU without device ids and with plain BatchNorm.

        Raises:
            ValueError: If ``sync_bn`` of the config is neither ``'torch'`` nor None.
        """
        if not self.distributed or is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        if torch.cuda.is_available():
            return self._wrap_on_gpus(model_wrapper_cfg, model)
        if self.cfg.get('sync_bn'):
            self.logger.info('sync_bn is left out: synchronised BatchNorm needs GPUs, each process uses its own batch')
        options = dict(broadcast_buffers=False, find_unused_parameters=self.cfg.get('find_unused_parameters', False))
        options |= {key: value for key, value in (model_wrapper_cfg or {}).items() if key not in ('type', 'device_ids')}
        return MMDistributedDataParallel(module=revert_sync_batchnorm(model.to(get_device())), **options)

    def _wrap_on_gpus(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Synchronise BatchNorms if the config says so, then wrap as mmengine does.

        mmengine's own conversion would lose the activation that timm's norms of EfficientNet and others carry.
        """
        sync_bn = self.cfg.get('sync_bn')
        if sync_bn is None:
            return super().wrap_model(model_wrapper_cfg, model)
        if sync_bn != 'torch':
            raise ValueError(f"sync_bn is 'torch' or None, got {sync_bn!r}")
        self.cfg.sync_bn = None
        try:
            return super().wrap_model(model_wrapper_cfg, convert_sync_batchnorm(model))
        finally:
            self.cfg.sync_bn = sync_bn

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, *args, **kwargs) -> DataLoader:
        """Build a data loader.

        A sampler that needs the batch size is told it, workers keep to one thread, and where there is a GPU batches
        come in page-locked memory unless the config says otherwise.
        """
        if isinstance(dataloader, dict):
            dataloader = copy.deepcopy(dataloader)
            sampler = dataloader.get('sampler')
            if isinstance(sampler, dict) and sampler.get('type') == 'ResumableInfiniteSampler':
                sampler.setdefault('batch_size', dataloader.get('batch_size', 1))
            dataloader.setdefault('pin_memory', torch.cuda.is_available())
            if dataloader.get('num_workers', 0) == 0:
                dataloader['persistent_workers'] = False
        loader = Runner.build_dataloader(dataloader, *args, **kwargs)
        if isinstance(dataloader, dict):
            from depth.datasets.workers import prepare_runner_worker

            loader.worker_init_fn = functools.partial(prepare_runner_worker, then=loader.worker_init_fn)
        return loader

    def build_param_scheduler(self, scheduler: dict | list) -> list:
        """Build the schedulers; those that do not say ``by_epoch`` count iterations, as the training loop does.

        mmengine would count epochs, of which an iteration-based run has one, and end the schedule with the first.
        """
        if isinstance(scheduler, dict) and 'type' in scheduler:
            scheduler = [scheduler]
        if isinstance(scheduler, list):
            scheduler = [dict(dict(by_epoch=False), **item) if isinstance(item, dict) else item for item in scheduler]
        return super().build_param_scheduler(scheduler)

    def collect_random_states(self) -> None:
        """Gather every process's random state; to be called by all of them before a checkpoint is saved."""
        state = self.training_random_state or get_random_state()
        self.random_states = [state]
        if is_distributed():
            self.random_states = [None] * get_dist_info()[1]
            torch.distributed.all_gather_object(self.random_states, state)

    @master_only
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

        Args:
            out_dir: Folder.
            filename: Name of the file.
            file_client_args: Not used; checkpoints are written to a file system.
            save_optimizer: Save what a resume needs of the optimizer.
            save_param_scheduler: Save the schedulers' state.
            meta: ``epoch`` and ``iter`` if they are not the current ones.
            by_epoch: Whether the step counts epochs.
            backend_args: Not used.
        """
        checkpoint = dict(
            meta=self._checkpoint_meta(meta or {}, by_epoch),
            state_dict=self._plain_model().state_dict(),
            message_hub=self.message_hub.state_dict(),
        )
        if save_optimizer:
            checkpoint['optimizer'] = self.optim_wrapper.state_dict()
            checkpoint['accumulated_grads'] = self._accumulated_grads(checkpoint['meta']['iter'])
            checkpoint['random_states'] = getattr(self, 'random_states', [get_random_state()])
        if save_param_scheduler and self.param_schedulers is not None:
            checkpoint['param_schedulers'] = [scheduler.state_dict() for scheduler in self.param_schedulers]
        self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        if self._lock is not None:
            self._lock.check_held()
        if self.training_run is not None:
            self.training_run.add_checkpoint(filename)
        save_atomically(to_plain(checkpoint), Path(out_dir, filename))

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
        checkpoint = from_plain(load_checkpoint_file(filename, map_location=map_location))
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        strict = self.cfg.get('load_strict', True) if strict is None else strict
        load_model_state(self._plain_model(), checkpoint.get('state_dict', checkpoint), filename, strict=strict)
        self._has_loaded = True
        self._loaded = checkpoint
        self.logger.info(f'loaded {filename}')
        return checkpoint

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str | Callable = 'default',
    ) -> None:
        """Continue a run from its checkpoint; what the config has changed since is said and holds.

        Raises:
            ValueError: If the file holds weights only, as best checkpoints do.
        """
        super().resume(filename, False, False, map_location)
        checkpoint = self._loaded
        check_resumable(checkpoint, filename)
        saved = checkpoint['meta'].get('training') or {}
        if resume_optimizer:
            self._restore_optimization(checkpoint, saved.get('kinds') or {}, resume_param_scheduler)
        self._restore_place_in_data(saved)
        states = checkpoint.get('random_states') or []
        if get_rank() < len(states):
            self.train_loop.random_state = states[get_rank()]
        if states and len(states) != get_dist_info()[1]:
            self.logger.warning(
                f'resume: {len(states)} processes wrote the checkpoint, {get_dist_info()[1]} go on; random numbers '
                'differ from those of an uninterrupted run'
            )
        sampler = self.train_dataloader.sampler
        if hasattr(sampler, 'seed') and 'sampler_seed' in checkpoint['meta']:
            sampler.seed = checkpoint['meta']['sampler_seed']
        self._restore_accumulated_grads(checkpoint.get('accumulated_grads') or {})
        self._loaded = None

    def _restore_optimization(self, checkpoint: dict, kinds: dict, with_schedulers: bool) -> None:
        """Continue optimizer and schedules; several optimizers of one model go on unchanged only."""
        if isinstance(self.optim_wrapper, OptimWrapperDict):
            self.optim_wrapper.load_state_dict(checkpoint['optimizer'])
            for name, schedulers in (self.param_schedulers or {}).items():
                for scheduler, state in zip(schedulers, checkpoint['param_schedulers'][name], strict=True):
                    scheduler.load_state_dict(state)
            return
        schedulers = (self.param_schedulers or []) if with_schedulers else []
        states = checkpoint.get('param_schedulers') or []
        restore_optimization(
            self.optim_wrapper, schedulers, checkpoint['optimizer'], states, kinds, self.iter, self.logger
        )

    def _restore_place_in_data(self, saved: dict) -> None:
        """Go on after the last sample that was seen, also with another batch size or number of processes."""
        batch, processes = self.train_dataloader.batch_size, get_dist_info()[1]
        before = saved.get('batch_size', batch), saved.get('processes', processes)
        if before != (batch, processes):
            self.logger.warning(
                f'resume: {before[1]} processes x {before[0]} images a step before, {processes} x {batch} now; the '
                f'data goes on after the {saved.get("samples")} samples seen, max_iters and schedules still count '
                'iterations'
            )
        if isinstance(self.train_loop, ResumableIterLoop):
            self.train_loop.resume_at(saved.get('samples'))

    def _training_meta(self, iteration: int) -> dict:
        """Return what a resume compares with its config."""
        meta = dict(batch_size=self.train_dataloader.batch_size, processes=get_dist_info()[1])
        if isinstance(self.train_loop, ResumableIterLoop):
            meta['samples'] = self.train_loop.position(iteration)
        if isinstance(self.optim_wrapper, OptimWrapper):
            meta['kinds'] = optimization_kinds(self.optim_wrapper, self.param_schedulers or [])
        return meta

    def _plain_model(self) -> nn.Module:
        return self.model.module if is_model_wrapper(self.model) else self.model

    def _checkpoint_meta(self, meta: dict, by_epoch: bool) -> dict:
        head = getattr(self._plain_model(), 'decode_head', None)
        dataset_meta = getattr(self.train_dataloader.dataset, 'metainfo', None)
        defaults = dict(
            epoch=self.epoch + int(by_epoch),
            iter=self.iter + int(not by_epoch),
            cfg=config_to_data(self.cfg),
            seed=self.seed,
            sampler_seed=getattr(self.train_dataloader.sampler, 'seed', None),
            experiment_name=self.experiment_name,
            time=time.strftime('%Y%m%d_%H%M%S', time.localtime()),
            dataset_meta=dataset_meta,
            depth_range=[getattr(head, 'min_depth', None), getattr(head, 'max_depth', None)],
            versions=dict(
                depth=depth.__version__,
                torch=torch.__version__,
                timm=timm.__version__,
                mmengine=mmengine.__version__,
                mmcv=mmcv.__version__,
            ),
        )
        defaults['run_id'] = self.training_run.id if self.training_run is not None else None
        defaults['training'] = self._training_meta((defaults | meta)['iter'])
        return defaults | meta

    def _accumulated_grads(self, iteration: int) -> dict[str, torch.Tensor]:
        """Return the gradients of a window of gradient accumulation that the checkpoint cuts."""
        counts = getattr(self.optim_wrapper, '_accumulative_counts', 1)
        if iteration % counts == 0:
            return {}
        parameters = self._plain_model().named_parameters()
        return {name: parameter.grad for name, parameter in parameters if parameter.grad is not None}

    def _restore_accumulated_grads(self, grads: dict[str, torch.Tensor]) -> None:
        for name, parameter in self._plain_model().named_parameters():
            if name in grads:
                parameter.grad = grads[name].to(parameter.device)
