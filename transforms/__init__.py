"""Beam transforms. Importing any of them registers the coders of their elements."""

from __future__ import annotations

from flumebeam.transforms import coders as coders
