"""View functions: they split a batch into context, target and query."""

from worldjepa.views.temporal import FutureViews

__all__ = ["FutureViews"]
