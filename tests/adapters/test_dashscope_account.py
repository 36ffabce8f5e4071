"""Where DashScope is reached, in whose name, and how it is asked about tasks."""

from __future__ import annotations

from typing import Any

import pytest

from happyhorse_adapters.dashscope import DashScopeAdapter
from happyhorse_async.adapter import Account, PageRequest, Submission
from happyhorse_async.errors import ConfigurationError
from happyhorse_async.messages import HttpRequest
from happyhorse_async.request import TextToVideo

ADAPTER = DashScopeAdapter()
SINGAPORE = "https://dashscope-intl.aliyuncs.com/api/v1"
DEDICATED = "https://ws-1a.ap-southeast-1.maas.aliyuncs.com/api/v1"


def account(**arguments: Any) -> Account:
    return ADAPTER.account(provider="main", api_key="sk-canary", **arguments)


def every_message(account: Account) -> list[HttpRequest]:
    request = TextToVideo("a boat")
    submission = Submission(request=request, spec=ADAPTER.check(request, provider="main"), job_id="job-1")
    return [
        ADAPTER.encode_submit(submission, account),
        ADAPTER.encode_fetch("t-1", account),
        ADAPTER.encode_list(PageRequest(), account),
        ADAPTER.encode_cancel("t-1", account),
    ]


def test_singapore_is_the_default() -> None:
    """Without region, workspace and base URL it is the shared host of Singapore."""
    assert SINGAPORE == account().base_url
    assert SINGAPORE == ADAPTER.default_base_url
    assert "singapore" == next(iter(ADAPTER.regions))


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("singapore", SINGAPORE),
        ("ap-southeast-1", SINGAPORE),
        ("beijing", "https://dashscope.aliyuncs.com/api/v1"),
        ("cn-beijing", "https://dashscope.aliyuncs.com/api/v1"),
        ("virginia", "https://dashscope-us.aliyuncs.com/api/v1"),
        ("us-east-1", "https://dashscope-us.aliyuncs.com/api/v1"),
    ],
)
def test_the_shared_hosts(region: str, expected: str) -> None:
    """Three regions have a shared host, and go by name or id."""
    assert expected == account(region=region).base_url


@pytest.mark.parametrize(
    ("region", "region_id"),
    [
        (None, "ap-southeast-1"),
        ("singapore", "ap-southeast-1"),
        ("ap-southeast-1", "ap-southeast-1"),
        ("beijing", "cn-beijing"),
        ("cn-beijing", "cn-beijing"),
        ("virginia", "us-east-1"),
        ("us-east-1", "us-east-1"),
        ("frankfurt", "eu-central-1"),
        ("eu-central-1", "eu-central-1"),
        ("tokyo", "ap-northeast-1"),
        ("ap-northeast-1", "ap-northeast-1"),
    ],
)
def test_the_hosts_of_a_workspace(region: str | None, region_id: str) -> None:
    """With a workspace, every region is reached by the workspace's own host."""
    expected = f"https://llm-7x.{region_id}.maas.aliyuncs.com/api/v1"

    assert expected == account(region=region, options={"workspace": "llm-7x"}).base_url


@pytest.mark.parametrize("region", ["frankfurt", "tokyo", "eu-central-1", "ap-northeast-1"])
def test_two_regions_have_no_shared_host(region: str) -> None:
    """Frankfurt and Tokyo without a workspace is an error that says what to set."""
    with pytest.raises(ConfigurationError, match=rf"{region} .*workspace"):
        account(region=region)


def test_an_unknown_region_names_the_known_ones() -> None:
    """A region that HappyHorse is not sold in is an error with the choices."""
    with pytest.raises(ConfigurationError, match=r"'cn-hongkong'.*singapore \(ap-southeast-1\).*tokyo"):
        account(region="cn-hongkong")


def test_an_unknown_option_is_an_error() -> None:
    """A misspelt option is not passed over."""
    with pytest.raises(ConfigurationError, match="workspace_id"):
        account(options={"workspace_id": "ws-1a"})


@pytest.mark.parametrize(
    "workspace", ["", "a.b", "evil.example/", "a b", "_ws", "-ws", "ws-", "a\r\nX: y", "a" * 64, 7]
)
@pytest.mark.parametrize("base_url", [None, SINGAPORE])
def test_a_workspace_is_a_host_label(workspace: object, base_url: str | None) -> None:
    """What becomes a part of a host name or a header holds nothing that could end it, whichever it becomes."""
    with pytest.raises(ConfigurationError, match="workspace"):
        account(base_url=base_url, options={"workspace": workspace})


def test_a_base_url_wins_over_the_region() -> None:
    """The given root is used, without its trailing slash."""
    chosen = account(base_url="http://127.0.0.1:8080/api/v1/", region="beijing")

    assert "http://127.0.0.1:8080/api/v1" == chosen.base_url
    assert "http://127.0.0.1:8080/api/v1/tasks/t-1" == ADAPTER.encode_fetch("t-1", chosen).url


@pytest.mark.parametrize(
    "base_url",
    [
        SINGAPORE,
        "http://127.0.0.1:8080/api/v1",
        "https://trial.ap-southeast-1.maas.aliyuncs.com/api/v1",
        "https://token-plan.cn-beijing.maas.aliyuncs.com/api/v1",
        "https://ws-1a.ap-southeast-1.maas.aliyuncs.com.example.org/api/v1",
    ],
)
def test_a_workspace_on_a_host_for_all_is_named_in_a_header(base_url: str) -> None:
    """With a base URL of one's own, every call names the workspace."""
    messages = every_message(account(base_url=base_url, options={"workspace": "ws-1a"}))

    assert ["ws-1a"] * 4 == [message.headers["X-DashScope-WorkSpace"] for message in messages]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"base_url": SINGAPORE},
        {"options": {"workspace": "ws-1a"}},
        {"options": {"workspace": "ws-1a"}, "base_url": DEDICATED},
        {"options": {"workspace": "ws-1a"}, "base_url": DEDICATED.replace("/api", ":443/api")},
        {"options": {"workspace": None}, "base_url": SINGAPORE},
    ],
)
def test_no_header_without_need(arguments: dict[str, Any]) -> None:
    """The header is sent neither without a workspace nor to a workspace's own host."""
    messages = every_message(account(**arguments))

    assert [False] * 4 == ["X-DashScope-WorkSpace" in message.headers for message in messages]


def test_a_query() -> None:
    """A query has the key, and asks for nothing but JSON."""
    message = ADAPTER.encode_fetch("22222222-aaaa", account())

    assert "GET" == message.method
    assert f"{SINGAPORE}/tasks/22222222-aaaa" == message.url
    assert {"Authorization": "Bearer sk-canary", "Accept": "application/json"} == dict(message.headers)
    assert message.body is None


def test_a_cancellation() -> None:
    """A cancellation is a POST without a body."""
    message = ADAPTER.encode_cancel("22222222-aaaa", account())

    assert "POST" == message.method
    assert f"{SINGAPORE}/tasks/22222222-aaaa/cancel" == message.url
    assert {"Authorization": "Bearer sk-canary", "Accept": "application/json"} == dict(message.headers)
    assert message.body is None


def test_a_list() -> None:
    """The list has a trailing slash in its path, and its page in the query."""
    message = ADAPTER.encode_list(PageRequest(number=3, size=20), account())

    assert "GET" == message.method
    assert f"{SINGAPORE}/tasks/?page_no=3&page_size=20" == message.url
    assert {"Authorization": "Bearer sk-canary", "Accept": "application/json"} == dict(message.headers)
    assert message.body is None


@pytest.mark.parametrize("task_id", ["../../uploads?action=getPolicy", "a/b", "a#b", "ä b"])
def test_a_task_id_cannot_leave_its_place_in_the_path(task_id: str) -> None:
    """Whatever an id holds, it is one part of the path."""
    fetch, cancel = ADAPTER.encode_fetch(task_id, account()), ADAPTER.encode_cancel(task_id, account())

    for part in (fetch.url.removeprefix(f"{SINGAPORE}/tasks/"), cancel.url.removeprefix(f"{SINGAPORE}/tasks/")):
        assert set(part.removesuffix("/cancel")).isdisjoint("/?# ä")


def test_what_is_asked_of_the_provider() -> None:
    """The pace stays below the published 20 queries and 5 submits a second."""
    assert 15 == ADAPTER.poll.interval
    assert 18 == ADAPTER.limits.queries_per_second
    assert 4.5 == ADAPTER.limits.submits_per_second
    assert 86_400 == ADAPTER.task_ttl
    assert ADAPTER.capabilities.can_list
    assert ADAPTER.capabilities.can_cancel
    assert not ADAPTER.capabilities.callbacks
    assert not ADAPTER.capabilities.idempotent
