"""What differs between a broker and its definitions, each difference with the one call that mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from landseries.brokers.management import Management
from landseries.brokers.rights import same_password
from landseries.errors import BrokerError

Action = Literal["create", "update", "remove", "conflict"]
Method = Literal["PUT", "POST", "DELETE"]

_UNNEEDED: Final = "nothing needs it any more"
#: All that belongs to landseries at a broker is named so; everything else is left alone.
_PREFIX: Final = "landseries."


@dataclass(frozen=True)
class Change:
    """One difference between the broker and what must be there.

    Attributes:
        action: `conflict` where only a person can help.
        kind: exchange, queue, binding, policy, user, permission or topic permission.
        name: what differs.
        detail: how, as a person reads it; never a secret.
    """

    action: Action
    kind: str
    name: str
    detail: str = ""
    _method: Method = field(default="PUT", repr=False, compare=False)
    _path: tuple[str, ...] = field(default=(), repr=False, compare=False)
    _body: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.name}" + (f": {self.detail}" if self.detail else "")

    def make(self, management: Management) -> None:
        """Change the broker; a conflict cannot be made.

        Raises:
            BrokerError: the management API refuses, or this is a conflict.
        """
        if self.action == "conflict":
            raise BrokerError(str(self))
        if self._method == "DELETE":
            management.delete(*self._path)
        elif self._method == "POST":
            management.post(*self._path, body=self._body)
        else:
            management.put(*self._path, body=self._body)


def differences(
    management: Management, wanted: Mapping[str, list[dict[str, Any]]], passwords: Mapping[str, str]
) -> Iterator[Change]:
    """Differences in the order in which they must be mended: limits before the queues that they limit, rights last.

    Args:
        management: the broker.
        wanted: definitions of the topology.
        passwords: of the users in the definitions; where there are none, users are not looked at.

    Raises:
        BrokerError: the management API refuses, or the virtual host is missing.
    """
    vhost = management.vhost
    # The list holds those that the user may see; to ask for one by name takes an administrator.
    if vhost not in {item.get("name") for item in management.listing("vhosts")}:
        raise BrokerError(
            f"{management.url}: there is no virtual host {vhost!r}; check LANDSERIES_BROKER_VHOST, or make it with "
            f"`rabbitmqctl add_vhost {vhost}`"
        )
    yield from _of_policies(management, wanted["policies"])
    yield from _of_exchanges(management, wanted["exchanges"])
    yield from _of_queues(management, wanted["queues"])
    yield from _of_bindings(management, wanted["bindings"], {item["name"] for item in wanted["exchanges"]})
    if passwords:
        yield from _of_users(management, wanted["users"], passwords)
        yield from _of_permissions(management, wanted["permissions"])
        yield from _of_topic_permissions(management, wanted["topic_permissions"])


def _of_policies(management: Management, wanted: list[dict[str, Any]]) -> Iterator[Change]:
    known = _by_name(management.listing("policies", management.vhost))
    for policy in wanted:
        path = ("policies", management.vhost, policy["name"])
        fields = ("pattern", "apply-to", "priority", "definition")
        yield from _compared("policy", policy["name"], policy, known.get(policy["name"]), fields, path)
    for name in sorted(set(known) - set(_by_name(wanted))):
        if name.startswith(_PREFIX):
            yield Change("remove", "policy", name, _UNNEEDED, "DELETE", ("policies", management.vhost, name))


def _of_exchanges(management: Management, wanted: list[dict[str, Any]]) -> Iterator[Change]:
    known = _by_name(management.listing("exchanges", management.vhost))
    for exchange in wanted:
        name, found = exchange["name"], known.get(exchange["name"])
        fields = ("type", "durable", "auto_delete", "internal")
        if found is None:
            path = ("exchanges", management.vhost, name)
            yield Change("create", "exchange", name, exchange["type"], "PUT", path, exchange)
        elif any(found.get(item) != exchange[item] for item in fields):
            detail = (
                f"exists with {', '.join(f'{item} {found.get(item)}' for item in fields)}; needed is a durable "
                f"{exchange['type']} exchange: delete it (it holds no messages), then apply again"
            )
            yield Change("conflict", "exchange", name, detail)


def _of_queues(management: Management, wanted: list[dict[str, Any]]) -> Iterator[Change]:
    known = _by_name(management.listing("queues", management.vhost))
    for queue in wanted:
        name, found = queue["name"], known.get(queue["name"])
        if found is None:
            path = ("queues", management.vhost, name)
            yield Change("create", "queue", name, "quorum", "PUT", path, queue)
            continue
        arguments = {"x-queue-type": found.get("type", "classic")} | dict(found.get("arguments") or {})
        if arguments != queue["arguments"] or not found.get("durable"):
            detail = (
                f"exists with {arguments} where only x-queue-type quorum is right; stop the workers, let it run empty "
                f"or move its {found.get('messages', 0)} messages, delete it with `rabbitmqctl delete_queue "
                f"-p {management.vhost} {name}`, then apply again"
            )
            yield Change("conflict", "queue", name, detail)


def _of_bindings(management: Management, wanted: list[dict[str, Any]], ours: set[str]) -> Iterator[Change]:
    known = {_ends(item): item for item in management.listing("bindings", management.vhost) if item["source"] in ours}
    needed = {_ends(item): item for item in wanted}
    for ends, item in needed.items():
        if ends not in known:
            where = ("bindings", management.vhost, "e", item["source"], "q", item["destination"])
            yield Change("create", "binding", " -> ".join(ends), "", "POST", where, item)
    for ends, item in known.items():
        # A key that moved to another service would otherwise reach both.
        if ends not in needed and item["destination"].startswith(_PREFIX) and item["destination_type"] == "queue":
            key = str(item.get("properties_key", item["routing_key"]))
            path = ("bindings", management.vhost, "e", item["source"], "q", item["destination"], key)
            yield Change("remove", "binding", " -> ".join(ends), _UNNEEDED, "DELETE", path)


def _of_users(management: Management, wanted: list[dict[str, Any]], passwords: Mapping[str, str]) -> Iterator[Change]:
    for user in wanted:
        name, found = user["name"], management.get("users", user["name"])
        # The management API takes tags as a list or as text separated by commas, and older brokers tell text.
        body = user | {"tags": ",".join(user["tags"])}
        if found is None:
            yield Change("create", "user", name, "", "PUT", ("users", name), body)
        elif not same_password(passwords[name], found):
            yield Change("update", "user", name, "another password", "PUT", ("users", name), body)
        elif _tags(found) != user["tags"]:
            detail = f"tags {_tags(found)} -> {user['tags']}"
            yield Change("update", "user", name, detail, "PUT", ("users", name), body)


def _of_permissions(management: Management, wanted: list[dict[str, Any]]) -> Iterator[Change]:
    for rights in wanted:
        path = ("permissions", management.vhost, rights["user"])
        # A user that does not exist yet has none either; asking for them is answered like a missing path.
        found = management.get(*path)
        yield from _compared("permission", rights["user"], rights, found, ("configure", "write", "read"), path)


def _of_topic_permissions(management: Management, wanted: list[dict[str, Any]]) -> Iterator[Change]:
    for user in dict.fromkeys(rights["user"] for rights in wanted):
        path = ("topic-permissions", management.vhost, user)
        known = {item["exchange"]: item for item in management.listing(*path)}
        for rights in (item for item in wanted if item["user"] == user):
            name = f"{user} on {rights['exchange']}"
            found = known.get(rights["exchange"])
            yield from _compared("topic permission", name, rights, found, ("write", "read"), path)


def _compared(
    kind: str,
    name: str,
    wanted: Mapping[str, Any],
    found: Mapping[str, Any] | None,
    fields: tuple[str, ...],
    path: tuple[str, ...],
) -> Iterator[Change]:
    if found is None:
        yield Change("create", kind, name, "", "PUT", path, wanted)
        return
    differing = [item for item in fields if found.get(item) != wanted[item]]
    if differing:
        detail = "; ".join(f"{item} {found.get(item)} -> {wanted[item]}" for item in differing)
        yield Change("update", kind, name, detail, "PUT", path, wanted)


def _by_name(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(item["name"]): item for item in items}


def _ends(binding: Mapping[str, Any]) -> tuple[str, str, str]:
    return binding["source"], binding["routing_key"], binding["destination"]


def _tags(user: Mapping[str, Any]) -> list[str]:
    tags = user.get("tags") or []
    return sorted(tag for tag in (tags.split(",") if isinstance(tags, str) else tags) if tag)
