"""Objects that copies of their holders share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Shared"]


class Shared:
    """An object that is not copied: a copy of what holds it has the same one.

    >>> import copy
    >>> each = Shared()
    >>> copy.copy(each) is each and copy.deepcopy([each]) == [each]
    True
    """

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self
