"""Pictures of finished runs, each with the numbers behind it; one file each, found by their decorators."""

from .base import FIGURES, OF_RECORDS, figure_of_records, figure_of_runs

__all__ = ["FIGURES", "OF_RECORDS", "figure_of_records", "figure_of_runs"]
