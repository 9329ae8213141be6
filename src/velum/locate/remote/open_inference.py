"""The Open Inference Protocol, version 2, over HTTP: a served model's description, and inference requests.

The protocol and its binary tensor data extension are those of kserve.github.io/website/docs/concepts/architecture/
data-plane/v2-protocol; KServe, Triton, OpenVINO Model Server and others speak it.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from velum.net.client import HttpClient, ServerResponse

Tensor = npt.NDArray[Any]

DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        **{f"INT{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
        **{f"UINT{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
        **{f"FP{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    }
)
"""The protocol's names of element types. numpy has no BF16, and BYTES is not a number."""

HEAD = "inference-header-content-length"
"""Header that says where the JSON of a body ends and the tensors begin."""

DEEPEST = 8
"""Most axes of a tensor."""


class BadResponse(Exception):
    """The server's response cannot be used. The message continues `model x at y ...`."""


@dataclass(frozen=True, slots=True)
class Form:
    """The server's description of one input or output; -1 in the shape is an open length."""

    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model on a server, with its inputs and outputs. `most` is the largest batch, None where it is not stated."""

    client: HttpClient
    url: str
    inputs: Mapping[str, Form]
    outputs: Mapping[str, Form]
    binary: bool
    most: int | None

    def infer(self, tensors: Mapping[str, Tensor], output_names: Sequence[str]) -> dict[str, Tensor]:
        """Return the wanted outputs for the inputs. Raises `BadResponse`, and `Unavailable` when there is no answer."""
        body, headers = _request(tensors, output_names, binary=self.binary)
        answer = self.client.post_body(f"{self.url}/infer", body, headers)
        outputs = outputs_of(_require_ok(answer, "infer"), output_names)
        if missing := [name for name in output_names if name not in outputs]:
            raise BadResponse(f"answered without output {', '.join(missing)}")
        return outputs


def find_served_model(
    client: HttpClient, base: str, model: str, version: str | None, *, binary: bool | None
) -> ServedModel:
    """Return the description of a model from the server at `base`, which ends in a slash.

    `binary` None asks the server whether it takes tensors in binary. Raises `BadResponse` for a server that is not
    ready or does not know the model, and `Unavailable` when there is no answer.
    """
    ready = client.get(f"{base}v2/health/ready")
    if ready.status not in {200, 404}:
        raise BadResponse(f"is not ready: its server answered {ready.status}")
    url = f"{base}v2/models/{quote(model, safe='')}"
    if version is not None:
        url += f"/versions/{quote(version, safe='')}"
    facts = _object(_require_ok(client.get(url), "metadata").body)
    return ServedModel(
        client,
        url,
        dict(_forms(facts, "inputs")),
        dict(_forms(facts, "outputs")),
        _takes_binary(client.get(f"{base}v2")) if binary is None else binary,
        _largest_batch(client.get(f"{url}/config")),
    )


def _takes_binary(answer: ServerResponse) -> bool:
    """Tell whether the server lists the extension for binary tensors; without a list it has none."""
    try:
        extensions = _object(answer.body).get("extensions") if answer.status == 200 else None
    except BadResponse:
        return False
    return isinstance(extensions, list) and "binary_tensor_data" in extensions


def _largest_batch(answer: ServerResponse) -> int | None:
    """Return the largest batch that the model's configuration allows, None for a server without configurations.

    The configuration is an extension of Triton (docs/protocol/extension_model_configuration).
    """
    try:
        most = _object(answer.body).get("max_batch_size") if answer.status == 200 else None
    except BadResponse:
        return None
    return most if isinstance(most, int) and most > 0 else None


def _require_ok(answer: ServerResponse, call: str) -> ServerResponse:
    if answer.status == 200:
        return answer
    try:
        reason = str(_object(answer.body).get("error", ""))
    except BadResponse:
        reason = ""
    advice = {404: "; check its name and version"} if call == "metadata" else {}
    why = f": {reason[:300]!r}" if reason else ""
    raise BadResponse(f"answered {answer.status} when asked for {call}{why}{advice.get(answer.status, '')}")


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadResponse(
            "answered with something that is not JSON; check that the address is that of the server"
        ) from error
    if not isinstance(value, dict):
        raise BadResponse("answered with JSON that is not an object")
    return value


def _forms(facts: Mapping[str, Any], key: str) -> Iterator[tuple[str, Form]]:
    listed = facts.get(key)
    if not isinstance(listed, list) or not listed:
        raise BadResponse(f"has a description without {key}")
    for entry in listed:
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("name"), str)
            or not isinstance(entry.get("datatype"), str)
        ):
            raise BadResponse(f"has a description whose {key} lack a name or datatype")
        yield entry["name"], Form(entry["datatype"], _shape(entry, least=-1))


def _shape(entry: Mapping[str, Any], least: int = 0) -> tuple[int, ...]:
    shape = entry.get("shape")
    if not isinstance(shape, list) or len(shape) > DEEPEST or not all(_is_whole(length, least) for length in shape):
        raise BadResponse(
            f"has the shape {str(shape)[:100]} for {entry['name']!r}; it must be a list of up to {DEEPEST} whole "
            "numbers"
        )
    return tuple(shape)


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _request(
    tensors: Mapping[str, Tensor], output_names: Sequence[str], *, binary: bool
) -> tuple[bytes, dict[str, str]]:
    """Return the body and headers of a request for the wanted outputs."""
    inputs, parts = [], []
    for name, tensor in tensors.items():
        entry: dict[str, Any] = {"name": name, "shape": list(tensor.shape), "datatype": _datatype(tensor)}
        if binary:
            parts.append(np.ascontiguousarray(tensor).tobytes())
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            entry["data"] = tensor.ravel().tolist()
        inputs.append(entry)
    outputs = [{"name": name, **({"parameters": {"binary_data": True}} if binary else {})} for name in output_names]
    head = json.dumps({"inputs": inputs, "outputs": outputs}, separators=(",", ":")).encode()
    if not binary:
        return head, {"Content-Type": "application/json"}
    kinds = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return b"".join([head, *parts]), kinds


def _datatype(tensor: Tensor) -> str:
    return next(name for name, dtype in DTYPES.items() if dtype == tensor.dtype)


def outputs_of(answer: ServerResponse, output_names: Sequence[str]) -> dict[str, Tensor]:
    """Return the wanted outputs in a response, by name. Raises `BadResponse` for a malformed response."""
    length = answer.headers.get(HEAD)
    if length is not None and (not re.fullmatch(r"\d{1,12}", length) or int(length) > len(answer.body)):
        raise BadResponse(f"answered with a JSON part of {length[:20]!r} bytes in a body of {len(answer.body)}")
    end = len(answer.body) if length is None else int(length)
    listed = _object(answer.body[:end]).get("outputs")
    if not isinstance(listed, list):
        raise BadResponse("answered without outputs")
    tensors, rest = {}, answer.body[end:]
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise BadResponse("answered with an output that has no name")
        parameters = entry.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is not None and (not _is_whole(size, 0) or size > len(rest)):
            raise BadResponse(f"answered with {entry['name']!r} of {size!r} bytes, of which {len(rest)} are there")
        data = None if size is None else rest[:size]
        rest = rest[size or 0 :]
        if entry["name"] in output_names:
            tensors[entry["name"]] = _tensor(entry, data)
    return tensors


def _tensor(entry: Mapping[str, Any], data: bytes | None) -> Tensor:
    name, datatype, shape = entry["name"], entry.get("datatype"), _shape(entry)
    if not isinstance(datatype, str) or (datatype not in DTYPES and datatype != "BF16"):
        raise BadResponse(f"answered with {name!r} of datatype {datatype!r}; it must be a number")
    if data is not None:
        flat = _from_bytes(name, datatype, data)
    else:
        flat = _from_json(name, DTYPES.get(datatype, DTYPES["FP32"]), entry.get("data"))
    if flat.size != math.prod(shape):
        raise BadResponse(f"answered with {name!r} of {flat.size} numbers, which are not those of shape {list(shape)}")
    return flat.reshape(shape)


def _from_bytes(name: str, datatype: str, data: bytes) -> Tensor:
    dtype = np.dtype("<u2") if datatype == "BF16" else DTYPES[datatype]
    if len(data) % dtype.itemsize:
        raise BadResponse(f"answered with {name!r} of {len(data)} bytes, which are not whole numbers of {datatype}")
    flat: Tensor = np.frombuffer(data, dtype)
    # BF16 is the upper half of a 32-bit float.
    return (flat.astype("<u4") << 16).view("<f4") if datatype == "BF16" else flat


def _from_json(name: str, dtype: np.dtype[Any], data: Any) -> Tensor:
    """Return the numbers of a list, which may be nested like the shape."""
    try:
        values = np.asarray(data)
    except ValueError as error:
        raise BadResponse(f"answered with {name!r} in lists of different lengths") from error
    kinds = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}[dtype.kind]
    if values.ndim == 0 or (values.dtype.kind not in kinds and values.size):
        raise BadResponse(f"answered with {name!r} whose data are not a list of {dtype}")
    if (
        dtype.kind in "iu"
        and values.size
        and (values.min() < np.iinfo(dtype).min or values.max() > np.iinfo(dtype).max)
    ):
        raise BadResponse(f"answered with {name!r} whose data do not fit {dtype}")
    with np.errstate(over="ignore"):  # the decoders refuse infinite values
        return values.astype(dtype).ravel()
