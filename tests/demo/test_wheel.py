"""What is in the wheel is enough: installed without development tools, it tells the story."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def _run(*argv: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**os.environ, "TMPDIR": str(cwd), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.mark.slow
@pytest.mark.sshd
@pytest.mark.timeout(600)
def test_wheel_in_a_clean_environment_passes_the_demo(tmp_path: Path) -> None:
    """A wheel built from this checkout, alone in a new virtual environment, makes a repository and passes the demo."""
    built = _run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, _ROOT, cwd=tmp_path)
    wheel = next(tmp_path.glob("*.whl"), tmp_path)
    environment = tmp_path / "environment"
    made = _run(sys.executable, "-m", "venv", environment, cwd=tmp_path)
    installed = _run(environment / "bin" / "pip", "install", "--quiet", "--no-input", wheel, cwd=tmp_path)
    made_repository = _run(environment / "bin" / "remedy", "init", "--ci", "github", "rules-repo", cwd=tmp_path)
    told = _run(environment / "bin" / "remedy", "demo", cwd=tmp_path)
    packages = _run(environment / "bin" / "pip", "list", "--format=freeze", cwd=tmp_path)

    assert [step.returncode for step in (built, made, installed)] == [0, 0, 0], built.stderr + installed.stderr
    assert made_repository.returncode == 0, made_repository.stderr
    assert (tmp_path / "rules-repo" / ".github" / "workflows" / "remedy.yml").is_file()
    assert told.returncode == 0, told.stdout + told.stderr
    assert "pytest" not in packages.stdout
