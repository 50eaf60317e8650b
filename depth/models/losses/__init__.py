"""Losses on depth: pure functions and the registered modules that hold their weights."""

from .silog_loss import SILogLoss, silog_loss

__all__ = ['SILogLoss', 'silog_loss']
