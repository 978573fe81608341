"""`modiste` and `python -m modiste`: run a command, return its exit code."""

from __future__ import annotations


def main(argv: list[str] | None = None) -> int:
    """0 ok, 1 failed, 2 wrong usage."""
    from modiste.cli.app import run

    return run(argv)


if __name__ == "__main__":
    raise SystemExit(main())
