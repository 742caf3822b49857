"""What every event has: when it was said."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class EventBase(BaseModel):
    # JSON has no NaN; as a string it survives the wire and stays valid JSON for other readers.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    time: float = 0.0
    """Unix seconds, stamped where the event is written."""
    elapsed: float = 0.0
    """Monotonic seconds since the job began."""
