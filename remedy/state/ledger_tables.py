"""The tables of the ledger, version by version."""

__all__ = ["MIGRATIONS"]

_V1 = (
    """
    CREATE TABLE runs (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        started_at TEXT NOT NULL,
        actor TEXT NOT NULL,
        command TEXT NOT NULL,
        plan_digest TEXT NOT NULL,
        ended_at TEXT,
        exit_code INTEGER,
        CHECK ((ended_at IS NULL) = (exit_code IS NULL))
    ) STRICT
    """,
    # Every execution of every run's plan. The same plan carried out twice has the same
    # execution ids in two runs; only one of them can have the intent.
    """
    CREATE TABLE executions (
        run_id TEXT NOT NULL REFERENCES runs (id),
        execution_id TEXT NOT NULL,
        position INTEGER NOT NULL,
        rule TEXT NOT NULL,
        host TEXT NOT NULL,
        key TEXT NOT NULL,
        outcome_at TEXT,
        outcome TEXT,
        reason TEXT,
        PRIMARY KEY (run_id, execution_id),
        CHECK ((outcome_at IS NULL) = (outcome IS NULL)),
        CHECK ((reason IS NULL) = (outcome IS NULL))
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX executions_open ON executions (host) WHERE outcome IS NULL",
    """
    CREATE TABLE releases (
        seq INTEGER PRIMARY KEY,
        rule TEXT NOT NULL,
        host TEXT,
        at TEXT NOT NULL,
        reason TEXT NOT NULL,
        actor TEXT NOT NULL
    ) STRICT
    """,
    # The order of attempts is seq, never a time: clocks go back.
    """
    CREATE TABLE intents (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        execution_id TEXT NOT NULL UNIQUE,
        run_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        host TEXT NOT NULL,
        key TEXT NOT NULL,
        script_sha256 TEXT NOT NULL,
        at TEXT NOT NULL,
        deadline_s INTEGER NOT NULL,
        boot_id TEXT,
        result_at TEXT,
        ending TEXT,
        exit_code INTEGER,
        released_by INTEGER REFERENCES releases (seq),
        FOREIGN KEY (run_id, execution_id) REFERENCES executions (run_id, execution_id),
        CHECK ((result_at IS NULL) = (ending IS NULL)),
        CHECK (exit_code IS NULL OR ending IS NOT NULL)
    ) STRICT
    """,
    "CREATE INDEX intents_incident ON intents (rule, host, key, seq)",
    """
    CREATE TABLE breakers (
        seq INTEGER PRIMARY KEY,
        rule TEXT NOT NULL,
        run_id TEXT NOT NULL REFERENCES runs (id),
        opened_at TEXT NOT NULL,
        reason TEXT NOT NULL,
        closed_by INTEGER REFERENCES releases (seq)
    ) STRICT
    """,
    "CREATE UNIQUE INDEX breakers_open ON breakers (rule) WHERE closed_by IS NULL",
)

_V2 = (
    # Budgets count the hosts of the intents in a window of time, over all runs.
    "CREATE INDEX intents_at ON intents (at, rule, host)",
    # Canaries are no host that refused last time, and a refusal may come before there is an intent.
    "CREATE INDEX executions_refused ON executions (rule) WHERE outcome = 'refused'",
    """
    CREATE TABLE pauses (
        seq INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        at TEXT NOT NULL,
        until TEXT,
        reason TEXT NOT NULL,
        actor TEXT NOT NULL,
        ended_at TEXT,
        ended_by TEXT,
        end_reason TEXT,
        CHECK (kind IN ('all', 'rule', 'group', 'host')),
        CHECK ((kind = 'all') = (name = '')),
        CHECK ((ended_at IS NULL) = (ended_by IS NULL) AND (ended_at IS NULL) = (end_reason IS NULL))
    ) STRICT
    """,
    "CREATE UNIQUE INDEX pauses_open ON pauses (kind, name) WHERE ended_at IS NULL",
    # What a host's marker said afterwards of an execution that was lost or unverified; its outcome
    # stays. run_id is the run that asked the host: it need not be in runs, for it has no plan.
    """
    CREATE TABLE reconciliations (
        seq INTEGER PRIMARY KEY,
        execution_id TEXT NOT NULL REFERENCES intents (execution_id),
        run_id TEXT NOT NULL,
        at TEXT NOT NULL,
        found TEXT NOT NULL,
        exit_code INTEGER,
        proves_end INTEGER NOT NULL,
        reason TEXT NOT NULL,
        actor TEXT NOT NULL,
        CHECK (found <> ''),
        CHECK (proves_end IN (0, 1))
    ) STRICT
    """,
    "CREATE INDEX reconciliations_execution ON reconciliations (execution_id)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_V1, _V2)
"""Statements that lead from each version to the next; never changed after a release, only added to."""
