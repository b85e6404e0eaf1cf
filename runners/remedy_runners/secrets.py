"""Secrets: the references that lead to one, and the one place of a run that reads and knows them all."""

import os
import stat
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from remedy.errors import Refused
from remedy.port import CollectJob, FixJob, ScriptValue
from remedy.secrets import Secret, SecretReference
from remedy_runners.masking import LINE_CHARACTERS_MIN, VALUE_CHARACTERS_MIN, Mask

__all__ = ["PASSWORD_SIZE_MAX", "SECRET_SIZE_MAX", "Secret", "Secrets", "resolve", "text_of"]

PASSWORD_SIZE_MAX = 4_096
SECRET_SIZE_MAX = 16_384
"""A script gets no secret of more bytes; Windows has room for 32,767 characters in a variable."""


def resolve(reference: str, *, environment: Mapping[str, str], size_max: int = PASSWORD_SIZE_MAX) -> Secret:
    """
    Return the secret behind `env:NAME` or `file:PATH`; a file's final newline is not part of it.

    Raises:
        Refused: another form, nothing there, or a file that others may read. A
            literal is not repeated in the message.
    """
    kind, colon, rest = reference.partition(":")
    if kind == "env" and colon:
        if not environment.get(rest):
            raise Refused(f"the environment variable {rest} of the reference env:{rest} is not set, or empty")
        return Secret(environment[rest])
    if kind == "file" and colon:
        return Secret(_text_of_file(Path(rest), size_max=size_max))
    raise Refused("a password is given as a reference, env:NAME or file:PATH, never as it is")


def _text_of_file(path: Path, *, size_max: int) -> str:
    try:
        with open(path, "rb", opener=_open) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Refused(f"file:{path} is no regular file")
            raw = file.read(size_max + 1)
    except OSError as exc:
        raise Refused(f"file:{path} cannot be read: {exc.strerror}") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Refused(f"file:{path} can be read by others; chmod 600 {path}")
    if not raw.strip() or len(raw) > size_max:
        raise Refused(f"file:{path} is empty or more than {size_max} bytes")
    try:
        return raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise Refused(f"file:{path} is not UTF-8") from exc


def _open(path: str, flags: int) -> int:
    """Open a file without waiting: a pipe may never have a writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def text_of(value: ScriptValue) -> str:
    """
    Return a value as the text that goes into a payload, which is the last step before it is sent.

    Raises:
        TypeError: a reference, which nobody has read yet: an error of ours.
    """
    match value:
        case str():
            return value
        case Secret():
            return value.reveal()
    raise TypeError(f"{value} was not read before the payload was made")


class Secrets:
    """
    The secrets of a run: each is read once, and masked from then on in all that any host prints.

    `environment` is looked up for `env:`, `home` stands for `~/`. Shared by all
    threads and runners of a run.
    """

    def __init__(self, *, environment: Mapping[str, str], home: Path) -> None:
        self._environment = environment
        self._home = home
        self._lock = threading.Lock()
        self._known: dict[SecretReference, Secret] = {}
        self._variables: set[str] = set()
        self._mask = Mask()

    @property
    def mask(self) -> Mask:
        """What hides every secret that was read so far."""
        return self._mask

    def withhold(self, references: Iterable[str]) -> None:
        """Have no program that this machine starts inherit the variables of these references (passwords, say)."""
        names = {reference.removeprefix("env:") for reference in references if reference.startswith("env:")}
        with self._lock:
            self._variables |= names

    def inherited(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return what a program that this machine starts may inherit: no variable that holds a secret."""
        with self._lock:
            return {name: value for name, value in environment.items() if name not in self._variables}

    def read(self, reference: SecretReference) -> Secret:
        """
        Return a secret.

        Raises:
            Refused: there is none, it cannot be read, others may read it, or it cannot be masked or travel.
        """
        self.withhold([reference.where])
        with self._lock:
            if reference not in self._known:
                secret = self._checked(reference)
                self._mask = self._mask.hiding(str(reference), secret)
                self._known[reference] = secret
            return self._known[reference]

    def read_ahead(self, references: Iterable[SecretReference]) -> tuple[str, ...]:
        """Read what can be read, so that it is masked from the start; return why others cannot."""
        reasons = []
        for reference in sorted(set(references)):
            try:
                self.read(reference)
            except Refused as exc:
                reasons.append(str(exc))
        return tuple(reasons)

    def collector(self, job: CollectJob) -> CollectJob:
        """
        Return a job whose values are all there.

        Raises:
            Refused: a secret of it cannot be read; the message names the reference.
        """
        return replace(job, environment=self._filled(job.environment)) if _has_secret(job.environment) else job

    def fix(self, job: FixJob) -> FixJob:
        """
        Return a job whose values are all there.

        Raises:
            Refused: a secret of it cannot be read; the message names the reference.
        """
        return replace(job, environment=self._filled(job.environment)) if _has_secret(job.environment) else job

    def _filled(self, environment: Mapping[str, ScriptValue]) -> Mapping[str, ScriptValue]:
        return {
            name: self.read(value) if isinstance(value, SecretReference) else value
            for name, value in environment.items()
        }

    def _in_home(self, reference: str) -> str:
        return f"file:{self._home / reference[7:]}" if reference.startswith("file:~/") else reference

    def _checked(self, reference: SecretReference) -> Secret:
        secret = resolve(self._in_home(reference.where), environment=self._environment, size_max=SECRET_SIZE_MAX)
        text = secret.reveal()
        if len(text.encode("utf-8", errors="surrogateescape")) > SECRET_SIZE_MAX or "\0" in text:
            raise Refused(f"{reference} has more than {SECRET_SIZE_MAX} bytes or a NUL; a script cannot get it")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise Refused(f"{reference} is not UTF-8; a script cannot get it") from None
        if len(text.strip()) < VALUE_CHARACTERS_MIN:
            raise Refused(
                f"{reference} has fewer than {VALUE_CHARACTERS_MIN} characters, which cannot be masked without hiding "
                "what is none; take a longer one"
            )
        if "\n" in text and not any(len(line.strip()) >= LINE_CHARACTERS_MIN for line in text.splitlines()):
            raise Refused(
                f"{reference} has no line of {LINE_CHARACTERS_MIN} characters or more, so it cannot be masked; "
                "take another one"
            )
        return secret


def _has_secret(environment: Mapping[str, ScriptValue]) -> bool:
    return any(isinstance(value, SecretReference) for value in environment.values())
