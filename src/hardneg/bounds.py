"""Bounded numbers for the fields of parts. The JSON schema of a job carries the bounds."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
"""A whole number from 1 on."""
Natural = Annotated[int, Field(ge=0)]
"""A whole number from 0 on."""
Share = Annotated[float, Field(ge=0, le=1)]
"""A number within 0 and 1, both included."""
Similarity = Annotated[float, Field(gt=0, le=1)]
"""A threshold above 0 and at most 1."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A finite number above 0."""
