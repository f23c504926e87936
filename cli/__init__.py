"""The one command line: nextlabel run | serve | worker | connect | doctor | demo | plan | plugins | ..."""

from __future__ import annotations

import typer
from rich.console import Console

from cli import access, plans, plugin_packages, programs, projects, steering

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Label Studio's queue, most valuable item first.")
for _room in (programs, projects, steering, access):
    app.add_typer(_room.commands)
app.add_typer(plans.commands, name="plan")
app.add_typer(plugin_packages.commands, name="plugins")
errors = Console(stderr=True)


def main() -> None:
    """Runs the command line; a known error is one sentence, not a traceback."""
    from redis.exceptions import RedisError
    from sqlalchemy.exc import OperationalError

    from ml_backend.logs import configure_logs
    from ml_backend.loop.cycle import EXPECTED
    from ml_backend.settings import settings
    from ml_backend.studio.config_xml import ConfigError

    try:
        configure_logs(settings().log_level if settings().trace else "WARNING")  # server and worker set their own
        app()
    except (*EXPECTED, ConfigError, ValueError) as error:
        _stop(str(error))
    except RedisError as error:
        _stop(f"Redis does not answer ({error}); start it, or set REDIS_URL.")
    except OperationalError as error:
        _stop(f"The ledger cannot be opened ({error.orig}); check DATABASE_URL or the rights on MODEL_DIR.")


def _stop(message: str) -> None:
    errors.print(f"[red]{message}[/red]", soft_wrap=True, highlight=False)
    raise SystemExit(1)
