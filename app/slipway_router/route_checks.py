"""The proof that routes and policies name something, and something that can serve."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from slipway_router.policies import ROUTE_NAME, RULES_POLICY
from slipway_router.protocol import with_default_tasks
from slipway_router.route_reach import hidden_by
from slipway_router.schema import RANK
from slipway_router.steadiness import Timeouts

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
    tiers = {str(k.get("tier", "free")) for k in _mappings(data.get("keys"))}
    for i, route in enumerate(routes):
        faults += _match_faults(f"routes[{i}].match", _mapping(route.get("match")), tiers, list(backends.values()))
    return faults


def _order_faults(routes: Sequence[Mapping[str, Any]], policies: Mapping[str, Any]) -> Faults:
    faults: Faults = []
    first: dict[str, int] = {}
    choice = ", ".join(f"'{n}'" for n in (RULES_POLICY, *policies))
    for i, route in enumerate(routes):
        name, policy = route.get("name"), route.get("policy")
        if isinstance(name, str) and first.setdefault(name, i) != i:
            faults.append((f"routes[{i}].name", f"'{name}' is there twice, first as routes[{first[name]}]; names must differ"))
        if isinstance(policy, str) and policy != RULES_POLICY and policy not in policies:
            faults.append((f"routes[{i}].policy", f"names {policy!r}, which is no policy; there are {choice}"))
    leads = [_leads(r.get("policy"), policies) for r in routes]
    for later, earlier in hidden_by(routes, leads):
        whole = not {k for k in _mapping(routes[earlier].get("match")) if k != "timezone"}
        takes = "every request; put that last" if whole else "all that it would; put this one before that, or leave it out"
        faults.append((f"routes[{later}]", f"is never reached: routes[{earlier}] before it takes {takes}"))
    return faults


def _leads(policy: object, policies: Mapping[str, Any]) -> frozenset[str] | None:
    """The backends that a route with this policy leads to; None where that is all."""
    if policy == RULES_POLICY:
        return None
    if not isinstance(policy, str) or policy not in policies:
        return frozenset()
    named = _mapping(policies[policy])
    return frozenset(map(str, (*_mapping(named.get("weights")), *_list(named.get("backends"))))) or None


def _match_faults(path: str, match: Mapping[str, Any], tiers: set[str], backends: Sequence[Mapping[str, Any]]) -> Faults:
    """Conditions that no request can meet, or that no backend can."""
    faults: Faults = []
    held = ", ".join(f"'{t}'" for t in sorted(tiers))
    for tier in _list(match.get("tiers")):
        if tiers and tier not in tiers:
            faults.append((f"{path}.tiers", f"names '{tier}', which no key has; the keys have {held}"))
    for task in _list(match.get("tasks")):
        if backends and all(task not in _tasks(b) for b in backends):
            faults.append((f"{path}.tasks", f"names '{task}', which no backend does"))
    least = _whole(match.get("min_tokens"))
    holds = [_whole(b.get("context_tokens")) for b in backends]
    known = [h for h in holds if h is not None]
    if least is not None and known and len(known) == len(holds) and max(known) < least:
        faults.append((f"{path}.min_tokens", f"is {least}, and no backend holds more than {max(known)} tokens"))
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
        faults += _late_fallbacks(known)
    if policy.get("kind") == "cheapest":
        faults += _quality_faults(f"{path}.quality", policy.get("quality"), known or [(path, b) for b in backends.values()])
    return faults


def _quality_faults(path: str, quality: object, known: Sequence[tuple[str, Mapping[str, Any]]]) -> Faults:
    """A quality that nobody has: every request would get less than is asked."""
    if not isinstance(quality, str) or quality not in RANK:
        return []
    found = [str(b.get("quality", "medium")) for _, b in known]
    best = max((RANK[q] for q in found if q in RANK), default=RANK[quality])
    if best >= RANK[quality]:
        return []
    told = next(q for q, rank in RANK.items() if rank == best)
    return [(path, f"is '{quality}', and its backends have '{told}' at best; give that, or name a better backend")]


def _late_fallbacks(known: Sequence[tuple[str, Mapping[str, Any]]]) -> Faults:
    """Fallbacks whose own deadline is over, or nearly, when those before them have taken all their time."""
    faults: Faults = []
    elapsed = 0.0
    for where, backend in known:
        try:
            times = Timeouts.model_validate(backend.get("timeouts") or {})
        except ValidationError:
            return faults
        attempt = times.connect + times.first_byte
        if elapsed and elapsed + attempt > times.total:
            told = (
                f"'{backend['name']}' is asked after {elapsed:g} s at worst, if those before it take all their time, and may "
                f"itself take connect {times.connect:g} s + first_byte {times.first_byte:g} s, but its timeouts.total is "
                f"{times.total:g} s; raise that, or give those before it a shorter first_byte"
            )
            faults.append((where, told))
        elapsed += min(attempt, times.total)
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
