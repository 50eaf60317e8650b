"""Check that all depths predicted in a test are finite."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner

from depth.integrity import check_predictions
from depth.registry import HOOKS


@HOOKS.register_module()
class FinitePredictionsHook(Hook):
    """Stop a test at the first depth that is NaN or infinite; ``DepthRunner.test`` adds it.

    The metric only sees the pixels that it scores, and a 16-bit PNG stores such a depth as 0.

    Args:
        source: File of the model's weights, for the message.

    Raises:
        ValueError: During the test; it names the image and the weights.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Check one batch."""
        check_predictions(outputs or [], self.source)
