"""The development broker: an embeddable message broker that speaks SMF, for laptops, tests and demonstrations.

Not for production: a Solace broker is.
"""

from __future__ import annotations

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.acl import AclProfile, Rule, everything_but, nothing_but
from flumebeam.broker.core.profiles import ClientProfile, ClientUsername
from flumebeam.broker.core.queues import QueueStatus
from flumebeam.broker.embedded import DevelopmentBroker, running_broker
from flumebeam.broker.faults import FailCommit, Fault, LoseCommitResponse, LosePublishAck, NackPublishes

__all__ = [
    "AclProfile",
    "BrokerConfig",
    "ClientProfile",
    "ClientUsername",
    "DevelopmentBroker",
    "FailCommit",
    "Fault",
    "LoseCommitResponse",
    "LosePublishAck",
    "NackPublishes",
    "QueueStatus",
    "Rule",
    "everything_but",
    "nothing_but",
    "running_broker",
]
