"""What tests of flumebeam, and of programs that use it, stand on. Nothing but tests imports it."""

from __future__ import annotations

from flumebeam.testing.broker import running_broker

__all__ = ["running_broker"]
