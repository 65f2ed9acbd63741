# Written by `npm run generate` from the OpenAPI document: do not edit.

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from .._durations import Duration
from .._operation import UNSET, Operation, T
from . import models, operations
from .operations import (
    ConnectionStateValue,
    ConnectionTypeValue,
    MessageStatusValue,
    OfflineReasonValue,
    WhenOfflineValue,
)


class Operations:
    """One method for each operation of the API, and one for each list."""

    def _send(self, operation: Operation[T], timeout: Duration | None, request_id: str | None) -> T:
        raise NotImplementedError

    def get_cluster(self, *, timeout: Duration | None = None, request_id: str | None = None) -> models.Cluster:
        """Members, shards, lanes, Redis and the broker.

        The ingesters that are members, the dispatchers and the gateways; the owner of each shard and lane, how many entries wait in each mailbox; the memory of Redis; and what ingesters found out about the broker: its limits, and what it lacks."""
        return self._send(operations.get_cluster(), timeout, request_id)

    def start_sweep(self, *, timeout: Duration | None = None, request_id: str | None = None) -> models.RequestedSweep:
        """Compare the whole registry with the broker.

        Reads everything that the broker retains for clients, and corrects the registry if it differs. One sweep runs at a time: if one is running, another one follows."""
        return self._send(operations.start_sweep(), timeout, request_id)

    def get_latest_sweep(self, *, timeout: Duration | None = None, request_id: str | None = None) -> models.Sweep:
        """The last sweep.

        Its progress, and what it has corrected."""
        return self._send(operations.get_latest_sweep(), timeout, request_id)

    def get_sweep(
        self, sweep_id: str, *, timeout: Duration | None = None, request_id: str | None = None
    ) -> models.RequestedSweep:
        """One sweep.

        Its progress, and what it has corrected. The last 100 sweeps are kept, for 30 days."""
        return self._send(operations.get_sweep(sweep_id), timeout, request_id)

    def list_dead_letters(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: Duration | None = None,
        request_id: str | None = None,
    ) -> models.DeadLetterPage:
        """Dead letters.

        Messages of clients that could not be processed, with the reason: about the newest 1,000 of each shard."""
        return self._send(operations.list_dead_letters(limit=limit, cursor=cursor), timeout, request_id)

    def list_connections(
        self,
        *,
        state: ConnectionStateValue | None = None,
        type: ConnectionTypeValue | None = None,
        client_id_prefix: str | None = None,
        offline_reason: OfflineReasonValue | None = None,
        held: Literal[True] | None = None,
        refused: Literal[True] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        insights_id: str | None = None,
        machine_id: str | None = None,
        bios_uuid: str | None = None,
        subscription_manager_id: str | None = None,
        fqdn: str | None = None,
        ip_address: str | None = None,
        mac_address: str | None = None,
        timeout: Duration | None = None,
        request_id: str | None = None,
    ) -> models.ConnectionPage:
        """List connections.

        By state, type, reason for being offline, first characters of the client id, held messages, refusal and exact facts; all of them must match. A page looks at about 2 MiB of connections, so it may have fewer items than its limit, even none, and a next page may follow."""
        return self._send(
            operations.list_connections(
                state=state,
                type=type,
                client_id_prefix=client_id_prefix,
                offline_reason=offline_reason,
                held=held,
                refused=refused,
                limit=limit,
                cursor=cursor,
                insights_id=insights_id,
                machine_id=machine_id,
                bios_uuid=bios_uuid,
                subscription_manager_id=subscription_manager_id,
                fqdn=fqdn,
                ip_address=ip_address,
                mac_address=mac_address,
            ),
            timeout,
            request_id,
        )

    def summarize_connections(
        self, *, timeout: Duration | None = None, request_id: str | None = None
    ) -> models.ConnectionSummary:
        """Count connections by state and type.

        A caller that is bound to an account gets the numbers of its account."""
        return self._send(operations.summarize_connections(), timeout, request_id)

    def get_connection(
        self, client_id: str, *, timeout: Duration | None = None, request_id: str | None = None
    ) -> models.Connection:
        """One connection.

        The state of a client, and the facts of its last accepted handshake."""
        return self._send(operations.get_connection(client_id), timeout, request_id)

    def forget_connection(
        self, client_id: str, *, timeout: Duration | None = None, request_id: str | None = None
    ) -> None:
        """Forget an offline connection.

        Removes it from the registry. A connection that is online is not forgotten: 409."""
        return self._send(operations.forget_connection(client_id), timeout, request_id)

    def force_disconnect(
        self,
        client_id: str,
        reconnect_after: Duration | datetime | str,
        *,
        timeout: Duration | None = None,
        request_id: str | None = None,
    ) -> models.ForcedOff:
        """Disconnect a client.

        Tells the client to disconnect and refuses its handshakes until `reconnect_after`. The connection's state changes when the client is gone."""
        return self._send(operations.force_disconnect(client_id, reconnect_after), timeout, request_id)

    def verify_connection(
        self, client_id: str, *, timeout: Duration | None = None, request_id: str | None = None
    ) -> models.Verification:
        """Compare a connection with the broker.

        Reads what the broker retains for the client now and corrects the registry if it differs. If the client keeps changing its state, this may take longer than the request can wait."""
        return self._send(operations.verify_connection(client_id), timeout, request_id)

    def lift_refusal(self, client_id: str, *, timeout: Duration | None = None, request_id: str | None = None) -> None:
        """Accept a refused client again.

        Ends the refusal window of a force-disconnect, if there is one."""
        return self._send(operations.lift_refusal(client_id), timeout, request_id)

    def search_messages(
        self,
        *,
        status: MessageStatusValue | None = None,
        client_id: str | None = None,
        since: datetime | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: Duration | None = None,
        request_id: str | None = None,
    ) -> models.FoundMessages:
        """List messages across connections.

        There is no index for it: a page looks at 1,000 stored messages at most, so it may have fewer items than its limit, even none, and a next page may follow. Messages come shard by shard: unfinished ones, the next to expire first; those that await an answer; finished ones, for each key or account that sent them the newest first. A message that changes during that may come twice. For a caller that is bound to an account they come connection by connection, and with `client_id` the newest first."""
        return self._send(
            operations.search_messages(status=status, client_id=client_id, since=since, limit=limit, cursor=cursor),
            timeout,
            request_id,
        )

    def send_messages(
        self,
        messages: Iterable[models.BatchMessage | Mapping[str, Any]],
        *,
        timeout: Duration | None = None,
        request_id: str | None = None,
    ) -> list[models.BatchResultItem]:
        """Send up to 1,000 messages.

        Each message is accepted or refused individually; the messages of one client are accepted in order. The response is 200 even if messages were refused."""
        return self._send(operations.send_messages(messages), timeout, request_id)

    def send_message(
        self,
        client_id: str,
        directive: str,
        payload: Any = UNSET,
        *,
        wait: Duration | None = None,
        idempotency_key: str | None = None,
        ttl: Duration | None = None,
        when_offline: WhenOfflineValue | None = None,
        response_timeout: Duration | None = None,
        timeout: Duration | None = None,
        request_id: str | None = None,
    ) -> models.Message | models.AcceptedMessage:
        """Send a message to a client.

        Accepted messages are never lost while Redis keeps its data, are sent in the order of their acceptance, and are published at least once: the client drops repeats by `message_id`. While many messages of the caller are being published, the response comes up to 100 ms later. With `Prefer: wait=N` the response is 200 with the whole message as soon as it is final, and 202 if it is not within N seconds. An accepted message is always answered with one of the two, also if the gateway stops or Redis is away."""
        return self._send(
            operations.send_message(
                client_id,
                directive,
                wait=wait,
                idempotency_key=idempotency_key,
                payload=payload,
                ttl=ttl,
                when_offline=when_offline,
                response_timeout=response_timeout,
            ),
            timeout,
            request_id,
        )

    def list_messages(
        self,
        client_id: str,
        *,
        status: MessageStatusValue | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: Duration | None = None,
        request_id: str | None = None,
    ) -> models.MessagePage:
        """The messages of a client, the newest first.

        All messages that are kept: unfinished ones, and finished ones for `MESSAGE_RETENTION`. With `status`, or with long histories, a page may have fewer items than its limit, and a next page may follow."""
        return self._send(
            operations.list_messages(client_id, status=status, limit=limit, cursor=cursor), timeout, request_id
        )

    def read_message(
        self,
        message_id: str,
        *,
        wait: Duration | None = None,
        timeout: Duration | None = None,
        request_id: str | None = None,
    ) -> models.Message:
        """The status of a message.

        With its answer and its history. A finished message is kept for `MESSAGE_RETENTION`."""
        return self._send(operations.read_message(message_id, wait=wait), timeout, request_id)

    def cancel_message(
        self, message_id: str, *, timeout: Duration | None = None, request_id: str | None = None
    ) -> None:
        """Cancel a message that is queued or held.

        It is not sent. A message that is being published, or is final, stays as it is: 409."""
        return self._send(operations.cancel_message(message_id), timeout, request_id)

    def get_stats(self, *, timeout: Duration | None = None, request_id: str | None = None) -> models.Stats:
        """Figures of connections and messages.

        How many connections and messages there are, what waits and for how long, and rates and latencies of the last hour, at most a second old. What is about messages needs the scope `messages:read` as well. A caller that is bound to an account gets the connections of its account, and the messages that callers of its account have sent."""
        return self._send(operations.get_stats(), timeout, request_id)

    def whoami(self, *, timeout: Duration | None = None, request_id: str | None = None) -> models.Caller:
        """The caller of this request.

        Its id, its account and what it may do. Every key and every token may ask."""
        return self._send(operations.whoami(), timeout, request_id)

    def dead_letters(self, *, limit: int | None = None) -> Iterator[models.DeadLetter]:
        """Iterates over all pages of `list_dead_letters`. `limit` is the size of a page."""
        cursor: str | None = None
        while True:
            page = self.list_dead_letters(limit=limit, cursor=cursor)
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def connections(
        self,
        *,
        state: ConnectionStateValue | None = None,
        type: ConnectionTypeValue | None = None,
        client_id_prefix: str | None = None,
        offline_reason: OfflineReasonValue | None = None,
        held: Literal[True] | None = None,
        refused: Literal[True] | None = None,
        limit: int | None = None,
        insights_id: str | None = None,
        machine_id: str | None = None,
        bios_uuid: str | None = None,
        subscription_manager_id: str | None = None,
        fqdn: str | None = None,
        ip_address: str | None = None,
        mac_address: str | None = None,
    ) -> Iterator[models.Connection]:
        """Iterates over all pages of `list_connections`. `limit` is the size of a page."""
        cursor: str | None = None
        while True:
            page = self.list_connections(
                state=state,
                type=type,
                client_id_prefix=client_id_prefix,
                offline_reason=offline_reason,
                held=held,
                refused=refused,
                limit=limit,
                insights_id=insights_id,
                machine_id=machine_id,
                bios_uuid=bios_uuid,
                subscription_manager_id=subscription_manager_id,
                fqdn=fqdn,
                ip_address=ip_address,
                mac_address=mac_address,
                cursor=cursor,
            )
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def messages_of_all(
        self,
        *,
        status: MessageStatusValue | None = None,
        client_id: str | None = None,
        since: datetime | str | None = None,
        limit: int | None = None,
    ) -> Iterator[models.Message]:
        """Iterates over all pages of `search_messages`. `limit` is the size of a page."""
        cursor: str | None = None
        while True:
            page = self.search_messages(status=status, client_id=client_id, since=since, limit=limit, cursor=cursor)
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def messages(
        self, client_id: str, *, status: MessageStatusValue | None = None, limit: int | None = None
    ) -> Iterator[models.Message]:
        """Iterates over all pages of `list_messages`. `limit` is the size of a page."""
        cursor: str | None = None
        while True:
            page = self.list_messages(client_id, status=status, limit=limit, cursor=cursor)
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return
