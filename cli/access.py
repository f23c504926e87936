"""`nextlabel admin-link` and `nextlabel token`: the first way in, and tokens for programs, on the server's machine."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from cli.common import author, console

commands = typer.Typer()
tokens = typer.Typer(no_args_is_help=True, help="Tokens with which programs call the REST interface.")
commands.add_typer(tokens, name="token")


@commands.command("admin-link")
def admin_link() -> None:
    """Prints a one-time link that makes an admin, good for 24 hours."""
    from ml_backend.loop.house import house
    from ml_backend.server import accounts
    from ml_backend.server.first_start import address_of

    rooms = house()
    with rooms.ledger.session() as session:
        purpose: accounts.Purpose = "admin" if accounts.anyone(session) else "first"
        secret = accounts.make_link(session, purpose, author=author())
    console.print(address_of(rooms.settings, secret), soft_wrap=True, highlight=False, markup=False)


@tokens.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Which program has it.")],
    scope: Annotated[str, typer.Option(help="read, or write to change things too.")] = "read",
) -> None:
    """Makes a token and prints it, this once."""
    from ml_backend.loop.house import house
    from ml_backend.server import accounts

    with house().ledger.session() as session:
        secret = accounts.make_token(session, name, scope, author=author())
    console.print(secret, soft_wrap=True, highlight=False, markup=False)


@tokens.command("list")
def show() -> None:
    """The tokens there are; none can be shown again."""
    from ml_backend.loop.house import house
    from ml_backend.server import accounts

    table = Table("number", "name", "scope", "made", "by", "last used", "revoked")
    with house().ledger.session() as session:
        for token in accounts.tokens(session):
            moments = [f"{at:%F %H:%M}" if at else "" for at in (token.created_at, token.used_at, token.revoked_at)]
            table.add_row(str(token.id), token.name, token.scope, moments[0], token.author, *moments[1:])
    console.print(table)


@tokens.command("revoke")
def revoke(number: Annotated[int, typer.Argument(help="A number of `nextlabel token list`.")]) -> None:
    """A revoked token opens nothing any more, from the next request on."""
    from ml_backend.loop.house import house
    from ml_backend.server import accounts

    with house().ledger.session() as session:
        token = accounts.revoke_token(session, number, author=author())
        console.print(f"The token '{token.name}' is revoked.", highlight=False)
