"""The arguments that tools take, and what is said of those that they do not take."""

from typing import Annotated, Any, Literal

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field, ValidationError

Technique = Literal["blacken", "fill", "pixelate", "blur"]
TextKind = Literal[
    "email", "iban", "phone", "plate", "card", "date", "ip", "url", "mac", "gps", "mrz", "secret"
]  # fmt: skip
Audio = Literal["copy", "drop", "silence", "speech-mute"]
BuiltIn = Literal["street", "documents", "screen", "family", "clinic"]
File = Annotated[str, Field(description="FOLDER/name, or a path inside an open folder.", max_length=4096)]
Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_ -]{0,39}$")]

_MOST_FAULTS = 5


class ToolServer(MCPServer):
    """A server that says in short sentences what is wrong with arguments."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        """Call a tool. Raises `ToolError`, with a sentence for each argument that is wrong."""
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            sentences = [_sentence(fault) for fault in error.__cause__.errors(include_url=False)[:_MOST_FAULTS]]
            raise ToolError(f"{name} was not run: {'; '.join(dict.fromkeys(sentences))}") from None


def _sentence(fault: Any) -> str:
    """Return what is wrong with an argument and what it must be, without the value."""
    place = ".".join(str(part) for part in fault["loc"]) or "the arguments"
    facts = fault.get("ctx", {})
    match fault["type"]:
        case "missing" | "missing_keyword_only_argument":
            return f"{place} is missing"
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"{place} is no argument of this tool"
        case "literal_error":
            return f"{place} must be {facts['expected']}"
        case "string_pattern_mismatch":
            return f"{place} must be a name in small letters, such as face or license_plate"
        case "string_too_long":
            return f"{place} has more than {facts['max_length']} characters"
        case _:
            return f"{place}: {fault['msg'].lower()}"
