"""Which pixels does a depth network need? Mask networks against frozen depth models."""

from .mask_network import MaskNetwork, show_pixels
from .study import keep_best_pixels, masked_rmse, train_mask_network

__all__ = ['MaskNetwork', 'keep_best_pixels', 'masked_rmse', 'show_pixels', 'train_mask_network']
