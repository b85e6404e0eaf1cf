"""
The facts about the loader, by name: what stands for each where the shell is PowerShell.

They are proved for POSIX shells in tests/runners. For PowerShell a stand-in that
has its own version of them would prove nothing, so that only cases of
scripts/test-powershell count, which need a PowerShell. A fact that PowerShell's
loader cannot have says why, and what there is instead; of the host's own log there
is nothing on Windows yet, so that the facts about it are not here.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

__all__ = ["CASES", "NONE", "titles"]

CASES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "test_loader": {
        "test_collect_has_emit_for_the_signals_columns": (
            "emit: three columns at once",
            "collector: several in one session, each in a process of its own",
        ),
        "test_collect_killed_by_a_signal_has_its_code": ("ending: the process ends itself: no end is told",),
        "test_collect_flood_that_will_not_stop_is_killed": (
            "stream: a collector with too much output has no reading",
            "deadline: a script that prints without end",
        ),
        "test_collect_what_escapes_adds_nothing_to_the_output": (
            "deadline: a child that keeps the output open keeps nobody waiting",
        ),
        "test_collect_gives_each_collector_only_its_own_values": (
            "value: names are exactly the job's, with foreign ones before, in a collector",
            "collector: several in one session, each in a process of its own",
        ),
        "test_fix_script_has_empty_stdin_and_no_descriptors_of_ours": (
            "stream: the console's input is at its end",
            "stream: a native child finds its input at its end",
            "stream: a native child that reads all its input",
            "lock: it is free while a child keeps the output open",
        ),
        "test_fix_values_arrive_as_they_are": ("value: *",),
        "test_fix_deadline_leaves_nobody_behind": (
            "deadline: a tree of native commands",
            "deadline: a native command in the background",
            "deadline: a native command that ignores signals",
        ),
        "test_fix_deadline_kills_a_script_that_will_not_end": (
            "deadline: a trap that goes on",
            "deadline: a finally that never ends",
            "deadline: a loop that catches everything",
        ),
        "test_fix_background_child_does_not_delay_the_result": (
            "deadline: a child that keeps the output open keeps nobody waiting",
            "deadline: what the script left behind in time stays, and its end is told",
        ),
        "test_fix_second_start_of_an_execution_is_not_made": (
            "marker: once is once; another execution runs",
            "lock: the same fix three times at once runs once",
        ),
        "test_fix_while_another_runs_is_host_busy": (
            "lock: held by another process",
            "lock: held by a fix at work",
            "lock: three fixes at once do not overlap",
        ),
        "test_fix_held_host_is_left_alone": ("hold: *",),
        "test_fix_marker_says_when_and_how_it_ended": (
            "marker: what is in it while it runs and after",
            "marker: its process is the one that runs the script",
            "marker: the end that is written: *",
        ),
        "test_fix_lock_is_free_once_the_end_was_heard": ("lock: it is free after a fix that leaves a child behind",),
        "test_fix_keeps_markers_of_this_boot_by_uptime": (
            "marker: old ones go, young ones and those of this start stay",
        ),
        "test_fix_marker_directory_that_cannot_be_written_is_refused": (
            "marker: a folder that this login may not write",
            "marker: a file where the folder of all should be",
        ),
        "test_fix_where_the_marker_has_no_room_is_refused_and_may_start_later": (
            "marker: its folder without a start is none",
        ),
        "test_fix_on_a_host_that_lacks_something_is_refused": ("lock: a folder where it should be",),
        "test_fix_where_the_hold_cannot_be_looked_for_is_refused": (
            "hold: one that this login may not see cannot be looked at",
            "hold: a link in its place cannot be looked at",
            "hold: a folder of all that leads to itself",
        ),
    },
    "test_markers": {
        "test_marker_of_a_finished_fix_says_its_exit_code": ("markers: an end is read: *",),
        "test_marker_of_a_fix_that_its_deadline_ended_says_so": (
            "markers: an end is read: a deadline",
            "markers: an end is read: 124",
        ),
        "test_marker_that_is_not_there_is_absent": (
            "markers: none",
            "markers: who reads, and for how long the system has been up",
        ),
        "test_marker_of_a_running_fix_says_so_and_the_fix_is_not_disturbed": (
            "markers: a fix at work, then its end",
            "markers: looking changes nothing",
        ),
        "test_fix_that_starts_during_looks_is_never_busy": ("markers: looking changes nothing",),
        "test_marker_of_a_killed_fix_is_dead": (
            "markers: a fix that was killed",
            "markers: a fix that ended its own process",
        ),
        "test_marker_whose_numbers_belong_to_others_now_is_dead": (
            "markers: planted: a process of the same number that was started later",
        ),
        "test_marker_names_living_processes_exactly": (
            "markers: planted: a process that lives",
            "markers: planted: a process that is gone",
            "markers: planted: a process whose start nobody knows",
        ),
        "test_look_at_a_host_without_markers_makes_nothing": ("markers: none", "markers: looking changes nothing"),
    },
    "test_markers_odd": {
        "test_marker_with_rubbish_is_unknown_and_stays_as_it_is": (
            "markers: planted: no start, *",
            "markers: planted: no end, *",
            "markers: planted: links",
        ),
        "test_place_of_markers_that_is_no_directory_is_odd": (
            "markers: planted: a file where the folder of all should be",
        ),
    },
    "test_payload": {
        "test_cut_payload_interprets_nothing": ("payload: damaged: cut *",),
        "test_altered_payload_interprets_nothing": (
            "payload: damaged: the first byte is changed",
            "payload: damaged: a byte in the middle is changed",
            "payload: damaged: the last byte is changed",
            "payload: damaged: the digest of something else",
        ),
        "test_command_line_survives_every_login_shell": ("start: through a shell",),
        "test_command_line_runs_under_login_shell": ("start: through a shell", "start: directly"),
        "test_every_byte_of_a_value_survives": ("value: *",),
        "test_every_byte_of_a_script_survives": (
            "stream: every printable ASCII character",
            "stream: UTF-8 in, out by the pipeline",
        ),
        "test_large_script_is_run_whole": ("stream: a script of 200 kB", "stream: a script of 2 MB"),
        "test_shells_own_words_stay_out_of_a_collectors_output": (
            "start: nothing stands before the first mark",
            "stream: progress is silent",
        ),
    },
    "test_prelude": {
        "test_emit_number_is_a_finite_json_number_or_null": ("emit: numbers of all forms, as text",),
        "test_emit_number_keeps_its_digits": ("emit: numbers of all forms, as text",),
        "test_emit_boolean_is_true_false_or_null": ("emit: booleans of all forms, as text",),
        "test_emit_text_survives_as_json": ("emit: texts of all kinds", "emit: a long row is one line"),
        "test_emit_works_under_strict_options": ("emit: * under strict mode",),
        "test_emit_unknown_column_is_printed": (
            "emit: a column that nobody knows is text",
            "emit: a name of any kind",
        ),
        "test_not_applicable_ends_the_collector_well": ("not_applicable: *",),
    },
}
"""By test module of tests/runners and fact: the cases of scripts/test-powershell; `*` stands for anything."""

_NO_SHEBANG = "PowerShell reads no shebang: a script for Windows is a .ps1"
_NO_TOOL = "PowerShell's digest comes with it: there is no tool that a host could lack"
_CONTROLLER = "the controller's side, which needs no PowerShell: tests/powershell"

NONE: Mapping[str, Mapping[str, str]] = {
    "test_loader": {
        "test_collect_much_standard_error_is_drained_on_the_host": "PowerShell's leaves the host whole, and counts "
        "against a limit of the controller; 64 KiB are kept",
        "test_collect_kills_what_a_collector_leaves_behind": "it stays until its shell is deleted "
        "(deadline: what the script left behind in time stays, and its end is told)",
        "test_collect_both_privileges_come_back": "a login has one privilege there",
        "test_fix_interpreter_is_the_shebangs": _NO_SHEBANG,
        "test_fix_shebang_options_are_kept": _NO_SHEBANG,
        "test_fix_is_not_ended_by_a_hangup": "Windows has no hangup",
        "test_script_and_values_are_not_in_the_process_list": "the command line is a constant, and the script goes "
        "to standard input alone: tests/powershell/test_session.py",
    },
    "test_markers": {
        "test_end_that_is_written_during_the_look_is_seen": "the look is the same (end, process, end once more), "
        "and no case of the lane writes an end in between",
        "test_plain_users_marker_in_a_runtime_directory_is_found": "all logins have one folder there",
        "test_look_that_is_not_heard_to_its_end_is_unreachable": _CONTROLLER,
    },
    "test_payload": {
        "test_host_without_a_tool_interprets_nothing": _NO_TOOL,
        "test_other_digest_tools_do_as_well": _NO_TOOL,
        "test_interpreter_is_read_off_the_shebang": _NO_SHEBANG,
        "test_what_cannot_travel_is_no_payload": _CONTROLLER,
        "test_execution_id_that_is_no_file_name_is_no_payload": _CONTROLLER,
        "test_reserved_exit_codes_are_those_of_the_loader": "a trailer tells the ending; no code is reserved",
    },
    "test_prelude": {
        "test_emit_text_passes_other_bytes_on": "texts are Unicode there: they have no other bytes",
        "test_prelude_is_one_line_without_external_commands": "its functions are not in the script, but before it",
        "test_prelude_of_columns_that_are_none_is_refused": _CONTROLLER,
    },
}
"""By test module of tests/runners and fact: why no case of scripts/test-powershell stands for it."""


def titles(patterns: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """
    Return the cases that patterns stand for, in the order in which they are known.

    Raises:
        LookupError: one of the patterns stands for none.
    """
    known, patterns = tuple(known), tuple(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(title, pattern) for title in known):
            raise LookupError(f"scripts/test-powershell has no case {pattern!r}")
    return tuple(title for title in known if any(fnmatchcase(title, pattern) for pattern in patterns))
