"""The proof that routes and policies name something, and something that can serve."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from slipway_router.policies import ROUTE_NAME, RULES_POLICY
from slipway_router.protocol import with_default_tasks

Faults = list[tuple[str, str]]


def route_faults(data: Mapping[str, Any]) -> Faults:
    """What is wrong between routes, policies and backends. Works on the data as given, see `Config.parse`."""
    backends = {str(b["name"]): b for b in _mappings(data.get("backends")) if "name" in b}
    policies = {str(n): _mapping(p) for n, p in _mapping(data.get("policies")).items()}
    routes = [_mapping(r) for r in _list(data.get("routes"))]
    faults: Faults = []
    for name, policy in policies.items():
        used = [(i, _mapping(r.get("match"))) for i, r in enumerate(routes) if r.get("policy") == name]
        faults += _policy_faults(name, policy, used, backends)
    faults += _order_faults(routes, policies)
    return faults


def _order_faults(routes: Sequence[Mapping[str, Any]], policies: Mapping[str, Any]) -> Faults:
    faults: Faults = []
    first: dict[str, int] = {}
    last: int | None = None
    choice = ", ".join(f"'{n}'" for n in (RULES_POLICY, *policies))
    for i, route in enumerate(routes):
        name, policy = route.get("name"), route.get("policy")
        if isinstance(name, str) and first.setdefault(name, i) != i:
            faults.append((f"routes[{i}].name", f"'{name}' is there twice, first as routes[{first[name]}]; names must differ"))
        if isinstance(policy, str) and policy != RULES_POLICY and policy not in policies:
            faults.append((f"routes[{i}].policy", f"names {policy!r}, which is no policy; there are {choice}"))
        if last is not None:
            faults.append((f"routes[{i}]", f"is never reached: routes[{last}] before it takes every request; put that last"))
        elif not {k for k in _mapping(route.get("match")) if k != "timezone"}:
            last = i
    return faults


def _policy_faults(
    name: str, policy: Mapping[str, Any], used: Sequence[tuple[int, Mapping[str, Any]]], backends: Mapping[str, Mapping[str, Any]]
) -> Faults:
    path = f"policies.{name}"
    faults: Faults = []
    if name == RULES_POLICY:
        faults.append((path, "is what routes call the four rules of 'policy'; take another name"))
    elif not ROUTE_NAME.fullmatch(name):
        faults.append((path, "is no name; give lower case letters, digits, '-' and '.', at most 63"))
    elif not used:
        faults.append((path, "is used by no route; name it in one, or leave it out"))
    listed = [(f"{path}.backends[{i}]", str(b)) for i, b in enumerate(_list(policy.get("backends")))]
    listed += [(f"{path}.weights.{b}", str(b)) for b in _mapping(policy.get("weights"))]
    choice = ", ".join(f"'{n}'" for n in backends) or "none"
    seen: set[str] = set()
    for where, backend in listed:
        if backend not in backends:
            faults.append((where, f"names {backend!r}, which is no backend; there are {choice}"))
        elif backend in seen:
            faults.append((where, f"names {backend!r} twice"))
        seen.add(backend)
    known = [(where, backends[b]) for where, b in listed if b in backends]
    for i, match in used:
        faults += _cannot_serve(f"routes[{i}]", match, known)
    if policy.get("kind") == "priority":
        faults += _lesser_fallbacks(known, [match for _, match in used])
    return faults


def _cannot_serve(route: str, match: Mapping[str, Any], known: Sequence[tuple[str, Mapping[str, Any]]]) -> Faults:
    """Backends that can do nothing for a route that leads to them."""
    faults: Faults = []
    least = _whole(match.get("min_tokens"))
    for where, backend in known:
        lacking = [t for t in _list(match.get("tasks")) if t not in _tasks(backend)]
        if lacking:
            faults.append((where, f"'{backend['name']}' does not do {', '.join(map(str, lacking))}, which {route} sends to it"))
        context = _whole(backend.get("context_tokens"))
        if context is not None and least is not None and context < least:
            faults.append((where, f"'{backend['name']}' holds {context} tokens, and {route} sends it {least} or more"))
    return faults


def _lesser_fallbacks(known: Sequence[tuple[str, Mapping[str, Any]]], matches: Sequence[Mapping[str, Any]]) -> Faults:
    """Fallbacks that lack the context, an ability or a task of the backend that they stand in for."""
    if not known:
        return []
    first = known[0][1]
    context = _whole(first.get("context_tokens"))
    most = [_whole(m.get("max_tokens")) for m in matches]
    asked = [m for m in most if m is not None]
    need = context
    if context is not None and asked and len(asked) == len(most):
        need = min(context, max(asked))
    needed = _list(first.get("abilities"))
    any_task = any(not _list(m.get("tasks")) for m in matches)
    faults: Faults = []
    for where, backend in known[1:]:
        own = _whole(backend.get("context_tokens"))
        if own is not None and need is not None and own < need:
            told = (
                f"'{backend['name']}' holds {own} tokens, but '{first['name']}', for which it stands in, is sent up to {need}: "
                f"longer requests would have no fallback; name one that holds as many, or match 'max_tokens: {own}'"
            )
            faults.append((where, told))
        able = backend.get("abilities")
        unable = [str(a) for a in needed if able is not None and a not in _list(able)]
        if unable:
            told = (
                f"'{backend['name']}' lacks {', '.join(unable)}, which '{first['name']}' has, for which it stands in: requests "
                f"that need that have no fallback; name one that has it, or leave it out of the abilities of '{first['name']}'"
            )
            faults.append((where, told))
        lacking = sorted(set(map(str, _tasks(first))) - set(map(str, _tasks(backend))))
        if any_task and lacking:
            told = (
                f"'{backend['name']}' does not do {', '.join(lacking)}, which '{first['name']}' does: no fallback for that; "
                "name one that does, or match other 'tasks'"
            )
            faults.append((where, told))
    return faults


def _tasks(backend: Mapping[str, Any]) -> Sequence[object]:
    return _list(_mapping(with_default_tasks(backend)).get("tasks", ("chat", "completions")))


def _list(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _mappings(value: object) -> Sequence[Mapping[str, Any]]:
    return [_mapping(v) for v in _list(value)]


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
