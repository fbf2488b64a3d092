"""Selectors: conditions in the SQL of JMS that messages have to meet."""

from flumebeam.broker.core.selectors.selector import Selector, SelectorError

__all__ = ["Selector", "SelectorError"]
