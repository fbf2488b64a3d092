"""Topic endpoints with the vendor's C library, which can more than its Python API shows."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from ctypes import c_char_p, c_int, c_size_t, c_uint32, c_void_p
from typing import Any

import pytest
import solace

from flumebeam.broker import DevelopmentBroker
from tests.integration.broker.test_guaranteed import send

_LIBRARY = ctypes.CDLL(solace.CORE_LIB._name, handle=solace.CORE_LIB._handle)
_ON_MESSAGE = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p)
_ON_EVENT = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_void_p)
_WAIT = 1
"""SOLCLIENT_PROVISION_FLAGS_WAITFORCONFIRM."""


class _Callback(ctypes.Structure):
    _fields_ = (("function", c_void_p), ("user", c_void_p))


class _Callbacks(ctypes.Structure):
    _fields_ = (("former", _Callback), ("event", _Callback), ("message", _Callback))


def _properties(values: dict[str, str]) -> Any:
    flat = [text.encode() for pair in values.items() for text in pair]
    return (c_char_p * (len(flat) + 1))(*flat, None)


class Endpoints:
    """What a session can do with topic endpoints."""

    def __init__(self, service: Any) -> None:
        self._session = c_void_p(getattr(service.session_pointer, "value", service.session_pointer))
        self._flows: list[c_void_p] = []
        self.received = 0
        self._on_message = _ON_MESSAGE(self._count)
        self._on_event = _ON_EVENT(lambda flow, info, user: None)

    def _count(self, flow: Any, message: Any, user: Any) -> int:
        self.received += 1
        return 0

    def provision(self, name: str, **options: str) -> int:
        wanted = {"ENDPOINT_ID": "3", "ENDPOINT_NAME": name, "ENDPOINT_DURABLE": "1", "ENDPOINT_PERMISSION": "c"}
        function = _LIBRARY.solClient_session_endpointProvision
        function.argtypes = [c_void_p, c_void_p, c_uint32, c_void_p, c_char_p, c_size_t]
        return int(function(_properties(wanted | options), self._session, _WAIT, None, None, 0))

    def deprovision(self, name: str) -> int:
        wanted = {"ENDPOINT_ID": "3", "ENDPOINT_NAME": name, "ENDPOINT_DURABLE": "1"}
        function = _LIBRARY.solClient_session_endpointDeprovision
        function.argtypes = [c_void_p, c_void_p, c_uint32, c_void_p]
        return int(function(_properties(wanted), self._session, _WAIT, None))

    def unsubscribe(self, name: str) -> int:
        function = _LIBRARY.solClient_session_dteUnsubscribe
        function.argtypes = [c_void_p, c_char_p, c_void_p]
        return int(function(self._session, name.encode(), None))

    def bind(self, name: str, topic: str) -> int:
        """Bind, to a temporary topic endpoint if there is no name; messages are acknowledged by the library."""
        wanted = {
            "FLOW_BIND_ENTITY_ID": "3",
            "FLOW_BIND_NAME": name,
            "FLOW_TOPIC": topic,
            "FLOW_BIND_ENTITY_DURABLE": "1" if name else "0",
            "FLOW_BIND_BLOCKING": "1",
            "FLOW_BIND_TIMEOUT_MS": "60000",
        }
        callbacks = _Callbacks()
        callbacks.event.function = ctypes.cast(self._on_event, c_void_p)
        callbacks.message.function = ctypes.cast(self._on_message, c_void_p)
        function = _LIBRARY.solClient_session_createFlow
        function.argtypes = [c_void_p, c_void_p, ctypes.POINTER(c_void_p), c_void_p, c_size_t]
        flow = c_void_p()
        code = int(
            function(
                _properties(wanted),
                self._session,
                ctypes.byref(flow),
                ctypes.byref(callbacks),
                ctypes.sizeof(callbacks),
            )
        )
        if code == 0:
            self._flows.append(flow)
        return code

    def close(self) -> None:
        """Unbind all flows."""
        function = _LIBRARY.solClient_flow_destroy
        function.argtypes = [ctypes.POINTER(c_void_p)]
        while self._flows:
            function(ctypes.byref(self._flows.pop()))


@pytest.fixture
def service(broker: DevelopmentBroker, connect: Callable[..., Any]) -> Any:
    return connect(broker)


@pytest.fixture
def endpoints(service: Any) -> Iterator[Endpoints]:
    made = Endpoints(service)
    yield made
    made.close()


def test_durable_topic_endpoint_keeps_messages_until_its_topic_changes(
    broker: DevelopmentBroker, service: Any, endpoints: Endpoints, eventually: Callable[..., None]
) -> None:
    assert endpoints.provision("e", ENDPOINT_RESPECTS_MSG_TTL="1", ENDPOINT_MAXMSG_REDELIVERY="3") == 0
    assert endpoints.bind("e", "a/>") == 0
    send(service, b"1", topic="a/1")
    eventually(lambda: broker.topic_endpoint("e").messages == 0 and endpoints.received == 1)
    endpoints.close()
    send(service, b"2", b"3", topic="a/1")
    assert broker.topic_endpoint("e").messages == 2
    assert endpoints.bind("e", "a/>") == 0
    eventually(lambda: endpoints.received == 3 and broker.topic_endpoint("e").messages == 0)
    endpoints.close()
    send(service, b"4", topic="a/1")
    assert endpoints.bind("e", "b") == 0

    assert broker.topic_endpoint("e").messages == 0
    assert broker.topic_endpoint("e").subscriptions == ("b",)


def test_temporary_topic_endpoint_gets_its_topic(
    service: Any, endpoints: Endpoints, eventually: Callable[..., None]
) -> None:
    assert endpoints.bind("", "a/>") == 0
    send(service, b"1", topic="a/1")

    eventually(lambda: endpoints.received == 1)


def test_topic_endpoint_is_unsubscribed_and_deleted(
    broker: DevelopmentBroker, service: Any, endpoints: Endpoints, eventually: Callable[..., None]
) -> None:
    broker.create_topic_endpoint("e", "a/>")
    send(service, b"1", topic="a/1")
    assert endpoints.unsubscribe("e") == 0
    eventually(lambda: broker.topic_endpoint("e").subscriptions == ())
    assert broker.topic_endpoint("e").messages == 0

    assert endpoints.deprovision("e") == 0
    assert endpoints.bind("e", "a/>") != 0
