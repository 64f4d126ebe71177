"""Where images come from: a media connector that fetches only from where it may, and decodes only what is safe."""

import asyncio
from functools import lru_cache
from io import BytesIO
from typing import Any

import aiohttp
from PIL import Image
from urllib3.util import parse_url
from vllm.connections import HTTPConnection
from vllm.exceptions import VLLMClientError, VLLMUnprocessableEntityError, VLLMValidationError
from vllm.multimodal.media import ImageMediaIO, MediaConnector, MediaIO
from yarl import URL

from gprune_server.guard.addresses import AddressRule, CheckedResolver, ForbiddenAddressError, is_address
from gprune_server.guard.limits import Limits

CONNECTOR_NAME = "gprune"
"""What vLLM's registry of connectors, and so `VLLM_MEDIA_CONNECTOR`, calls it."""
FIELD = "image_url"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
"""What OpenAI's API takes. vLLM's own connector opens thirty more."""
LONGEST_SIDES = 100
"""How many times longer than the other a side may be: beyond, vLLM's resizing leaves nothing of the shorter one."""


class GuardedMediaConnector(MediaConnector):
    """Changes against `vllm.multimodal.media.MediaConnector` (vLLM 0.32):

    - without `--allowed-media-domains` only `data:` URLs are taken, with it only those of the domains;
    - connections go to public addresses and to the operator's networks only, and follow no redirects;
    - images are limited in bytes, pixels, formats and in the time it takes to fetch them;
    - whatever fails is the client's error: a 400 or 422 that names the field.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        limits = shared_limits()
        super().__init__(*args, **{"connection": shared_connection(limits.media_networks), **kwargs})
        self._limits = limits

    def load_from_url(self, url: str, media_io: MediaIO[Any], *, fetch_timeout: int | None = None) -> Any:
        if _fetched(url):
            raise refusal("URLs are fetched by servers only; pass the image itself")
        try:
            return super().load_from_url(url, media_io, fetch_timeout=fetch_timeout)
        except Exception as error:
            raise client_error(error) from error

    async def load_from_url_async(self, url: str, media_io: MediaIO[Any], *, fetch_timeout: int | None = None) -> Any:
        try:
            if _fetched(url):
                self.check_host(url)
            async with asyncio.timeout(self._limits.media_fetch_seconds):
                return await super().load_from_url_async(url, media_io, fetch_timeout=fetch_timeout)
        except Exception as error:
            raise client_error(error) from error

    def check_host(self, url: str) -> None:
        """Raises:
        VLLMValidationError: a URL's host is not one to fetch from.
        """
        if not self.allowed_media_domains:
            raise refusal("this server takes images as data: URLs only; --allowed-media-domains permits others")
        parsed = parse_url(url)
        self._assert_url_in_allowed_media_domains(parsed)
        host = URL(parsed.url).host  # as the client will read it, which may differ for malformed URLs
        if host is None or host != (parsed.hostname or "").strip("[]"):
            raise refusal("the URL's host is ambiguous")
        if is_address(host):  # it would not be resolved, and so not be checked
            address_rule(self._limits.media_networks).check(host)

    def fetch_image(self, image_url: str, *, image_mode: str | None = "RGB") -> Any:
        return self.load_from_url(image_url, self._image_io(image_mode))

    async def fetch_image_async(self, image_url: str, *, image_mode: str | None = "RGB") -> Any:
        import vllm.envs

        timeout = vllm.envs.VLLM_IMAGE_FETCH_TIMEOUT
        return await self.load_from_url_async(image_url, self._image_io(image_mode), fetch_timeout=timeout)

    def _image_io(self, image_mode: str | None) -> "GuardedImageIO":
        options = {"image_mode": image_mode} | self.media_io_kwargs.get("image", {})
        return GuardedImageIO(self._limits.max_image_pixels, self._limits.max_image_bytes, **options)


class GuardedImageIO(ImageMediaIO):
    """Changes against `vllm.multimodal.media.ImageMediaIO` (vLLM 0.32): checks format, bytes and pixels before it
    decodes, and scales 16 bits a channel to 8 rather than cutting them off."""

    def __init__(self, max_pixels: int, max_bytes: int, **options: Any) -> None:
        super().__init__(**options)
        self.max_pixels = max_pixels
        self.max_bytes = max_bytes

    def get_max_bytes(self) -> int:
        return self.max_bytes

    def load_bytes(self, data: bytes) -> Any:
        if len(data) > self.max_bytes:
            raise refusal(f"the image has {len(data)} bytes; this server takes {self.max_bytes} (--max-image-bytes)")
        try:
            with Image.open(BytesIO(data), formats=FORMATS) as image:  # reads the header only
                self.check_size(*image.size)
        except OSError as error:  # as upstream words what it cannot open
            raise ValueError(f"Failed to load image: {error}") from error
        return super().load_bytes(data)

    def check_size(self, width: int, height: int) -> None:
        """Raises:
        VLLMValidationError: an image has too many pixels, or is too narrow to be cut into crops.
        """
        if width * height > self.max_pixels:
            raise refusal(
                f"the image has {width} x {height} pixels; this server takes {self.max_pixels} (--max-image-pixels)"
            )
        if max(width, height) > LONGEST_SIDES * min(width, height):
            raise refusal(f"the image is {width} x {height} pixels: a side may be {LONGEST_SIDES} times the other")

    def _convert_image_mode(self, image: Any) -> Image.Image:
        if getattr(image, "mode", "").startswith("I"):
            image = image.convert("I").point(lambda value: value / 257).convert("L")
        converted: Image.Image = super()._convert_image_mode(image)
        return converted


class GuardedConnection(HTTPConnection):
    """Changes against `vllm.connections.HTTPConnection` (vLLM 0.32): connects to the addresses a rule permits only,
    without proxies, which would look names up themselves, and does not follow redirects."""

    def __init__(self, rule: AddressRule) -> None:
        super().__init__()
        self._rule = rule
        self._async_client: aiohttp.ClientSession | None = None

    async def get_async_client(self) -> aiohttp.ClientSession:
        if self._async_client is None or self._async_client.closed:
            connector = aiohttp.TCPConnector(resolver=CheckedResolver(self._rule), use_dns_cache=False)
            self._async_client = aiohttp.ClientSession(connector=connector, raise_for_status=refuse_redirect)
        return self._async_client

    async def get_async_response(self, url: str, **options: Any) -> Any:
        return await super().get_async_response(url, **{**options, "allow_redirects": False})


async def refuse_redirect(response: aiohttp.ClientResponse) -> None:
    """Raises:
    VLLMValidationError: the response leads elsewhere.
    aiohttp.ClientResponseError: it is an error.
    """
    if 300 <= response.status < 400:
        raise refusal("the URL redirects elsewhere; send the one it leads to")
    response.raise_for_status()


@lru_cache
def address_rule(networks: str) -> AddressRule:
    """The rule with the operator's networks."""
    return AddressRule.parse(networks)


@lru_cache
def shared_connection(networks: str) -> GuardedConnection:
    """One connection pool a process: connectors come and go with requests."""
    return GuardedConnection(address_rule(networks))


@lru_cache
def shared_limits() -> Limits:
    """This process's limits."""
    return Limits.load()


def _fetched(url: str) -> bool:
    return url[:4].lower() == "http"


def refusal(message: str) -> Any:
    """A 400 that names the field."""
    return VLLMValidationError(message, parameter=FIELD)


def client_error(error: Exception) -> Any:
    """What to tell a client of an image that cannot be had: nothing about the network behind the server."""
    if isinstance(error, ForbiddenAddressError):
        return refusal("the URL's host is not at a public address")
    if isinstance(error, VLLMClientError) and getattr(error, "parameter", None) == FIELD:
        return error
    if isinstance(error, (aiohttp.ClientError, TimeoutError)):
        return VLLMUnprocessableEntityError("the image cannot be fetched from its URL", parameter=FIELD)
    return refusal(f"the image cannot be read: {error}")
