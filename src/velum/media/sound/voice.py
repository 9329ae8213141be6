"""Changes voices: pitch, formants and the spread of resonances, with fresh secret values for every utterance.

Resonances are moved as in McAdams' method (Patino et al., Speaker anonymisation using the McAdams coefficient, 2021):
the poles of a linear prediction are turned. This is weak: what is said and how it is said stays, and an attacker with
recordings of a few people may still tell who of them speaks.
"""

from secrets import SystemRandom
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from velum.media.sound.samples import normalize_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIECE_SECONDS = 8.0
"""Longest sound that is changed with the same values, and that is in memory."""

MAX_PIECE_SAMPLES = 1 << 23

FAR_BEYOND = 100.0
"""Level beyond full scale from which sound is muted and not changed: nobody can tell what players play of it."""

_DEEPER, _HIGHER = (0.72, 0.88), (1.14, 1.38)
_SPREAD = (0.82, 0.95), (1.05, 1.18)
_HOP_SECONDS, _SEARCH_SECONDS, _FRAME_SECONDS = 0.02, 0.01, 0.032
_FADE_SECONDS = 0.005
_SEARCH_RATE = 12_000
"""Samples per second that are compared, where a piece of the wave that fits is searched."""

_MAX_ORDER = 32
_MAX_RADIUS = 0.985
"""Largest radius of a pole: a sharper resonance would whistle."""

_MAX_GAIN = 4.0
_MAX_RISE, _MAX_HISS = 10.0, 2.0
"""Largest gain of one frequency within speech, and above it."""

_SPEECH_HERTZ = 3500
_PIVOT_HERTZ, _TOP_HERTZ = 2500.0, 8000.0
"""Frequency that McAdams' coefficient leaves (one radian at 16,000 samples per second), and the end of voices."""


class VoiceChange(NamedTuple):
    """How a voice is changed: factors of its pitch and formants, and McAdams' coefficient."""

    pitch: float
    formants: float
    spread: float

    @classmethod
    def draw(cls) -> "VoiceChange":
        """Draw secret values, none of which is near that of an unchanged voice."""
        random = SystemRandom()
        pitch, formants = (random.uniform(*random.choice((_DEEPER, _HIGHER))) for _ in range(2))
        return cls(pitch, 1 + (formants - 1) / 2, random.uniform(*random.choice(_SPREAD)))


def change_voice(samples: "NDArray[Any]", rate: int, change: VoiceChange) -> "NDArray[Any]":
    """Return samples (channels, n) of any format with another voice: as many, of the same type and loudness."""
    wave = normalize_samples(samples).astype(np.float64)
    level = float(np.abs(wave).max(initial=0.0))
    if not 0 < level <= FAR_BEYOND:
        changed = np.zeros_like(wave)
    else:
        starts = _fitting_pieces(wave[int(np.argmax((wave**2).sum(axis=1)))], rate, change.pitch)
        formants = change.formants / change.pitch  # the new pitch has moved them by its factor already
        changed = np.stack(
            [_move_formants(_shift_pitch(row, starts, rate, change), rate, formants, change.spread) for row in wave]
        )
        changed = _follow_loudness(changed, wave, rate)
        fade = np.minimum(1.0, (0.5 + np.arange(wave.shape[1])) / (_FADE_SECONDS * rate))
        changed *= fade * fade[::-1]
    return _as_type(changed, samples.dtype)


def _as_type(wave: "NDArray[np.float64]", kind: "np.dtype[Any]") -> "NDArray[Any]":
    """Return a wave as samples of a type, as `normalize_samples` reads them."""
    if kind.kind == "f":
        return wave.astype(kind)
    full, middle = float(1 << (8 * kind.itemsize - 1)), 1 << (8 * kind.itemsize - 1) if kind.kind == "u" else 0
    # The largest double below 2**63 is far below it, so that nothing overflows.
    most = np.nextafter(full, 0) if kind.itemsize == 8 else full - 1
    whole = np.clip(np.rint(wave * full), -full, most).astype(np.int64)
    return (whole + middle).astype(kind)


def _fitting_pieces(wave: "NDArray[np.float64]", rate: int, pitch: float) -> "NDArray[np.int64]":
    """Return where the overlapping pieces begin from which a wave `pitch` times as long is put together (WSOLA).

    Each piece is chosen near its time such that it goes on as the piece before it did, so that periods stay whole.
    """
    hop, reach = round(_HOP_SECONDS * rate), round(_SEARCH_SECONDS * rate)
    step = max(1, rate // _SEARCH_RATE)
    padded = np.pad(wave, (hop + reach, 2 * hop + reach))
    starts = [0]
    for number in range(1, round(len(wave) * pitch) // hop + 2):
        nominal = min(round(number * hop / pitch), len(wave))
        following = padded[starts[-1] + hop + reach :][: hop + reach : step]
        near = padded[nominal : nominal + hop + 3 * reach : step]
        likeness = np.correlate(near, following, "valid")
        power = np.convolve(near**2, np.ones(len(following)), "valid")
        best = int(np.argmax(likeness / np.sqrt(power + 1e-30)))
        starts.append(min(max(nominal + best * step - reach, 0), len(wave)))
    return np.array(starts)


def _shift_pitch(
    wave: "NDArray[np.float64]", starts: "NDArray[np.int64]", rate: int, change: VoiceChange
) -> "NDArray[np.float64]":
    """Return a wave as long as before with another pitch: put together longer or shorter, and read faster or slower."""
    hop = round(_HOP_SECONDS * rate)
    window = np.hanning(2 * hop + 1)[:-1]
    padded = np.pad(wave, (hop, 3 * hop))
    stretched = np.zeros((len(starts) + 2) * hop)
    for number, start in enumerate(starts):
        stretched[number * hop : (number + 2) * hop] += window * padded[start : start + 2 * hop]
    # The pieces begin one hop early, so that the first sample has two of them, too.
    shifted: NDArray[np.float64] = np.interp(
        np.arange(len(wave)) * change.pitch + hop, np.arange(len(stretched)), stretched
    )
    return shifted


def _move_formants(wave: "NDArray[np.float64]", rate: int, formants: float, spread: float) -> "NDArray[np.float64]":
    """Return a wave whose resonances are elsewhere: the poles of its linear prediction are turned, frame by frame."""
    hop = round(_FRAME_SECONDS * rate / 2)
    order = min(2 + rate // 1000, _MAX_ORDER, hop // 2)
    padded = np.pad(wave, (hop, 3 * hop))
    count = len(wave) // hop + 2
    at = np.arange(count)[:, None] * hop + np.arange(2 * hop)
    frames = padded[at] * np.hanning(2 * hop + 1)[:-1]
    size = 8 * hop
    before = _predictors(frames, order)
    after = _turn_poles(before, rate, formants, spread)
    spectra, filters = np.fft.rfft(frames, size), np.fft.rfft(before, size) / np.fft.rfft(after, size)
    is_low = np.arange(size // 2 + 1) * rate / size < _SPEECH_HERTZ
    energy, filtered = ((np.abs(some[:, is_low]) ** 2).sum(axis=1) for some in (spectra, spectra * filters))
    filters *= np.sqrt(energy / (filtered + 1e-300))[:, None]
    # Above, there may be nothing but noise, which a turned pole would make louder than the voice.
    filters *= np.minimum(1, np.where(is_low, _MAX_RISE, _MAX_HISS) / (np.abs(filters) + 1e-300))
    moved: NDArray[np.float64] = np.fft.irfft(spectra * filters, size)
    result = np.zeros(count * hop + size)
    for number, frame in enumerate(moved):
        result[number * hop : number * hop + size] += frame
    return result[hop : hop + len(wave)]


def _predictors(frames: "NDArray[np.float64]", order: int) -> "NDArray[np.float64]":
    """Return the coefficients of the linear prediction of each frame, by Levinson and Durbin."""
    power = np.abs(np.fft.rfft(frames, 2 * frames.shape[1])) ** 2
    lags = np.fft.irfft(power)[:, : order + 1]
    lags[:, 0] = lags[:, 0] * (1 + 1e-4) + 1e-12
    made = np.zeros((len(frames), order + 1))
    made[:, 0], error = 1.0, lags[:, 0].copy()
    for number in range(1, order + 1):
        reflection = -(made[:, :number] * lags[:, number:0:-1]).sum(axis=1) / error
        made[:, 1 : number + 1] += reflection[:, None] * made[:, number - 1 :: -1][:, :number]
        error *= 1 - reflection**2
    return made


def _turn_poles(predictors: "NDArray[np.float64]", rate: int, formants: float, spread: float) -> "NDArray[np.float64]":
    """Return predictors with the frequencies of their poles raised to a power and multiplied, high ones less."""
    order = predictors.shape[1] - 1
    companions = np.zeros((len(predictors), order, order))
    companions[:, 0] = -predictors[:, 1:]
    companions[:, np.arange(1, order), np.arange(order - 1)] = 1.0
    poles = np.linalg.eigvals(companions)
    top = min(1.0, 2 * _TOP_HERTZ / rate)
    place = np.abs(np.angle(poles)) / (np.pi * top)
    # Both warps keep 0 and the top where they are, so that no two resonances meet and nothing folds.
    factor = formants * (_PIVOT_HERTZ / (top * rate / 2)) ** (1 - spread)
    share, at = (factor - 1) / (factor + 1), np.pi * np.minimum(place, 1) ** spread
    warped = at + 2 * np.arctan2(share * np.sin(at), 1 - share * np.cos(at))
    turned = np.where(place < 1, warped * top, place * top * np.pi)
    poles = np.minimum(np.abs(poles), _MAX_RADIUS) * np.exp(1j * np.copysign(turned, np.imag(poles)))
    made = np.zeros((len(predictors), order + 1), np.complex128)
    made[:, 0] = 1.0
    for number in range(order):
        made[:, 1 : number + 2] -= poles[:, number, None] * made[:, : number + 1]
    return np.real(made)


def _follow_loudness(changed: "NDArray[np.float64]", before: "NDArray[np.float64]", rate: int) -> "NDArray[np.float64]":
    """Return a changed wave whose loudness rises and falls as before."""
    hop = round(_FRAME_SECONDS * rate)
    kernel = np.hanning(2 * hop + 1) / hop

    def loudness(wave: "NDArray[np.float64]") -> "NDArray[np.float64]":
        size = 1 << (wave.shape[1] + len(kernel)).bit_length()
        power = np.fft.irfft(np.fft.rfft(wave**2, size) * np.fft.rfft(kernel, size), size)
        smooth: NDArray[np.float64] = np.maximum(power[:, hop : hop + wave.shape[1]], 0.0)
        return smooth

    floor = 1e-9 * float((before**2).max()) + 1e-300
    gain = np.sqrt((loudness(before) + floor) / (loudness(changed) + floor))
    return changed * np.minimum(gain, _MAX_GAIN)
