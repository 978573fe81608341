"""`modiste data`: check, look at, convert, clean and trace training data.

Works on local files without a server; what concerns models and datasets asks one. The commands live
in the `data_*` modules beside this one.
"""

from __future__ import annotations

import typer

from modiste.cli import (
    data_check,
    data_convert,
    data_curate,
    data_datasets,
    data_dedup,
    data_fix,
    data_lineage,
    data_preview,
    data_run,
    data_safety,
    data_variety,
)

app = typer.Typer(
    add_completion=False,
    help="Training data: check, preview, convert, dedup, split, trace, …",
    no_args_is_help=True,
)
app.add_typer(data_check.app)
app.add_typer(data_preview.app)
app.add_typer(data_dedup.app)
app.add_typer(data_curate.app)
app.add_typer(data_run.app)
app.add_typer(data_safety.app)
app.add_typer(data_variety.app)
app.add_typer(data_fix.app)
app.add_typer(data_convert.app)
app.add_typer(data_lineage.app)
app.add_typer(data_datasets.app)
