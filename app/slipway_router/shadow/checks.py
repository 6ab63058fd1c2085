"""The proof that a shadow's candidate is there, can do what is copied to it, and takes no part in what clients get."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from slipway_router.protocol import with_default_tasks

Faults = list[tuple[str, str]]
_COMPARED = ("chat", "completions")
"""Vectors of two models have nothing in common that could be compared."""


def shadow_faults(data: Mapping[str, Any]) -> Faults:
    """What is wrong between shadows and everything else. Works on the data as given, see `Config.parse`."""
    shadows = [_mapping(s) for s in _list(data.get("shadows"))]
    if not shadows:
        return []
    backends = {str(b["name"]): b for b in map(_mapping, _list(data.get("backends"))) if "name" in b}
    copied: dict[str, int] = {}
    for i, shadow in enumerate(shadows):
        copied.setdefault(str(shadow.get("backend")), i)
    answering = {n: b for n, b in backends.items() if n not in copied}
    faults: Faults = []
    first: dict[str, int] = {}
    for i, shadow in enumerate(shadows):
        name = shadow.get("name")
        if isinstance(name, str) and first.setdefault(name, i) != i:
            faults.append((f"shadows[{i}].name", f"'{name}' is there twice, first as shadows[{first[name]}]; names must differ"))
        candidate = backends.get(str(shadow.get("backend")))
        if candidate is not None:
            faults += _candidate_faults(f"shadows[{i}]", _mapping(shadow.get("match")), candidate, answering)
        elif "backend" in shadow:
            choice = ", ".join(f"'{n}'" for n in backends) or "none"
            faults.append((f"shadows[{i}].backend", f"names {shadow['backend']!r}, which is no backend; there are {choice}"))
        faults += _model_faults(f"shadows[{i}].match.models", shadow, answering, data)
    if backends and not answering:
        faults.append(("shadows", "leave no backend that answers; add one that no shadow copies to"))
    return faults + _named_elsewhere(data, {n: i for n, i in copied.items() if n in backends})


def _candidate_faults(
    path: str, match: Mapping[str, Any], candidate: Mapping[str, Any], answering: Mapping[str, Mapping[str, Any]]
) -> Faults:
    faults: Faults = []
    name = candidate["name"]
    done = [t for t in _list(_mapping(with_default_tasks(candidate)).get("tasks", _COMPARED)) if t in _COMPARED]
    asked = _list(match.get("tasks"))
    if "embeddings" in asked:
        faults.append((f"{path}.match.tasks", "has 'embeddings', whose vectors differ from model to model; leave it out"))
    lacking = [str(t) for t in asked if t in _COMPARED and t not in done]
    if lacking:
        faults.append((f"{path}.match.tasks", f"has {', '.join(lacking)}, which '{name}' does not do; leave it out"))
    if not done:
        faults.append((f"{path}.backend", f"names '{name}', which does neither 'chat' nor 'completions'; name one that does"))
    context = _whole(candidate.get("context_tokens"))
    if context is not None:
        held = [_whole(b.get("context_tokens")) for b in answering.values()]
        most = _whole(match.get("max_tokens"))
        if most is None and held:
            most = None if None in held else max(h for h in held if h is not None)
            known = "requests of any length are answered" if most is None else f"requests of up to {most} tokens are answered"
        else:
            known = f"'match' takes requests of up to {most} tokens"
        if held and (most is None or most > context):
            told = f"'{name}' holds {context} tokens, but {known}: longer ones cannot be compared; match 'max_tokens: {context}'"
            faults.append((f"{path}.backend", told))
    quota = candidate.get("quota")
    sharing = [n for n, b in answering.items() if quota is not None and b.get("quota") == quota]
    if sharing:
        told = f"'{name}' shares the quota {quota!r} with '{sharing[0]}', which the copies would take it from; give it another"
        faults.append((f"{path}.backend", told))
    return faults


def _model_faults(
    path: str, shadow: Mapping[str, Any], answering: Mapping[str, Mapping[str, Any]], data: Mapping[str, Any]
) -> Faults:
    asked = [str(m) for m in _list(_mapping(shadow.get("match")).get("models"))]
    known = dict.fromkeys(["auto"])
    for name, backend in answering.items():
        known.update(dict.fromkeys(map(str, (name, backend.get("model", name), *_list(backend.get("serves"))))))
    for route in map(_mapping, _list(data.get("routes"))):
        known.update(dict.fromkeys(map(str, _list(_mapping(route.get("match")).get("models")))))
    choice = ", ".join(f"'{m}'" for m in known)
    return [(path, f"has {m!r}, which no client can ask for; there are {choice}") for m in asked if m not in known]


def _named_elsewhere(data: Mapping[str, Any], copied: Mapping[str, int]) -> Faults:
    """A candidate that could answer a client: what is compared must not depend on what the client gets, nor it on the copies."""
    policy = _mapping(data.get("policy"))
    named = [(f"policy.{k}", policy.get(k)) for k in ("best", "self_hosted", "cheap", "last_resort")]
    named += [(f"policy.preferences[{i}]", n) for i, n in enumerate(_list(policy.get("preferences")))]
    for name, other in _mapping(data.get("policies")).items():
        other = _mapping(other)
        named += [(f"policies.{name}.backends[{i}]", n) for i, n in enumerate(_list(other.get("backends")))]
        named += [(f"policies.{name}.weights.{n}", n) for n in _mapping(other.get("weights"))]
    told = (
        "names '{0}', which shadows[{1}] copies to and which answers nobody; name another, or list its address once more as a "
        "backend of another name"
    )
    return [(where, told.format(n, copied[n])) for where, n in named if isinstance(n, str) and n in copied]


def _list(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
