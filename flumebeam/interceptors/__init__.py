"""Interceptors: pure functions from batch to batch that look at events, name them and pass them on."""

from flumebeam.interceptors.base import Chain, Interceptor
from flumebeam.interceptors.host import HostInterceptor
from flumebeam.interceptors.severity import SeverityInterceptor
from flumebeam.interceptors.static import StaticInterceptor
from flumebeam.interceptors.timestamp import TimestampInterceptor

__all__ = [
    "Chain",
    "HostInterceptor",
    "Interceptor",
    "SeverityInterceptor",
    "StaticInterceptor",
    "TimestampInterceptor",
]
