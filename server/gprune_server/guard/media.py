"""Media connector that fetches images only from permitted hosts and decodes only safe ones."""

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
from gprune_server.guard.limits import shared_limits
from gprune_server.guard.transparency import alpha_of

CONNECTOR_NAME = "gprune"
"""Name in vLLM's registry of connectors, the value of `VLLM_MEDIA_CONNECTOR`."""
FIELD = "image_url"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
"""Formats of OpenAI's API. vLLM's own connector opens thirty more."""
MAX_ASPECT_RATIO = 100
"""Largest ratio of the longer side to the shorter one. Beyond it, vLLM resizes the shorter side to nothing."""


class GuardedMediaConnector(MediaConnector):
    """Changes against `vllm.multimodal.media.MediaConnector` (vLLM 0.32):

    - without `--allowed-media-domains`, only `data:` URLs are accepted; with it, also URLs of those domains;
    - connections go only to public addresses and the operator's networks, and follow no redirects;
    - bytes, pixels, formats and fetching time of images are limited;
    - every failure is a client error: a 400 or 422 that names the field.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        limits = shared_limits()
        super().__init__(*args, **{"connection": shared_connection(limits.media_networks), **kwargs})
        self._limits = limits

    def load_from_url(self, url: str, media_io: MediaIO[Any], *, fetch_timeout: int | None = None) -> Any:
        if _is_fetched(url):
            raise image_error("URLs are fetched only inside a server. Pass the image itself.")
        try:
            return super().load_from_url(url, media_io, fetch_timeout=fetch_timeout)
        except Exception as error:
            raise client_error(error) from error

    async def load_from_url_async(self, url: str, media_io: MediaIO[Any], *, fetch_timeout: int | None = None) -> Any:
        try:
            if _is_fetched(url):
                self.check_host(url)
            async with asyncio.timeout(self._limits.media_fetch_seconds):
                return await super().load_from_url_async(url, media_io, fetch_timeout=fetch_timeout)
        except Exception as error:
            raise client_error(error) from error

    def check_host(self, url: str) -> None:
        """Check that images may be fetched from the host of a URL.

        Raises:
            ForbiddenAddressError: the host is an address that is not permitted.
            ValueError: the host is not among the allowed domains.
            VLLMValidationError: there are no allowed domains, or the host is ambiguous.
        """
        if not self.allowed_media_domains:
            raise image_error(
                "This server accepts images only as data: URLs. The operator can allow others with "
                "--allowed-media-domains."
            )
        parsed = parse_url(url)
        self._assert_url_in_allowed_media_domains(parsed)
        host = URL(parsed.url).host  # as aiohttp parses it; differs for some malformed URLs
        if host is None or host != (parsed.hostname or "").strip("[]"):
            raise image_error("The host of the URL is ambiguous. Send a well-formed URL.")
        if is_address(host):  # the resolver checks names only
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
    """Changes against `vllm.multimodal.media.ImageMediaIO` (vLLM 0.32), for one image:

    - checks format, bytes and pixels before decoding;
    - scales channels of 16 bits to 8 instead of clipping them;
    - hides the transparent colour of any PNG file.
    """

    def __init__(self, max_pixels: int, max_bytes: int, **options: Any) -> None:
        super().__init__(**options)
        self.max_pixels = max_pixels
        self.max_bytes = max_bytes
        self._alpha: Image.Image | None = None

    def get_max_bytes(self) -> int:
        return self.max_bytes

    def load_bytes(self, data: bytes) -> Any:
        if len(data) > self.max_bytes:
            raise image_error(
                f"The image has {len(data)} bytes, but the limit is {self.max_bytes} (--max-image-bytes). "
                "Send a smaller image."
            )
        try:
            with Image.open(BytesIO(data), formats=FORMATS) as image:  # reads the header only
                self.check_size(*image.size)
                self._alpha = alpha_of(image, data)
        except OSError as error:  # as upstream does for images that it cannot open
            raise ValueError(f"Failed to load image: {error}") from error
        return super().load_bytes(data)

    def check_size(self, width: int, height: int) -> None:
        """Check the size of an image.

        Raises:
            VLLMValidationError: the image has too many pixels, or is too narrow to be cut into crops.
        """
        if width * height > self.max_pixels:
            raise image_error(
                f"The image has {width} x {height} pixels, but the limit is {self.max_pixels} in total "
                "(--max-image-pixels). Send a smaller image."
            )
        if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
            raise image_error(
                f"The image has {width} x {height} pixels, but its longer side may be at most {MAX_ASPECT_RATIO} times "
                "its shorter side. Crop or pad the image."
            )

    def _convert_image_mode(self, image: Any) -> Image.Image:
        if getattr(image, "mode", "").startswith("I"):
            image = image.convert("I").point(lambda value: value / 257).convert("L")
        if self._alpha is not None:
            image.info.pop("transparency", None)
            image.putalpha(self._alpha)
        converted: Image.Image = super()._convert_image_mode(image)
        return converted


class GuardedConnection(HTTPConnection):
    """Changes against `vllm.connections.HTTPConnection` (vLLM 0.32): connects only to addresses that a rule permits,
    uses no proxies, which would resolve names themselves, and refuses redirects."""

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
    """Refuse responses that redirect, for aiohttp's `raise_for_status`.

    Raises:
        VLLMValidationError: the response redirects.
        aiohttp.ClientResponseError: the response is an error.
    """
    if 300 <= response.status < 400:
        raise image_error("The URL redirects. Send the URL that it redirects to.")
    response.raise_for_status()


@lru_cache
def address_rule(networks: str) -> AddressRule:
    """Return the rule for the operator's networks, parsed once."""
    return AddressRule.parse(networks)


@lru_cache
def shared_connection(networks: str) -> GuardedConnection:
    """Return this process's connection pool. vLLM creates a connector per request."""
    return GuardedConnection(address_rule(networks))


def _is_fetched(url: str) -> bool:
    return url[:4].lower() == "http"


def image_error(message: str) -> Any:
    """Return an error for a 400 that names `image_url`."""
    return VLLMValidationError(message, parameter=FIELD)


def client_error(error: Exception) -> Any:
    """Convert an error to one for the client that reveals nothing about the server's network."""
    if isinstance(error, ForbiddenAddressError):
        return image_error("The host of the URL has no public address. Send the image as a data: URL.")
    if isinstance(error, VLLMClientError) and getattr(error, "parameter", None) == FIELD:
        return error
    if isinstance(error, (aiohttp.ClientError, TimeoutError)):
        return VLLMUnprocessableEntityError(
            "The image cannot be fetched. Check the URL or send the image as a data: URL.", parameter=FIELD
        )
    return image_error(f"The image cannot be read: {error}")
