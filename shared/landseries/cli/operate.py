"""Commands over runs, wherever they are done: `landseries submit | status | cancel | sweep | collect | gc | doctor`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape

from landseries.cli.console import AnyStore, ConfigPath, RunName, chosen_store, known_plan, out, say
from landseries.cli.local import warn_of_missing_keys, warn_of_missing_years
from landseries.errors import LandseriesError


def submit(config: ConfigPath) -> None:
    """Start a run on the workers behind the broker, or take it up again where it was left; safe to repeat.

    The store and the broker are those that LANDSERIES_STORE_... and LANDSERIES_BROKER_... name. Sources are read by the
    workers: paths of the configuration must be the same where they run.
    """
    from landseries.brokers.rabbitmq import RabbitBroker
    from landseries.config import load_config
    from landseries.connections import broker_connection, store_connection
    from landseries.display import counting
    from landseries.plan import make_plan
    from landseries.planning import describe_source, settle_numerics
    from landseries.stores import open_store
    from landseries.submitting import submit as start

    load_config(config)
    store = open_store(store_connection())
    next(iter(store.list("plans/")), None)
    # Where store or broker are away, that is told before the source is asked, which may take minutes.
    with RabbitBroker(broker_connection()) as broker:
        loaded, source = describe_source(config)
        warn_of_missing_years(loaded, source)
        warn_of_missing_keys(loaded)
        plan = make_plan(loaded, source, settle_numerics(loaded))
        with counting(out, "messages") as progress:
            published = start(store, broker, plan, progress)
    say(f"{plan.run_id}: {len(plan.tile)} tiles, {published} messages published")
    say(f"watch it with `landseries status {plan.run_id} --watch`, stop it with `landseries cancel {plan.run_id}`")


def status(
    name: Annotated[str | None, typer.Argument(help="The run's name; all runs where left out")] = None,
    workdir: AnyStore = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing until the run is complete")] = False,
    every_s: Annotated[float, typer.Option(min=0.5, help="Seconds between looks of --watch")] = 5.0,
) -> None:
    """Show how far runs are, what was refused and why, what is put aside, and the bytes that each stage holds.

    Of each stage: units done; units refused (with their reasons below), without which the rest goes on; all units known
    so far; and the seconds that they took. Fetches are known once the searches have answered.
    """
    from landseries.plan import list_runs
    from landseries.status import RunStatus, broker_lines, usage_table

    store = chosen_store(workdir)
    names = [name] if name is not None else list_runs(store)
    runs = [RunStatus(store, known_plan(store, run_id)) for run_id in names]
    if not watch:
        for run in runs:
            run.look()
            out.print(run.table())
            for line in run.lines():
                say(line)
    else:
        with Live(console=out, auto_refresh=False) as live:
            while True:
                for run in runs:
                    run.look()
                live.update(Group(*(run.table() for run in runs), *broker_lines()), refresh=True)
                if all(run.complete for run in runs):
                    break
                time.sleep(every_s)
        for run in runs:
            for line in run.lines():
                say(line)
    out.print(usage_table(store))
    for line in broker_lines():
        say(line)


def cancel(
    name: RunName,
    workdir: AnyStore = None,
    reason: Annotated[str, typer.Option(help="Why, for those who look at the run later")] = "cancelled by an operator",
) -> None:
    """Have workers drop a run's messages, and a bridge end its jobs.

    What is done stays done; `landseries submit` takes the run up again.
    """
    from landseries.gates import cancel as put_off

    store = chosen_store(workdir)
    plan = known_plan(store, name)
    put_off(store, plan.run_id, reason)
    say(f"{name}: cancelled; units in work end first. `landseries gc --forget {name}` frees its space")


def sweep(
    name: Annotated[str | None, typer.Argument(help="The run's name; all unfinished runs where left out")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Also try refused units and what follows again")] = False,
) -> None:
    """Derive the due messages of unfinished runs from their markers and publish them; harmless at any time.

    For runs that stand still although nothing waits and nothing is put aside: after queues were lost or purged, or
    dead letters dropped. A unit that is at work already is found done when its second message comes.
    """
    from landseries.brokers.rabbitmq import RabbitBroker
    from landseries.connections import broker_connection, store_connection
    from landseries.gates import cancellation_key
    from landseries.plan import list_runs
    from landseries.stores import open_store
    from landseries.submitting import publish_all
    from landseries.sweeping import due_messages, reopen_refused

    store = open_store(store_connection())
    with RabbitBroker(broker_connection()) as broker:
        for run_id in [name] if name is not None else list_runs(store):
            plan = known_plan(store, run_id)
            if store.exists(cancellation_key(run_id)):
                say(f"{run_id}: is cancelled; `landseries submit` takes it up again")
                continue
            if refused:
                say(f"{run_id}: {len(reopen_refused(store, plan))} refused units will be tried again")
            say(f"{run_id}: {publish_all(broker, due_messages(store, plan))} messages published")


def collect(
    name: RunName,
    folder: Annotated[Path, typer.Argument(help="Folder to write results to", show_default=False)],
    workdir: AnyStore = None,
) -> None:
    """Copy a run's results into a folder: the maps, tables, report and calendar that `landseries run` leaves."""
    from landseries.calendar.page import write_calendar
    from landseries.calendar.reading import read_calendar
    from landseries.collect import collect as copy
    from landseries.headline import headline
    from landseries.openrun import OpenRun
    from landseries.pipeline import Unit

    store = chosen_store(workdir)
    plan = known_plan(store, name)
    if not OpenRun(store, plan).markers.answered(Unit("report", ())):
        raise LandseriesError(f"run {name!r} is not complete; `landseries status {name}` shows how far it is")
    copy(store, plan, folder)
    write_calendar(plan, read_calendar(store, plan), folder)
    table, line = headline(folder)
    out.print(table)
    say(line)
    say(f"report: {(folder / 'report.html').resolve()}")


def gc(
    workdir: AnyStore = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing")] = False,
    forget: Annotated[
        list[str] | None, typer.Option(help="Name of a run that is no longer wanted; may be repeated")
    ] = None,
    grace_h: Annotated[
        float, typer.Option(min=0, help="Hours: keep what is younger, as a unit at work may have written it")
    ] = 24.0,
) -> None:
    """Free the space of artifacts that no run needs: of forgotten runs, and intermediates whose readers are done.

    Runs may go on meanwhile. `--dry-run` first says what would go and why; `storage.keep` in a run's configuration says
    which stages keep their artifacts.
    """
    from landseries.gc import collect_garbage
    from landseries.status import garbage_table

    store = chosen_store(workdir)
    for name in forget or []:
        known_plan(store, name)
    report = collect_garbage(store, dry_run=dry_run, grace_s=grace_h * 3600, forget=forget or [])
    out.print(garbage_table(report))
    for note in report.notes:
        say(note)


def doctor() -> None:
    """Check that broker and store do what landseries relies on, and say what to change where they do not.

    Looks at those that LANDSERIES_BROKER_... and LANDSERIES_STORE_... name; exit status 1 where something is bad.
    """
    from landseries.doctor import examine

    findings = examine()
    for finding in findings:
        mark = {"good": "[green]good[/]", "warning": "[yellow]warning[/]", "bad": "[bold red]bad[/]"}[finding.level]
        out.print(f"{mark} {escape(finding.what)}", highlight=False, soft_wrap=True)
        if finding.remedy:
            say(f"     {finding.remedy}")
    if any(finding.level == "bad" for finding in findings):
        raise typer.Exit(1)
