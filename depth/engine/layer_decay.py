"""Layer-wise learning-rate decay: the optimizer's groups by the depth of the backbone's layers.

Reference: BEiT, https://arxiv.org/abs/2106.08254; ULMFiT, https://arxiv.org/abs/1801.06146
"""

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn

from depth.models.backbones.fine_tuning import parameter_layers
from depth.registry import OPTIM_WRAPPER_CONSTRUCTORS

from .param_groups import GroupingOptimWrapperConstructor


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(GroupingOptimWrapperConstructor):
    """Constructor of an optimizer whose rate falls from layer to layer of the backbone.

    With n layers in the backbone (the stem included), layer i of it, counted from 0, has the rate

        lr * layer_decay ** (n - i)

    and everything else (neck, head, norms that the backbone adds) the full rate. The other options
    of ``paramwise_cfg`` apply as well: their factors are multiplied. Frozen parameters get no
    group, and parameters of equal options share one.

    ::

        optim_wrapper = dict(
            constructor='LayerDecayConstructor',
            paramwise_cfg=dict(layer_decay=0.75, flat_decay_mult=0.0),
        )

    Args:
        optim_wrapper_cfg: Config of the optimizer wrapper, with ``optimizer``.
        paramwise_cfg: ``layer_decay``, above 0 and at most 1, and options of mmengine's
            ``DefaultOptimWrapperConstructor``.

    Raises:
        ValueError: If ``layer_decay`` or the learning rate is missing or not in its range, or the
            layers of the backbone have no order.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        decay = (paramwise_cfg or {}).get('layer_decay')
        if not isinstance(decay, int | float) or isinstance(decay, bool) or not 0 < decay <= 1:
            raise ValueError(
                'optim_wrapper.paramwise_cfg.layer_decay is a factor above 0 and at most 1, got '
                f'{decay!r}'
            )
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        if self.base_lr is None:
            raise ValueError('optim_wrapper.optimizer.lr is missing, layer_decay multiplies it')
        self.layer_decay = float(decay)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper and its optimizer for a model."""
        self.factors = self.layer_factors(model.module if is_model_wrapper(model) else model)
        wrapper = super().__call__(model)
        rates = sorted(group['lr'] for group in wrapper.optimizer.param_groups)
        print_log(
            f'layer_decay {self.layer_decay:g}: {len(rates)} groups of parameters, learning rates '
            f'{rates[0]:.3g} to {rates[-1]:.3g}',
            logger='current',
        )
        return wrapper

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add the parameters of a module, each with the rate of its layer."""
        num_before = len(params)
        super().add_params(params, module, prefix, is_dcn_module)
        own = set(module.parameters(recurse=False))
        # Those of the children have been scaled in the calls for them.
        for group in params[num_before:]:
            if group['params'][0] in own:
                factor = self.factors.get(group['params'][0], 1.0)
                group['lr'] = group.get('lr', self.base_lr) * factor

    def layer_factors(self, model: nn.Module) -> dict[nn.Parameter, float]:
        """Return the factor of the rate of each parameter in a layer of the backbone."""
        layers = parameter_layers(model.backbone)
        num_layers = max(layers.values()) + 1
        parameters = dict(model.backbone.named_parameters())
        return {
            parameters[name]: self.layer_decay ** (num_layers - layer)
            for name, layer in layers.items()
            if name in parameters
        }
