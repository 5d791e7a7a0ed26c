"""Commands over the broker: `landseries topology apply | show | definitions` and `landseries dead ...`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landseries.cli.console import say
from landseries.errors import ConfigError

if TYPE_CHECKING:
    from landseries.brokers.deadletters import Outcome, Selection

topology = typer.Typer(
    no_args_is_help=True,
    help="Queues, exchanges, policies and users at the broker. Workers declare nothing: run [bold]apply[/] once before "
    "the first run, and again after an update of landseries.",
)
dead = typer.Typer(
    no_args_is_help=True,
    help="Messages that were put aside after their last try, or because no service can read them. See why with "
    "[bold]list[/], mend the cause, then [bold]redrive[/] them.",
)

Passwords = Annotated[
    Path | None,
    typer.Option(
        help="Folder with a file per user (landseries-fetcher, ..., landseries-operator) that holds its password"
    ),
]


@topology.command("apply")
def apply_topology(passwords: Passwords = None) -> None:
    """Make the broker as landseries needs it, and say what was changed; done twice it changes nothing.

    Needs LANDSERIES_BROKER_MANAGEMENT_URL and a user who may set policies (with --passwords: an administrator).
    """
    from landseries.brokers.rights import read_passwords
    from landseries.brokers.topology import apply
    from landseries.connections import broker_connection

    changes = apply(broker_connection(), passwords=read_passwords(passwords) if passwords else None)
    for change in changes:
        say(str(change))
    say(f"{len(changes)} changes" if changes else "nothing to change")


@topology.command("show")
def show_topology(passwords: Passwords = None) -> None:
    """Say what differs at the broker from what landseries needs; exit status 1 where something does."""
    from landseries.brokers.rights import read_passwords
    from landseries.brokers.topology import compare
    from landseries.connections import broker_connection

    changes = compare(broker_connection(), passwords=read_passwords(passwords) if passwords else None)
    for change in changes:
        say(str(change))
    if changes:
        raise typer.Exit(1)
    say("everything is there")


@topology.command("definitions")
def print_definitions(
    vhost: Annotated[str, typer.Option(help="Virtual host")] = "/",
    version: Annotated[str, typer.Option(help="Version of the broker that will read them")] = "4.0",
    passwords: Passwords = None,
) -> None:
    """Print the topology as RabbitMQ definitions (JSON), for clusters that load them at their start."""
    from landseries.brokers.rights import read_passwords
    from landseries.brokers.topology import definitions

    try:
        numbers = tuple(int(part) for part in version.split("."))
    except ValueError:
        raise ConfigError(f"--version {version}: write numbers such as 3.10 or 4.0") from None
    found = definitions(read_passwords(passwords) if passwords else None, vhost=vhost, version=numbers)
    typer.echo(json.dumps(found, indent=2, sort_keys=True))


Service = Annotated[list[str] | None, typer.Option(help="Only this service's; may be repeated")]
Run = Annotated[str | None, typer.Option(help="Only this run's")]
Ids = Annotated[list[str] | None, typer.Argument(help="Message ids as `dead list` shows them", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All of them, or all that --service and --run leave")]


@dead.command("list")
def list_dead(service: Service = None, run: Run = None) -> None:
    """List messages that were put aside, with their reasons."""
    from landseries.brokers.deadletters import DeadLetters
    from landseries.connections import broker_connection

    with DeadLetters(broker_connection()) as dead_letters:
        letters = dead_letters.find(_selection(service, run, None))
    for letter in letters:
        # No table: reasons are long, and ids must be whole to be copied.
        when = "unknown" if letter.when is None else f"{letter.when:%Y-%m-%d %H:%M:%S} UTC"
        what = letter.unit or letter.message.type
        run_id = letter.run_id or "unreadable"
        say(f"{letter.message.message_id}  {letter.service}  run {run_id}  {what}  {when}  attempts {letter.attempts}")
        say(f"    {letter.reason}")
    say(f"{len(letters)} dead letters")


@dead.command("show")
def show_dead(
    message_id: Annotated[str, typer.Argument(help="Message id as `dead list` shows it", show_default=False)],
    service: Service = None,
) -> None:
    """Show all that is known of a message that was put aside."""
    from landseries.brokers.deadletters import DeadLetters
    from landseries.connections import broker_connection

    with DeadLetters(broker_connection()) as dead_letters:
        letters = dead_letters.find(_selection(service, None, [message_id]))
    if not letters:
        raise ConfigError(f"there is no dead letter {message_id}; `landseries dead list` shows them")
    for letter in letters:
        message = letter.message
        facts = {
            "id": message.message_id,
            "type": message.type,
            "service": letter.service,
            "run": letter.run_id or "unreadable",
            "unit": letter.unit or "unreadable",
            "when": letter.when or "unknown",
            "attempts": letter.attempts,
            "reason": letter.reason,
            "traceparent": message.traceparent,
            "body": message.body.decode(errors="backslashreplace"),
        }
        for name, value in facts.items():
            say(f"{name:<12}{value}")
        if letter.original_bytes is not None:
            say(f"{'':<12}(cut: it had {letter.original_bytes} bytes)")


@dead.command("redrive")
def redrive_dead(ids: Ids = None, everything: All = False, service: Service = None, run: Run = None) -> None:
    """Publish messages that were put aside again, as a first attempt; those that no service can read stay."""
    from landseries.brokers.deadletters import DeadLetters
    from landseries.connections import broker_connection

    _need_a_choice(ids, everything)
    with DeadLetters(broker_connection()) as dead_letters:
        outcomes = dead_letters.redrive(_selection(service, run, ids))
    _tell(outcomes)


@dead.command("drop")
def drop_dead(ids: Ids = None, everything: All = False, service: Service = None, run: Run = None) -> None:
    """Forget messages that were put aside; a sweep of their run derives again what is still due."""
    from landseries.brokers.deadletters import DeadLetters
    from landseries.connections import broker_connection

    _need_a_choice(ids, everything)
    with DeadLetters(broker_connection()) as dead_letters:
        outcomes = dead_letters.drop(_selection(service, run, ids))
    _tell(outcomes)


def _tell(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        what = outcome.letter.unit or outcome.letter.message.type
        if outcome.detail:
            say(f"{outcome.done} {outcome.letter.message.message_id} {what}: {outcome.detail}")
    counts = Counter(outcome.done for outcome in outcomes)
    say(", ".join(f"{count} {done}" for done, count in sorted(counts.items())) or "no dead letter fits")


def _selection(service: list[str] | None, run: str | None, ids: list[str] | None) -> Selection:
    from landseries.brokers.deadletters import Selection
    from landseries.pipeline import SERVICES

    return Selection(tuple(service) if service else SERVICES, run, ids)


def _need_a_choice(ids: list[str] | None, everything: bool) -> None:
    if bool(ids) == everything:
        raise ConfigError("say which: message ids, or --all (with --service or --run to narrow it)")
