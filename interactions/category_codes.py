"""Codes of the values of a category, such as a genre, in the arrays that models take."""

__all__ = ["FIRST_VALUE", "MISSING", "NO_VALUE", "UNKNOWN"]

# No further value of an item; no value at all; a value that training did not see. The others follow from FIRST_VALUE.
NO_VALUE, MISSING, UNKNOWN, FIRST_VALUE = range(4)
