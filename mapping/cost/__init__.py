"""What inference costs: counts, priced under a convention; times; reports."""

from mapping.cost.accounting import CONVENTIONS

__all__ = ["CONVENTIONS"]
