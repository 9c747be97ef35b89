"""Pictures of finished runs, each with the numbers behind it; one file each, found by their decorators."""

from .base import FIGURES, figure_of_records, figure_of_runs

__all__ = ["FIGURES", "figure_of_records", "figure_of_runs"]
