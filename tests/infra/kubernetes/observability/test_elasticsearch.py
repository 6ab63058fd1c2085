"""What Elasticsearch is started with and told. It does not run here: see docs/tested.md."""

import base64
import re
import subprocess
from pathlib import Path

import bcrypt
import pytest
import yaml

from slipway.kubernetes.observability.elasticsearch import (
    ADMIN_KEY,
    AUTH,
    CONFIG,
    ENCRYPTION_KEYS,
    HOME,
    TOKEN_KEY,
    TOKENS,
    USERS,
    USERS_ROLES,
    configuration,
    credentials,
    heap_mib,
    preparation,
)
from slipway.kubernetes.observability.kibana import configuration as of_kibana
from slipway.kubernetes.observability.passwords import PASSWORD_KEY, PUSH_KEY


def test_each_user_is_known_by_the_hash_of_the_password_in_the_secret() -> None:
    held = credentials()
    known = dict(line.split(":", 1) for line in held[USERS].splitlines())
    words = {"elastic": held[ADMIN_KEY], "slipway": held[PASSWORD_KEY], "agent": held[PUSH_KEY]}
    assert known.keys() == words.keys()
    for user, word in words.items():
        assert known[user].startswith("$2a$10$")
        assert bcrypt.checkpw(word.encode(), known[user].encode())
    roles = {(role, user) for role, user in (line.split(":") for line in held[USERS_ROLES].splitlines())}
    assert {role for role, user in roles if user == "agent"} == {"slipway_agent"}
    assert ("superuser", "elastic") in roles
    assert len({held[key] for key in (ADMIN_KEY, PASSWORD_KEY, PUSH_KEY, TOKEN_KEY, *ENCRYPTION_KEYS.values())}) == 7


def test_kibanas_token_is_the_one_that_elasticsearch_knows() -> None:
    held = credentials()
    version, told = (whole := base64.b64decode(held[TOKEN_KEY]))[:4], whole[4:].decode()
    name, word = told.split(":")
    assert (version, name) == (b"\0\1\0\1", "elastic/kibana/slipway")
    known, hashed = held[TOKENS].strip().split(":", 1)
    assert known == name
    assert bcrypt.checkpw(word.encode(), hashed.encode())


def test_no_two_stacks_have_the_same() -> None:
    first, second = credentials(), credentials()
    assert {key for key in first if first[key] == second[key]} == {USERS_ROLES}


def test_it_asks_for_passwords_joins_nobody_and_wants_nothing_of_the_node() -> None:
    told = yaml.safe_load(configuration()["elasticsearch.yml"])
    assert told["xpack.security.enabled"] is True
    assert told["xpack.security.authc.reserved_realm.enabled"] is False
    assert (told["discovery.type"], told["transport.host"]) == ("single-node", "127.0.0.1")
    assert told["node.store.allow_mmap"] is False
    (role,) = yaml.safe_load(configuration()["roles.yml"]).values()
    assert role["indices"] == [{"names": ["logs-slipway-default"], "privileges": ["read", "view_index_metadata"]}]


def test_its_folder_has_what_the_image_has_and_ours_in_place_of_that(tmp_path: Path) -> None:
    files = {"home/config/jvm.options": "the image's", "home/config/elasticsearch.yml": "the image's"}
    for name, text in {**files, "ours/elasticsearch.yml": "ours", "auth/users": "ours", "prepared/none": ""}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    places = {AUTH: "auth", CONFIG: "ours", HOME: "home", "/prepared": "prepared"}
    words = preparation()
    for inside, place in places.items():
        words = [word.replace(f"{inside}/", f"{tmp_path / place}/") for word in words]
    subprocess.run(words, check=True)
    made = {file.name: file.read_text() for file in (tmp_path / "prepared").iterdir()}
    assert made == {"jvm.options": "the image's", "elasticsearch.yml": "ours", "users": "ours", "none": ""}


@pytest.mark.parametrize(("memory", "heap"), [("4Gi", 2048), ("3Gi", 1536), ("128Gi", 31744)])
def test_the_heap_is_half_of_the_memory_but_no_more_than_short_pointers_reach(memory: str, heap: int) -> None:
    assert heap_mib({"limits": {"cpu": "2", "memory": memory}}) == heap


def test_kibanas_secrets_are_no_text_of_its_file() -> None:
    told = yaml.safe_load(of_kibana("http://elasticsearch:9200", "https://kibana.example.com")["kibana.yml"])
    secret = {key: value for key, value in told.items() if "Key" in key or "Token" in key}
    assert len(secret) == 4
    assert all(re.fullmatch(r"\$\{SLIPWAY_[A-Z_]+\}", value) for value in secret.values())
    assert told["server.publicBaseUrl"] == "https://kibana.example.com"
    assert "server.publicBaseUrl" not in of_kibana("http://elasticsearch:9200", None)["kibana.yml"]
