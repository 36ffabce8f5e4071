"""What goes wrong when a file is uploaded: certain, and free."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest
from PIL import Image

import happyhorse_async as hh

KEY = "sk-canary-0451-never-to-be-seen"


def bitmap(side: int = 400) -> bytes:
    """A picture that is never sent inside a request."""
    target = io.BytesIO()
    Image.new("RGB", (side, side)).save(target, "BMP")
    return target.getvalue()


@pytest.fixture
async def emulator() -> AsyncIterator[hh.Emulator]:
    async with hh.Emulator(speed=500) as emulator:
        yield emulator


def client_of(emulator: hh.Emulator, retries: int = 0) -> hh.Client:
    policies = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=retries, initial_interval=0.01))
    timeouts = hh.Timeouts(query=0.5)
    return hh.Client("dashscope", api_key=KEY, base_url=emulator.url("dashscope"), retries=policies, timeouts=timeouts)


@pytest.mark.parametrize(
    ("name", "on", "error"),
    [
        pytest.param("forbidden", "permit", hh.PermissionDeniedError, marks=pytest.mark.fault(106)),
        pytest.param("wrong-key", "permit", hh.AuthenticationError, marks=pytest.mark.fault(106)),
        pytest.param("too-fast", "permit", hh.RateLimitError, marks=pytest.mark.fault(106)),
        pytest.param("hang", "permit", hh.TransportError, marks=pytest.mark.fault(106)),
        pytest.param("not-http", "permit", hh.TransportError, marks=pytest.mark.fault(106)),
        pytest.param("empty-200", "permit", hh.ProviderError, marks=pytest.mark.fault(106)),
        pytest.param("file-too-large", "upload", hh.InvalidRequestError, marks=pytest.mark.fault(108)),
        pytest.param("file-exists", "upload", hh.ProviderError, marks=pytest.mark.fault(108)),
        pytest.param("storage-busy", "upload", hh.ProviderError, marks=pytest.mark.fault(108)),
        pytest.param("storage-broken", "upload", hh.ProviderError, marks=pytest.mark.fault(108)),
        pytest.param("reset-before-answer", "upload", hh.TransportError, marks=pytest.mark.fault(109)),
        pytest.param("reset-in-head", "upload", hh.TransportError, marks=pytest.mark.fault(109)),
        pytest.param("close-before-answer", "upload", hh.TransportError, marks=pytest.mark.fault(109)),
        pytest.param("not-http", "upload", hh.TransportError, marks=pytest.mark.fault(109)),
    ],
)
async def test_a_failed_upload_costs_nothing(
    emulator: hh.Emulator, name: str, on: str, error: type[hh.HappyHorseError]
) -> None:
    """It is an error of its own class, no job is left, no paid request was sent, and the next try goes through."""
    injection = emulator.inject(name, on=on, provider="dashscope")
    async with client_of(emulator) as client:
        with pytest.raises(error) as raised:
            await client.submit(hh.ImageToVideo(bitmap()))
        injection.remove()
        assert [] == await client.pending()
        assert (injection.applied, emulator.billed("dashscope")) == (1, 0)
        assert not isinstance(raised.value, hh.SubmitOutcomeUnknownError)
        assert KEY not in str(raised.value)

        await client.submit(hh.ImageToVideo(bitmap()))

    assert 1 == emulator.billed("dashscope")


@pytest.mark.fault(107)
async def test_an_expired_permission_is_asked_for_once_more(emulator: hh.Emulator) -> None:
    """The second one serves; a third is not asked for."""
    emulator.inject("expired-policy", provider="dashscope")
    async with client_of(emulator) as client:
        await client.submit(hh.ImageToVideo(bitmap()))
        emulator.inject("expired-policy", provider="dashscope", times=None)
        with pytest.raises(hh.PermissionDeniedError, match="AccessDenied"):
            await client.submit(hh.ImageToVideo(bitmap(500)))

    calls = [str(request.operation) for request in emulator.requests if request.provider == "dashscope"]
    assert ["permit", "upload", "permit", "upload", "submit", *["permit", "upload"] * 2] == calls


@pytest.mark.fault(108)
@pytest.mark.parametrize("provider", ["kie", "nexusflow"])
async def test_a_storage_on_the_host_of_the_api_is_treated_alike(emulator: hh.Emulator, provider: str) -> None:
    """Its refusal costs nothing, too."""
    injection = emulator.inject("storage-busy", provider=provider)
    options = {"upload": True}
    buffer = io.BytesIO()
    Image.new("RGB", (400, 400)).save(buffer, "PNG")
    retries = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=0))
    url = emulator.url(provider)
    async with hh.Client(provider, api_key=KEY, base_url=url, options=options, retries=retries) as client:
        with pytest.raises(hh.ProviderError):
            await client.submit(hh.ImageToVideo(buffer.getvalue()))
        assert [] == await client.pending()
        await client.submit(hh.ImageToVideo(buffer.getvalue()))

    assert (injection.applied, emulator.billed(provider)) == (1, 1)


@pytest.mark.fault(108)
@pytest.mark.parametrize(
    ("fault", "on"),
    [
        ("file-too-large", "upload"),
        ("file-exists", "upload"),
        ("storage-broken", "upload"),
        ("bad-request", "permit"),
        ("no-such-path", "permit"),
        ("wrong-key", "permit"),
    ],
)
@pytest.mark.parametrize("how", ["submit", "enqueue"])
async def test_a_failed_upload_moves_the_job(emulator: hh.Emulator, fault: str, on: str, how: str) -> None:
    """Whatever the storage of one account answers, nothing paid was sent: the next account makes the video, once."""
    emulator.inject(fault, on=on, provider="dashscope", times=None)
    accounts = [hh.Provider(name, api_key=KEY, base_url=emulator.url(name)) for name in ("dashscope", "fal")]
    async with hh.Client(accounts, routing=hh.Routing(patience=0)) as client:
        task = await (await getattr(client, how)(hh.ImageToVideo(bitmap())))

    assert "fal" == task.provider
    assert (0, 1) == (emulator.billed("dashscope"), emulator.billed("fal"))


@pytest.mark.fault(108)
@pytest.mark.parametrize("how", ["submit", "enqueue"])
async def test_a_refused_upload_ends_a_job_that_no_other_account_can_have(emulator: hh.Emulator, how: str) -> None:
    """The error is that of the storage, whether the file was uploaded before the job was recorded or after."""
    emulator.inject("file-too-large", on="upload", provider="dashscope", times=None)
    async with client_of(emulator) as client:
        with pytest.raises(hh.InvalidRequestError, match=r"the upload was refused.*EntityTooLarge"):
            await (await getattr(client, how)(hh.ImageToVideo(bitmap())))

    assert 0 == emulator.billed("dashscope")
