"""The PowerShell side of a session: its texts, its values, and what it says back."""

__all__: list[str] = []
