"""One client connection as the core sees it: what it may do, owns, and has to be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flumebeam.broker.core.states import CONNECTION, ConnectionState, after
from flumebeam.broker.core.traffic import Traffic
from flumebeam.smf.messages import AnyMessage
from flumebeam.smf.pubmsg import MessageReader, MessageTemplate, encode_direct
from flumebeam.smf.stream import FrameReader
from flumebeam.smf.values import Response

if TYPE_CHECKING:
    from flumebeam.broker.config import BrokerConfig
    from flumebeam.broker.core.acl import TopicAccess
    from flumebeam.broker.core.flows import Browser, ConsumerFlow
    from flumebeam.broker.core.profiles import ClientProfile, ClientUsername
    from flumebeam.broker.core.publishers import PublisherFlow
    from flumebeam.broker.core.queues import Queue
    from flumebeam.broker.core.transactions import TransactedSession
    from flumebeam.broker.core.vpn import Vpn

__all__ = ["MESSAGE_OVERHEAD", "Connection", "ConnectionState"]

_LOGGED_IN: Final = ConnectionState.LOGGED_IN
"""Asked for with each message: looking a member up in its enumeration costs more than the comparison."""
MESSAGE_OVERHEAD: Final = 128
"""Bytes of a message beyond its body, roughly: keeps small ones from filling the output without being counted."""


class Connection:
    """State of one client connection. The shell moves bytes, the engine changes the rest.

    Args:
        config: Limits.
        vpn: Where it counts before it has logged in.
        now: Time of its beginning, seconds of any clock.
        peer: Address of the client, for people.
    """

    def __init__(self, config: BrokerConfig, vpn: Vpn, now: float, peer: str) -> None:
        self.peer = peer
        self.state = ConnectionState.CONNECTED
        self.vpn = vpn
        """The message VPN of its client; which one says nothing before it has logged in."""
        self.client_name = ""
        self.username = ""
        self.user: ClientUsername
        """How its username is set up; from the login on, as is what follows."""
        self.profile: ClientProfile
        self.publishing: TopicAccess | None = None
        """What it may publish on; None allows all topics, as does what follows."""
        self.subscribing: TopicAccess | None = None
        self.sharing: TopicAccess | None = None
        """What names its shared subscriptions may have."""
        self.refusal: Response | None = None
        """Why nobody can log in at the address that it came to, if that is so."""
        self.certified_name: str | None = None
        """Common name of the client certificate that the shell has verified, if there was one."""
        self.ends_tls = False
        """Whether the client may end TLS after its login and go on in plain text."""
        self.inbox = ""
        self.description = self.software = self.platform = ""
        """What the client says about itself."""
        self.opened_at = self.heard_at = now
        self.silence_limit = config.login_timeout_seconds
        self.reader = FrameReader(config.max_login_bytes)
        self.messages = MessageReader()
        self.output: list[bytes] = []
        """Parts of frames to be written in one go; only complete frames are ever in it."""
        self.portion = 0
        """The portion of the journal that the output leans on: it may be written when that one is durable."""
        self.delivery_room = config.delivery_batch_bytes
        self.writable = True
        """Whether the client keeps up with reading; the shell says so."""
        self.no_local = False
        """Whether it is not to get its own direct messages."""
        self.starved = False
        """Whether a queue had more for this connection than it could take."""
        self.discarding = False
        """Whether direct messages were discarded since the last one sent."""
        self.traffic = Traffic()
        self.publishers: dict[int, PublisherFlow] = {}
        self.consumers: dict[int, ConsumerFlow | Browser] = {}
        self.others_only: set[ConsumerFlow] = set()
        """Flows of its own that are not to get what it publishes."""
        self.sessions: dict[int, TransactedSession] = {}
        self.acks_due: dict[PublisherFlow, None] = {}
        """Publisher flows whose position is to be acknowledged at the end of the event being handled."""
        self.subscriptions: set[str] = set()
        self._delivery_batch_bytes = config.delivery_batch_bytes
        self._pending = vpn.host.pending
        self._portions = vpn.host.portions

    @property
    def has_inbox(self) -> bool:
        """Whether it has subscribed to its inbox, which no limit counts."""
        return f"{self.inbox}/>" in self.subscriptions

    @property
    def closed_to_it(self) -> frozenset[Queue]:
        """Queues that do not take its messages, because it has an active flow there that does not want them."""
        return frozenset(flow.queue for flow in self.others_only if flow.is_active)

    @property
    def accepts_deliveries(self) -> bool:
        """Whether deliveries may be added to the output now; asking in vain is remembered in ``starved``."""
        if self.writable and self.delivery_room > 0 and self.state is _LOGGED_IN:
            return True
        self.starved = True
        return False

    def spend(self, room: int, portion: int | None = None) -> None:
        """Note what room deliveries have left in the output, and which portion of the journal they lean on.

        Args:
            room: Bytes.
            portion: Its number; None for all that has happened so far.
        """
        self.delivery_room = room
        self.lean(portion)

    def lean(self, portion: int | None = None) -> None:
        """Have the shell look at it; what it finds is done when a portion of the journal is durable (None: all)."""
        if portion is None:
            self.portion = self._portions.current
        elif portion > self.portion:
            self.portion = portion
        self._pending.add(self)

    def come_back(self) -> None:
        """Have the shell come back for more when others have had their turn."""
        self.starved = True
        self.lean()

    def send(self, message: AnyMessage) -> None:
        """Add a message to the output."""
        self.output.append(message.encode())
        self.lean()

    def send_direct(self, template: MessageTemplate, summary: bytes, body: bytes) -> None:
        """Add a direct message to the output, or discard it if the client does not keep up."""
        if not self.accepts_deliveries:
            self.discarding = True
            self.traffic.discarded += 1
            return
        self.output += encode_direct(template, summary, body, self.discarding)
        self.discarding = False
        self.traffic.delivered += 1
        self.spend(self.delivery_room - len(body) - MESSAGE_OVERHEAD)

    @property
    def staged(self) -> int:
        """How many messages its largest open transaction has published so far."""
        return max((session.pending for session in self.sessions.values()), default=0)

    def take_output(self) -> bytes:
        """Return what is to be written."""
        data = b"".join(self.output)
        self.output.clear()
        self.portion = 0
        self.traffic.delivered_bytes += len(data)
        return data

    def make_room(self) -> None:
        """Note that what was taken has been written: as much may be delivered again."""
        self.delivery_room = self._delivery_batch_bytes

    def advance(self, event: str) -> None:
        """Go where the table of states leads."""
        self.state = after(CONNECTION, self.state, event)

    def break_off(self) -> None:
        """Ask the shell to close the connection without what is in the output."""
        self.output.clear()
        self.close()

    def close(self) -> None:
        """Ask the shell to close the connection once the output is written."""
        self.advance("closed")
        self.lean()
