"""Routes and colours for every tensor that moves between kernels; docs/routing.md says what is assumed."""

from wsec.compiler.routing.problem import ColouringError, RoutedLink, RoutingLink, RoutingSummary
from wsec.compiler.routing.router import route, summarize_routing

__all__ = ["ColouringError", "RoutedLink", "RoutingLink", "RoutingSummary", "route", "summarize_routing"]
