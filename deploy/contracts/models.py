"""The published models. A struct becomes a pydantic model here, since pydantic writes the JSON Schemas."""

from __future__ import annotations

from types import ModuleType
from typing import Any, get_type_hints

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields
from pydantic import BaseModel, Field, create_model

from schemas import controls, dispatch, feedback, suppressions
from schemas.contacts import Contact
from schemas.events import ALL_EVENTS


def published_models() -> dict[str, type[BaseModel]]:
    """Return the models that the contract publishes, by the names of their schemas."""
    events: dict[str, type[BaseModel]] = {event.type: event.model for event in ALL_EVENTS}
    return {
        **events,
        "contact": Contact,
        "dispatch": _model_of(dispatch, dispatch.Recipient, dispatch.Origin, dispatch.Request, dispatch.Dispatch),
        "feedback": _model_of(feedback, feedback.Feedback),
        "control": _model_of(controls, controls.Control),
        "suppression": _model_of(suppressions, suppressions.Suppression),
    }


def _model_of(module: ModuleType, *structs: type[Struct]) -> type[BaseModel]:
    """Return a pydantic model with the fields of the last of a module's structs, which refers to those before it."""
    models: dict[str, Any] = {}
    for struct in structs:
        models[struct.__name__] = _model(struct, get_type_hints(struct, vars(module), models, include_extras=True))
    model: type[BaseModel] = models[structs[-1].__name__]
    return model


def _model(struct: type[Struct], hints: dict[str, Any]) -> type[BaseModel]:
    definitions: dict[str, Any] = {}
    for field in fields(struct):
        if field.default_factory is not NODEFAULT:
            default = Field(default_factory=field.default_factory)
        else:
            default = ... if field.default is NODEFAULT else field.default
        definitions[field.name] = (hints[field.name], default)
    return create_model(struct.__name__, __doc__=struct.__doc__, **definitions)
