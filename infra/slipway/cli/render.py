"""`slipway render`: the Kubernetes manifests of a stack."""

from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.errors import told
from slipway.cli.plan import planned
from slipway.cli.stacks import DirectoryOption, StackOption
from slipway.plan.folder import write_folder
from slipway.plan.render import render as rendered

OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the manifests. Files in it that are not ours stay.", resolve_path=True)
]
SkipSecretsOption = Annotated[
    bool,
    typer.Option("--skip-secrets", help="Leave Secrets out, whose files would show what they hold; make them by other means."),
]


def render(
    stack: StackOption, output: OutputOption, directory: DirectoryOption = Path(), skip_secrets: SkipSecretsOption = False
) -> None:
    """Write a stack's Kubernetes manifests, for `kubectl apply --server-side -f DIR`.

    Needs no engine, cluster, account or secret. Ends with 0; with 2 on bad input, and when a value is known only after `up`.
    """
    with told():
        made = rendered(planned(directory, stack), skip_secrets=skip_secrets)
        write_folder(output, made.files)
    for secret in made.secrets:
        typer.echo(f"left out: the Secret {secret}; make it before you apply the rest", err=True)
    for resource in made.expected:
        typer.echo(f"expected: {resource.name} ({resource.type}) must be in the cluster already", err=True)
    for resource in made.elsewhere:
        typer.echo(f"not rendered: {resource.name} ({resource.type}) is not Kubernetes' own", err=True)
    count = "1 manifest" if len(made.files) == 1 else f"{len(made.files)} manifests"
    then = f"; then: kubectl apply --server-side -f {output}" if made.files else ""
    typer.echo(f"{stack}: {count} in {output}{then}", err=True)
