"""Errors of images and videos that clients send."""

from vllm.exceptions import VLLMUnprocessableEntityError

from gprune_server.errors import RequestError

FIELDS = {"image": "image_url", "video": "video_url"}
"""Parameter of these errors until the image's place in the body is known: see `gprune_server.api.description`."""


class ImageError(RequestError):
    """A 400 that names `image_url`, or `video_url`.

    Attributes:
        value: the image's URL, as the client sent it, if it is known.
    """

    def __init__(self, message: str, kind: str = "image") -> None:
        super().__init__(message, parameter=FIELDS[kind])


class ImageFetchError(VLLMUnprocessableEntityError):
    """Changes against `vllm.exceptions.VLLMUnprocessableEntityError` (vLLM 0.32): those of `ImageError`, for a 422."""

    def __init__(self, message: str, kind: str = "image") -> None:
        super().__init__(message, parameter=FIELDS[kind])

    def __str__(self) -> str:
        return str(self.args[0])
