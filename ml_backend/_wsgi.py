"""`app` for label-studio-ml's own server: `label-studio-ml start ml_backend`, or gunicorn ml_backend._wsgi:app."""

from __future__ import annotations

import argparse
from typing import Any

from label_studio_ml.api import init_app

from ml_backend.model import NextLabelModel
from ml_backend.settings import settings


def make_app() -> Any:
    """label-studio-ml's Flask application around our model; what it writes goes to MODEL_DIR."""
    return init_app(NextLabelModel, model_dir=str(settings().model_dir.absolute() / "label-studio-ml"))


app = make_app()


def main(arguments: list[str] | None = None) -> None:
    """The flags that `label-studio-ml start` hands on."""
    parser = argparse.ArgumentParser(prog="label-studio-ml start ml_backend", description=__doc__)
    parser.add_argument("-p", "--port", type=int, default=settings().port)
    parser.add_argument("--host", default=settings().host)
    parser.add_argument("-d", "--debug", action="store_true")
    given = parser.parse_args(arguments)
    app.run(host=given.host, port=given.port, debug=given.debug)


if __name__ == "__main__":
    main()
