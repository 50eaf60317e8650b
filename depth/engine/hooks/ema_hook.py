"""Moving average of the weights, also of a model whose parameters are divided over processes."""

from mmengine.hooks import EMAHook as MMEngineEMAHook
from mmengine.runner import Runner

from depth.engine.sharding import ShardingOptions, shard_model
from depth.registry import HOOKS
from depth.sharded_tensors import shard_like


@HOOKS.register_module()
class EMAHook(MMEngineEMAHook):
    """mmengine's ``EMAHook``, whose average is divided over the processes as the model is.

    Arguments as in mmengine.
    """

    _is_sharded = False

    def before_run(self, runner: Runner) -> None:
        """Copy the model, unless :meth:`shard` has."""
        if not self._is_sharded:
            super().before_run(runner)

    def shard(self, runner: Runner, options: ShardingOptions, mesh: object) -> None:
        """Copy the model, which is still whole, and divide the copy over the processes."""
        super().before_run(runner)
        shard_model(self.ema_model.module, options, mesh)
        # It held the parameters of before.
        if self.ema_model.update_buffers:
            self.ema_model.avg_parameters = self.ema_model.module.state_dict()
        else:
            self.ema_model.avg_parameters = dict(self.ema_model.module.named_parameters())
        self._is_sharded = True

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the average from a checkpoint, or start it from the checkpoint's weights."""
        if self._is_sharded:
            own = self.ema_model.module.state_dict()
            for key, prefix in (('state_dict', ''), ('ema_state_dict', 'module.')):
                for name, target in own.items():
                    state = checkpoint.get(key) or {}
                    value = state.get(f'{prefix}{name}')
                    if value is not None and value.shape == target.shape:
                        state[f'{prefix}{name}'] = shard_like(value, target)
        super().after_load_checkpoint(runner, checkpoint)
