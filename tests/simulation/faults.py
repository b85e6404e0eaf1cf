"""The kinds of fault, how often each is on, and how often it strikes then."""

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["ARRANGED", "PROBABILITY", "RATES", "Fault"]


class Fault(StrEnum):
    """The kinds of fault; a seed has some of them on."""

    UNREACHABLE = "unreachable"
    RACK_OUTAGE = "rack_outage"
    REFUSED = "refused"
    KEY_CHANGED = "key_changed"
    ENDPOINT_MOVED = "endpoint_moved"
    LINK_LOST_BEFORE = "link_lost_before"
    PAYLOAD_LOST = "payload_lost"
    PAYLOAD_STALLED = "payload_stalled"
    LINK_LOST_AFTER = "link_lost_after"
    ANSWER_LOST = "answer_lost"
    ANSWER_LATE = "answer_late"
    COLLECTOR_HANGS = "collector_hangs"
    COLLECTOR_FAILS = "collector_fails"
    SENSOR_NULL = "sensor_null"
    SENSOR_ROW_GONE = "sensor_row_gone"
    SENSOR_MANY_ROWS = "sensor_many_rows"
    SENSOR_HALF_FLEET = "sensor_half_fleet"
    SCRIPT_FAILS = "script_fails"
    SCRIPT_NOT_FIXED = "script_not_fixed"
    SCRIPT_HANGS = "script_hangs"
    SCRIPT_REBOOTS = "script_reboots"
    SCRIPT_WANTS_REBOOT = "script_wants_reboot"
    SCRIPT_REFUSED = "script_refused"
    SCRIPT_BAD_ON_PLATFORM = "script_bad_on_platform"
    RELAPSE = "relapse"
    HEALS_ITSELF = "heals_itself"
    NEW_TROUBLE = "new_trouble"
    HOST_HOLD = "host_hold"
    CRASH = "crash"
    POWER_LOSS = "power_loss"
    DISK_FULL = "disk_full"
    SYNC_ERROR = "sync_error"
    LEDGER_BUSY = "ledger_busy"
    LEDGER_FULL = "ledger_full"
    LEDGER_LOST_ACK = "ledger_lost_ack"
    SLOW_STORE = "slow_store"
    BATCH = "batch"
    STOP = "stop"
    STOP_UNREADABLE = "stop_unreadable"
    INTERRUPT = "interrupt"
    CLOCK_STEP = "clock_step"
    SECOND_RUN = "second_run"
    SECOND_STORE = "second_store"
    TARGETED = "targeted"
    SAME_PLAN_AGAIN = "same_plan_again"
    STALE_PLAN = "stale_plan"
    RELEASE = "release"
    RECONCILE = "reconcile"
    CARELESS = "careless"
    BUDGET = "budget"
    FREEZE = "freeze"
    FREEZE_UNREADABLE = "freeze_unreadable"
    WINDOW = "window"
    PROTECTED = "protected"
    PAUSE = "pause"
    OVERRIDE = "override"


RATES: Mapping[Fault, tuple[float, float]] = {
    Fault.UNREACHABLE: (0.01, 0.12),
    Fault.REFUSED: (0.01, 0.05),
    Fault.KEY_CHANGED: (0.01, 0.05),
    Fault.LINK_LOST_BEFORE: (0.02, 0.3),
    Fault.PAYLOAD_LOST: (0.02, 0.3),
    Fault.PAYLOAD_STALLED: (0.02, 0.4),
    Fault.LINK_LOST_AFTER: (0.02, 0.3),
    Fault.ANSWER_LOST: (0.02, 0.4),
    Fault.ANSWER_LATE: (0.02, 0.4),
    Fault.COLLECTOR_HANGS: (0.01, 0.1),
    Fault.COLLECTOR_FAILS: (0.01, 0.1),
    Fault.SENSOR_NULL: (0.01, 0.1),
    Fault.SENSOR_ROW_GONE: (0.01, 0.1),
    Fault.SENSOR_MANY_ROWS: (0.01, 0.05),
    Fault.SCRIPT_FAILS: (0.02, 0.6),
    Fault.SCRIPT_NOT_FIXED: (0.02, 0.6),
    Fault.SCRIPT_HANGS: (0.02, 0.4),
    Fault.SCRIPT_REBOOTS: (0.02, 0.3),
    Fault.SCRIPT_WANTS_REBOOT: (0.05, 0.5),
    Fault.SCRIPT_REFUSED: (0.01, 0.2),
    Fault.RELAPSE: (0.05, 0.8),
    Fault.HEALS_ITSELF: (0.05, 0.6),
    Fault.NEW_TROUBLE: (0.05, 0.5),
    Fault.HOST_HOLD: (0.02, 0.3),
    Fault.SYNC_ERROR: (0.001, 0.02),
    Fault.LEDGER_BUSY: (0.001, 0.02),
    Fault.LEDGER_FULL: (0.001, 0.02),
    Fault.LEDGER_LOST_ACK: (0.001, 0.02),
}
"""Between which bounds the rate of a fault is drawn, per occasion; the others are scheduled once or a few times."""

PROBABILITY: Mapping[Fault, float] = {
    Fault.CRASH: 0.45,
    Fault.TARGETED: 0.3,
    Fault.RELEASE: 0.4,
    Fault.RECONCILE: 0.2,
    Fault.SYNC_ERROR: 0.06,
    Fault.LEDGER_BUSY: 0.06,
    Fault.LEDGER_FULL: 0.05,
    Fault.LEDGER_LOST_ACK: 0.06,
    Fault.DISK_FULL: 0.06,
    Fault.SLOW_STORE: 0.35,
    Fault.BATCH: 0.25,
    Fault.SENSOR_HALF_FLEET: 0.1,
    Fault.STOP_UNREADABLE: 0.05,
    Fault.CARELESS: 0.15,
    Fault.CLOCK_STEP: 0.1,
    Fault.BUDGET: 0.25,
    Fault.FREEZE: 0.1,
    Fault.FREEZE_UNREADABLE: 0.04,
    Fault.OVERRIDE: 0.08,
    Fault.WINDOW: 0.08,
}
"""How often a fault is on at all; 0.15 where nothing is said."""


ARRANGED = frozenset({Fault.SECOND_RUN, Fault.SECOND_STORE, Fault.TARGETED, Fault.STALE_PLAN, Fault.BUDGET})
ARRANGED |= {Fault.WINDOW, Fault.PROTECTED, Fault.RECONCILE}
"""What a scenario has from its beginning; it strikes whenever it is on."""
