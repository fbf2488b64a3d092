"""The development broker: an embeddable message broker that speaks SMF, for laptops, tests and demonstrations.

Not for production: a Solace broker is.
"""

from __future__ import annotations

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.acl import AclProfile, Rule, everything_but, nothing_but
from flumebeam.broker.core.profiles import ClientProfile, ClientUsername
from flumebeam.broker.core.queue_status import QueueStatus
from flumebeam.broker.embedded import DevelopmentBroker, running_broker
from flumebeam.broker.fault_texts import parse_fault
from flumebeam.broker.faults import (
    AcceptUnknownSession,
    ActivateDr,
    Crash,
    CutAfterCommit,
    CutAfterPublishes,
    CutConnections,
    CutInFrame,
    DelayAnswer,
    DuplicateAnswer,
    FailCommit,
    FailOver,
    Fault,
    FreezeConnections,
    LoseBindResponse,
    LoseCommitResponse,
    LosePublishAck,
    LoseRollbackResponse,
    NackPublishes,
    RefuseLogins,
    Restart,
    SlowConnections,
)

__all__ = [
    "AcceptUnknownSession",
    "AclProfile",
    "ActivateDr",
    "BrokerConfig",
    "ClientProfile",
    "ClientUsername",
    "Crash",
    "CutAfterCommit",
    "CutAfterPublishes",
    "CutConnections",
    "CutInFrame",
    "DelayAnswer",
    "DevelopmentBroker",
    "DuplicateAnswer",
    "FailCommit",
    "FailOver",
    "Fault",
    "FreezeConnections",
    "LoseBindResponse",
    "LoseCommitResponse",
    "LosePublishAck",
    "LoseRollbackResponse",
    "NackPublishes",
    "QueueStatus",
    "RefuseLogins",
    "Restart",
    "Rule",
    "SlowConnections",
    "everything_but",
    "nothing_but",
    "parse_fault",
    "running_broker",
]
