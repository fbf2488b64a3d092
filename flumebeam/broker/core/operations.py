"""What a program may do with a whole broker: message VPNs, queues and topic endpoints by name, errors in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from flumebeam.broker.core.access import all_setup, drop_setup, has_profiles, initial_setup, put_setup
from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.host import Host
from flumebeam.broker.core.profiles import ClientUsername, Setup
from flumebeam.broker.core.provisioning import subscribe_queue
from flumebeam.broker.core.queue_status import QueueStatus
from flumebeam.broker.core.replaying import start_replay
from flumebeam.broker.core.responses import OK
from flumebeam.broker.core.setting_up import find_queue, find_topic_endpoint, set_up_queue, set_up_topic_endpoint
from flumebeam.broker.core.vpn import Vpn, VpnSettings
from flumebeam.broker.core.vpns import configure_vpn, create_vpn, delete_vpn, invalid_vpn_name
from flumebeam.errors import ConfigurationError, QueueError
from flumebeam.smf.assuredctrl import ReplayStart

__all__ = ["Operations"]


class Operations:
    """The message VPNs of a broker, and what a program may set up in them.

    Args:
        host: All message VPNs.
        vpn: The one of the configuration, which is always there.
    """

    def __init__(self, host: Host, vpn: Vpn) -> None:
        self._host = host
        self._vpn = vpn

    @property
    def host(self) -> Host:
        """All message VPNs, for administration: whoever changes them calls :meth:`settle` and has output flushed."""
        return self._host

    @property
    def vpn(self) -> Vpn:
        """The message VPN of the configuration, which is always there."""
        return self._vpn

    def settle(self) -> None:
        """Deliver what an administrator's change has made deliverable."""
        for vpn in self._host.vpns.values():
            vpn.settle()

    def copy_setup(self, former: Operations) -> None:
        """Take over what is set up in another broker, administrators to durable queues, without messages."""
        for value in former._host.settings.all():
            self._host.put_setting(value)
        for name in self._host.vpns.keys() - former._host.vpns.keys():
            delete_vpn(self._host.vpns[name])
        for name, source in former._host.vpns.items():
            vpn = self._host.vpns.get(name)
            if vpn is None:
                vpn = create_vpn(self._host, name, source.settings, all_setup(source), source.now)
            else:
                if vpn.settings != source.settings:
                    configure_vpn(vpn, source.settings)
                _copy_setup(vpn, source)
            for queue in source.queues.values():
                if queue.durable:
                    copy = vpn.add_queue(
                        queue.name, queue.access, queue.owner, queue.permission, settings=queue.settings
                    )
                    for topic in queue.subscriptions:
                        subscribe_queue(vpn, copy, topic)
            if source.log is not None:
                vpn.put_log(source.log.log_name, source.log.settings)

    def create_vpn(self, name: str, users: Mapping[str, str | None]) -> None:
        """Create a message VPN.

        Args:
            name: 1 to 32 bytes.
            users: Client usernames and their passwords; None accepts any password.

        Raises:
            ConfigurationError: The name is not valid, or in use.
        """
        if invalid_vpn_name(name):
            raise ConfigurationError(
                f"{name!r} cannot be the name of a message VPN: it needs 1 to 32 bytes, no * or ?."
            )
        if name in self._host.vpns:
            raise ConfigurationError(f"There is a message VPN {name} already; choose another name.")
        if len(self._host.vpns) >= self._host.config.max_vpns:
            raise ConfigurationError(f"The broker has {len(self._host.vpns)} message VPNs already; raise max_vpns.")
        settings = VpnSettings.of(self._host.config)
        create_vpn(self._host, name, settings, initial_setup(self._host.config, users), self._vpn.now)

    def delete_vpn(self, name: str) -> None:
        """Delete a message VPN with all that is in it, and disconnect its clients.

        Raises:
            ConfigurationError: There is none of this name, or it is the one of the configuration.
        """
        vpn = self._find_vpn(name)
        if vpn is self._vpn:
            raise ConfigurationError(f"The message VPN {name} is the broker's first one, which cannot be deleted.")
        delete_vpn(vpn)

    def configure(self, values: Iterable[Setup], vpn: str | None = None) -> None:
        """Add or replace client usernames and profiles.

        Raises:
            ConfigurationError: There is no such message VPN, or a username has a profile that is not there.
        """
        home = self._find_vpn(vpn)
        for value in values:
            if isinstance(value, ClientUsername) and not has_profiles(home, value):
                raise ConfigurationError(f"Client username {value.name} has a profile that is not there; add it first.")
            put_setup(home, value)

    def _find_vpn(self, name: str | None) -> Vpn:
        vpn = self._vpn if name is None else self._host.vpns.get(name)
        if vpn is None:
            raise ConfigurationError(f"There is no message VPN {name}; create it first.")
        return vpn

    def clients(self, vpn: str | None = None) -> dict[str, Connection]:
        """Return the connections by client name.

        Args:
            vpn: Name of the message VPN, here as in what follows; None is the one of the configuration.
        """
        return self._find_vpn(vpn).clients

    def create_queue(
        self,
        name: str,
        access: str,
        subscriptions: Iterable[str],
        owner: str | None = None,
        permission: str = "delete",
        vpn: str | None = None,
        **settings: Any,
    ) -> None:
        """Create a durable queue, or add subscriptions to one that exists.

        Args:
            name: 1 to 200 bytes.
            access: ``"exclusive"`` or ``"non-exclusive"``.
            subscriptions: Topics that feed it.
            owner: Username that may do everything with it.
            permission: What others may do: ``"no-access"``, ``"read-only"``, ``"consume"``, ``"modify-topic"`` or
                ``"delete"``, each including those before it.
            vpn: Name of the message VPN.
            **settings: Fields of :class:`QueueSettings`, by default as the broker's options have them.

        Raises:
            ConfigurationError: The name, the access type, the permission, the message VPN, a setting or a subscription
                is not valid.
            QueueError: The queue exists with another access type, or there are too many.
        """
        home = self._find_vpn(vpn)
        queue = set_up_queue(home, name, access, owner, permission, settings)
        for topic in subscriptions:
            response = subscribe_queue(home, queue, topic)
            if response is not OK and topic not in queue.subscriptions:
                raise ConfigurationError(f"Queue {name} cannot subscribe to {topic!r}: {response.text}.")

    def delete_queue(self, name: str, vpn: str | None = None) -> None:
        """Delete a queue with all that is in it, and unbind its consumers.

        Raises:
            QueueError: There is no such queue.
        """
        home = self._find_vpn(vpn)
        home.remove_queue(find_queue(home, name))
        home.settle()

    def put_replay_log(self, max_bytes: int, name: str = "replay", vpn: str | None = None) -> None:
        """Create or change the replay log of a message VPN.

        Args:
            max_bytes: Bodies that it holds; beyond it the oldest go.
            name: Its name, if it is not there yet.
            vpn: Name of the message VPN.

        Raises:
            ConfigurationError: There is no such message VPN, or the limit is not above 0.
        """
        if max_bytes <= 0:
            raise ConfigurationError(f"A replay log cannot hold {max_bytes} bytes; give it more than 0.")
        home = self._find_vpn(vpn)
        home.put_log(name, replace(home.default_settings(), max_bytes=max_bytes))
        home.settle()

    def start_replay(self, queue: str, start: ReplayStart, vpn: str | None = None) -> None:
        """Empty a queue, and give it what the replay log has for it.

        Args:
            queue: Name of the queue.
            start: From where on.
            vpn: Name of the message VPN.

        Raises:
            ConfigurationError: There is no such message VPN.
            QueueError: There is no such queue, or it cannot be given a replay.
        """
        home = self._find_vpn(vpn)
        target = find_queue(home, queue)
        response = start_replay(home, target, start)
        if response is not OK:
            raise QueueError(f"Queue {queue} cannot be given a replay: {response.text}.")
        home.settle()

    def queues(self, vpn: str | None = None) -> tuple[QueueStatus, ...]:
        """Return the status of all queues, by name."""
        queues = sorted(self._find_vpn(vpn).queues.items())
        return tuple(queue.status() for _, queue in queues if not queue.is_topic_endpoint)

    def queue(self, name: str, vpn: str | None = None) -> QueueStatus:
        """Return the status of a queue.

        Raises:
            QueueError: There is no such queue.
        """
        return find_queue(self._find_vpn(vpn), name).status()

    def create_topic_endpoint(
        self,
        name: str,
        access: str,
        topic: str | None,
        owner: str | None = None,
        permission: str = "delete",
        vpn: str | None = None,
        **settings: Any,
    ) -> None:
        """Create a durable topic endpoint, or let one that exists be fed by a topic.

        Args:
            name: 1 to 200 bytes.
            access: ``"exclusive"`` or ``"non-exclusive"``.
            topic: What feeds it; None leaves it to its consumer. Another one than before deletes what it holds.
            owner: Username that may do everything with it.
            permission: What others may do, as for queues.
            vpn: Name of the message VPN.
            **settings: Fields of :class:`QueueSettings`, by default as the broker's options have them.

        Raises:
            ConfigurationError: An argument is not valid.
            QueueError: The topic endpoint exists with another access type, or there are too many endpoints.
        """
        home = self._find_vpn(vpn)
        set_up_topic_endpoint(home, name, access, topic, owner, permission, settings)
        home.settle()

    def delete_topic_endpoint(self, name: str, vpn: str | None = None) -> None:
        """Delete a topic endpoint with all that is in it, and unbind its consumers.

        Raises:
            QueueError: There is no such topic endpoint.
        """
        home = self._find_vpn(vpn)
        home.remove_queue(find_topic_endpoint(home, name))
        home.settle()

    def topic_endpoint(self, name: str, vpn: str | None = None) -> QueueStatus:
        """Return the status of a topic endpoint.

        Raises:
            QueueError: There is no such topic endpoint.
        """
        return find_topic_endpoint(self._find_vpn(vpn), name).status()


def _copy_setup(vpn: Vpn, source: Vpn) -> None:
    wanted = {(type(value), value.name): value for value in all_setup(source)}
    for value in list(all_setup(vpn)):
        if (type(value), value.name) not in wanted:
            drop_setup(vpn, value)
        elif wanted[type(value), value.name] == value:
            del wanted[type(value), value.name]
    for value in wanted.values():
        put_setup(vpn, value)
