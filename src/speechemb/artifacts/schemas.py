"""The types of what files between the steps hold, and the check that a file follows its schema.

A file may come from anywhere. So every key that a script reads has a type and a range here, and names that become
paths (tags, corpora) are of a fixed alphabet. Each kind of file has its schema beside its reader; keys that a schema
does not list are kept and not used.
"""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError


def different(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError("an entry occurs twice")
    return values


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a control character")
    return text


# No slash, and no dot in front: such a name cannot leave its folder.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=200)]
CorpusName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=100)]
Text = Annotated[str, AfterValidator(_printable), StringConstraints(max_length=1000)]
Label = Annotated[str, AfterValidator(_printable), StringConstraints(min_length=1, max_length=100)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Size = Annotated[int, Field(ge=1, le=2**31)]
Labels = Annotated[list[Label], AfterValidator(different), Field(min_length=2, max_length=1000)]
Layers = Annotated[list[Annotated[int, Field(ge=0, le=1000)]], AfterValidator(different), Field(min_length=1)]
Corpora = Annotated[list[CorpusName], AfterValidator(different), Field(min_length=1)]
Pooling = Annotated[list[Name], AfterValidator(different), Field(min_length=1)]
Precision = Literal["fp32", "bf16", "fp16", "int8"]


class Schema(BaseModel):
    """A part of a file. Strict: a number in quotes is no number."""

    model_config = ConfigDict(strict=True, extra="allow")


class Source(Schema):
    """A file that another was made from: its path as `paths.shown` gives it, and the SHA-256 of its content."""

    path: Text
    sha256: Sha256


class Stamp(Schema):
    """The provenance block of every artifact, see `provenance.stamp`."""

    fingerprint: Sha256
    versions: dict[Text, Text]
    git: Text
    code: Sha256
    command: Text = ""
    inputs: list[Source] = []
    files: dict[Name, Sha256] = {}


class EncoderInfo(Schema):
    """Which encoder, and at which revision."""

    tag: Name
    name: Text
    revision: Text
    dim: Size
    n_layers: Count


@cache  # building one takes longer than a check
def _adapter(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind)


def fault_of(kind: Any, content: Any) -> str:
    """What is wrong with the content of a file, in words; empty where it is of this type."""
    try:
        _adapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return (f"{where}: " if where else "") + first["msg"].removeprefix("Value error, ")
    return ""
