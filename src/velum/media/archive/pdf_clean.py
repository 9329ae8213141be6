"""Removes the parts of a PDF that no page shows: metadata, attachments, scripts, comments, values of form fields."""

from collections.abc import Callable, Collection
from typing import Any

import pikepdf
from pikepdf import Array, ContentStreamInstruction, Dictionary, Name, Stream, String

from velum.errors import BadInput
from velum.media.archive.pdf_glyphs import TEXT_SHOWN, shows_text
from velum.media.archive.pdf_pictures import MOST_CONTENT, commands_of, refuse_bomb, resources_of, values_of

_INFO = {
    "copyright": ("/Author",), "description": ("/Title", "/Subject", "/Keywords"),
    "datetime": ("/CreationDate", "/ModDate"),
}  # fmt: skip
_UNSHOWN = {
    "/Metadata": "metadata (XMP)", "/PieceInfo": "data of programs", "/AF": "attached files", "/Thumb": "previews",
    "/Alternates": "alternate pictures", "/OPI": "links to pictures elsewhere", "/AA": "scripts and actions",
    "/LastModified": "dates of changes", "/XFA": "a form in XML", "/JavaScript": "scripts and actions",
    "/EmbeddedFiles": "attached files", "/Perms": "a digital signature, which no longer holds",
    "/DSS": "a digital signature, which no longer holds", "/Collection": "a portfolio of files",
    "/SpiderInfo": "the address that it was made from", "/Ref": "links to pages elsewhere",
    "/Legal": "a legal statement",
}  # fmt: skip
"""Entries that no page shows, and what they are."""

_CATALOG_KEYS = frozenset({
    "/Type", "/Version", "/Extensions", "/Pages", "/PageLabels", "/Names", "/Dests", "/ViewerPreferences",
    "/PageLayout", "/PageMode", "/Outlines", "/Threads", "/OpenAction", "/URI", "/AcroForm", "/StructTreeRoot",
    "/MarkInfo", "/Lang", "/OutputIntents", "/OCProperties", "/NeedsRendering", "/DPartRoot",
})  # fmt: skip
_PAGE_KEYS = frozenset({
    "/Type", "/Parent", "/Resources", "/MediaBox", "/CropBox", "/BleedBox", "/TrimBox", "/ArtBox",
    "/BoxColorInfo", "/Contents", "/Rotate", "/Group", "/B", "/Dur", "/Trans", "/Annots", "/StructParents",
    "/Tabs", "/UserUnit", "/VP", "/ID", "/PZ", "/SeparationInfo", "/TemplateInstantiated", "/PresSteps",
    "/DPart", "/OutputIntents",
})  # fmt: skip
"""Entries of the catalog and of a page (ISO 32000-2, tables 29 and 31), but for those that no page shows."""

_LINK_KEYS = {
    "/Type",
    "/Subtype",
    "/Rect",
    "/A",
    "/Dest",
    "/Border",
    "/C",
    "/H",
    "/F",
    "/QuadPoints",
    "/BS",
    "/StructParent",
}
_FIELD_VALUES = ("/V", "/DV", "/RV", "/AP", "/AS", "/I", "/MK", "/TU")
_ACTIONS = {"/GoTo", "/URI", "/Named", "/SetOCGState"}
"""Actions that stay: those that lead to a place in the document, or to an address."""

_MARKS = {"BDC", "DP"}
_INVISIBLE = {3, 7}
"""Text rendering modes that show nothing (9.3.6): the text layer of a scan."""


def clean(pdf: Any, metadata: frozenset[str]) -> tuple[str, ...]:
    """Remove every entry that no page shows, except kept kinds of `metadata`; return the names of the removed kinds."""
    kinds: dict[str, None] = {}
    kept_keys = {key for kind in metadata for key in _INFO.get(kind, ())}
    info = pdf.trailer.get("/Info")
    if info is not None:
        for key in [key for key in info.keys() if key not in kept_keys]:  # noqa: SIM118 - it is no dict
            del info[key]
            kinds["properties (Info)"] = None
    root = pdf.Root
    if "/OpenAction" in root and isinstance(root.OpenAction, Dictionary) and root.OpenAction.get("/S") not in _ACTIONS:
        del root["/OpenAction"]
        kinds["scripts and actions"] = None
    _keep_entries(root, _CATALOG_KEYS, kinds)
    for page in pdf.pages:
        _keep_entries(page.obj, _PAGE_KEYS, kinds)
        _clean_annotations(page.obj, kinds)
    form = root.get("/AcroForm")
    if isinstance(form, Dictionary):
        form.NeedAppearances = True
        if "/SigFlags" in form:
            del form["/SigFlags"]
    for value in pdf.objects:
        _clean_value(value, 0, kinds)
    return tuple(kinds)


def _keep_entries(value: Any, known: Collection[str], kinds: dict[str, None]) -> None:
    """Remove entries of the catalog or of a page that are not `known`: programs put anything into them."""
    for key in [key for key in value.keys() if key not in known and key not in _UNSHOWN]:  # noqa: SIM118 - it is no dict
        del value[key]
        kinds["entries that the standard does not name"] = None


def _clean_value(value: Any, depth: int, kinds: dict[str, None]) -> None:
    """Remove entries that no page shows from an object and from the objects inside it."""
    if depth > 50:
        raise BadInput("its objects are nested too deeply")
    if isinstance(value, Array):
        for item in value:
            if isinstance(item, Array | Dictionary) and not item.is_indirect:
                _clean_value(item, depth + 1, kinds)
        return
    if not isinstance(value, Dictionary | Stream):
        return
    if "/FT" in value or value.get("/Subtype") == Name.Widget or ("/T" in value and "/Kids" in value):
        _empty_field(value, kinds)
    for key in list(value.keys()):
        if key in _UNSHOWN:
            del value[key]
            kinds[_UNSHOWN[key]] = None
        elif key == "/A" and isinstance(value[key], Dictionary) and value[key].get("/S") not in _ACTIONS:
            del value[key]
            kinds["scripts and actions"] = None
        elif isinstance(item := value[key], Array | Dictionary) and not item.is_indirect:
            _clean_value(item, depth + 1, kinds)
    if value.get("/S") in _ACTIONS and "/Next" in value:
        del value["/Next"]


def _clean_annotations(page: Any, kinds: dict[str, None]) -> None:
    """Keep the links of a page, and the fields of forms without their values."""
    if "/Annots" not in page:
        return
    kept_annotations = []
    for annotation in page.Annots:
        kind = annotation.get("/Subtype")
        if kind == Name.Link:
            for key in [key for key in annotation.keys() if key not in _LINK_KEYS]:  # noqa: SIM118 - it is no dict
                del annotation[key]
            kept_annotations.append(annotation)
        elif kind == Name.Widget:
            kept_annotations.append(annotation)
        else:
            kinds["comments and other annotations"] = None
    page.Annots = Array(kept_annotations)


def _empty_field(value: Any, kinds: dict[str, None]) -> None:
    """Remove the value of a form field, and the appearance that shows it."""
    if value.get("/FT") == Name.Sig and "/V" in value:
        kinds["a digital signature, which no longer holds"] = None
    for key in _FIELD_VALUES:
        if key in value:
            del value[key]
            kinds["what was typed into forms"] = None


def rename_destinations(pdf: Any, rename: Callable[[str], str]) -> int:
    """Rename places that are named as in PDF 1.1 (12.3.2.4), and what leads to them; return their number."""
    count = 0
    if isinstance(places := pdf.Root.get("/Dests"), Dictionary):
        for key in list(places.keys()):
            if (name := rename(key[1:])) != key[1:]:
                places[f"/{name}"] = places[key]
                del places[key]
                count += 1
    holders = [value for value in pdf.objects if isinstance(value, Dictionary)]
    for holder in [*holders, *(value.A for value in holders if isinstance(value.get("/A"), Dictionary))]:
        for key in ("/Dest", "/D"):
            if isinstance(place := holder.get(key), Name):
                holder[key] = Name(f"/{rename(str(place)[1:])}")
    return count


def remove_invisible_text(page: Any) -> None:
    """Take text that is not shown out of the contents of a page and of the forms that it draws."""
    page.contents_coalesce()
    contents = page.obj.get("/Contents")
    streams = [contents] if isinstance(contents, Stream) else []
    streams += [
        value for value in values_of(resources_of(page.obj).get("/XObject")) if value.get("/Subtype") == Name.Form
    ]
    for stream in streams:
        instructions, mode, modes, changed = [], 0, [], False
        for instruction in commands_of(stream):
            operator = str(instruction.operator)
            if operator == "q":
                modes.append(mode)
            elif operator == "Q" and modes:
                mode = modes.pop()
            elif operator == "Tr":
                mode = int(instruction.operands[0])
            if operator in TEXT_SHOWN and mode in _INVISIBLE:
                changed = True
                continue
            instructions.append(instruction)
        if changed:
            stream.write(pikepdf.unparse_content_stream(instructions))


def drop_spoken_text(stream: Any) -> list[str]:
    """Take the texts that contents have beside their glyphs out of them, and return those that a program may speak.

    These are texts of marks (14.6, 14.9), comments, strings in commands that show nothing, and what contents have after
    the place where they break off.
    """
    refuse_bomb(stream, MOST_CONTENT, "a page")
    instructions: list[Any] = []
    texts = []
    for instruction in commands_of(stream):
        operator, operands = str(instruction.operator), list(instruction.operands)
        if operator in _MARKS and len(operands) == 2 and isinstance(marks := operands[1], Dictionary):
            for key in [key for key in marks.keys() if key != "/Lang" and _has_string(marks[key], 0)]:  # noqa: SIM118 - no dict
                texts += [str(marks[key])] if key in {"/ActualText", "/Alt", "/E"} else []
                del marks[key]
            instructions.append(ContentStreamInstruction(operands, instruction.operator))
        elif operator in TEXT_SHOWN or not any(_has_string(value, 0) for value in operands):
            instructions.append(instruction)
    stream.write(pikepdf.unparse_content_stream(instructions))  # comments are not written again
    return texts


def _has_string(value: Any, depth: int) -> bool:
    if depth > 50:
        raise BadInput("its objects are nested too deeply")
    items = list(value) if isinstance(value, Array) else values_of(value) if isinstance(value, Dictionary) else []
    return isinstance(value, String) or any(_has_string(item, depth + 1) for item in items)


def empty_unshown_text(pdf: Any, shown: Collection[tuple[int, int]]) -> tuple[str, ...]:
    """Empty the pages and forms that show text and that no page draws; return what was emptied, in words.

    `shown` are the object numbers of the contents that pages draw. Programs that take pages out of a PDF leave such
    objects: bookmarks still lead to the other pages, and all pages name the forms of all.
    """
    pages = {page.obj.objgen for page in pdf.pages}
    emptied = False
    for value in pdf.objects:
        is_page = isinstance(value, Dictionary) and value.get("/Type") == Name.Page and value.objgen not in pages
        if is_page and "/Contents" in value:
            del value["/Contents"]
            emptied = True
        is_form = isinstance(value, Stream) and value.get("/Subtype") == Name.Form and value.objgen not in shown
        if is_form and shows_text(value):
            value.write(b"")
            emptied = True
    return ("text that no page shows",) if emptied else ()
