"""Kept for what still imports it from here."""

from loadtest.servers import OURS, STOCK, serving

__all__ = ["OURS", "STOCK", "serving"]
