"""Transparency that FFmpeg's usual decoders leave out: what lies under it was never seen, and must stay so."""

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
"""Decoders that give the transparency that Matroska keeps beside each packet, by codec."""

SIDE_ALPHA_CODECS = frozenset(_ALPHA_DECODERS)
"""Codecs whose transparency is a stream of its own beside each packet, which Matroska alone carries."""

_SIDE_DATA: Final = "matroska_block_additional"
_ALPHA_ID = (1).to_bytes(8, "big")
"""FFmpeg puts BlockAddID before the data; 1 is the codec's own, which is transparency (WebM container guidelines)."""

_ALPHA_CHANNEL_INFO = 165
"""Type of the message by which HEVC says that a layer is transparency (ITU-T H.265, D.2.31)."""


def has_side_alpha(codec: str, packet: "Packet[Any]") -> bool:
    """Tell whether transparency comes beside a packet."""
    if codec not in _ALPHA_DECODERS or not packet.has_sidedata(_SIDE_DATA):
        return False
    return bytes(packet.get_sidedata(_SIDE_DATA))[:8] == _ALPHA_ID


def declares_alpha(stream: "VideoStream", packet: "Packet[Any]") -> bool:
    """Tell whether a stream of VP8 or VP9, whose first packet is given, has transparency beside its packets."""
    codec = stream.codec_context.codec.canonical_name
    return codec in _ALPHA_DECODERS and (stream.metadata.get("alpha_mode") == "1" or has_side_alpha(codec, packet))


def create_alpha_decoder(stream: "VideoStream", limits: Limits) -> "VideoCodecContext":
    """Return a decoder that gives the transparency beside the packets too."""
    context = stream.codec_context
    decoder = cast("VideoCodecContext", CodecContext.create(_ALPHA_DECODERS[context.codec.canonical_name], "r"))
    decoder.extradata = context.extradata
    decoder.width, decoder.height = context.width, context.height
    decoder.thread_count = 0
    decoder.options = {"max_pixels": str(limits.pixels)}
    return decoder


def has_alpha_layer(stream: "VideoStream", packet: "Packet[Any]") -> bool:
    """Tell whether a stream of HEVC, whose first packet is given, has transparency in a layer of its own."""
    if stream.codec_context.codec.canonical_name != "hevc":
        return False
    said = sei_messages(stream.codec_context.extradata or b"", bytes(packet))
    # The first bit of such a message takes back what one before it said.
    return any(kind == _ALPHA_CHANNEL_INFO and payload[:1] < b"\x80" for kind, payload in said)


def refuse_late_alpha(codec: str, packet: "Packet[Any]", file: VideoInput) -> None:
    """Raise `BadInput` where a packet has transparency that the decoder in use does not give."""
    if has_side_alpha(codec, packet):
        raise BadInput(
            f"cannot read {file.path}: transparency begins in the middle of the video, and what it hid would be shown; "
            f"convert it to a video that is opaque, or transparent from its start"
        )
