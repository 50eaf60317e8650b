"""Parameter groups of an optimizer: built with one group for each set of options, and restored.

mmengine makes a group of every parameter as soon as ``paramwise_cfg`` is given. An optimizer then
launches its kernels hundreds of times a step where two or three times would do.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIMIZERS
from torch import nn
from torch.optim import Optimizer

from depth.registry import OPTIM_WRAPPER_CONSTRUCTORS

# Factors from which mmengine has computed the options; optimizers do not read them.
_FACTORS = frozenset({'lr_mult', 'decay_mult'})
# Options that belong to the machine and not to the recipe.
IMPLEMENTATION = frozenset({'fused', 'foreach', 'capturable'})


class FusingOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, whose optimizer is fused on a GPU.

    That is, where its class can be, unless the config gives ``fused`` or ``foreach``.
    """

    FUSED_ON = ('cuda',)  # types of the devices of the parameters

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper and its optimizer for a model."""
        device = next(model.parameters()).device.type
        if device in self.FUSED_ON and not {'fused', 'foreach'} & self.optimizer_cfg.keys():
            optimizer_class = self.optimizer_cfg['type']
            if isinstance(optimizer_class, str):
                with OPTIMIZERS.switch_scope_and_registry(None) as registry:
                    optimizer_class = registry.get(optimizer_class)
            if 'fused' in inspect.signature(optimizer_class).parameters:
                self.optimizer_cfg['fused'] = True
        return super().__call__(model)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupingOptimWrapperConstructor(FusingOptimWrapperConstructor):
    """mmengine's constructor, with one parameter group for each set of equal options.

    On a GPU the optimizer is fused.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper and its optimizer for a model."""
        self._ungrouped_numbers: list[int] = []
        wrapper = super().__call__(model)
        wrapper.ungrouped_numbers = self._ungrouped_numbers
        return wrapper

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add the parameters of ``module`` as mmengine does; the whole model's are grouped."""
        if prefix and not any(parameter.requires_grad for parameter in module.parameters()):
            return  # mmengine would warn of every frozen parameter
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:  # mmengine calls this for every submodule
            return
        defaults = {'lr': self.base_lr, 'weight_decay': self.base_wd}
        defaults = {name: value for name, value in defaults.items() if value is not None}
        merged: dict[tuple, dict] = {}
        numbers: dict[tuple, list[int]] = {}
        for number, group in enumerate(params):
            options = defaults | group
            for name in ('params', *_FACTORS):
                options.pop(name, None)
            key = tuple(sorted((name, repr(value)) for name, value in options.items()))
            merged.setdefault(key, dict(options, params=[]))['params'] += group['params']
            numbers.setdefault(key, []).append(number)
        params[:] = merged.values()
        self._ungrouped_numbers = [number for group in numbers.values() for number in group]


def regroup_saved_state(
    optimizer: Optimizer,
    ungrouped_numbers: Sequence[int],
    saved: Mapping[str, Any],
    saved_schedulers: Sequence[Mapping[str, Any]],
) -> tuple[dict, list[dict]]:
    """Return a checkpoint's optimizer and schedules in the present parameter groups.

    A state with one group for each parameter, as checkpoints of older versions have it, is merged
    like the groups of the optimizer; of options that differ within a group, the first counts. Any
    other state keeps its groups. The implementation (fused or not) is always the present one.

    Args:
        optimizer: The optimizer that continues.
        ungrouped_numbers: Number of each of its parameters in the order of mmengine's groups.
        saved: State of the checkpoint's optimizer wrapper.
        saved_schedulers: States of its schedules.
    """
    groups = [dict(group) for group in saved.get('param_groups', [])]
    states = [dict(state) for state in saved_schedulers]
    result = dict(saved, param_groups=groups)
    has_one_each = all(len(group['params']) == 1 for group in groups)
    if has_one_each and len(groups) == len(ungrouped_numbers) > len(optimizer.param_groups):
        firsts = []
        begin = 0
        for group in optimizer.param_groups:
            firsts.append(ungrouped_numbers[begin])
            begin += len(group['params'])
        result['param_groups'] = _merged_groups(optimizer, groups, firsts)
        result['state'] = {}
        for number, ungrouped in enumerate(ungrouped_numbers):
            old_number = groups[ungrouped]['params'][0]
            if old_number in saved['state']:
                result['state'][number] = saved['state'][old_number]
        for state in states:
            for name in ('base_values', '_last_value'):
                values = state[name]
                # A value more belongs to the group of mmengine's base_param_settings.
                state[name] = [values[first] for first in firsts] + values[len(groups) :]
    for group, present in zip(result['param_groups'], optimizer.param_groups, strict=False):
        for name in IMPLEMENTATION & present.keys():
            group[name] = present[name]
    return result, states


def _merged_groups(optimizer: Optimizer, groups: list[dict], firsts: list[int]) -> list[dict]:
    """Return the options of the groups numbered ``firsts``, with the parameters' new numbers."""
    merged = []
    begin = 0
    for group, first in zip(optimizer.param_groups, firsts, strict=True):
        options = {name: value for name, value in groups[first].items() if name not in _FACTORS}
        end = begin + len(group['params'])
        merged.append(options | dict(params=list(range(begin, end))))
        begin = end
    return merged
