"""Prints the bytes of a plan whose input order comes from the command line; run as a program by test_plan.py."""

import random
import sys
from datetime import date, timedelta
from typing import Any

from remedy.canonical import canonical_json
from remedy.holds import Attempt
from remedy.model import Connection, Host, Outcome, Platform, Risk
from remedy.plan import History, Plan
from remedy.plan_document import plan_document
from remedy.planning import build_plan
from remedy.verdicts import by_host, judge, only_fresh
from tests.core.builders import BOOT, CERTIFICATE, DISK, NOW, SIGNALS, exemption, policy, reading, rule, scope, script

__all__ = ["plan_of_order"]


def plan_of_order(seed: int) -> Plan:
    """Return always the same plan, though every input comes in the order of this seed."""
    order = random.Random(seed)

    def mixed(items: Any) -> Any:
        listed = list(items.items()) if isinstance(items, dict) else list(items)
        order.shuffle(listed)
        return dict(listed) if isinstance(items, dict) else listed

    members = [
        Host(
            name=f"wëb-{number}",
            platform=Platform.WINDOWS if number % 5 == 0 else Platform.LINUX,
            connection=Connection(address=f"192.0.2.{number}", user="opérateur"),
            params=mixed({"low-disk": mixed({"below": 12.0, "label": "straße"}), "old-boot": {"most": 30.0}})
            if number % 3 == 0
            else {},
        )
        for number in range(24)
    ]
    readings = [
        found
        for number, host in enumerate(members)
        for found in (
            reading(
                DISK,
                host.name,
                *mixed([mixed({"mount": mount, "free_percent": number % 7 + 0.5}) for mount in ("/", "/srv", "/ä")]),
                at=NOW - timedelta(seconds=number),
            ),
            reading(BOOT, host.name, mixed({"days": number * 3, "pending": number % 2 == 0})),
            reading(CERTIFICATE, host.name, *mixed([{"port": port, "days_left": number} for port in (9, 443, 8443)])),
        )
    ]
    rules = [
        rule(
            params=mixed({"below": 5.0, "label": "x"}),
            exempt=(exemption("a", "mount = '/ä' and boot.pending", params={"below": 5.0}, until=date(2026, 12, 31)),),
        ),
        rule("old-boot", "days > params.most", of=BOOT, params={"most": 20.0}, risk=Risk.DISRUPTIVE),
        rule(
            "old-certificate",
            "days_left < 9",
            of=CERTIFICATE,
            fix=mixed({Platform.LINUX: script(), Platform.WINDOWS: script(path="renew.ps1")}),
            rollout=policy(concurrency=3),
        ),
    ]
    scopes = [scope(each, mixed(members), *([{"wëb-1", "wëb-2", "wëb-3"}] if each.exempt else [])) for each in rules]
    attempts = tuple(
        Attempt(
            execution_id=f"{n:016}",
            run_id="run",
            at=NOW - timedelta(hours=9 - n),
            script_sha256=script().sha256,
            outcome=o,
        )
        for n, o in enumerate((Outcome.FIXED, Outcome.FAILED))
    )
    history = History(
        attempts=mixed({("low-disk", f"wëb-{n}", (("mount", "/"),)): attempts * (n % 3) for n in range(9)}),
        last_bad={"low-disk": frozenset(mixed(["wëb-1", "wëb-8", "wëb-15"])), "old-boot": frozenset(["wëb-20"])},
        breakers={},
        busy=mixed({"wëb-4": "run-1", "wëb-11": "run-2"}),
    )
    scopes = mixed(scopes)
    fresh = {
        host: mixed(of_host) for host, of_host in mixed(by_host(only_fresh(mixed(readings), SIGNALS, now=NOW))).items()
    }
    return build_plan(
        scopes,
        mixed(judge(scopes, fresh, SIGNALS)),
        fresh,
        history=history,
        endpoints=mixed({host.name: f"opérateur@{host.connection.address}" for host in members}),
        accept_matched=None,
        created_at=NOW,
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(canonical_json(plan_document(plan_of_order(int(sys.argv[1])))).encode())
