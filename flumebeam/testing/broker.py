"""A development broker per test."""

from __future__ import annotations

from flumebeam.broker import BrokerConfig, DevelopmentBroker, running_broker

__all__ = ["BrokerConfig", "DevelopmentBroker", "running_broker"]
