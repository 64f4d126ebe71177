"""Decoding of videos from untrusted clients."""

from io import BytesIO
from typing import Any

import cv2
import pybase64
from PIL import Image
from vllm.multimodal.media import ImageMediaIO, VideoMediaIO
from vllm.multimodal.video_decoders.base import VideoSourceMetadata, VideoTargetMetadata
from vllm.multimodal.video_decoders.opencv import OpenCVVideoBackendMixin

from gprune_server.compatibility import over_budget
from gprune_server.guard.image_error import ImageError
from gprune_server.guard.image_format import FORMATS
from gprune_server.guard.limits import Limits

LOOK = "Send a video file such as MP4 as data:video/mp4;base64,..., or JPEG frames as data:video/jpeg;base64,...,..."


class GuardedVideoIO(VideoMediaIO):
    """Changes against `vllm.multimodal.media.VideoMediaIO` (vLLM 0.32):

    - checks bytes, frames and pixels before decoding;
    - `num_frames`, which clients may set, must be a positive integer: all frames of a file may be too many;
    - errors show nothing of the decoder's insides.
    """

    def __init__(self, limits: Limits, image_io: ImageMediaIO, **options: Any) -> None:
        super().__init__(image_io, **options)
        self.limits = limits
        if not isinstance(self.num_frames, int) or isinstance(self.num_frames, bool) or self.num_frames < 1:
            raise ImageError("media_io_kwargs.video.num_frames must be a positive integer.", "video")

    def get_max_bytes(self) -> int:
        return self.limits.max_video_bytes

    def load_bytes(self, data: bytes) -> Any:
        """Decode a video.

        Raises:
            ImageError: it cannot be decoded, or is too large.
        """
        self._check_bytes(len(data))
        self._check_file(data)
        try:
            return super().load_bytes(data)
        except Exception as error:  # the decoders raise many kinds for damaged files
            raise ImageError(over_budget(error) or f"The video cannot be decoded. {LOOK}", "video") from error

    def load_base64(self, media_type: str, data: str) -> Any:
        if media_type.lower() == "video/jpeg":
            self._check_bytes(len(data))
            frames = data.split(",", self.num_frames)[: self.num_frames]
            self.check_pixels(sum(_jpeg_pixels(frame, number) for number, frame in enumerate(frames)))
        return super().load_base64(media_type, data)

    def _check_bytes(self, size: int) -> None:
        if size > self.limits.max_video_bytes:
            raise ImageError(
                f"The video has {size} bytes, but the limit is {self.limits.max_video_bytes} (--max-video-bytes). "
                "Send a smaller video.",
                "video",
            )

    def _check_file(self, data: bytes) -> None:
        """Check what the file's header tells."""
        try:
            # Never released by hand: OpenCV would free the Python object that it reads from without holding the GIL.
            capture = OpenCVVideoBackendMixin.open_video_capture(data)
            frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            rate = float(capture.get(cv2.CAP_PROP_FPS))
            size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)) * int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        except Exception as error:
            raise ImageError(f"The video cannot be read: its format is not known. {LOOK}", "video") from error
        if frames < 1 or size < 1:
            raise ImageError(f"The video cannot be read: it does not tell how many frames it has. {LOOK}", "video")
        if frames > self.limits.max_video_frames:
            raise ImageError(
                f"The video has {frames} frames, but the limit is {self.limits.max_video_frames} "
                "(--max-video-frames). Send a shorter video.",
                "video",
            )
        self.check_pixels(self._sampled(frames, rate) * size)

    def _sampled(self, frames: int, rate: float) -> int:
        """Count the frames that the loader would sample."""
        source = VideoSourceMetadata(frames, rate, frames / rate if rate > 0 else 0.0)
        target = VideoTargetMetadata(self.num_frames, self.kwargs.get("fps", -1), self.kwargs.get("max_duration", 300))
        return len(self.video_loader.compute_frames_index_to_sample(source, target))

    def check_pixels(self, pixels: int) -> None:
        """Check the number of pixels in all frames that are sampled.

        Raises:
            ImageError: it is above the limit.
        """
        if pixels > self.limits.max_video_pixels:
            raise ImageError(
                f"The frames sampled from the video have {pixels} pixels, but the limit is "
                f"{self.limits.max_video_pixels} in total (--max-video-pixels). Send smaller or fewer frames.",
                "video",
            )


def _jpeg_pixels(frame: str, number: int) -> int:
    """Count the pixels of a frame in Base64, from its header."""
    try:
        with Image.open(BytesIO(pybase64.b64decode(frame, validate=True)), formats=FORMATS) as image:
            return int(image.width * image.height)
    except Exception as error:
        raise ImageError(f"Frame {number + 1} of the video is not a JPEG in Base64. {LOOK}", "video") from error
