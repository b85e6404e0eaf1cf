"""
Scenarios drawn from seeds, and the small ones whose crash points are all tried.

Swarm testing: each seed draws which kinds of fault are on at all, and how often each
strikes. The same seed gives the same scenario.
"""

import random
from collections.abc import Sequence

from tests.simulation.faults import PROBABILITY, RATES, Fault
from tests.simulation.scenario import FleetOptions, Order, RuleOptions, Scenario

__all__ = ["crash_scenario", "draw_scenario"]


def draw_scenario(seed: int, *, hosts: int = 0) -> Scenario:
    """Return what a seed simulates; 5 to 40 hosts unless a number is given."""
    rng = random.Random(seed * 2_654_435_761 + 97)
    on = frozenset(fault for fault in Fault if rng.random() < PROBABILITY.get(fault, 0.15))
    if rng.random() < 0.08:
        on = frozenset()
    count = hosts or rng.randint(5, 40)
    # On a large fleet the same rates would halt every rollout at once.
    scale = min(1.0, 40 / count)
    rates = {fault: scale * rng.uniform(*RATES[fault]) for fault in Fault if fault in on and fault in RATES}
    fleet = FleetOptions(
        hosts=count,
        windows_share=rng.choice((0.0, 0.0, 0.2, 0.4)),
        trouble_share=rng.choice((0.1, 0.2)) if Fault.SENSOR_HALF_FLEET in on else rng.choice((0.3, 0.6, 0.9, 1.0)),
        two_rows_share=rng.choice((0.0, 0.0, 0.3)),
        racks=max(1, count // 5),
    )
    rules = _draw_rules(rng, on, count)
    protected = tuple(sorted(rng.sample(range(count), rng.randint(1, 3)))) if Fault.PROTECTED in on else ()
    orders, last = _draw_orders(rng, on, rules, count)
    events = _draw_events(rng, on, rules, count, [each for each in orders if each.at < last])
    return Scenario(
        seed=seed,
        fleet=fleet,
        rules=rules,
        orders=orders,
        events=events,
        rates=rates,
        on=on,
        patience=rng.choice((5.0, 25.0, 100.0)),
        machines=2 if Fault.SECOND_STORE in on else 1,
        faults_end=last,
        per_rule=_draw_budget(rng, on, count),
        all_rules=_draw_budget(rng, on, count),
        protected=protected,
    )


def _draw_budget(rng: random.Random, on: frozenset[Fault], hosts: int) -> tuple[int, int] | None:
    if Fault.BUDGET not in on or rng.random() < 0.3:
        return None
    return rng.randint(1, max(1, hosts // 2)), rng.choice((300, 3_600, 86_400))


_WAVES = (("100%",), ("1", "100%"), ("1", "10%", "100%"), ("2", "50%", "100%"), ("10%", "30%", "60%", "100%"))


def _draw_rules(rng: random.Random, on: frozenset[Fault], hosts: int) -> tuple[RuleOptions, ...]:
    rules = []
    window = None
    if Fault.WINDOW in on:
        # The simulation begins at 08:45 UTC, which the zone of windows calls 09:45.
        window = rng.choice((540, 586)), rng.choice((588, 592, 600, 660))
    for number in range(rng.choice((1, 1, 1, 2, 3))):
        risk = rng.choice(("safe", "safe", "safe", "disruptive"))
        rules.append(
            RuleOptions(
                name=f"rule-{number}",
                row=rng.choice(("a", "a", "*", "b")),
                risk=risk,
                waves=rng.choice(_WAVES),
                soak_s=rng.choice((0, 30, 300)),
                concurrency=rng.choice((1, 2, 4, 20)),
                max_bad=rng.choice((0, 0, 1, 3)) + hosts // 100,
                max_unreachable=rng.choice((1, 3, 100)) + hosts // 100,
                cooldown_s=rng.choice((600, 3_600, 21_600)),
                attempts=rng.choice((1, 2, 3)),
                attempts_within_s=rng.choice((7_200, 604_800)),
                matched_percent=30 if Fault.SENSOR_HALF_FLEET in on else 100,
                timeout_s=rng.choice((10, 60, 300)),
                settle_s=rng.choice((0, 10)),
                within_s=rng.choice((5, 60, 240)),
                later=rng.random() < 0.1,
                window=window,
            )
        )
    return tuple(rules)


_CRASH_KINDS = (
    *("fix", "fix.sent", "fix.answered", "lock.take"),
    *("ledger.begin", "ledger.commit", "ledger.committed"),
    *("disk.write", "disk.written", "disk.sync", "disk.synced"),
)


def _draw_orders(
    rng: random.Random, on: frozenset[Fault], rules: tuple[RuleOptions, ...], hosts: int
) -> tuple[tuple[Order, ...], float]:
    """Return the orders, and when the faults end: after the last but one."""
    names = tuple(rule.name for rule in rules)
    careless = Fault.CARELESS in on

    def crash() -> dict[str, object]:
        if Fault.CRASH not in on or rng.random() < 0.3:
            return {}
        power_loss = Fault.POWER_LOSS in on
        if rng.random() < 0.3:
            return {"crash_at": rng.randint(1, 60 + 25 * hosts), "power_loss": power_loss}
        kind = rng.choice(_CRASH_KINDS)
        return {"crash_at": rng.randint(1, hosts), "crash_kind": kind, "power_loss": power_loss}

    def interrupt() -> float | None:
        return rng.uniform(1, 600) if Fault.INTERRUPT in on and rng.random() < 0.6 else None

    def order(at: float, **more: object) -> Order:
        base: dict[str, object] = {"rules": names, "careless": careless, "interrupt_s": interrupt(), **crash()}
        return Order(at=at, **{**base, **more})  # type: ignore[arg-type]

    delay_s = rng.choice((60.0, 1_200.0, 15_000.0)) if Fault.STALE_PLAN in on else 0.0
    orders = [order(0.0, delay_s=delay_s)]
    if Fault.CRASH in on and rng.random() < 0.7:
        # Somebody sees that it died, and starts it again at once.
        orders.append(order(rng.uniform(5, 300), crash_at=0))
    if Fault.CRASH in on and rng.random() < 0.5:
        orders.append(order(rng.choice((rng.uniform(5, 60), rng.uniform(60, 3_000))), resume=True))
    if Fault.RECONCILE in on:
        orders += [order(rng.uniform(30, 3_000), reconcile=True), order(rng.uniform(600, 9_000), reconcile=True)]
    if Fault.SECOND_RUN in on:
        orders.append(order(rng.uniform(0, 900)))
    if Fault.SECOND_STORE in on:
        orders += [order(rng.uniform(0, 60), machine=1), order(rng.uniform(900, 6_000), machine=1)]
    if Fault.TARGETED in on:
        orders += [
            order(rng.uniform(5, 1_500), hosts=(rng.randrange(hosts),), rules=(rng.choice(names),))
            for _ in range(rng.randint(1, 2))
        ]
    if Fault.OVERRIDE in on:
        hold = rng.choice(("cooling_down", "outside_window", "paused"))
        target = {"hosts": (rng.randrange(hosts),), "rules": (rng.choice(names),), "override": hold}
        orders.append(order(rng.uniform(5, 1_500), **target))
    if Fault.SAME_PLAN_AGAIN in on:
        orders.append(order(rng.choice((1.0, 400.0, 4_000.0)), plan_of=0))
    again = rng.choice((700.0, 4_000.0, 22_000.0))
    orders.append(order(again))
    if rng.random() < 0.3:
        orders.append(order(again + rng.choice((700.0, 4_000.0, 90_000.0))))
    orders.sort(key=lambda each: each.at)
    last = max(each.at + each.delay_s for each in orders) + 8_000.0
    # When all faults are over every machine closes its dead runs, and looks once more.
    machines = 2 if Fault.SECOND_STORE in on else 1
    for machine in range(machines):
        at = last + 600.0 + 3_000.0 * machine
        orders.append(Order(at=at, machine=machine, resume=True))
        if rng.random() < 0.3:
            orders.append(Order(at=at + 600.0, machine=machine, rules=names))
    return tuple(orders), last


def _draw_events(
    rng: random.Random, on: frozenset[Fault], rules: tuple[RuleOptions, ...], hosts: int, orders: Sequence[Order]
) -> tuple[tuple[float, str, tuple[object, ...]], ...]:
    last = orders[-1].at + 4_000.0
    events: list[tuple[float, str, tuple[object, ...]]] = []
    moments = [each.at + each.delay_s for each in orders]

    def soon() -> float:
        return rng.choice(moments) + rng.choice((rng.uniform(0, 15), rng.uniform(0, 600)))

    if Fault.STOP in on or Fault.STOP_UNREADABLE in on:
        at = soon()
        events.append((at, "stop", (0, Fault.STOP_UNREADABLE in on)))
        events.append((at + rng.uniform(30, 5_000), "start", (0,)))
    if Fault.RELEASE in on:
        for _ in range(rng.randint(1, 3)):
            rule = rng.choice(rules).name
            host = rng.choice((None, rng.randrange(hosts)))
            events.append((rng.uniform(100, max(200.0, last)), "release", (0, rule, host)))
    if Fault.CLOCK_STEP in on:
        for _ in range(rng.randint(1, 3)):
            step_s = rng.choice((-7_200.0, -3_600.0, -30.0, 30.0, 3_600.0, 90_000.0))
            events.append((soon(), "clock_step", (0, step_s)))
    if Fault.RACK_OUTAGE in on:
        events.append((soon(), "rack_outage", (rng.randrange(max(1, hosts // 5)), rng.uniform(10, 2_000))))
    if Fault.SENSOR_HALF_FLEET in on:
        at = rng.choice(moments) - 1.0
        events.append((at, "half_fleet", (rng.uniform(60, 2_000),)))
    if Fault.FREEZE in on:
        events.append((soon(), "freeze", (0, rng.choice((0.0, 5.0, 60.0, 400.0)), rng.uniform(60, 4_000))))
    if Fault.FREEZE_UNREADABLE in on:
        events.append((soon(), "freezes_unreadable", (0, rng.uniform(5, 2_000))))
    if Fault.PAUSE in on:
        for _ in range(rng.randint(1, 3)):
            kind = rng.choice(("all", "rule", "group", "host"))
            name = {"all": "", "rule": rules[0].name, "group": "rack-0", "host": f"h{rng.randrange(hosts):03d}"}[kind]
            at, until_s = soon(), rng.choice((None, rng.uniform(30, 4_000)))
            events.append((at, "pause", (0, kind, name, until_s)))
            events.append((at + rng.uniform(30, 6_000), "unpause", (0, kind, name)))
    if Fault.DISK_FULL in on:
        events.append((soon(), "disk_full", (0, rng.uniform(5, 2_000))))
    if Fault.NEW_TROUBLE in on:
        events += [(rng.uniform(0, max(1.0, last)), "new_trouble", (rng.randrange(hosts),)) for _ in range(hosts // 2)]
    if Fault.HEALS_ITSELF in on:
        events += [(soon(), "heals", (rng.randrange(hosts),)) for _ in range(max(1, hosts // 3))]
    if Fault.ENDPOINT_MOVED in on:
        events += [(soon(), "moved", (rng.randrange(hosts),)) for _ in range(max(1, hosts // 4))]
    if Fault.HOST_HOLD in on:
        events += [(soon(), "hold", (rng.randrange(hosts), rng.uniform(60, 4_000))) for _ in range(max(1, hosts // 6))]
    return tuple(sorted(((max(0.0, at), what, details) for at, what, details in events), key=lambda each: each[:2]))


def crash_scenario(hosts: int, variant: int) -> Scenario:
    """Return a small scenario, the same each time, whose first run can be made to die at any of its effects."""
    rng = random.Random(1_000 * hosts + variant)
    rates = {
        0: {},
        1: {Fault.SCRIPT_FAILS: 0.4, Fault.ANSWER_LOST: 0.2},
        2: {Fault.RELAPSE: 0.5, Fault.SCRIPT_HANGS: 0.4, Fault.PAYLOAD_STALLED: 0.6},
    }[variant]
    waves = (("1", "100%"), ("1", "50%", "100%"), ("100%",))[variant]
    rules = tuple(
        RuleOptions(
            name=f"rule-{number}",
            row="*" if variant else "a",
            risk=("safe", "disruptive")[number],
            waves=waves,
            soak_s=30,
            concurrency=(2, 4, 8)[variant],
            max_bad=variant,
            max_unreachable=100,
            cooldown_s=3_600,
        )
        for number in range(2 if variant == 1 else 1)
    )
    names = tuple(rule.name for rule in rules)
    return Scenario(
        seed=rng.randrange(1_000_000),
        fleet=FleetOptions(hosts=hosts, windows_share=0.3, trouble_share=0.9, two_rows_share=0.3, racks=2),
        rules=rules,
        orders=(
            *(Order(at=at, rules=names) for at in (0.0, 40.0)),
            Order(at=(100.0, 300.0, 45.0)[variant], resume=True),
            Order(at=5_000.0, rules=names),
            Order(at=6_000.0, resume=True),
        ),
        rates=rates,
        on=frozenset(rates),
        patience=25.0,
        faults_end=4_000.0,
    )
