"""The native library's documented C functions, with argument types of our own.

Functions that only look at a message or fill one keep the GIL. Those that send, wait or take locks inside the library
release it: a thread of the library that waits for the GIL might hold such a lock.

Handles are numbers that the library checks: one that is stale, freed or of another kind is answered with an error
(measured with solace-pubsubplus 1.11, C API 7.33). Pointers to memory are not checked.
"""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, Final

import solace

__all__ = ["OK", "Destination", "blocking_function", "message_function"]

OK: Final = 0

# Library objects of our own: argument types set on the vendor's would be seen by the vendor's code.
_KEEPS_GIL: Final = ctypes.PyDLL(solace.CORE_LIB._name, handle=solace.CORE_LIB._handle)
_RELEASES_GIL: Final = ctypes.CDLL(solace.CORE_LIB._name, handle=solace.CORE_LIB._handle)


class Destination(ctypes.Structure):
    """Where a message goes: the kind (0 is a topic) and the name."""

    _fields_ = (("type", c_int), ("name", c_char_p))


def message_function(name: str, *arguments: Any) -> Any:
    """Return a function that works on memory alone, and keeps the GIL.

    Args:
        name: What it is called behind ``solClient_``.
        arguments: Types of its arguments.

    Raises:
        AttributeError: The library has no such function.
    """
    return _bound(_KEEPS_GIL, name, arguments)


def blocking_function(name: str, *arguments: Any) -> Any:
    """Return a function that may wait, and releases the GIL; arguments as :func:`message_function`.

    Raises:
        AttributeError: The library has no such function.
    """
    return _bound(_RELEASES_GIL, name, arguments)


def _bound(library: ctypes.CDLL, name: str, arguments: tuple[Any, ...]) -> Any:
    function = getattr(library, f"solClient_{name}")
    function.argtypes, function.restype = arguments, c_int
    return function


allocate: Final = message_function("msg_alloc", c_void_p)
free: Final = message_function("msg_free", c_void_p)
set_destination: Final = message_function("msg_setDestination", c_void_p, c_void_p, c_size_t)
set_delivery_mode: Final = message_function("msg_setDeliveryMode", c_void_p, c_uint32)
set_dmq_eligible: Final = message_function("msg_setDMQEligible", c_void_p, c_int)
set_body: Final = message_function("msg_setBinaryAttachment", c_void_p, c_void_p, c_uint32)
set_application_id: Final = message_function("msg_setApplicationMessageId", c_void_p, c_char_p)
set_sender_timestamp: Final = message_function("msg_setSenderTimestamp", c_void_p, c_int64)
set_correlation_id: Final = message_function("msg_setCorrelationId", c_void_p, c_char_p)
set_priority: Final = message_function("msg_setPriority", c_void_p, c_int32)
set_time_to_live: Final = message_function("msg_setTimeToLive", c_void_p, c_int64)
set_content_type: Final = message_function("msg_setHttpContentType", c_void_p, c_char_p)
set_content_encoding: Final = message_function("msg_setHttpContentEncoding", c_void_p, c_char_p)
create_properties: Final = message_function("msg_createUserPropertyMap", c_void_p, c_void_p, c_uint32)
add_string: Final = message_function("container_addString", c_void_p, c_char_p, c_char_p)
close_container: Final = message_function("container_closeMapStream", c_void_p)
send: Final = blocking_function("transactedSession_sendMsg", c_void_p, c_void_p)
receive: Final = blocking_function("flow_receiveMsg", c_void_p, c_void_p, c_int32)
acknowledge: Final = blocking_function("flow_sendAck", c_void_p, c_uint64)
settle: Final = blocking_function("flow_settleMsg", c_void_p, c_uint64, c_int)
stop_flow: Final = blocking_function("flow_stop", c_void_p)
start_flow: Final = blocking_function("flow_start", c_void_p)
