"""Transparency that FFmpeg's usual decoders ignore. Samples under it were never visible, and must stay hidden."""

from typing import TYPE_CHECKING, Any, Final, cast

from av.codec.context import CodecContext

from velum.errors import BadInput
from velum.limits import Limits
from velum.media.video.bitstream import sei_messages
from velum.media.video.file_input import VideoInput

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""By codec: the decoder that also reads the transparency that Matroska stores as side data of each packet."""

SIDE_ALPHA_CODECS = frozenset(_ALPHA_DECODERS)
"""Codecs whose transparency is coded apart, as side data of each packet; only Matroska and WebM can hold it."""

_SIDE_DATA: Final = "matroska_block_additional"
_ALPHA_ID = (1).to_bytes(8, "big")
"""FFmpeg puts BlockAddID before the data; 1 is the codec's own, which is transparency (WebM container guidelines)."""

_ALPHA_CHANNEL_INFO = 165
"""Payload type of the SEI message that declares an alpha layer in HEVC (ITU-T H.265, D.2.31)."""


def has_side_alpha(codec: str, packet: "Packet[Any]") -> bool:
    """Tell whether a packet of VP8 or VP9 has transparency in its side data."""
    if codec not in _ALPHA_DECODERS or not packet.has_sidedata(_SIDE_DATA):
        return False
    return bytes(packet.get_sidedata(_SIDE_DATA))[:8] == _ALPHA_ID


def declares_alpha(stream: "VideoStream", packet: "Packet[Any]") -> bool:
    """Tell whether a VP8 or VP9 stream has transparency in side data, from its metadata or its first packet."""
    codec = stream.codec_context.codec.canonical_name
    return codec in _ALPHA_DECODERS and (stream.metadata.get("alpha_mode") == "1" or has_side_alpha(codec, packet))


def create_alpha_decoder(stream: "VideoStream", limits: Limits) -> "VideoCodecContext":
    """Create a decoder for a VP8 or VP9 stream that also decodes the transparency in side data."""
    context = stream.codec_context
    decoder = cast("VideoCodecContext", CodecContext.create(_ALPHA_DECODERS[context.codec.canonical_name], "r"))
    decoder.extradata = context.extradata
    decoder.width, decoder.height = context.width, context.height
    decoder.thread_count = 0
    decoder.options = {"max_pixels": str(limits.pixels)}
    return decoder


def has_alpha_layer(stream: "VideoStream", packet: "Packet[Any]") -> bool:
    """Tell whether an HEVC stream has an alpha layer, from its extradata and its first packet."""
    if stream.codec_context.codec.canonical_name != "hevc":
        return False
    messages = sei_messages(stream.codec_context.extradata or b"", bytes(packet))
    # The first bit of such a message cancels the one before it.
    return any(kind == _ALPHA_CHANNEL_INFO and payload[:1] < b"\x80" for kind, payload in messages)


def refuse_late_alpha(codec: str, packet: "Packet[Any]", file: VideoInput) -> None:
    """Raise `BadInput` where a packet has transparency, but the stream was opened with a decoder that ignores it."""
    if has_side_alpha(codec, packet):
        raise BadInput(
            f"cannot read {file.path}: transparency begins in the middle of the video, and what it hides would become "
            f"visible; convert it to a video that is opaque throughout, or transparent from its first frame"
        )
