"""Media connector that fetches images and videos only from permitted hosts and decodes only safe ones."""

import asyncio
import sys
from typing import Any

import aiohttp
import vllm.envs
from urllib3.util import parse_url
from vllm.exceptions import VLLMUnprocessableEntityError
from vllm.multimodal.media import MediaConnector, MediaIO, VideoMediaIO
from vllm.multimodal.video import get_video_loader_backend_for_processor
from yarl import URL

from gprune_server.compatibility import decoding_options
from gprune_server.guard.addresses import ForbiddenAddressError, is_address
from gprune_server.guard.connection import address_rule, shared_connection
from gprune_server.guard.data_url import LOOK, looks_like_base64, standard_data_url
from gprune_server.guard.image_error import FIELDS, ImageError, ImageFetchError
from gprune_server.guard.image_io import GuardedImageIO
from gprune_server.guard.limits import shared_limits
from gprune_server.guard.video_io import GuardedVideoIO

CONNECTOR_NAME = "gprune"
"""Name in vLLM's registry of connectors, the value of `VLLM_MEDIA_CONNECTOR`."""
SCHEMES = ("data:", "http:", "https:", "file:")


class GuardedMediaConnector(MediaConnector):
    """Changes against `vllm.multimodal.media.MediaConnector` (vLLM 0.32):

    - without `--allowed-media-domains`, only `data:` URLs are accepted; with it, also URLs of those domains;
    - connections go only to public addresses and the operator's networks, and follow no redirects;
    - bytes, pixels and fetching time of images and videos, formats of images and frames of videos are limited;
    - `data:` URLs may have variants of Base64: see `standard_data_url`;
    - every failure is a client error: a 400 or 422 that names the field and holds the URL.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        limits = shared_limits()
        super().__init__(*args, **{"connection": shared_connection(limits.media_networks), **kwargs})
        self._limits = limits

    def load_from_url(self, url: str, media_io: MediaIO[Any], *, fetch_timeout: int | None = None) -> Any:
        kind = kind_of(media_io)
        try:
            if _is_fetched(url):
                raise ImageError(f"URLs are fetched only inside a server. Pass the {kind} itself.", kind)
            return super().load_from_url(checked_url(url, kind), media_io, fetch_timeout=fetch_timeout)
        except Exception as error:
            raise client_error(error, url, kind) from error

    async def load_from_url_async(self, url: str, media_io: MediaIO[Any], *, fetch_timeout: int | None = None) -> Any:
        kind = kind_of(media_io)
        try:
            checked = checked_url(url, kind)
            if _is_fetched(checked):
                self.check_host(checked)
            async with asyncio.timeout(self._limits.media_fetch_seconds):
                return await super().load_from_url_async(checked, media_io, fetch_timeout=fetch_timeout)
        except Exception as error:
            raise client_error(error, url, kind) from error

    def _load_data_url(self, url: str, media_io: MediaIO[Any]) -> Any:
        return super()._load_data_url(standard_data_url(url), media_io)

    def check_host(self, url: str) -> None:
        """Check that images may be fetched from the host of a URL.

        Raises:
            ForbiddenAddressError: the host is an address that is not permitted.
            ValueError: the host is not among the allowed domains.
            ImageError: there are no allowed domains, or the host is ambiguous.
        """
        if not self.allowed_media_domains:
            raise ImageError(
                "This server accepts images only as data: URLs. The operator can allow others with "
                "--allowed-media-domains."
            )
        parsed = parse_url(url)
        self._assert_url_in_allowed_media_domains(parsed)
        host = URL(parsed.url).host  # as aiohttp parses it; differs for some malformed URLs
        if host is None or host != (parsed.hostname or "").strip("[]"):
            raise ImageError("The host of the URL is ambiguous. Send a well-formed URL.")
        if is_address(host):  # the resolver checks names only
            address_rule(self._limits.media_networks).check(host)

    def fetch_image(self, image_url: str, *, image_mode: str | None = "RGB") -> Any:
        return self.load_from_url(image_url, self._image_io(image_mode))

    async def fetch_image_async(self, image_url: str, *, image_mode: str | None = "RGB") -> Any:
        timeout = vllm.envs.VLLM_IMAGE_FETCH_TIMEOUT
        return await self.load_from_url_async(image_url, self._image_io(image_mode), fetch_timeout=timeout)

    def fetch_video(self, video_url: str, *, image_mode: str | None = "RGB", video_processor: str | None = None) -> Any:
        return self.load_from_url(video_url, self._video_io(image_mode, video_processor))

    async def fetch_video_async(
        self, video_url: str, *, image_mode: str | None = "RGB", video_processor: str | None = None
    ) -> Any:
        video_io = self._video_io(image_mode, video_processor)
        return await self.load_from_url_async(video_url, video_io, fetch_timeout=vllm.envs.VLLM_VIDEO_FETCH_TIMEOUT)

    def _video_io(self, image_mode: str | None, video_processor: str | None) -> GuardedVideoIO:
        backend = get_video_loader_backend_for_processor(video_processor)
        options = ({"video_backend": backend} if backend else {}) | self.media_io_kwargs.get("video", {})
        return GuardedVideoIO(self._limits, self._image_io(image_mode), **options)

    def _image_io(self, image_mode: str | None) -> GuardedImageIO:
        options = {"image_mode": image_mode} | self.media_io_kwargs.get("image", {}) | decoding_options(self)
        pixels = min(self._limits.max_image_pixels, vllm.envs.VLLM_MAX_IMAGE_PIXELS or sys.maxsize)
        return GuardedImageIO(pixels, self._limits.max_image_bytes, **options)


def kind_of(media_io: MediaIO[Any]) -> str:
    """Name what is loaded: an image or a video."""
    return "video" if isinstance(media_io, VideoMediaIO) else "image"


def checked_url(url: str, kind: str = "image") -> str:
    """Return a URL without white space around it.

    Raises:
        ImageError: it is empty, bare Base64, or has a scheme of which nothing can be read.
    """
    stripped = url.strip()
    if stripped.lower().startswith(SCHEMES):
        return stripped
    if not stripped:
        raise ImageError(f"The {kind} cannot be read: its URL is empty. {LOOK}", kind)
    if looks_like_base64(stripped):
        raise ImageError(f"The {kind} cannot be read: it is bare Base64, not a URL. {LOOK}", kind)
    raise ImageError(f"The {kind} cannot be read: its URL is neither data: nor http(s). {LOOK}", kind)


def _is_fetched(url: str) -> bool:
    return url[:4].lower() == "http"


def client_error(error: Exception, url: str, kind: str = "image") -> ImageError | ImageFetchError:
    """Convert an error to one for the client that reveals nothing about the server's network."""
    converted = _converted(error, kind)
    converted.value, converted.parameter = url, FIELDS[kind]
    return converted


def _converted(error: Exception, kind: str) -> ImageError | ImageFetchError:
    if isinstance(error, (ImageError, ImageFetchError)):
        return error
    if isinstance(error, ForbiddenAddressError):
        return ImageError(f"The host of the URL has no public address. Send the {kind} as a data: URL.")
    if isinstance(error, VLLMUnprocessableEntityError):
        return ImageFetchError(str(error.args[0]))
    if isinstance(error, (aiohttp.ClientError, TimeoutError)):
        return ImageFetchError(f"The {kind} cannot be fetched. Check the URL or send the {kind} as a data: URL.")
    return ImageError(f"The {kind} cannot be read: {error}")
